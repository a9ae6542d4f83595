"""What really runs on this machine: processes found by what they carry, whoever started them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One living process, as the kernel tells it."""

    pid: int
    parent: int
    session: int
    start_time: int
    command: str
    environment: dict[str, str] = field(repr=False)

    @property
    def leads(self) -> bool:
        """It leads its session, as servers and Envoys do."""
        return self.pid == self.session

    @property
    def server(self) -> str | None:
        """The object name of the server that it is, or belongs to."""
        return self.environment.get("NBHUB_SERVER")

    @property
    def is_envoy(self) -> bool:
        return "envoy" in self.command.split("\0")[0]

    def kill(self) -> bool:
        """Send SIGKILL; False if it was gone already."""
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                stat = _stat(self.pid)
                if stat is not None and stat[1:] == (self.session, self.start_time):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    return True
            finally:
                os.close(descriptor)
        return False


def processes_of(folder: Path) -> list[Process]:
    """Return every process with this folder in its command line or environment, except for the one that asks."""
    return [
        process
        for process in _all()
        if process.pid != os.getpid()
        and (str(folder) in process.command or any(str(folder) in value for value in process.environment.values()))
    ]


def leaders_of(folder: Path) -> dict[str, list[Process]]:
    """Return the leading processes of each server that runs from this folder, by object name.

    Kernels lead sessions too and are not counted, unless the server that started them is gone.
    """
    all_of_them = {process.pid: process for process in processes_of(folder) if process.server is not None}
    found: dict[str, list[Process]] = {}
    for process in all_of_them.values():
        parent = all_of_them.get(process.parent)
        if process.leads and process.server is not None and (parent is None or parent.server != process.server):
            found.setdefault(process.server, []).append(process)
    return found


def _all() -> Iterator[Process]:
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        try:
            stat = _stat(pid)
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            environment = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if stat is not None:
            pairs = dict(line.partition("=")[::2] for line in environment.split("\0") if line)
            yield Process(pid, *stat, command, pairs)


def _stat(pid: int) -> tuple[int, int, int] | None:
    """Return parent, session and start time; None for one that is gone or has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else (int(fields[1]), int(fields[3]), int(fields[19]))
