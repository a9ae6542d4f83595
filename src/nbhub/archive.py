"""The file of a backup: gzip of JSON lines, first what it is, then table by table its rows, last a checksum of it all.

    {"nbhub-backup": 1, "revision": "0003", "version": "0.1.0", "made": …, "secret": FINGERPRINT, "secrets": […]}
    {"table": "users", "columns": ["id", "name", …], "last_id": 7}
    [1, "alice", …]
    {"rows": 12, "sha256": …}

The checksum is of every byte before its line, uncompressed. `examine` reads all of it before anything is restored.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO

import msgspec

from nbhub.errors import BadRequest, Conflict, NbhubError, NotFound
from nbhub.store.portable import Part

FORMAT = 1
TOLD_EVERY = 10_000  # rows
_FOOT = b'{"rows"'
_encode = msgspec.json.Encoder().encode
_DAMAGED = "The backup {place} is damaged or cut short ({why}). Use another copy of it."

Progress = Callable[[str, int], None]  # a table, and how many of its rows are done


class Header(msgspec.Struct, rename={"format": "nbhub-backup"}, kw_only=True):
    """What a backup is. `secrets` are there only if they were asked for; `secret` tells which one was in use."""

    format: int
    revision: str
    version: str
    made: float  # seconds since the epoch
    secret: str = ""
    secrets: tuple[str, ...] = ()


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    table: str
    columns: tuple[str, ...]
    last_id: int | None = None


class _Foot(msgspec.Struct, forbid_unknown_fields=True):
    rows: int
    sha256: str


@dataclass(slots=True)
class Examined:
    """A backup that was found whole: what it is, and the rows of each table."""

    path: Path
    header: Header
    rows: dict[str, int] = field(default_factory=dict)

    def parts(self, progress: Progress) -> Iterator[Part]:
        """Yield its tables, each to be read to its end before the next."""
        with _lines(self.path) as lines:
            next(lines)
            line = next(lines)
            while not line.startswith(_FOOT):
                head = msgspec.json.decode(line, type=_Head)
                rows = _Rows(lines, head.table, progress)
                yield Part(head.table, head.columns, head.last_id, rows)
                line = rows.following()


class _Rows:
    """The rows of one table; whoever reads them stops where the next table begins."""

    def __init__(self, lines: Iterator[bytes], table: str, progress: Progress) -> None:
        self._lines = lines
        self._table = table
        self._progress = progress
        self._count = 0
        self._following = b""

    def __iter__(self) -> _Rows:
        return self

    def __next__(self) -> Sequence[Any]:
        if self._following:
            raise StopIteration
        line = next(self._lines)
        if not line.startswith(b"["):
            self._following = line
            self._progress(self._table, self._count)
            raise StopIteration
        self._count += 1
        if self._count % TOLD_EVERY == 0:
            self._progress(self._table, self._count)
        row: Sequence[Any] = msgspec.json.decode(line)
        return row

    def following(self) -> bytes:
        """Return the line after the last row."""
        for _ in self:
            pass
        return self._following


def write(path: Path | None, out: BinaryIO, header: Header, parts: Iterable[Part], progress: Progress) -> int:
    """Write a backup to `path`, whole or not at all, or to `out`; return the number of rows. Raises NbhubError."""
    if path is None:
        try:
            return _write(out, header, parts, progress)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise NbhubError(f"The backup cannot be written: {error.strerror or error}.") from error
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            count = _write(file, header, parts, progress)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except OSError as error:
        raise NbhubError(f"The backup {path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    return count


def _write(out: IO[bytes], header: Header, parts: Iterable[Part], progress: Progress) -> int:
    digest = hashlib.sha256()
    total = 0
    with gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=6, mtime=0) as packed:

        def put(item: object) -> None:
            line = _encode(item) + b"\n"
            digest.update(line)
            packed.write(line)

        put(header)
        for part in parts:
            put(_Head(part.name, part.columns, part.last_id))
            count = 0
            for row in part.rows:
                put(row)
                count += 1
                if count % TOLD_EVERY == 0:
                    progress(part.name, count)
            progress(part.name, count)
            total += count
        packed.write(_encode(_Foot(total, digest.hexdigest())) + b"\n")
    return total


def examine(path: Path) -> Examined:
    """Read a backup to its end; raise NotFound, BadRequest for one that is damaged, Conflict for a newer format."""
    digest = hashlib.sha256()
    with _lines(path) as lines:
        first = next(lines, b"")
        digest.update(first)
        examined = Examined(path, _header(path, first))
        table = ""
        foot: _Foot | None = None
        for line in lines:
            if foot is not None:
                raise BadRequest(_DAMAGED.format(place=path, why="something follows its end"))
            if line.startswith(b"["):
                examined.rows[table] = examined.rows.get(table, 0) + 1
            elif line.startswith(_FOOT):
                foot = _decoded(path, line, _Foot)
                continue
            else:
                table = _decoded(path, line, _Head).table
                examined.rows.setdefault(table, 0)
            digest.update(line)
    if foot is None:
        raise BadRequest(_DAMAGED.format(place=path, why="its end is missing"))
    if foot.sha256 != digest.hexdigest() or foot.rows != sum(examined.rows.values()):
        raise BadRequest(_DAMAGED.format(place=path, why="its checksum is wrong"))
    return examined


def _header(path: Path, line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except msgspec.DecodeError as error:
        raise BadRequest(f"The file {path} is not a backup of nbhub.") from error
    if header.format > FORMAT:
        raise Conflict(
            f"The backup {path} was made by nbhub {header.version[:32]}, which is newer. Restore it with that."
        )
    return header


def _decoded(path: Path, line: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        raise BadRequest(_DAMAGED.format(place=path, why="a line makes no sense")) from error


@contextlib.contextmanager
def _lines(path: Path) -> Iterator[Iterator[bytes]]:
    try:
        with gzip.open(path) as file:
            yield iter(file)
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.") from error
    except gzip.BadGzipFile as error:
        raise BadRequest(f"The file {path} is not a backup of nbhub, or is damaged.") from error
    except (EOFError, zlib.error) as error:
        raise BadRequest(_DAMAGED.format(place=path, why="it cannot be unpacked to its end")) from error
    except OSError as error:
        raise NbhubError(f"The file {path} cannot be read: {error.strerror or error}.") from error
