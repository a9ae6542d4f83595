"""Where a browser may be sent after a log-in: only to paths of this hub's own host."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit, urlunsplit

_CONTROL = re.compile(r"[\x00-\x20\x7f]")


def safe(url: str | None, own_origins: Collection[str]) -> str:
    """Return the path, query and fragment to go to, or "" when the destination is not ours to follow.

    `own_origins` are `scheme://host[:port]` under which the hub is known; absolute URLs of these lose their origin.
    """
    if not url or _CONTROL.search(url):
        return ""
    url = re.sub(r"^/{3,}", "//", url.replace("\\", "%5C"))
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.netloc and _origin(parts.scheme, parts.netloc, own_origins):
        url = urlunsplit(("", "", parts.path or "/", parts.query, parts.fragment))
        parts = urlsplit(url)
    if parts.scheme or parts.netloc or not url.startswith("/") or url.startswith("//"):
        return ""
    return url


def _origin(scheme: str, netloc: str, own_origins: Collection[str]) -> bool:
    netloc = netloc.lower()
    for origin in own_origins:
        own_scheme, _, own_netloc = origin.lower().partition("://")
        if netloc == own_netloc and scheme in ("", own_scheme):
            return True
    return False
