"""What the hub keeps of one local server on disk: a lock, a record, an exit code and logs; users cannot write any.

The lock is the heart of it. The hub locks the file and lets the server inherit the open descriptor, so the kernel
itself says whether the server, or a hub that is about to launch it, lives: no moment of a hub's death leaves it wrong.
The record may be written only by who holds the lock (the server itself cannot: its descriptor is read-only).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nbhub.errors import SpawnError
from nbhub.spawners.processes import Identity

TAIL_BYTES = 32_768
KEEP_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """What was last launched, or is about to be; `pid` and what belongs to it are None before the launch."""

    generation: int
    port: int = 0
    url: str = ""
    pid: int | None = None
    start_time: int | None = None
    boot_id: str | None = None
    at: float = 0.0  # when it was written, seconds since the epoch
    stopped: bool = False

    @property
    def process(self) -> Identity | None:
        return Identity.of_state({"pid": self.pid, "start_time": self.start_time, "boot_id": self.boot_id})

    def launched_as(self, process: Identity) -> Record:
        return replace(self, pid=process.pid, start_time=process.start_time, boot_id=process.boot_id)

    def as_state(self) -> dict[str, Any]:
        """Return what a checkpoint saves of it."""
        state: dict[str, Any] = {"generation": self.generation, "port": self.port, "url": self.url}
        return state | (self.process.as_state() if self.process else {})


class ServerFiles:
    """The files of one server below `folder`; its name is safe as a file name."""

    def __init__(self, folder: Path, object_name: str) -> None:
        self.folder = folder
        self.name = object_name
        self.lock_path = folder / f"{object_name}.lock"
        self.record_path = folder / f"{object_name}.json"
        self.exit_path = folder / f"{object_name}.exit"
        self.log_path = folder / "logs" / f"{object_name}.log"
        self.old_log_path = folder / "logs" / f"{object_name}.log.1"

    def try_lock(self) -> int | None:
        """Lock, and return the descriptor that holds the lock while any copy of it is open; None when it is held."""
        while True:
            self._prepare()
            try:
                descriptor = os.open(self.lock_path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._unusable(self.lock_path, error) from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except OSError as error:
                os.close(descriptor)
                raise self._unusable(self.lock_path, error) from None
            if _is_file(descriptor, self.lock_path):
                return descriptor
            os.close(descriptor)  # deleted between opening and locking: there is a new one

    def record(self) -> Record | None:
        """Return the record; None when there is none that can be read."""
        fields = _read_json(self.record_path)
        try:
            return Record(**fields) if fields else None
        except TypeError:
            return None

    def write_record(self, record: Record) -> None:
        """Replace the record at once; only for who holds the lock."""
        try:
            _write_json(self.record_path, asdict(record))
        except OSError as error:
            raise self._unusable(self.record_path, error) from None

    def exit_code(self, process: Identity) -> int | None:
        """Return how this process ended, if a hub saw it."""
        fields = _read_json(self.exit_path)
        same = Identity.of_state(fields) == process
        code = fields.get("exit_code")
        return code if same and isinstance(code, int) else None

    def write_exit_code(self, process: Identity, code: int) -> None:
        """Remember how a process ended, for all hubs; without the lock, which a newer process may hold by now."""
        with contextlib.suppress(OSError):
            _write_json(self.exit_path, process.as_state() | {"exit_code": code})

    def open_log(self) -> int:
        """Keep the last start's log aside and return a descriptor for a new one."""
        try:
            self.log_path.parent.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self.log_path.replace(self.old_log_path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            return os.open(self.log_path, flags, 0o600)
        except OSError as error:
            raise self._unusable(self.log_path, error) from None

    def trim_log(self, limit: int) -> None:
        """Keep only the end of a log that has grown past `limit` bytes; the server goes on writing to the same file."""
        try:
            if not limit or self.log_path.stat().st_size <= limit:
                return
            with self.log_path.open("r+b") as log:
                log.seek(-min(limit // 2, KEEP_BYTES), os.SEEK_END)
                self.old_log_path.write_bytes(log.read())
                log.truncate(0)
        except OSError:
            return  # trimmed next time

    def log_tail(self, lines: int) -> str:
        """Return the last lines of the current log; empty when there is none."""
        try:
            with self.log_path.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def remove(self) -> None:
        """Delete all files; only for who holds the lock."""
        for path in (self.record_path, self.exit_path, self.log_path, self.old_log_path, self.lock_path):
            path.unlink(missing_ok=True)

    def _prepare(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(self.folder, error) from None

    def _unusable(self, path: Path, error: OSError) -> SpawnError:
        return SpawnError(
            f"The file {path}, which server {self.name} needs, cannot be written: {error.strerror}. "
            "Ask your administrator to look at the setting run_dir and the disk."
        )


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        fields = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _write_json(path: Path, fields: Mapping[str, Any]) -> None:
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(fields, file)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
