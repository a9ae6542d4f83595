"""Endpoints: how the API's handlers are declared, found, guarded and answered.

Nothing is reachable without an Access: the decorator takes it as its first argument, and the dispatcher asks it before
it calls the handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from nbhub.core.principal import Principal
from nbhub.errors import BadRequest, MethodNotAllowed, NotFound
from nbhub.web.activity import Activity
from nbhub.web.api import reading
from nbhub.web.api.render import Reader, Readers
from nbhub.web.desk import Desk, WebSettings
from nbhub.web.identity import Identities
from nbhub.web.recent import Recent

T = TypeVar("T")

_JSON_HEADER = (b"content-type", b"application/json")
_TEXT_HEADER = (b"content-type", b"text/plain")
encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call. `kind`: "open" to all; "known", with any credential; "token", with any token; "browser", logged in,
    and strangers are sent to log in; "scoped", with one of the scopes on the target; "listing".

    `on` names the path parameters that say what the scopes must reach. With "listing" the scope may be filtered; the
    handler shows what the filter lets through.
    """

    kind: str
    scopes: tuple[str, ...] = ()
    on: str = ""
    open_if: Callable[[WebSettings], bool] | None = None  # a setting that opens it to all
    or_login: bool = False  # log-in data in the body may stand for credentials; the handler checks them


OPEN = Access("open")
KNOWN = Access("known")
KNOWN_TOKEN = Access("token")
BROWSER = Access("browser")


def on_user(*scopes: str) -> Access:
    """Any of the scopes, on the user that the path names."""
    return Access("scoped", scopes, "user")


def on_server(*scopes: str) -> Access:
    """Any of the scopes, on the server that the path names; no server name means the default server."""
    return Access("scoped", scopes, "server")


def on_group(*scopes: str) -> Access:
    """Any of the scopes, on the group that the path names."""
    return Access("scoped", scopes, "group")


def on_service(*scopes: str) -> Access:
    """Any of the scopes, on the service that the path names."""
    return Access("scoped", scopes, "service")


def on_hub(*scopes: str) -> Access:
    """Any of the scopes, without a filter."""
    return Access("scoped", scopes, "")


def listing(scope: str) -> Access:
    """The scope, filtered or not."""
    return Access("listing", (scope,))


class Reply:
    """An answer that is complete, cheaper than a framework's."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.status = status
        self.body = body
        self.headers = [*headers, (b"content-length", b"%d" % len(body))]

    def append(self, header: tuple[bytes, bytes]) -> None:
        """Add one header."""
        self.headers.append(header)


def json(value: Any, status: int = 200) -> Reply:
    """Return a value as JSON."""
    return encoded(encode(value), status)


def encoded(body: bytes, status: int = 200) -> Reply:
    """Return what is JSON already."""
    return Reply(status, body, (_JSON_HEADER,))


def empty(status: int = 200) -> Reply:
    """Return a status and nothing else."""
    if status == 204:
        reply = Reply(204)
        reply.headers.clear()
        return reply
    return Reply(status, b"", (_TEXT_HEADER,))


@dataclass(slots=True)
class Call:
    """One request for an endpoint. `principal` is only missing where the endpoint is open to all."""

    request: Request
    desk: Desk
    identities: Identities
    activity: Activity
    readers: Readers
    recent: Recent
    params: Mapping[str, str]
    caller: Principal | None = None

    @property
    def principal(self) -> Principal:
        """Who asks."""
        if self.caller is None:
            raise AssertionError("an open endpoint asked who calls")
        return self.caller

    @property
    def reader(self) -> Reader:
        """What the caller may read of users."""
        return self.readers.of(self.principal)

    @property
    def user_name(self) -> str:
        """The user that the path names."""
        return self.params["user"]

    @property
    def server_name(self) -> str:
        """The server that the path names, "" for the default server."""
        return self.params.get("server", "")

    def query(self, name: str) -> str | None:
        """Return a query parameter."""
        return self.request.query_params.get(name) if self.request.scope["query_string"] else None

    def flag(self, name: str) -> bool:
        """Say whether a query parameter is given with any value but 0 or false."""
        value = self.query(name)
        return value is not None and value.lower() not in ("0", "false")

    def number(self, name: str, default: int) -> int:
        """Return a query parameter as an integer."""
        text = self.query(name)
        if text is None:
            return default
        if not text.removeprefix("-").isdecimal() or len(text) > 15:
            raise BadRequest(f"The parameter {name} has to be an integer.")
        return int(text)

    async def body(self, kind: type[T]) -> T:
        """Return the body as a value of that type; an absent one counts as {}."""
        return reading.json(await self.request.body(), kind)


Handler = Callable[[Call], Awaitable[Reply | Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method at one pattern. `page`: it answers browsers, errors included."""

    method: str
    pattern: str
    access: Access
    handler: Handler
    page: bool = False


@dataclass(slots=True)
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    wild: _Node | None = None
    wild_name: str = ""
    methods: dict[str, Endpoint] = field(default_factory=dict)


class Endpoints:
    """A set of endpoints, found by the segments of the path."""

    def __init__(self) -> None:
        self.all: list[Endpoint] = []
        self._root = _Node()

    def __call__(self, access: Access, method: str, *patterns: str, page: bool = False) -> Callable[[Handler], Handler]:
        """Declare the decorated function as the handler of `method` at each pattern, such as `users/{user}`."""

        def declare(handler: Handler) -> Handler:
            for pattern in patterns:
                self._add(Endpoint(method, pattern, access, handler, page))
            return handler

        return declare

    def include(self, other: Endpoints) -> None:
        """Add the endpoints of another set."""
        for endpoint in other.all:
            self._add(endpoint)

    def find(self, method: str, segments: list[str]) -> tuple[Endpoint, dict[str, str]]:
        """Return the endpoint and the parameters from the (still encoded) path; raises NotFound, MethodNotAllowed."""
        node: _Node | None = self._root
        encoded: dict[str, str] = {}
        for segment in segments:
            if node is None:
                break
            found = node.literal.get(segment)
            if found is None and node.wild is not None and (segment or node.wild_name == "server"):
                encoded[node.wild_name] = segment
                found = node.wild
            node = found
        if node is None or not node.methods:
            raise NotFound("There is nothing at this address of the API.")
        endpoint = node.methods.get(method) or (node.methods.get("GET") if method == "HEAD" else None)
        if endpoint is None:
            raise MethodNotAllowed(f"{method[:16]} is not possible here; there is {', '.join(sorted(node.methods))}.")
        return endpoint, {name: decode_name(name, text, method) for name, text in encoded.items()}

    def _add(self, endpoint: Endpoint) -> None:
        node = self._root
        for segment in endpoint.pattern.split("/"):
            if segment.startswith("{"):
                node.wild_name = node.wild_name or segment[1:-1]
                if node.wild_name != segment[1:-1]:
                    raise AssertionError(f"{endpoint.pattern}: this place is called {node.wild_name} elsewhere")
                node.wild = node.wild or _Node()
                node = node.wild
            else:
                node = node.literal.setdefault(segment, _Node())
        if endpoint.method in node.methods:
            raise AssertionError(f"{endpoint.method} {endpoint.pattern} is declared twice")
        node.methods[endpoint.method] = endpoint
        self.all.append(endpoint)


def decode_name(name: str, text: str, method: str) -> str:
    """Percent-decode one segment; what cannot be a name never reaches a handler."""
    if text.isalnum() and len(text) <= 255:
        return text
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        decoded = "\ufffd\n"
    plain = decoded.isprintable() and len(decoded) <= 255 and "/" not in decoded and "\\" not in decoded
    if plain and (decoded.strip(".") or not decoded):
        return decoded
    message = f"The {name} in the address is not a name: 1 to 255 printable characters, no slash, not only dots."
    raise BadRequest(message) if method in ("POST", "PUT", "PATCH") else NotFound(message)
