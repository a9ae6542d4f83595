"""Routes as Envoy's route table: a matcher tree over the path, so that finding a route costs the same at any number.

Pure: records in, dicts in the JSON form of Envoy's protocol buffers out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from nbhub.core.model import Route
from nbhub.proxy import paths

Resource = dict[str, Any]

TABLE = "nbhub"  # name of the route table, by which the listener asks for it
DESTINATION = "x-envoy-original-dst-host"  # where the cluster `servers` connects to

TYPE = "type.googleapis.com/"
ROUTE = TYPE + "envoy.config.route.v3.Route"
ROUTE_TABLE = TYPE + "envoy.config.route.v3.RouteConfiguration"
HEADER_INPUT = TYPE + "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"

# Whom a request is for, as servers can make links of it; two Host headers arrive here with a comma between them.
_HOST = r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?"

# A segment that could be read as more than one, or as another one, by whoever comes after us.
_AMBIGUOUS = r"[^/?]*(?:%2[fF]|%5[cC]|%00|[;\\])"


def snapshot(routes: Iterable[Route], base_url: str, *, trusted_hops: int = 0) -> bytes:
    """Return the content of the file that Envoy watches: one route table, its version the hash of its content."""
    table = msgspec.json.encode(route_table(routes, base_url, trusted_hops=trusted_hops))
    version = hashlib.sha256(table).hexdigest()[:16]
    return msgspec.json.encode({"version_info": version, "resources": [msgspec.Raw(table)]})


class _Versioned(msgspec.Struct):
    version_info: str


def version_of(content: bytes) -> str:
    """Return the version that a snapshot carries."""
    return msgspec.json.decode(content, type=_Versioned).version_info


def route_table(routes: Iterable[Route], base_url: str, *, trusted_hops: int = 0) -> Resource:
    """Build the route table: ambiguous paths refused, then the longest matching prefix, else the hub."""
    ordered = sorted(routes, key=lambda route: route.prefix)
    return {
        "@type": ROUTE_TABLE,
        "name": TABLE,
        "virtual_hosts": [{"name": "all", "domains": ["*"], "matcher": _matcher(ordered, base_url)}],
        "request_headers_to_add": forwarded_headers(trusted_hops),
        "request_headers_to_remove": ["x-envoy-external-address", "x-envoy-internal"],
    }


def forwarded_headers(trusted_hops: int) -> list[Resource]:
    """Say which headers tell a server how it was addressed; those of a trusted proxy in front of us are kept."""
    action = "ADD_IF_ABSENT" if trusted_hops else "OVERWRITE_IF_EXISTS_OR_ADD"
    return [{"header": {"key": "x-forwarded-host", "value": "%REQ(:AUTHORITY)%"}, "append_action": action}]


def _matcher(routes: Sequence[Route], base_url: str) -> Resource:
    entries = {prefix: entry for route in routes for prefix, entry in _entries(route)}
    for route, outer in _nested(routes):
        entries[route.prefix[:-1]] = _encoded(_slash_added(route, outer))
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


def _prefix_tree(entries: dict[str, msgspec.Raw]) -> Resource:
    ordered = dict(sorted(entries.items()))
    return {"matcher_tree": {"input": _input(":path"), "prefix_match_map": {"map": ordered}}, "on_no_match": _to_hub()}


@lru_cache(32_768)  # encoding anew what did not change would hold up the hub for a second at 10,000 routes
def _entries(route: Route) -> tuple[tuple[str, msgspec.Raw], ...]:
    spellings = [route.prefix, *paths.aliases(route.prefix)]
    return tuple((prefix, _encoded(_to_server(route, prefix))) for prefix in spellings)


def _encoded(resource: Resource) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(resource))


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
    return _action({"match": {"prefix": "/"}, "route": action})


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
    return {"name": header, "typed_config": {"@type": HEADER_INPUT, "header_name": header}}


def _action(route: Resource) -> Resource:
    return {"action": {"name": "route", "typed_config": {"@type": ROUTE, **route}}}
