"""What is known about the one who asks from the outside of a request: scheme, address, origin, headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.types import Scope

from nbhub.core import feed
from nbhub.web.desk import WebSettings

_WORD = feed.HEADER.encode()
_CLIENT = feed.CLIENT_HEADER.encode()


def headers(scope: Scope) -> Mapping[bytes, bytes]:
    """Return the headers by lower-case name; of repeated ones the last."""
    known: Mapping[bytes, bytes] | None = scope.get("nbhub.headers")
    if known is None:
        known = scope["nbhub.headers"] = dict(scope["headers"])
    return known


def header(scope: Scope, name: bytes) -> str:
    """Return one header as text, "" when it is absent."""
    return headers(scope).get(name, b"").decode("latin-1")


def believe_proxy(scope: Scope, settings: WebSettings, words: Sequence[str] = ()) -> None:
    """Replace scheme and client address by what our own proxy says of them; others are not believed.

    Ours are those at trusted addresses, and those that run apart, which know one of `words`.
    """
    client = scope.get("client")
    trusted = client is not None and client[0] in settings.trusted_proxies
    if not trusted and not (words and feed.is_one_of(header(scope, _WORD), words)):
        return
    said = headers(scope)
    scheme = said.get(b"x-forwarded-proto")
    if scheme in (b"http", b"https"):
        scope["scheme"] = scheme.decode()
    # Our own proxy knows how many before it are to be believed; of the list the last entry is what it saw itself.
    address = said.get(_CLIENT) or said.get(b"x-forwarded-for", b"").rpartition(b",")[2].strip()
    if address:
        scope["client"] = (address.decode("latin-1")[:64], 0)


def is_secure(scope: Scope, settings: WebSettings) -> bool:
    """Say whether cookies may be limited to https."""
    if settings.secure_cookies is not None:
        return settings.secure_cookies
    return bool(scope.get("scheme") == "https" or settings.public_url.startswith("https://"))


def origin(scope: Scope) -> str:
    """Return `scheme://host[:port]` as the client addressed us."""
    return f"{scope.get('scheme', 'http')}://{header(scope, b'host')}"


def own_origins(scope: Scope, settings: WebSettings) -> set[str]:
    """Return the origins that are this hub's."""
    return {place for place in (origin(scope), settings.public_origin) if place}


def uri(scope: Scope) -> str:
    """Return path and query as they were asked for."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


def address(scope: Scope) -> str:
    """Return the client's address, for throttling."""
    found = scope.get("client")
    return str(found[0]) if found else "unknown"
