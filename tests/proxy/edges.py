"""A real Envoy on a free port, and what it leads to: small servers that say what reached them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from nbhub.core.model import Route
from nbhub.proxy import Proxy
from servers.ports import free_port

HOST = "127.0.0.1"
PATIENCE = 100.0  # seconds for whatever is waited for: no test fails because the machine is slow


class Upstream:
    """A server that answers with what it was asked, and echoes over websockets."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.requests = 0  # whose head arrived
        self.answered = 0  # that arrived whole

    @property
    def target(self) -> str:
        return f"http://{HOST}:{self.port}"

    def route(self, prefix: str) -> Route:
        return Route(prefix, self.target, user=self.name)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Upstream]:
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_route("*", "/{anything:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, HOST, self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._echo(request)
        if request.path.endswith("/redirect"):
            return web.Response(status=302, headers={"Location": request.query["to"]})
        if request.path.endswith("/slow"):
            await asyncio.sleep(float(request.query["seconds"]))
        body = await request.read()
        self.answered += 1
        seen = {
            "who": self.name,
            "method": request.method,
            "path": request.raw_path,
            "headers": [[key.lower(), value] for key, value in request.headers.items()],
            "body": len(body),
        }
        return web.json_response(seen)

    async def _echo(self, request: web.Request) -> web.WebSocketResponse:
        channel = web.WebSocketResponse(max_msg_size=0)
        await channel.prepare(request)
        await channel.send_json({"who": self.name, "headers": [[k.lower(), v] for k, v in request.headers.items()]})
        async for message in channel:
            if message.type is WSMsgType.TEXT:
                await channel.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await channel.send_bytes(message.data)
        return channel


@dataclass(frozen=True)
class Answer:
    """A raw HTTP/1.1 answer."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def seen(self) -> dict[str, Any]:
        """What the upstream says that it was asked."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def seen_headers(self) -> dict[str, str]:
        return dict(self.seen["headers"])

    @property
    def who(self) -> str | None:
        """The upstream that answered; None if Envoy did itself."""
        with contextlib.suppress(ValueError, KeyError):
            return str(self.seen["who"])
        return None


async def exchange(port: int, request: bytes, timeout: float = PATIENCE) -> Answer:
    """Send bytes as they are and read one answer, up to the end of the connection or of its declared length."""
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(HOST, port, limit=1024 * 1024)
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
            length = int(headers.get("content-length", 0))
            raw = {name: line.split(": ", 1)[1] for line in head[1:] if (name := line.lower().split(": ")[0])}
            return Answer(int(head[0].split()[1]), raw, await reader.readexactly(length))
        finally:
            writer.close()


async def get(port: int, path: str, *headers: str, method: str = "GET", host: str = "hub.example") -> Answer:
    """Ask for a path exactly as it is written."""
    closing = [] if any(h.lower().startswith("connection:") for h in headers) else ["Connection: close"]
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *closing, *headers]
    return await exchange(port, "\r\n".join([*lines, "", ""]).encode())


def make_proxy(folder: Path, hub: Upstream, port: int | None = None, **settings: Any) -> Proxy:
    settings.setdefault("base_url", "/")
    settings.setdefault("ip", HOST)
    target = f"{HOST}:{hub.port or free_port()}"
    return Proxy(port=port or free_port(), hub_target=target, run_dir=folder, stop_timeout=2, **settings)


@contextlib.asynccontextmanager
async def started(proxy: Proxy) -> AsyncIterator[int]:
    """Have Envoy serve; the value is its port."""
    await proxy.start()
    try:
        yield proxy.port
    finally:
        await proxy.stop()


async def until(condition: Any, what: str, seconds: float = PATIENCE) -> Any:
    """Wait until a condition (a function, plain or async) holds, and return its value."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)
