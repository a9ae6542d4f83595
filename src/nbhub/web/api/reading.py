"""Bodies of requests: JSON in, values of a declared type out."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from nbhub.errors import BadRequest

T = TypeVar("T")

DEEPEST = 100  # what lies deeper may be read here, and then be too much for whoever reads it again further inside
_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|([\[{])|([\]}])', re.DOTALL)


def json(raw: bytes, kind: type[T]) -> T:
    """Return the body as a value of that type; an absent one counts as {}. Raises BadRequest."""
    check_depth(raw)
    try:
        return msgspec.json.decode(raw if raw.strip() else b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"Invalid JSON in body of request: {error}") from None


def check_depth(raw: bytes) -> None:
    """Raise BadRequest for lists and objects within each other, more than DEEPEST of them."""
    if raw.count(b"[") + raw.count(b"{") <= DEEPEST:
        return
    depth = 0
    for match in _BRACKETS.finditer(raw):
        depth += 1 if match[1] else -1 if match[2] else 0
        if depth > DEEPEST:
            raise BadRequest(f"Invalid JSON in body of request: more than {DEEPEST} levels of lists and objects.")
