"""The front desk as one ASGI application: where requests go, what every answer carries, what becomes of errors."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

import nbhub
from nbhub.core import feed
from nbhub.errors import NotFound, PayloadTooLarge
from nbhub.web import client, errors, login, pages, proxies, stopped
from nbhub.web.activity import Activity
from nbhub.web.api import table
from nbhub.web.api.dispatch import Api
from nbhub.web.desk import Desk
from nbhub.web.identity import Identities

log = logging.getLogger("nbhub.web")

Header = tuple[bytes, bytes]

NO_STORE = (b"cache-control", b"no-store")
PAGE_POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'"
_BODILESS = frozenset(("GET", "HEAD", "OPTIONS"))
_METHODS = _BODILESS | {"POST", "PUT", "PATCH", "DELETE"}


def create_app(desk: Desk) -> FrontDesk:
    """Build the application; its `run()` has to run beside it."""
    return FrontDesk(desk)


class FrontDesk:
    """Answers every request. `run()` writes what is gathered in memory until cancelled; `close()` ends open streams."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.activity = Activity(desk.store)
        self.identities = Identities(desk, self.activity)
        self.closing = asyncio.Event()
        settings = desk.settings
        self._hub = settings.hub_prefix
        self._proxies_path = f"{settings.base_url}{feed.PATH}"
        self._followers_path = f"{settings.base_url}{feed.FOLLOWERS}"
        self._api_path, self._api_slash = f"{self._hub}api", f"{self._hub}api/"
        self._api = Api(desk, self.identities, self.activity, table.endpoints)
        self._pages = Pages(f"{settings.base_url}hub", [*pages.routes(desk), *login.routes(desk)])
        self._common = CommonHeaders(settings.hub_prefix, settings.response_headers)

    async def run(self) -> None:
        """Write activity until cancelled."""
        await self.activity.run()

    def close(self) -> None:
        """End the streams that are open, so that the server can stop."""
        self.closing.set()
        self.desk.store.wakeup.ring("closing")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the front desk answers http only, not {scope['type']}; run() runs beside it")
        begun = time.perf_counter()
        scope["nbhub.desk"] = self.desk
        scope["nbhub.identities"] = self.identities
        scope["nbhub.activity"] = self.activity
        scope["nbhub.closing"] = self.closing
        scope["nbhub.handler"] = "unknown"
        path: str = scope["path"]
        scope["nbhub.page"] = not (path.startswith(self._api_slash) or path == self._api_path)
        client.believe_proxy(scope, self.desk.settings, self.desk.proxy_words)
        answer = Answer(scope, send, self._common)
        try:
            await self._guarded(scope, receive, answer)
        finally:
            taken = time.perf_counter() - begun
            self.desk.metrics.request(_method(scope), scope["nbhub.handler"], answer.status, taken)

    async def _guarded(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        """Route, and turn an error into an answer unless one has begun."""
        try:
            if scope["path"] == self._proxies_path:
                scope["nbhub.handler"], scope["nbhub.page"] = "proxy", False
                await proxies.follow(self.desk, self.closing, scope, receive, answer)
                return
            if scope["path"] == self._followers_path:
                scope["nbhub.handler"], scope["nbhub.page"] = "proxy", False
                await proxies.followers(self.desk, scope, answer)
                return
            if scope["method"] not in _BODILESS:
                receive = bounded(scope, receive, self.desk.settings.max_body_bytes)
            await self._route(scope, receive, answer)
        except ClientDisconnect:
            return
        except Exception as error:
            if answer.begun:
                log.error("an answer broke off: %s", scope["nbhub.handler"], exc_info=error)
                raise
            # The body may have been read already; asking for more of it would wait for ever.
            response = await errors.answer(Request(scope, _nothing), error, api=not scope["nbhub.page"])
            await response(scope, receive, answer)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if not scope["nbhub.page"]:
            await self._api(scope, receive, send, _rest_of(scope, self._api_path)[1:])
        elif not path.startswith(self._hub):
            await (await stopped.outside(Request(scope, receive)))(scope, receive, send)
        elif (rest := path[len(self._hub) :]) in table.ALSO_PAGES:
            await self._api(scope, receive, send, rest)
        elif rest.startswith("user/"):
            scope["nbhub.handler"] = "user/{user}"
            await (await stopped.inside(Request(scope, receive)))(scope, receive, send)
        else:
            await self._pages(scope, receive, send)


class Pages:
    """The pages' routes, found by the first segment of the path so that no request tries them all."""

    def __init__(self, root_path: str, routes: list[Route]) -> None:
        self._root_path = root_path
        grouped: dict[str, list[Route]] = {}
        for route in routes:
            grouped.setdefault(route.path.split("/")[1], []).append(route)
        self._routers = {segment: Router(group, redirect_slashes=False) for segment, group in grouped.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request for a page."""
        segment = scope["path"][len(self._root_path) :].split("/", 2)[1]
        router = self._routers.get(segment)
        if router is None:
            raise NotFound("There is no such page.")
        scope["nbhub.handler"] = segment or "index"
        scope["root_path"] = self._root_path
        scope["app"] = self  # routes raise what they do not find instead of answering by themselves
        await router(scope, receive, send)


class Answer:
    """`send` for one request: adds what every answer carries, and knows whether and how it began."""

    __slots__ = ("_common", "_scope", "_send", "begun", "status")

    def __init__(self, scope: Scope, send: Send, common: CommonHeaders) -> None:
        self._scope = scope
        self._send = send
        self._common = common
        self.begun = False
        self.status = 500

    async def __call__(self, message: Message) -> None:
        """Pass one message on."""
        if message["type"] == "http.response.start":
            self.begun = True
            self.status = message["status"]
            headers = list(message["headers"])
            headers += self._common.of(self._scope, headers)
            message["headers"] = headers
        await self._send(message)


class CommonHeaders:
    """What every answer carries."""

    def __init__(self, hub_prefix: str, more: Iterable[tuple[str, str]] = ()) -> None:
        policy = f"frame-ancestors 'none'; report-uri {hub_prefix}security/csp-report"
        self._always = [
            (b"x-jupyterhub-version", nbhub.PROTOCOL_VERSION.encode()),
            (b"access-control-allow-headers", b"accept, content-type, authorization"),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
        ]
        self._always += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in more]
        self._own_policy = any(name == b"content-security-policy" for name, _ in self._always)
        self._api_policy = (b"content-security-policy", f"{policy}; default-src 'none'".encode())
        self._page_policy = (b"content-security-policy", f"{policy}; {PAGE_POLICY}".encode())

    def of(self, scope: Scope, given: list[Header]) -> list[Header]:
        """Return the headers to add to those that an answer has already."""
        added = list(self._always)
        names = {name for name, _ in given}
        if b"content-security-policy" not in names and not self._own_policy:
            added.append(self._page_policy if scope["nbhub.page"] else self._api_policy)
        if b"cache-control" not in names:
            added.append(NO_STORE)  # nearly every answer shows who asked
        added += scope.get("nbhub.cookies", ())
        return added


def bounded(scope: Scope, receive: Receive, limit: int) -> Receive:
    """Return a `receive` that raises PayloadTooLarge once a body is over the limit (at once when it says so)."""
    error = PayloadTooLarge(f"The body of the request is larger than the {limit} bytes that the hub takes.")
    length = client.headers(scope).get(b"content-length", b"0")
    if not length.isdigit() or int(length[:20]) > limit:
        raise error
    taken = 0

    async def receive_some() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise error
        return message

    return receive_some


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _rest_of(scope: Scope, prefix: str) -> str:
    """Return the path below `prefix` as it was sent, so that an encoded slash in a name stays one."""
    raw: str = (scope.get("raw_path") or b"").decode("latin-1")
    return raw[len(prefix) :] if raw.startswith(prefix) else quote(scope["path"][len(prefix) :])


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else "OTHER"
