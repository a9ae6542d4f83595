"""Ports for tests: whoever asks on this machine, a number is given out again only after all others were."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from pathlib import Path

# Below what the servers of users get (20,000 and more) and what the kernel gives to connections (32,768 and more):
# neither can take one in the time between its choice here and its use, or while a program is started anew.
FIRST, LAST = 12_000, 19_999
_LAST_GIVEN = Path(tempfile.gettempdir()) / f"nbhub-test-ports-{os.getuid()}"


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens and that no other test process was given lately."""
    with _LAST_GIVEN.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        given = int(file.read() or LAST)
        count = LAST - FIRST + 1
        for step in range(1, count + 1):
            port = FIRST + (given - FIRST + step) % count
            if _is_free(port):
                file.truncate(0)
                file.write(str(port))
                return port
    raise RuntimeError(f"no free port between {FIRST} and {LAST} on 127.0.0.1; end the programs that hold them")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False
