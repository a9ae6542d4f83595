"""What those who look after a proxy ask it, on an address of its own: /ready, /health, /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable

from prometheus_client import CollectorRegistry, generate_latest

from nbhub.errors import ConfigError

Answer = tuple[int, str]

_REQUEST_SECONDS = 5.0
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def address(text: str) -> tuple[str, int]:
    """Read ADDRESS:PORT or :PORT; raises ConfigError."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "0.0.0.0"  # noqa: S104 - what was asked for
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise ConfigError(f"--health={text[:100]} is not of the form ADDRESS:PORT, such as 0.0.0.0:8002.")
    return host, number


class Health:
    """Answers short requests. `ready` says in words why there should be no traffic; empty when there may be."""

    def __init__(self, ready: Callable[[], Awaitable[str]], registry: CollectorRegistry) -> None:
        self._ready = ready
        self._registry = registry

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[None]:
        """Answer on this address; raises ConfigError when it cannot be had."""
        try:
            server = await asyncio.start_server(self._talk, host, port, limit=8 * 1024)
        except OSError as error:
            raise ConfigError(
                f"{host}:{port} cannot be listened on: {error.strerror or error}. Choose another address with --health."
            ) from error
        try:
            yield
        finally:
            server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                method, path, _ = head.split(b"\r\n")[0].decode("latin-1").split(" ", 2)
                status, text = await self._answer(method, path.partition("?")[0])
                body = text.encode()
                writer.write(
                    f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                )
                if method != "HEAD":
                    writer.write(body)
                await writer.drain()
        writer.close()

    async def _answer(self, method: str, path: str) -> Answer:
        if method not in ("GET", "HEAD"):
            return 405, "Only GET and HEAD.\n"
        if path == "/health":
            return 200, "The proxy's process works.\n"
        if path == "/ready":
            reason = await self._ready()
            return (503, f"{reason}\n") if reason else (200, "The proxy serves.\n")
        if path == "/metrics":
            return 200, generate_latest(self._registry).decode()
        return 404, "There are /ready, /health and /metrics.\n"
