"""What the hub says to its operator: one line per transition, without secrets and without lines that users made up."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
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
    """One JSON object per line, with time, level, logger, message and, after a failure, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as text."""
        fields = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        error = _traceback(self, record)
        return json.dumps(fields | {"traceback": "\n".join(error)} if error else fields, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


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
