"""Bodies of requests: JSON in, values of a declared type out."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TypeVar

import msgspec

from nbhub.errors import BadRequest

T = TypeVar("T")

DEEPEST = 100  # what lies deeper may be read here, and then be too much for whoever reads it again further inside
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)  # one that does not end takes all the rest
_OTHER = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


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
    # All of it in C, and in one pass: a body of nothing but brackets or quotes must not hold up everybody else.
    brackets = _STRING.sub(b"", raw).translate(None, _OTHER)
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > DEEPEST:
        raise BadRequest(f"Invalid JSON in body of request: more than {DEEPEST} levels of lists and objects.")
