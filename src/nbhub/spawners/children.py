"""Notice at once when a server's process ends, and reap those that this hub started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from nbhub.spawners.processes import Identity


@dataclass(slots=True)
class _Watched:
    server_id: int
    object_name: str
    child: subprocess.Popen[bytes] | None
    descriptor: int | None


class Children:
    """Processes being watched by descriptors of the kernel, ours and those of an earlier hub alike.

    `on_end(server_id, object_name, process, exit_code)` is called once for each; the code is None for those that are
    not our children. Watching is a convenience: without descriptors to spare, `collect` still finds the dead.
    """

    def __init__(self, on_end: Callable[[int, str, Identity, int | None], None]) -> None:
        self._on_end = on_end
        self._watched: dict[Identity, _Watched] = {}
        self._room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2

    def watch(
        self, process: Identity, server_id: int, object_name: str, child: subprocess.Popen[bytes] | None = None
    ) -> None:
        """Watch a process from now on; `child` when it is ours to reap."""
        known = self._watched.get(process)
        if known is not None:
            known.child = known.child or child  # a poll may have been quicker than the launch
            return
        descriptor = self._open(process)
        if descriptor is None and child is None:
            return
        self._watched[process] = _Watched(server_id, object_name, child, descriptor)
        if descriptor is not None:
            asyncio.get_running_loop().add_reader(descriptor, self.collect, process)

    def collect(self, process: Identity) -> None:
        """Reap a process that has ended and tell; nothing happens when it lives or is not watched."""
        watched = self._watched.get(process)
        if watched is None:
            return
        code: int | None = None
        if watched.child is not None:
            code = watched.child.poll()
            if code is None:
                return
        del self._watched[process]
        self._release(watched)
        self._on_end(watched.server_id, watched.object_name, process, code)

    def close(self) -> None:
        """Watch no more; the processes go on."""
        for watched in self._watched.values():
            self._release(watched)
            if watched.child is not None:
                watched.child.returncode = 0  # it outlives us and is nobody's to wait for
        self._watched.clear()

    def _open(self, process: Identity) -> int | None:
        if len(self._watched) >= self._room:
            return None
        with contextlib.suppress(OSError):
            return os.pidfd_open(process.pid)
        return None

    def _release(self, watched: _Watched) -> None:
        if watched.descriptor is not None:
            asyncio.get_running_loop().remove_reader(watched.descriptor)
            os.close(watched.descriptor)
            watched.descriptor = None
