"""One hub for each SQLite file: a lock of the operating system, which even a killed hub gives back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from nbhub.errors import ConfigError


class HeldElsewhere(ConfigError):
    """A hub on another machine, or in another pod, has the database; it may be about to end."""


class FileLock:
    """The lock `<file>.lock` beside a database; held until released or until the process ends, however it ends."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raise ConfigError if another process has it (HeldElsewhere: of another machine or pod) or the
        folder cannot be written.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"The lock file {self.path} cannot be written: {error.strerror}. "
                "Give the hub a data directory that it may write to."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder, is_elsewhere = _holder(descriptor)
            os.close(descriptor)
            raise (HeldElsewhere if is_elsewhere else ConfigError)(
                f"Another hub{holder} uses the database {self.database}. Stop it first, "
                "give this one another data directory, or use PostgreSQL, which many hubs may share."
            ) from error
        with contextlib.suppress(OSError):  # who holds it is only told for convenience; the disk may be full
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; the file stays, since removing it would let two hubs lock different files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(database: Path) -> str | None:
    """Say which hub has a database now, as in " (process 7 on hub-1)"; None if none has it."""
    try:
        descriptor = os.open(database.with_name(database.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _holder(descriptor)[0]
    finally:
        os.close(descriptor)
    return None


def _holder(descriptor: int) -> tuple[str, bool]:
    """Say who has the lock, the process and the machine or pod when it is another one, and whether it is."""
    try:
        pid, _, host = os.pread(descriptor, 300, 0).decode("ascii", "replace").strip().partition(" ")
    except OSError:
        return "", False
    if not pid.isdigit():
        return "", False
    is_elsewhere = host not in ("", socket.gethostname())
    return f" (process {pid}{f' on {host}' if is_elsewhere else ''})", is_elsewhere
