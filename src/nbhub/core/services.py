"""Services: what they may be called, and where they may be. Pure."""

from __future__ import annotations

import urllib.parse
from typing import Any

from nbhub.errors import BadRequest


def check_name(name: Any) -> None:
    """Raise BadRequest unless a service may be called that: it stands in an address."""
    good = isinstance(name, str) and name == name.strip() and name.isprintable() and 1 <= len(name) <= 255
    if not good or not name.strip(".") or set(name) & set('/\\%?#"'):
        raise BadRequest(
            f"{name!r} cannot be the name of a service: 1 to 255 printable characters, no spaces around it, "
            "none of / \\ % ? #, not only dots."
        )


def check_url(url: str) -> None:
    """Raise BadRequest unless the proxy can reach a service there."""
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good:
        raise BadRequest(f"The url {url[:200]!r} is not of the form http://host:port, which is what the proxy reaches.")
