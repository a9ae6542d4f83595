"""The load generator: HTTP/1.1 over keep-alive connections, with as little Python per request as will do."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import httptools


def request(
    method: str, path: str, *, token: str = "", body: Any = None, headers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """Return a request as it goes over the wire; a body becomes JSON."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers)]
    if token:
        lines.append(f"Authorization: token {token}")
    content = b""
    if body is not None:
        content = json.dumps(body).encode()
        lines.append("Content-Type: application/json")
    if body is not None or method != "GET":
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode() + content


class Wire(asyncio.Protocol):
    """One connection. Calls `answered(status, body)` for every answer and `lost()` when the connection ends."""

    def __init__(self, answered: Callable[[int, bytes], None], lost: Callable[[], None]) -> None:
        self._answered = answered
        self._lost = lost
        self._body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body, self._body = b"".join(self._body), []
        keep = self._parser.should_keep_alive()
        status = self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        if not keep:
            self.transport.close()
        self._answered(status, body)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost()


class Client:
    """Asks one question at a time on one connection, opening a new one whenever the old is gone."""

    def __init__(self, port: int, token: str = "", host: str = "127.0.0.1") -> None:
        self.port = port
        self.token = token
        self._host = host
        self._wire: Wire | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    async def ask(self, method: str, path: str, body: Any = None, *, seconds: float = 120.0) -> tuple[int, bytes]:
        """Return status and body; raises OSError when the connection fails, TimeoutError."""
        async with asyncio.timeout(seconds):
            if self._wire is None or self._wire.transport.is_closing():
                loop = asyncio.get_running_loop()
                _, self._wire = await loop.create_connection(
                    lambda: Wire(self._deliver, self._break), self._host, self.port
                )
            self._answer = asyncio.get_running_loop().create_future()
            self._wire.send(request(method, path, token=self.token, body=body))
            try:
                return await self._answer
            finally:
                self._answer = None

    async def json(self, method: str, path: str, body: Any = None, *, seconds: float = 60.0) -> Any:
        """Return the decoded answer; raises RuntimeError with the answer's text for a status of 400 and up."""
        status, answer = await self.ask(method, path, body, seconds=seconds)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer[:500].decode(errors='replace')}")
        return json.loads(answer) if answer else None

    def close(self) -> None:
        if self._wire is not None:
            self._wire.transport.close()
            self._wire = None

    def _deliver(self, status: int, body: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, body))

    def _break(self) -> None:
        self._wire = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the connection ended before the answer"))


@dataclass
class Tally:
    """What came back: counts by status, connections that broke, seconds of measuring, each answer's delay."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    delays: list[float] = field(default_factory=list)
    sample: bytes = b""

    @property
    def count(self) -> int:
        return sum(self.statuses.values())

    @property
    def rate(self) -> float:
        return self.count / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Return the delay in seconds that `share` of the answers stayed below."""
        ordered = sorted(self.delays)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


async def hammer(
    port: int, requests: list[bytes], *, connections: int, seconds: float, limit: int = 5_000_000
) -> Tally:
    """Send the requests round robin, one at a time per connection, until the time is over or `limit` are answered."""
    tally = Tally()
    done = asyncio.Event()
    deadline = time.perf_counter() + seconds
    started = time.perf_counter()
    lanes = [_Lane(port, requests[number::connections] or requests, tally, deadline, limit, done)
             for number in range(connections)]  # fmt: skip
    await asyncio.gather(*(lane.open() for lane in lanes))
    try:
        async with asyncio.timeout(seconds + 5):
            await done.wait()
    except TimeoutError:
        pass
    tally.seconds = time.perf_counter() - started
    for lane in lanes:
        lane.close()
    return tally


class _Lane:
    """One connection of a hammer."""

    def __init__(
        self, port: int, requests: list[bytes], tally: Tally, deadline: float, limit: int, done: asyncio.Event
    ) -> None:
        self._port = port
        self._requests = requests
        self._next = 0
        self._tally = tally
        self._deadline = deadline
        self._limit = limit
        self._done = done
        self._wire: Wire | None = None
        self._sent = 0.0
        self._reopening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        _, self._wire = await loop.create_connection(lambda: Wire(self._answered, self._lost), "127.0.0.1", self._port)
        self._send()

    def close(self) -> None:
        self._deadline = 0.0
        if self._wire is not None:
            self._wire.transport.abort()

    def _send(self) -> None:
        assert self._wire is not None
        data = self._requests[self._next % len(self._requests)]
        self._next += 1
        self._sent = time.perf_counter()
        self._wire.send(data)

    def _answered(self, status: int, body: bytes) -> None:
        now = time.perf_counter()
        tally = self._tally
        tally.statuses[status] += 1
        tally.delays.append(now - self._sent)
        tally.sample = tally.sample or body
        if now >= self._deadline or len(tally.delays) >= self._limit:
            self._done.set()
        elif self._wire is not None and not self._wire.transport.is_closing():
            self._send()

    def _lost(self) -> None:
        if time.perf_counter() < self._deadline:
            self._tally.broken += 1
            self._reopening = asyncio.get_running_loop().create_task(self.open())
