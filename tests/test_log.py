"""Log lines: one each, without secrets, and never made up by users."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from nbhub import log


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers, root.level
    stream = io.StringIO()
    log.configure("DEBUG", stream=stream)
    yield stream
    root.handlers = before
    root.setLevel(level)


def test_a_line_says_when_how_bad_where_and_what(lines: io.StringIO) -> None:
    logging.getLogger("nbhub.servers").info("server=%s starting→running after=%.1fs", "alice/", 4.1)
    time, rest = lines.getvalue().split(" ", 1)
    assert time.endswith("Z")
    assert rest == "INFO nbhub.servers: server=alice/ starting→running after=4.1s\n"


def test_users_cannot_make_up_lines(lines: io.StringIO) -> None:
    logging.getLogger("x").info("login user=%s", "eve\n2026 INFO nbhub: login user=admin\x1b[2J\u2028")
    assert lines.getvalue().count("\n") == 1
    assert "\\n2026" in lines.getvalue()
    assert "\x1b" not in lines.getvalue()


def test_user_input_is_capped_and_one_word() -> None:
    assert log.shown("eve admin=yes") == "eve\\x20admin=yes"
    assert log.shown("x" * 100) == "x" * 64 + "…"
    assert log.shown("ü\n") == "ü\\n"


def test_a_very_long_message_is_cut(lines: io.StringIO) -> None:
    logging.getLogger("x").info("a" * 100_000)
    assert len(lines.getvalue()) < 5000
    assert "100000 characters" in lines.getvalue()


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("url=postgresql://hub:hunter22@db/hub", "url=postgresql://hub:***@db/hub"),
        ("Authorization: token 0123456789abcdef0123", "Authorization: token ***"),
        ("header bearer 0123456789abcdef0123", "header bearer ***"),
        ("GET /oauth?code=abc123&state=x", "GET /oauth?code=***&state=x"),
        ("password=hunter22 user=alice", "password=*** user=alice"),
        ("{'api_token': 'abcdef'}", "{'api_token': '***'}"),
        ("access_token=abc", "access_token=***"),
        ("a token of user alice", "a token of user alice"),
    ],
)
def test_secrets_are_left_out(lines: io.StringIO, message: str, left: str) -> None:
    logging.getLogger("x").info(message)
    assert lines.getvalue().rstrip("\n").endswith(f"x: {left}")


def fail() -> None:
    raise ValueError("secret=abc\nforged line")


def test_a_traceback_is_indented(lines: io.StringIO) -> None:
    try:
        fail()
    except ValueError:
        logging.getLogger("x").exception("it failed")
    first, *rest = lines.getvalue().splitlines()
    assert first.endswith("ERROR x: it failed")
    assert rest
    assert all(line.startswith("    ") for line in rest)
    assert "abc" not in lines.getvalue().replace("secret=abc\\n", "")


def test_json_lines() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers, root.level
    try:
        log.configure("INFO", as_json=True, stream=stream)
        logging.getLogger("nbhub").warning("password=x a=%s", "b\nc")
        try:
            fail()
        except ValueError:
            logging.getLogger("nbhub").exception("failed")
    finally:
        root.handlers = before
        root.setLevel(level)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["message"] == "password=*** a=b\\nc"
    assert first["level"] == "warning"
    assert "ValueError" in second["traceback"]
