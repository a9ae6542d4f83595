"""The file of a backup: what goes in comes out; whatever is damaged, cut short or foreign is told before it is used."""

from __future__ import annotations

import gzip
import io
import json
import random
from pathlib import Path

import pytest

from nbhub import archive
from nbhub.archive import Header
from nbhub.errors import BadRequest, Conflict, NbhubError, NotFound
from nbhub.store.portable import Part

HEADER = Header(format=1, revision="0003", version="0.1.0", made=1.0, secret="abcd")
PARTS = [
    Part("users", ("id", "name"), 9, [(1, "ada\n"), (2, None), (3, '[{"rows"'), (4, "ü")]),
    Part("groups", ("id",), None, []),
    Part("tokens", ("id", "created", "live"), 0, [(number, number / 7, number % 2 == 0) for number in range(2000)]),
]


def quiet(table: str, count: int) -> None:
    """Say nothing."""


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "hub.backup"
    assert archive.write(path, io.BytesIO(), HEADER, PARTS, quiet) == 2004
    return path


def test_what_goes_in_comes_out(backup: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in backup.parent.iterdir()] == ["hub.backup"]
    found = archive.examine(backup)
    assert found.header == HEADER
    assert found.rows == {"users": 4, "groups": 0, "tokens": 2000}
    told: list[tuple[str, int]] = []
    parts = [
        (part.name, part.columns, part.last_id, [tuple(row) for row in part.rows])
        for part in found.parts(lambda *said: told.append(said))
    ]
    assert parts == [(part.name, part.columns, part.last_id, list(part.rows)) for part in PARTS]
    assert told == [("users", 4), ("groups", 0), ("tokens", 2000)]
    assert [part.name for part in found.parts(quiet)] == ["users", "groups", "tokens"]  # rows may be left unread


def test_the_same_to_an_open_file(backup: Path) -> None:
    out = io.BytesIO()
    archive.write(None, out, HEADER, PARTS, quiet)
    assert out.getvalue() == backup.read_bytes()


def test_cut_short_anywhere(backup: Path) -> None:
    whole = backup.read_bytes()
    for length in (*range(1, 40), *range(40, len(whole), 997), *range(len(whole) - 12, len(whole))):
        backup.write_bytes(whole[:length])
        with pytest.raises(BadRequest, match=r"damaged|not a backup"):
            archive.examine(backup)


def test_one_byte_is_another(backup: Path) -> None:
    whole = bytearray(backup.read_bytes())
    dice = random.Random(7)
    for _ in range(60):
        place = dice.randrange(10, len(whole))  # what comes before says when and where it was packed
        changed = bytearray(whole)
        changed[place] ^= 1 << dice.randrange(8)
        backup.write_bytes(changed)
        with pytest.raises(BadRequest, match=r"damaged|not a backup"):
            archive.examine(backup)


@pytest.mark.parametrize(
    ("lines", "error", "words"),
    [
        ([], BadRequest, "not a backup"),
        ([{"a": 1}], BadRequest, "not a backup"),
        ([{"nbhub-backup": 2, "revision": "1", "version": "7.0", "made": 1}], Conflict, r"nbhub 7\.0, which is newer"),
        (
            [json.loads('{"nbhub-backup": 1, "revision": "1", "version": "1", "made": 1}')],
            BadRequest,
            "its end is missing",
        ),
    ],
    ids=["empty", "other", "newer", "endless"],
)
def test_what_is_no_backup(tmp_path: Path, lines: list[object], error: type[NbhubError], words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
    with pytest.raises(error, match=words):
        archive.examine(path)


def test_a_changed_row_and_something_after_the_end(backup: Path) -> None:
    text = gzip.decompress(backup.read_bytes())
    backup.write_bytes(gzip.compress(text.replace(b'[1,"ada', b'[1,"eve')))
    with pytest.raises(BadRequest, match="its checksum is wrong"):
        archive.examine(backup)
    backup.write_bytes(gzip.compress(text + b"[1]\n"))
    with pytest.raises(BadRequest, match="something follows its end"):
        archive.examine(backup)


def test_files_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        archive.examine(tmp_path / "none")
    with pytest.raises(NbhubError, match="cannot be read: Is a directory"):
        archive.examine(tmp_path)
    with pytest.raises(NbhubError, match="cannot be written: No such file"):
        archive.write(tmp_path / "no" / "file", io.BytesIO(), HEADER, PARTS, quiet)
    with pytest.raises(NbhubError, match="cannot be written: No space left"), open("/dev/full", "wb", 0) as full:  # noqa: PTH123
        archive.write(None, full, HEADER, PARTS, quiet)
