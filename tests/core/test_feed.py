"""What hub and proxy tell each other: differences, lines, and who may."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from nbhub.core import feed
from nbhub.core.model import Route

NAMES = some.sampled_from(["alice", "bob", "o'é ~"])
ROUTES = some.builds(
    lambda user, port: Route(f"/user/{user}/", f"http://127.0.0.1:{port}", user), NAMES, some.integers(1, 3)
)


@given(some.lists(some.lists(ROUTES), min_size=1, max_size=6))
def test_changes_one_after_the_other_make_what_the_hub_has(history: list[list[Route]]) -> None:
    told: dict[str, Route] = {}
    known: dict[str, Route] = {"/user/of-an-earlier-hub/": Route("/user/of-an-earlier-hub/", "http://127.0.0.1:9")}
    for serial, routes in enumerate(history, start=1):
        now = feed.by_prefix(routes)
        change = feed.difference(told, now, serial, "/")
        sent = msgspec.json.decode(msgspec.json.encode(change), type=feed.Change)
        assert sent == change
        told, known = now, feed.applied(known, sent)
        assert known == now


@given(some.lists(some.binary(max_size=20)), some.integers(1, 7))
def test_lines_arrive_whole_however_they_are_cut(lines: list[bytes], size: int) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    sent = b"".join(line + b"\n" for line in lines)
    taker = feed.Lines(1000)
    assert [line for at in range(0, len(sent), size) for line in taker.take(sent[at : at + size])] == lines


def test_a_line_without_an_end_is_refused() -> None:
    taker = feed.Lines(10)
    assert list(taker.take(b"0123456789")) == []
    with pytest.raises(ValueError, match="longer"):
        list(taker.take(b"0"))


def test_who_knows_a_token() -> None:
    assert feed.is_one_of("b" * 32, ["a" * 32, "b" * 32])
    assert not feed.is_one_of("", ["a" * 32])
    assert not feed.is_one_of("\udcff", ["a" * 32])
    assert not feed.is_one_of("a" * 32, [])
    assert feed.word("a" * 32) not in ("a" * 32, feed.word("b" * 32))
