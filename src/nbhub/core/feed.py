"""What a hub and a proxy that runs apart tell each other: JSON objects, one a line, both ways over one request.

An empty line says that the other side is still there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from nbhub.core import secrets
from nbhub.core.model import Route

PATH = "hub/proxy/routes"  # below the base URL
FOLLOWERS = "hub/proxy/followers"  # below it too: how many follow this hub, for whoever has the token
HEADER = "x-nbhub-proxy"  # by which the hub knows requests that a proxy of its own passes on
CLIENT_HEADER = "x-nbhub-client"  # the address that such a proxy takes for the client's
BEAT_SECONDS = 10.0
SILENCE_SECONDS = 35.0  # after which the other side counts as gone
MIN_TOKEN_LENGTH = 32


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """From the hub: routes that are new or different, and prefixes that lead nowhere any more."""

    serial: int  # counts up in one conversation; 1 is the whole list
    base_url: str
    put: tuple[Route, ...] = ()
    drop: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """From the proxy: what is in force, whether it takes the next change, which servers did not answer."""

    in_force: int = 0  # serial of the change; 0: nothing new
    takes_more: bool = False
    silent: tuple[tuple[str, str], ...] = ()  # user and server


def difference(known: Mapping[str, Route], now: Mapping[str, Route], serial: int, base_url: str) -> Change:
    """Return what turns `known` (prefix to route) into `now`."""
    put = tuple(route for prefix, route in now.items() if known.get(prefix) != route)
    return Change(serial, base_url, put, tuple(known.keys() - now.keys()))


def applied(known: Mapping[str, Route], change: Change) -> dict[str, Route]:
    """Return the routes by prefix after a change."""
    routes = dict(known) if change.serial > 1 else {}
    for prefix in change.drop:
        routes.pop(prefix, None)
    return routes | by_prefix(change.put)


def by_prefix(routes: Iterable[Route]) -> dict[str, Route]:
    """Return routes by their prefix."""
    return {route.prefix: route for route in routes}


def word(token: str) -> str:
    """Return what a proxy that holds `token` says of itself in HEADER; it tells nobody the token."""
    return secrets.derive(token.encode(), "proxy")


def is_one_of(given: str, tokens: Sequence[str]) -> bool:
    """Say whether `given` is one of these, in a time that tells nothing of how near it is."""
    return sum(secrets.equal(given, token) for token in tokens) > 0  # all are looked at, whichever it is


class Lines:
    """Puts lines together again from pieces that arrive; one that is longer than `limit` bytes raises ValueError."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()

    def take(self, piece: bytes) -> Iterator[bytes]:
        """Yield the lines that this piece completes, without their ends; empty ones too."""
        *lines, rest = piece.split(b"\n")
        for line in lines:
            whole, self._rest = bytes(self._rest + line), bytearray()
            yield whole
        self._rest += rest
        if len(self._rest) > self._limit:
            raise ValueError("a line is longer than it may be")
