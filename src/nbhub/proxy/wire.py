"""Envoy's resources in the binary form of protocol buffers, which it reads three times faster than JSON.

Dicts in the JSON form in, bytes out. Only what `resources` builds is known here: the numbers of fields are those of
envoy.config.route.v3, envoy.service.discovery.v3 and xds.type.matcher.v3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

TYPE = "type.googleapis.com/"
ROUTE = f"{TYPE}envoy.config.route.v3.Route"
ROUTE_TABLE = f"{TYPE}envoy.config.route.v3.RouteConfiguration"
HEADER_INPUT = f"{TYPE}envoy.type.matcher.v3.HttpRequestHeaderMatchInput"


class Encoded(bytes):
    """The fields of a message that are encoded already."""


# Message → field → number and type. A type is a message of this table or one of the `_SCALARS`; * marks lists.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "DiscoveryResponse": {"version_info": (1, "text"), "resources": (2, "any*")},
    "RouteConfiguration": {
        "name": (1, "text"),
        "virtual_hosts": (2, "VirtualHost*"),
        "request_headers_to_add": (6, "HeaderValueOption*"),
        "request_headers_to_remove": (8, "text*"),
    },
    "VirtualHost": {"name": (1, "text"), "domains": (2, "text*"), "matcher": (21, "Matcher")},
    "Matcher": {"matcher_list": (1, "MatcherList"), "matcher_tree": (2, "MatcherTree"), "on_no_match": (3, "OnMatch")},
    "MatcherList": {"matchers": (1, "FieldMatcher*")},
    "FieldMatcher": {"predicate": (1, "Predicate"), "on_match": (2, "OnMatch")},
    "Predicate": {
        "single_predicate": (1, "SinglePredicate"),
        "or_matcher": (2, "PredicateList"),
        "and_matcher": (3, "PredicateList"),
        "not_matcher": (4, "Predicate"),
    },
    "PredicateList": {"predicate": (1, "Predicate*")},
    "SinglePredicate": {"input": (1, "Extension"), "value_match": (2, "StringMatcher")},
    "StringMatcher": {"exact": (1, "text"), "prefix": (2, "text"), "safe_regex": (5, "RegexMatcher")},
    "RegexMatcher": {"google_re2": (1, "Nothing"), "regex": (2, "text")},
    "Nothing": {},
    "MatcherTree": {"input": (1, "Extension"), "prefix_match_map": (3, "MatchMap")},
    "MatchMap": {"map": (1, "entries")},
    "Entry": {"key": (1, "text"), "value": (2, "OnMatch")},
    "OnMatch": {"matcher": (1, "Matcher"), "action": (2, "Extension")},
    "Extension": {"name": (1, "text"), "typed_config": (2, "any")},
    "HttpRequestHeaderMatchInput": {"header_name": (1, "text")},
    "Route": {
        "match": (1, "RouteMatch"),
        "route": (2, "RouteAction"),
        "redirect": (3, "RedirectAction"),
        "direct_response": (7, "DirectResponse"),
        "request_headers_to_add": (9, "HeaderValueOption*"),
    },
    "RouteMatch": {"prefix": (1, "text")},
    "RouteAction": {
        "cluster": (1, "text"),
        "prefix_rewrite": (5, "text"),
        "timeout": (8, "duration"),
        "retry_policy": (9, "RetryPolicy"),
        "idle_timeout": (24, "duration"),
    },
    "RetryPolicy": {"retry_on": (1, "text"), "num_retries": (2, "wrapped"), "retry_back_off": (8, "RetryBackOff")},
    "RetryBackOff": {"base_interval": (1, "duration"), "max_interval": (2, "duration")},
    "RedirectAction": {
        "response_code": (3, "choice"),
        "prefix_rewrite": (5, "text"),
        "regex_rewrite": (9, "RegexRewrite"),
    },
    "RegexRewrite": {"pattern": (1, "RegexMatcher"), "substitution": (2, "text")},
    "DirectResponse": {"status": (1, "number"), "body": (2, "DataSource")},
    "DataSource": {"inline_string": (3, "text")},
    "HeaderValueOption": {"header": (1, "HeaderValue"), "append_action": (3, "choice")},
    "HeaderValue": {"key": (1, "text"), "value": (2, "text")},
}
_CHOICES = {"ADD_IF_ABSENT": 1, "OVERWRITE_IF_EXISTS_OR_ADD": 2, "TEMPORARY_REDIRECT": 3}


def encode(message: str, fields: Mapping[str, Any] | Encoded) -> bytes:
    """Return a message's fields; raises KeyError for a field or type that is not in the table above."""
    if isinstance(fields, Encoded):
        return fields
    known = _MESSAGES[message]
    parts: list[bytes] = []
    for name, value in fields.items():
        number, kind = known[name]
        if kind == "entries":
            parts.append(value if isinstance(value, Encoded) else b"".join(entry(k, v) for k, v in value.items()))
        elif kind.endswith("*"):
            parts += [_field(number, kind[:-1], item) for item in value]
        else:
            parts.append(_field(number, kind, value))
    return b"".join(parts)


def entry(key: str, value: Mapping[str, Any]) -> bytes:
    """Return one entry of a MatchMap."""
    return _delimited(1, encode("Entry", {"key": key, "value": value}))


def _field(number: int, kind: str, value: Any) -> bytes:
    if kind in _NUMBERS:
        return _varint(number << 3) + _varint(_NUMBERS[kind](value))
    if kind in _SCALARS:
        return _delimited(number, _SCALARS[kind](value))
    return _delimited(number, encode(kind, value))


def _any(value: Mapping[str, Any]) -> bytes:
    """Return a message that carries its own type."""
    url = value["@type"]
    fields = {name: field for name, field in value.items() if name != "@type"}
    return _delimited(1, url.encode()) + _delimited(2, encode(url.rpartition(".")[2], fields))


def _duration(value: str) -> bytes:
    seconds, _, fraction = value.removesuffix("s").partition(".")
    whole, nanoseconds = int(seconds), int(fraction.ljust(9, "0") or 0)
    return (b"\x08" + _varint(whole) if whole else b"") + (b"\x10" + _varint(nanoseconds) if nanoseconds else b"")


def _delimited(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_NUMBERS: Mapping[str, Callable[[Any], int]] = {"number": int, "choice": _CHOICES.__getitem__}
_SCALARS: Mapping[str, Callable[[Any], bytes]] = {
    "text": str.encode,
    "any": _any,
    "duration": _duration,
    "wrapped": lambda value: b"\x08" + _varint(value),
}
