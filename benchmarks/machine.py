"""Cores, processes, their CPU time and memory, as Linux's /proc tells them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
LOAD_CORE, SYSTEM_CORE = CORES[0], CORES[-1]  # the load generator has a core of its own where there are two


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def clean_environment() -> dict[str, str]:
    """Return our environment without what would make Python unusual, such as never keeping compiled files."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class Process:
    """A program on one core, in a session of its own, with its output in a file; ended by its id."""

    def __init__(
        self, command: Sequence[str], *, core: int, log: Path, cwd: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        self._descendants: set[int] = set()
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**clean_environment(), **(environment or {})},
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def check(self) -> None:
        """Raise with the end of the log if the program has ended."""
        if self._popen.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{self._popen.args!r} ended with {self._popen.returncode}:\n{tail}")

    def end(self, *, grace: float = 30.0) -> None:
        """SIGTERM, then SIGKILL after the grace, for the program and what it leaves behind."""
        left = set(tree(self.pid)) - {self.pid}
        starts = {pid: start_time(pid) for pid in left}
        with contextlib.suppress(ProcessLookupError):
            self._popen.terminate()
        try:
            self._popen.wait(grace)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(10)
        for pid, started in starts.items():
            if started is not None and start_time(pid) == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """SIGKILL to this one process alone."""
        self._popen.kill()
        self._popen.wait(10)


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on (field 3 of proc(5) is the first), None when gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def start_time(pid: int) -> int | None:
    """Return when a process began, in ticks since boot; with the pid this names it for good."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def command_line(pid: int) -> str:
    """Return the command line with spaces between the arguments; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def tree(root: int) -> list[int]:
    """Return a process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time, user and system, that living processes have used; resolution is a tick, usually 10 ms."""
    total = 0
    for pid in pids:
        if fields := _stat(pid):
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident_mb(pids: Iterable[int]) -> float:
    """Return the resident memory (RSS) of processes in MB."""
    return sum(_field_kb(pid, "status", "VmRSS") for pid in pids) / 1000


def _field_kb(pid: int, file: str, field: str) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1.024
    return 0.0


def wait_for_port(port: int, process: Process, *, seconds: float = 60.0) -> None:
    """Return once somebody listens; raises when the process ends or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.check()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"Nobody listened on port {port} after {seconds:.0f} s; see {process.log}.")
