"""HTTP to the API server: one pool of connections, bytes in and bytes out, and the hub's identity on every request.

A layer below the client that lightkube offers, which would double what a start costs the hub (docs/decisions).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpcore2
import httpx2

Header = tuple[bytes, bytes]
# What may happen to a connection; nothing of it says that a request was not carried out.
Broken = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, OSError, TimeoutError)


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

    def __init__(self, pool: httpcore2.AsyncConnectionPool, server: str, identity: httpx2.Auth | None) -> None:
        self._pool = pool
        self._server = httpx2.URL(server)
        self._identity = _Identity(server, identity)

    async def request(
        self, method: str, path: str, params: Mapping[str, str] | None, content: bytes | None, kind: str
    ) -> Answer:
        """Send one request and return the answer; raises one of Broken."""
        answer: Answer
        async for identity in self._identity.tries():
            headers = [*identity, (b"Accept", b"application/json"), (b"Accept-Encoding", b"identity")]
            if content is not None:
                headers.append((b"Content-Type", kind.encode()))
            found = await self._pool.request(method, self._url(path, params), headers=headers, content=content)
            answer = Answer(found.status, _headers(found.headers), found.content)
            if answer.status != 401:
                break
        return answer

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str], *, connect: float, silence: float
    ) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        """Send one request and give the answer's pieces as they come; raises one of Broken.

        Seconds: to connect, and without a word before the connection counts as dead.
        """
        identity = await self._identity.current()
        timeout = {"connect": connect, "write": connect, "pool": connect, "read": silence}
        async with self._pool.stream(
            "GET",
            self._url(path, params),
            headers=[*identity, (b"Accept", b"application/json"), (b"Accept-Encoding", b"identity")],
            extensions={"timeout": timeout},
        ) as found:
            if found.status >= 300:
                answer = Answer(found.status, _headers(found.headers), await found.aread())
                if answer.status == 401:
                    self._identity.refused()
                yield answer, _nothing()
            else:
                yield Answer(found.status, _headers(found.headers)), _pieces(found)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    def _url(self, path: str, params: Mapping[str, str] | None) -> httpcore2.URL:
        target = f"{self._server.path.rstrip('/')}{path}"
        if params:
            target += f"?{urlencode(params, quote_via=quote)}"
        return httpcore2.URL(
            scheme=self._server.raw_scheme,
            host=self._server.raw_host,
            port=self._server.port,
            target=target.encode("ascii"),
        )


class _Identity:
    """The headers that say who asks, taken from one of lightkube's ways to authenticate."""

    def __init__(self, server: str, identity: httpx2.Auth | None) -> None:
        self._server = server
        self._auth = identity
        self._headers: list[Header] | None = None
        self._turn = asyncio.Lock()

    async def current(self) -> list[Header]:
        """Return the headers."""
        if self._headers is None:
            async with self._turn:
                if self._headers is None:
                    self._headers = await self._ask(refused=False)
        return self._headers

    async def tries(self) -> AsyncIterator[list[Header]]:
        """Give the headers, and if there is a second round, headers that were made anew."""
        before = await self.current()
        yield before
        async with self._turn:
            if self._headers is before:  # nobody else has been here meanwhile
                self._headers = await self._ask(refused=True)
            again = self._headers or []
        yield again

    def refused(self) -> None:
        """Make the headers anew for the next request."""
        self._headers = None

    async def _ask(self, *, refused: bool) -> list[Header]:
        """Go through the steps of authentication without sending anything."""
        if self._auth is None:
            return []
        request = httpx2.Request("GET", self._server)
        flow = self._auth.async_auth_flow(request)
        found = await anext(flow)
        if refused:
            with contextlib.suppress(StopAsyncIteration):
                found = await flow.asend(httpx2.Response(401, request=request))
        await flow.aclose()
        value = found.headers.get("Authorization")
        return [] if value is None else [(b"Authorization", value.encode())]


def _headers(raw: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


async def _pieces(found: httpcore2.Response) -> AsyncIterator[bytes]:
    async for piece in found.aiter_stream():
        yield piece


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
