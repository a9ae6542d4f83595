"""What the hub says to its operator: one line per transition, without secrets and without lines that users made up."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from types import TracebackType
from typing import IO

LINE_LIMIT = 4000  # characters of one message; a longer one is cut

_KEPT_SEPARATE = (
    "asyncio",
    "uvicorn",
    "alembic",
    "sqlalchemy",
    "aiohttp",
    "httpx2",
)  # interesting only when they complain
_PAIR = re.compile(r"(?<!\S)([a-z_]+)=(\S+)")
_SECRETS = (
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+(@)"), r"\1***\2"),
    (re.compile(r"(?i)\b(authorization:?\s*(?:token|bearer|basic)|bearer|token)(\s+)[\w.~+/=-]{16,}"), r"\1\2***"),
    (
        re.compile(r"(?i)\b((?:\w+[_-])?(?:token|password|secret|cookie|code|_xsrf))(=|['\"]?:\s*['\"]?)[^\s&,;'\"]+"),
        r"\1\2***",
    ),
)


def configure(level: int | str = logging.INFO, *, as_json: bool = False, stream: IO[str] | None = None) -> None:
    """Send everything that is logged to `stream` (standard error), from `level` on. May be called again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(int(level) if str(level).isdecimal() else level)
    number = root.level
    for name in _KEPT_SEPARATE:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def tell(text: str, level: str = "info", stream: IO[str] | None = None) -> None:
    """Write what the hub tells the person who started it, as a line of JSON; unlike a log line it may hold a link."""
    fields = {"time": _stamp(time.time()), "level": level, "logger": "nbhub", "message": text.strip()}
    print(json.dumps(fields, ensure_ascii=False), file=stream or sys.stderr, flush=True)


def leave_nothing_out() -> None:
    """Log also what Python would write to standard error by itself: its warnings, and failures that nobody caught."""
    logging.captureWarnings(True)
    crashes = logging.getLogger("nbhub.crash")

    def of_program(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        crashes.critical("the program fails", exc_info=(kind, error, trace))

    def of_thread(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is not None:
            crashes.error("a thread fails", exc_info=(failed.exc_type, failed.exc_value, failed.exc_traceback))

    def of_object(failed: sys.UnraisableHookArgs) -> None:
        if failed.exc_value is not None:
            crashes.error("taking something down fails", exc_info=failed.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = of_program, of_thread, of_object


def shown(text: object, limit: int = 64) -> str:
    """Return user input fit for a log line: no control characters or spaces, capped, secrets left to the formatter."""
    whole = str(text)
    cut = whole if len(whole) <= limit else f"{whole[:limit]}…"
    return _escaped(cut).replace(" ", "\\x20")


class LineFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO nbhub.servers: server=alice/ starting→running after=4.1s`, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows, indented so that no line of it can pass for another record."""
        line = f"{_time(record)} {record.levelname} {record.name}: {_message(record)}"
        error = _traceback(self, record)
        return f"{line}\n    " + "\n    ".join(error) if error else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line, with time, level, logger, message and, after a failure, the traceback.

    What a message says as `key=value` is there again under `fields`, so that a query need not take it apart.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as text."""
        fields: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": (message := _message(record)),
        }
        if found := dict(_PAIR.findall(message)):
            fields["fields"] = found
        error = _traceback(self, record)
        return json.dumps(fields | {"traceback": "\n".join(error)} if error else fields, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return _stamp(record.created)


def _stamp(seconds: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    text = text if len(text) <= LINE_LIMIT else f"{text[:LINE_LIMIT]}… ({len(text)} characters)"
    return _escaped(_without_secrets(text))


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[0] is None:
        return []
    lines = formatter.formatException(record.exc_info).split("\n")
    return [_escaped(_without_secrets(line))[:LINE_LIMIT] for line in lines]


def _without_secrets(text: str) -> str:
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _escaped(text: str) -> str:
    """Replace what could break the line or steer a terminal by its escape sequence."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
