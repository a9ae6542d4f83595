"""Processes of this machine as /proc tells of them: who is alive, who belongs to whom, and signals that never miss.

A process is known by its pid, its start time (field 22 of /proc/PID/stat) and the boot it started in; a pid alone says
nothing, since the kernel gives it to somebody else later.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DEAD_STATES = "ZXx"


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, for all time."""

    pid: int
    start_time: int  # clock ticks since boot
    boot_id: str

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Identity | None:
        """Read what `as_state` wrote; None when any of it is missing or of a wrong type."""
        pid, start_time, boot = state.get("pid"), state.get("start_time"), state.get("boot_id")
        if isinstance(pid, int) and isinstance(start_time, int) and isinstance(boot, str) and pid > 1:
            return cls(pid, start_time, boot)
        return None

    def as_state(self) -> dict[str, Any]:
        return {"pid": self.pid, "start_time": self.start_time, "boot_id": self.boot_id}


@dataclass(frozen=True, slots=True)
class Stat:
    """One line of /proc/PID/stat, the fields that matter here."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start_time: int

    @property
    def ended(self) -> bool:
        return self.state in DEAD_STATES


Census = Mapping[int, Stat]


@cache
def boot_id() -> str:
    """Return the name of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def read_stat(pid: int) -> Stat | None:
    """Return what /proc says of a process now; None when there is none."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        line = os.read(descriptor, 4096)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # The command in parentheses may hold anything, also spaces and parentheses.
    fields = line[line.rfind(b")") + 2 :].split(None, 20)
    return Stat(pid, fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def identify(pid: int) -> Identity | None:
    """Return who has this pid now, dead and unreaped included; None when nobody has."""
    stat = read_stat(pid)
    return Identity(pid, stat.start_time, boot_id()) if stat else None


def is_alive(process: Identity) -> bool:
    """Whether this very process runs; a zombie does not, and neither does a later owner of its pid."""
    if process.boot_id != boot_id():
        return False
    stat = read_stat(process.pid)
    return stat is not None and stat.start_time == process.start_time and not stat.ended


def send(process: Identity, number: signal.Signals) -> bool:
    """Signal this very process; False when it is gone. Its pid's next owner is never hit."""
    if process.boot_id != boot_id():
        return False
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        # The descriptor pins whoever has the pid now; only then is it safe to compare.
        if not is_alive(process):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def census() -> Census:
    """Look at every process of the machine."""
    found = (read_stat(int(name)) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208 - far cheaper
    return {stat.pid: stat for stat in found if stat is not None}


def family(leader: Identity, mark: bytes, people: Census) -> dict[int, Stat]:
    """Return the living processes of a server: its session, its process group and their descendants.

    With the leader gone, its number may have come to mean another session since; then only those count that carry
    `mark` in their environment.
    """
    if leader.boot_id != boot_id():
        return {}
    there = people.get(leader.pid)
    if there is not None and there.start_time != leader.start_time:
        return {}  # a number is only given away again when nobody of its old session and group is left
    members = {
        pid: stat
        for pid, stat in people.items()
        if leader.pid in (stat.session, stat.group) and (there is not None or carries(pid, mark))
    }
    return {pid: stat for pid, stat in _with_descendants(members, people).items() if not stat.ended}


def carries(pid: int, mark: bytes) -> bool:
    """Whether a process was started with the variable `mark` (NAME=value) in its environment."""
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def holders(path: Path) -> Iterator[int]:
    """Yield the processes that have the file at `path` open, as far as this user may look."""
    try:
        wanted = path.stat()
    except OSError:
        return
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdecimal() and _has_open(name, wanted):
            yield int(name)


def _has_open(pid: str, wanted: os.stat_result) -> bool:
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                if os.path.samestat(descriptor.stat(), wanted):
                    return True
    return False


def _with_descendants(members: Mapping[int, Stat], people: Census) -> dict[int, Stat]:
    children: dict[int, list[Stat]] = {}
    for stat in people.values():
        children.setdefault(stat.parent, []).append(stat)
    found = dict(members)
    pending = list(members)
    while pending:
        for stat in children.get(pending.pop(), ()):
            if stat.pid not in found:
                found[stat.pid] = stat
                pending.append(stat.pid)
    return found
