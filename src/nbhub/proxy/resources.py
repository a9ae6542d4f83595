"""Routes as Envoy's route table: a matcher tree over the path, so that finding a route costs the same at any number.

Pure: records in, dicts in the JSON form of Envoy's protocol buffers out, or their binary form.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nbhub.core import feed
from nbhub.core.model import Route
from nbhub.proxy import paths, wire

Resource = dict[str, Any]
Entries = Mapping[str, Resource] | wire.Encoded  # of the matcher tree, by prefix, sorted

TABLE = "nbhub"  # name of the route table, by which the listener asks for it
DESTINATION = "x-envoy-original-dst-host"  # where the cluster `servers` connects to

# Whom a request is for, as servers can make links of it; two Host headers arrive here with a comma between them.
_HOST = r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?"

# A segment that could be read as more than one, or as another one, by whoever comes after us.
_AMBIGUOUS = r"[^/?]*(?:%2[fF]|%5[cC]|%00|[;\\])"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What Envoy should know: the content of the file that it watches, and the hash of it by which it says so."""

    version: str
    content: bytes


def snapshot(routes: Iterable[Route], base_url: str, *, trusted_hops: int = 0) -> Snapshot:
    """Return the route table as Envoy reads it; the same routes in any order give the same."""
    ordered = sorted(routes, key=lambda route: route.prefix)
    pieces = {prefix: piece for route in ordered for prefix, piece in _encoded_entries(route)}
    pieces |= {prefix: wire.entry(prefix, entry) for prefix, entry in _without_slash(ordered)}
    entries = wire.Encoded(b"".join(piece for _, piece in sorted(pieces.items())))
    table = _table(entries, base_url, trusted_hops)
    version = hashlib.sha256(wire.encode("DiscoveryResponse", {"resources": [table]})).hexdigest()[:16]
    return Snapshot(version, wire.encode("DiscoveryResponse", {"version_info": version, "resources": [table]}))


def route_table(routes: Iterable[Route], base_url: str, *, trusted_hops: int = 0) -> Resource:
    """Build the route table: ambiguous paths refused, then the longest matching prefix, else the hub."""
    ordered = sorted(routes, key=lambda route: route.prefix)
    entries = {prefix: entry for route in ordered for prefix, entry in _entries(route)} | dict(_without_slash(ordered))
    return _table(dict(sorted(entries.items())), base_url, trusted_hops)


def _table(entries: Entries, base_url: str, trusted_hops: int) -> Resource:
    return {
        "@type": wire.ROUTE_TABLE,
        "name": TABLE,
        "virtual_hosts": [{"name": "all", "domains": ["*"], "matcher": _matcher(entries, base_url)}],
        "request_headers_to_add": forwarded_headers(trusted_hops),
        "request_headers_to_remove": ["x-envoy-external-address", "x-envoy-internal"],
    }


def forwarded_headers(trusted_hops: int) -> list[Resource]:
    """Say which headers tell a server how it was addressed; those of a trusted proxy in front of us are kept."""
    action = "ADD_IF_ABSENT" if trusted_hops else "OVERWRITE_IF_EXISTS_OR_ADD"
    return [{"header": {"key": "x-forwarded-host", "value": "%REQ(:AUTHORITY)%"}, "append_action": action}]


def _matcher(entries: Entries, base_url: str) -> Resource:
    found = {"matcher": _prefix_tree(entries)} if entries else _to_hub()
    return {
        "matcher_list": {
            "matchers": [
                {"predicate": {"not_matcher": _matches(":authority", _HOST)}, "on_match": _refuse(_BAD_HOST)},
                {"predicate": _matches(":path", r"/{2,}.*"), "on_match": _collapse_slashes()},
                {"predicate": _ambiguous(base_url), "on_match": _refuse(_BAD_PATH)},
            ]
        },
        "on_no_match": found,
    }


_BAD_HOST = "The header Host is refused: it has to be one host name or address, with or without a port.\n"
_BAD_PATH = "The address is refused: its first parts hold an escaped slash, a backslash or a semicolon.\n"


def _prefix_tree(entries: Entries) -> Resource:
    return {"matcher_tree": {"input": _input(":path"), "prefix_match_map": {"map": entries}}, "on_no_match": _to_hub()}


@lru_cache(32_768)  # encoding anew what did not change would hold up the hub for a second at 10,000 routes
def _encoded_entries(route: Route) -> tuple[tuple[str, bytes], ...]:
    return tuple((prefix, wire.entry(prefix, entry)) for prefix, entry in _entries(route))


def _entries(route: Route) -> Iterator[tuple[str, Resource]]:
    for prefix in (route.prefix, *paths.aliases(route.prefix)):
        yield prefix, _to_server(route, prefix)


def _without_slash(routes: Sequence[Route]) -> Iterator[tuple[str, Resource]]:
    for route, outer in _nested(routes):
        yield route.prefix[:-1], _slash_added(route, outer)


def _nested(routes: Sequence[Route]) -> Iterator[tuple[Route, Route]]:
    """Yield each route that lies within another one's prefix, with the closest such."""
    known = {route.prefix: route for route in routes}
    for route in routes:
        above = route.prefix[:-1].rpartition("/")[0]
        while above:
            if outer := known.get(f"{above}/"):
                yield route, outer
                break
            above = above.rpartition("/")[0]


def _slash_added(route: Route, outer: Route) -> Resource:
    """Redirect `/user/alice/gpu` to the named server's address; anything else that starts so is the outer one's."""
    bare = route.prefix[:-1]
    asked = [
        {"single_predicate": {"input": _input(":path"), "value_match": m}}
        for m in ({"exact": bare}, {"prefix": f"{bare}?"})
    ]
    redirect = {"prefix_rewrite": route.prefix, "response_code": "TEMPORARY_REDIRECT"}
    return {
        "matcher": {
            "matcher_list": {
                "matchers": [
                    {
                        "predicate": {"or_matcher": {"predicate": asked}},
                        "on_match": _action({"match": {"prefix": bare}, "redirect": redirect}),
                    }
                ]
            },
            "on_no_match": _to_server(outer, outer.prefix),
        }
    }


def _to_server(route: Route, prefix: str) -> Resource:
    """Lead to a server. A prefix spelled differently than the server knows its own is rewritten to that."""
    action: Resource = {"cluster": "servers", "timeout": "0s", "idle_timeout": "0s"}
    if prefix != route.prefix:
        action["prefix_rewrite"] = route.prefix
    return _action(
        {
            "match": {"prefix": prefix},
            "route": action,
            "request_headers_to_add": [
                {
                    "header": {"key": DESTINATION, "value": paths.address(route.target)},
                    # Whatever a client claims here is never listened to.
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            ],
        }
    )


def _to_hub() -> Resource:
    """Lead to the hub. One that is just being restarted is waited for: nothing was sent, so nothing is done twice."""
    retry = {
        "retry_on": "connect-failure,refused-stream,reset-before-request",
        "num_retries": 4,
        "retry_back_off": {"base_interval": "0.1s", "max_interval": "0.8s"},
    }
    action = {"cluster": "hub", "timeout": "0s", "retry_policy": retry}
    client = {"key": feed.CLIENT_HEADER, "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}
    told = [{"header": client, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
    return _action({"match": {"prefix": "/"}, "route": action, "request_headers_to_add": told})


def _collapse_slashes() -> Resource:
    """Redirect `//hub/` to `/hub/`: a path that starts with two slashes reads as a host name to browsers."""
    rewrite = {"pattern": {"regex": "^/{2,}"}, "substitution": "/"}
    redirect = {"regex_rewrite": rewrite, "response_code": "TEMPORARY_REDIRECT"}
    return _action({"match": {"prefix": "/"}, "redirect": redirect})


def _refuse(text: str) -> Resource:
    return _action({"match": {"prefix": "/"}, "direct_response": {"status": 400, "body": {"inline_string": text}}})


def _ambiguous(base_url: str) -> Resource:
    """Match paths whose deciding segments could be read in two ways; below the hub's own path it decides itself.

    The first two segments decide for everything, the third for users, because it may name a server.
    """
    base = re.escape(base_url)
    deciding = rf"{base}(?:[^/?]*/)?{_AMBIGUOUS}.*|{base}user/[^/?]*/{_AMBIGUOUS}.*"
    hub = {"single_predicate": {"input": _input(":path"), "value_match": {"prefix": f"{base_url}hub/"}}}
    return {"and_matcher": {"predicate": [{"not_matcher": hub}, _matches(":path", deciding)]}}


def _matches(header: str, regex: str) -> Resource:
    value = {"safe_regex": {"google_re2": {}, "regex": regex}}
    return {"single_predicate": {"input": _input(header), "value_match": value}}


def _input(header: str) -> Resource:
    return {"name": header, "typed_config": {"@type": wire.HEADER_INPUT, "header_name": header}}


def _action(route: Resource) -> Resource:
    return {"action": {"name": "route", "typed_config": {"@type": wire.ROUTE, **route}}}
