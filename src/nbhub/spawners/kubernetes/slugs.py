"""Users' and servers' names as Kubernetes takes them: the schemes `safe` and `escape`, and label values. Pure.

Both are KubeSpawner's, to the letter: pods, volumes and network policies of an existing hub are found by them.
"""

from __future__ import annotations

import hashlib
import re

LABEL_LIMIT = 63  # characters of a DNS label and of a label's value
_SLUG_LIMIT = 48
_HASH = 8
_VALID = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")


def hash8(data: bytes) -> str:
    """Return the first 8 hexadecimal digits of the SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()[:_HASH]


def safe(name: str) -> str:
    """Return the slug of one name in the scheme `safe`, at most 48 characters."""
    if "--" not in name and len(name) <= _SLUG_LIMIT and _VALID.fullmatch(name):
        return name
    return f"{extract(name, _SLUG_LIMIT - _HASH - 3)}---{hash8(name.encode())}"


def safe_pair(user: str, server: str) -> str:
    """Return one slug for a server of a user in the scheme `safe`, at most 48 characters."""
    first, second = safe(user), safe(server) if server else ""
    # The reserve for the two dashes counts for the default server, too.
    if len(first) + len(second) + 2 > _SLUG_LIMIT:
        each = (_SLUG_LIMIT - _HASH - 6) // 2
        digest = hash8(user.encode() + b"\xff" + server.encode())
        return f"{extract(user, each)}--{extract(server, each)}---{digest}"
    return f"{first}--{second}" if second else first


def extract(name: str, limit: int) -> str:
    """Return what of a name is allowed in a slug: a letter first, then letters, digits and single dashes."""
    kept = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-")[:limit].rstrip("-")
    if not kept:
        return "x"
    return kept if kept[0].isalpha() else f"x-{kept[: limit - 2]}"


def escape(name: str) -> str:
    """Return a name in the scheme `escape`: each byte that is no small letter or digit as a dash and its number."""
    return "".join(chr(byte) if byte in _PLAIN else f"-{byte:x}" for byte in name.encode())


def escape_pair(user: str, server: str) -> str:
    """Return one slug for a server of a user in the scheme `escape`; as long as it has to be."""
    return f"{escape(user)}--{escape(server)}" if server else escape(user)


def label_value(name: str) -> str:
    """Return the value of a label that stands for a name; readable names stay, an empty one stays empty."""
    if not name or ("--" not in name and is_label_value(name)):
        return name
    return f"{extract(name, 32 - _HASH - 3)}---{hash8(name.encode())}"


def is_label_value(text: str) -> bool:
    """Say whether Kubernetes takes a text as the value of a label."""
    return not text or (len(text) <= LABEL_LIMIT and _LABEL.fullmatch(text) is not None)
