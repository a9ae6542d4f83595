"""How a path prefix and a target are spelled: one canonical way, and the ways that clients use beside it. Pure."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from dataclasses import replace
from functools import lru_cache

from nbhub.core.model import Route
from nbhub.errors import BadRequest

_ENCODE_URI_COMPONENT = "!'()*~"  # what JavaScript's encodeURIComponent leaves as it is, besides letters, digits, -_.
_PLAIN = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._~-]*)+/")  # has one spelling only
_ESCAPE = re.compile("%[0-9A-F]{2}")
_REMEMBERED = 32_768  # routes come again with every reading, nearly all of them unchanged


@lru_cache(_REMEMBERED)
def normalise(route: Route, base_url: str) -> Route:
    """Return the route in canonical spelling: prefix percent-encoded as names.quote does, target as http://ip:port.

    Raises BadRequest for a prefix that is not below base_url, is the hub's own or can be read in two ways, and for a
    target that is not a plain HTTP origin.
    """
    return replace(route, prefix=normalise_prefix(route.prefix, base_url), target=normalise_target(route.target))


def normalise_prefix(prefix: str, base_url: str) -> str:
    """Return the prefix in canonical spelling; raises BadRequest."""
    if not (prefix.startswith(base_url) and prefix.endswith("/") and len(prefix) > len(base_url)):
        raise BadRequest(f"The route {prefix[:200]!r} has to start with {base_url!r} and to end with a slash.")
    segments = [urllib.parse.unquote(segment) for segment in prefix[len(base_url) : -1].split("/")]
    if segments[0] == "hub":
        raise BadRequest(f"The route {prefix[:200]!r} is the hub's own.")
    if _PLAIN.fullmatch(prefix):
        return prefix
    if any(not _is_clear(segment) for segment in segments):
        raise BadRequest(f"The route {prefix[:200]!r} has a part that is empty, dots only, or holds a slash.")
    return base_url + "".join(f"{_quote(segment)}/" for segment in segments)


def normalise_target(target: str) -> str:
    """Return http://host:port; raises BadRequest."""
    try:
        parts = urllib.parse.urlsplit(target)
        port = parts.port
    except ValueError:
        parts, port = urllib.parse.urlsplit(""), None
    if parts.scheme != "http" or not parts.hostname or not port or parts.path.strip("/") or parts.query:
        raise BadRequest(f"The target {target[:200]!r} of a route is not of the form http://host:port.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"http://{host}:{port}"


def address(target: str) -> str:
    """Return ip:port of a normalised target, with brackets around IPv6."""
    return target.removeprefix("http://")


@lru_cache(_REMEMBERED)
def has_address(target: str) -> bool:
    """Say whether the host of a normalised target is an IP address, not a name."""
    try:
        ipaddress.ip_address(host(target))
    except ValueError:
        return False
    return True


def host(target: str) -> str:
    """Return the host of a normalised target, without brackets."""
    return address(target).rpartition(":")[0].strip("[]")


def aliases(prefix: str) -> list[str]:
    """Return other spellings of a canonical prefix that clients use: as encodeURIComponent has it, lower-case escapes.

    All other spellings are left to the hub, which redirects to the canonical one.
    """
    if _PLAIN.fullmatch(prefix):
        return []
    segments = [urllib.parse.unquote(segment) for segment in prefix.split("/")]
    spellings = set()
    for safe in ("@~", _ENCODE_URI_COMPONENT, "~"):
        spelled = "/".join(urllib.parse.quote(segment, safe=safe) for segment in segments)
        spellings |= {spelled, _ESCAPE.sub(lambda match: match[0].lower(), spelled)}
    return sorted(spellings - {prefix})


def _is_clear(segment: str) -> bool:
    return segment.strip(".") != "" and not set(segment) & {"/", "\\", "\0"} and segment.isprintable()


def _quote(segment: str) -> str:
    return urllib.parse.quote(segment, safe="@~")
