"""HTTP to the API server: requests as bytes, answers as bytes, and the hub's identity on every request.

Below the client that lightkube offers, which would double what a start costs the hub (docs/decisions).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import httpx2

from nbhub.spawners.kubernetes.connection import Connections, Garbled

# What may happen to a connection, time-outs included; nothing of it says that a request was not carried out.
Broken = OSError


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with all its bytes."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    content: bytes = b""

    @property
    def is_success(self) -> bool:
        """Say whether what was asked for was done."""
        return 200 <= self.status < 300


class Wire:
    """Requests to one server as one identity; a token that was rotated is read again when it is refused."""

    def __init__(self, server: str, tls: ssl.SSLContext | None, identity: httpx2.Auth | None) -> None:
        url = httpx2.URL(server)
        secure = url.scheme == "https"
        self._above = url.raw_path.decode("ascii").partition("?")[0].rstrip("/")
        self._host = url.netloc
        host, port = url.raw_host.decode("ascii"), url.port or (443 if secure else 80)
        self._connections = Connections(host, port, tls if secure else None)
        self._identity = _Identity(server, identity)

    async def request(
        self, method: str, path: str, params: Mapping[str, str] | None, content: bytes | None, kind: str
    ) -> Answer:
        """Send one request and return the answer; raises Broken."""
        answer: Answer
        async for identity in self._identity.tries():
            request = self._request(method, path, params, identity, content, kind)
            connection = await self._connections.take()
            try:
                await connection.ask(request)
                answer = Answer(connection.status, connection.headers, await connection.whole())
            finally:
                self._connections.give(connection)
            if answer.status != 401:
                break
        return answer

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str], *, connect: float, silence: float
    ) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        """Send one request and give the answer's pieces as they come; raises Broken.

        Seconds: to connect, and without a word before the connection counts as dead.
        """
        identity = await self._identity.current()
        async with asyncio.timeout(connect):
            connection = await self._connections.take()
        try:
            async with asyncio.timeout(silence):
                await connection.ask(self._request("GET", path, params, identity))
            if connection.status >= 300:
                async with asyncio.timeout(silence):
                    answer = Answer(connection.status, connection.headers, await connection.whole())
                if answer.status == 401:
                    self._identity.refused()
                yield answer, _nothing()
            else:
                yield Answer(connection.status, connection.headers), connection.pieces(silence)
        finally:
            self._connections.give(connection)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.close()

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        identity: bytes,
        content: bytes | None = None,
        kind: str = "",
    ) -> bytes:
        """Return a request as it is sent, whatever is in the names that the path is made of."""
        target = f"{self._above}{quote(path)}"
        if params:
            target += f"?{urlencode(params, quote_via=quote)}"
        head = b"%b %b HTTP/1.1\r\nHost: %b\r\n%bAccept: application/json\r\nAccept-Encoding: identity\r\n" % (
            method.encode("ascii"),
            target.encode("ascii"),
            self._host,
            identity,
        )
        if content is None:
            return head + b"\r\n"
        return b"%bContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (head, kind.encode(), len(content), content)


class _Identity:
    """The header that says who asks, taken from one of lightkube's ways to authenticate; empty if there is none."""

    def __init__(self, server: str, identity: httpx2.Auth | None) -> None:
        self._server = server
        self._auth = identity
        self._header: bytes | None = None
        self._turn = asyncio.Lock()

    async def current(self) -> bytes:
        """Return the header."""
        if self._header is None:
            async with self._turn:
                if self._header is None:
                    self._header = await self._ask(refused=False)
        return self._header

    async def tries(self) -> AsyncIterator[bytes]:
        """Give the header, and if there is a second round, one that was made anew."""
        before = await self.current()
        yield before
        async with self._turn:
            if self._header is before:  # nobody else has been here meanwhile
                self._header = await self._ask(refused=True)
            again = self._header or b""
        yield again

    def refused(self) -> None:
        """Make the header anew for the next request."""
        self._header = None

    async def _ask(self, *, refused: bool) -> bytes:
        """Go through the steps of authentication without sending anything."""
        if self._auth is None:
            return b""
        request = httpx2.Request("GET", self._server)
        flow = self._auth.async_auth_flow(request)
        found = await anext(flow)
        if refused:
            with contextlib.suppress(StopAsyncIteration):
                found = await flow.asend(httpx2.Response(401, request=request))
        await flow.aclose()
        value = found.headers.get("Authorization")
        if value is None:
            return b""
        if not value.isprintable():
            raise Garbled("the credentials of the hub hold a line break or another control character")
        return b"Authorization: %b\r\n" % value.encode()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
