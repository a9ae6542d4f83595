"""Proxies that run apart: each keeps one request open, over which it hears of routes and tells what is in force."""

from __future__ import annotations

import asyncio
import itertools
import logging

import msgspec
from starlette.types import Receive, Scope, Send

from nbhub.core import feed
from nbhub.core.model import Route
from nbhub.errors import DatabaseUnavailable, Forbidden, NotFound
from nbhub.store import servers, services
from nbhub.web import client
from nbhub.web.desk import Desk

log = logging.getLogger("nbhub.web")

REREAD_SECONDS = 60.0  # look at all routes at least this often, should a ring get lost
RETRY_SECONDS = 2.0
_LINE_LIMIT = 1_000_000
_HEADERS = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store"), (b"connection", b"close")]
_numbers = itertools.count(1)


async def follow(desk: Desk, closing: asyncio.Event, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a proxy until it leaves, falls silent, or the hub stops. Raises NotFound and Forbidden."""
    _admit(desk, scope)
    conversation = Conversation(desk, closing, f"apart {next(_numbers)}")
    tasks: list[asyncio.Task[None]] = []
    where = client.address(scope)
    try:
        first = await conversation.begin()
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        tasks += [asyncio.create_task(conversation.tell(first, send)), asyncio.create_task(conversation.hear(receive))]
        log.info("proxy=%s follows as %s", where, conversation.name)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        desk.store.reach.forget(conversation.name)
        reasons = [repr(outcome) for outcome in outcomes if isinstance(outcome, Exception)]
        log.info("proxy=%s left, it was %s %s", where, conversation.name, " ".join(reasons))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def followers(desk: Desk, scope: Scope, send: Send) -> None:
    """Answer how many proxies follow this hub, to whoever has their token. Raises NotFound and Forbidden."""
    _admit(desk, scope)
    body = msgspec.json.encode({"followers": desk.store.reach.proxies})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def _admit(desk: Desk, scope: Scope) -> None:
    if not desk.proxy_tokens:
        raise NotFound(
            "This hub knows of no proxy that runs apart. Set c.Hub.start_proxy = False, or c.Hub.proxy_token_file."
        )
    kind, _, token = client.header(scope, b"authorization").partition(" ")
    if kind.lower() not in ("token", "bearer") or not feed.is_one_of(token.strip(), desk.proxy_tokens):
        raise Forbidden("The token of the proxy is not one of this hub's.")


class Conversation:
    """What is said between this hub and one proxy."""

    def __init__(self, desk: Desk, closing: asyncio.Event, name: str) -> None:
        self.name = name
        self._desk = desk
        self._closing = closing
        self._topic = f"proxy {name}"
        self._told: dict[str, Route] = {}
        self._serial = 0
        self._listens = True  # the proxy takes the next change

    async def begin(self) -> feed.Change:
        """Read the routes for the first time; raises DatabaseUnavailable."""
        self._desk.store.reach.tell(self.name, ())
        first = self._next(await self._read())
        assert first is not None
        return first

    async def tell(self, first: feed.Change, send: Send) -> None:
        """Send changes, each when the proxy takes it, until the hub stops."""
        loop = asyncio.get_running_loop()
        async with self._desk.store.wakeup.listen("routes", "resync", "closing", self._topic) as bell:
            await self._say(send, first)
            stale, fresh_until = True, 0.0  # something may have rung before we listened
            while not self._closing.is_set():
                pause = feed.BEAT_SECONDS
                if stale and self._listens:
                    try:
                        change = self._next(await self._read())
                        stale, fresh_until = False, loop.time() + REREAD_SECONDS
                    except DatabaseUnavailable as error:
                        log.warning("%s keeps its routes: %s", self.name, error.message)
                        change, pause = None, RETRY_SECONDS
                    if change is not None:
                        await self._say(send, change)
                heard = await bell.wait(pause)
                stale = stale or bool(heard & {"routes", "resync"}) or loop.time() > fresh_until
                if not heard:
                    await _send_line(send, b"")

    def _next(self, routes: dict[str, Route]) -> feed.Change | None:
        if self._serial and routes == self._told:
            return None
        self._serial += 1
        change = feed.difference(self._told, routes, self._serial, self._desk.settings.base_url)
        self._told = routes
        return change

    async def _say(self, send: Send, change: feed.Change) -> None:
        self._listens = False
        await _send_line(send, msgspec.json.encode(change))

    async def _read(self) -> dict[str, Route]:
        base_url = self._desk.settings.base_url
        async with self._desk.store.scan() as tx:
            found = [*await servers.routes(tx, base_url), *await services.routes(tx, base_url)]
        return feed.by_prefix(found)

    async def hear(self, receive: Receive) -> None:
        """Take reports until the proxy leaves or is silent for too long; raises ValueError for what is none."""
        lines = feed.Lines(_LINE_LIMIT)
        more = True
        while more:
            async with asyncio.timeout(feed.SILENCE_SECONDS):
                message = await receive()
            more = message["type"] == "http.request" and message.get("more_body", False)
            for line in lines.take(message.get("body", b"")):
                if line:
                    await self._take(msgspec.json.decode(line, type=feed.Report))

    async def _take(self, report: feed.Report) -> None:
        if report.in_force == self._serial:
            self._desk.store.reach.tell(self.name, self._told.values())
        if report.takes_more:
            self._listens = True
            self._desk.store.wakeup.ring(self._topic)
        if report.silent:
            await self._look_at(report.silent)

    async def _look_at(self, silent: tuple[tuple[str, str], ...]) -> None:
        """Have the reconciler look at servers that did not answer the proxy."""
        try:
            async with self._desk.store.write() as tx:
                count = await servers.nudge_named(tx, silent, self._desk.clock())
        except DatabaseUnavailable as error:
            log.warning("servers that do not answer are left to the next poll: %s", error.message)
            return
        log.info("servers=%d do not answer %s, to be looked at", count, self.name)


async def _send_line(send: Send, line: bytes) -> None:
    await send({"type": "http.response.body", "body": line + b"\n", "more_body": True})
