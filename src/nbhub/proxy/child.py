"""A process that outlives us: found again by pid, start time and boot, so that a re-used pid is never taken for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import msgspec

_POLL = 0.2  # seconds between looks where the kernel cannot tell


class Child(msgspec.Struct, frozen=True):
    """What is remembered of a started process. `fingerprint` tells what it was started with."""

    pid: int
    started: str
    boot: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a process: its output is appended to `log`."""

    arguments: tuple[str, ...]
    log: Path


def spawn(command: Command, fingerprint: str) -> tuple[Child, subprocess.Popen[bytes]]:
    """Start the process in a session of its own, so that a signal to us or our terminal leaves it alone.

    Raises OSError when it cannot be started.
    """
    with command.log.open("ab", buffering=0) as output:
        process = subprocess.Popen(
            command.arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
            env={"PATH": os.defpath},  # nothing of ours: the environment of a hub may hold secrets
        )
    return Child(process.pid, start_time(process.pid) or "", boot_id(), fingerprint), process


def save(child: Child, path: Path) -> None:
    """Remember a process across our own end."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(msgspec.json.encode(child))
    beside.replace(path)


def load(path: Path) -> Child | None:
    """Return the process remembered at `path` if it still runs, else None."""
    try:
        child = msgspec.json.decode(path.read_bytes(), type=Child)
    except (OSError, msgspec.DecodeError):
        return None
    return child if is_alive(child) else None


def find(*words: str) -> list[Child]:
    """Return the processes of ours with these words on their command line: of a starter that died before `save`."""
    wanted = b"\0%s\0" % b"\0".join(map(os.fsencode, words))
    found = []
    for place in Path("/proc").glob("[1-9]*"):
        with contextlib.suppress(OSError):
            if place.stat().st_uid == os.geteuid() and wanted in (place / "cmdline").read_bytes():
                found.append(Child(int(place.name), start_time(int(place.name)) or "", boot_id(), ""))
    return found


def is_alive(child: Child) -> bool:
    """Say whether this very process runs, not another one under its pid."""
    return child.boot == boot_id() and child.started != "" and start_time(child.pid) == child.started


async def gone(child: Child) -> None:
    """Return once the process has ended."""
    try:
        descriptor = os.pidfd_open(child.pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        while is_alive(child):  # noqa: ASYNC110 - nothing tells of it but looking
            await asyncio.sleep(_POLL)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        if is_alive(child):
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def end(child: Child, *, grace: float) -> None:
    """End the process: politely, and by force after `grace` seconds. A no-op when it does not run."""
    if not is_alive(child):
        return
    _signal(child, signal.SIGTERM)
    try:
        async with asyncio.timeout(grace):
            await gone(child)
    except TimeoutError:
        _signal(child, signal.SIGKILL)
        await gone(child)


def raise_file_limit(pid: int) -> None:
    """Let a process open as many files as the machine allows: every connection is one."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))


def start_time(pid: int) -> str | None:
    """Return when a process started, in the kernel's units; None if none runs under this pid."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _start_time_by_ps(pid) if not Path("/proc/self/stat").exists() else None
    fields = text.rpartition(")")[2].split()  # the name before may hold anything, so count from behind it
    return None if fields[0] in "ZX" else fields[19]


def cpu_seconds(pid: int) -> float | None:
    """Return how much processor time a process has used; None where unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def boot_id() -> str:
    """Return what tells this run of the machine from others; empty where unknown."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _start_time_by_ps(pid: int) -> str | None:
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def _signal(child: Child, number: signal.Signals) -> None:
    # Between the look at the start time and the signal the pid could pass to another process; a descriptor cannot.
    try:
        descriptor = os.pidfd_open(child.pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)
        return
    try:
        if is_alive(child):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)
