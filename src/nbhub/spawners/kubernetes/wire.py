"""HTTP to the API server: bytes in and bytes out, and the hub's identity on every request.

Below the client that lightkube offers, which would double what a start costs the hub (docs/decisions).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import aiohttp
import httpx2
from yarl import URL

# What may happen to a connection; nothing of it says that a request was not carried out.
Broken = (aiohttp.ClientError, OSError)  # time-outs included
NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)  # whoever asks has one
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "nbhub"}


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

    def __init__(self, server: str, tls: ssl.SSLContext, identity: httpx2.Auth | None) -> None:
        self._server = server.rstrip("/")
        self._tls = tls
        self._identity = _Identity(server, identity)
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self, method: str, path: str, params: Mapping[str, str] | None, content: bytes | None, kind: str
    ) -> Answer:
        """Send one request and return the answer; raises one of Broken."""
        answer: Answer
        session, url = self._open(), self._url(path, params)
        async for identity in self._identity.tries():
            headers = identity if content is None else {**identity, "Content-Type": kind}
            async with session.request(method, url, data=content, headers=headers, allow_redirects=False) as found:
                answer = Answer(found.status, found.headers, await found.read())
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
        timeout = aiohttp.ClientTimeout(total=None, connect=connect, sock_read=silence)
        identity = await self._identity.current()
        url = self._url(path, params)
        async with self._open().get(url, headers=identity, allow_redirects=False, timeout=timeout) as found:
            if found.status >= 300:
                if found.status == 401:
                    self._identity.refused()
                yield Answer(found.status, found.headers, await found.read()), _nothing()
            else:
                yield Answer(found.status, found.headers), found.content.iter_any()

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:  # it can be made in a running loop only
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=HEADERS,
                timeout=NO_TIMEOUT,
            )
        return self._session

    def _url(self, path: str, params: Mapping[str, str] | None) -> URL:
        """Return an address in which names stay what they are, whatever is in them."""
        query = f"?{urlencode(params, quote_via=quote)}" if params else ""
        return URL(f"{self._server}{quote(path)}{query}", encoded=True)


Headers = Mapping[str, str]


class _Identity:
    """The headers that say who asks, taken from one of lightkube's ways to authenticate."""

    def __init__(self, server: str, identity: httpx2.Auth | None) -> None:
        self._server = server
        self._auth = identity
        self._headers: Headers | None = None
        self._turn = asyncio.Lock()

    async def current(self) -> Headers:
        """Return the headers."""
        if self._headers is None:
            async with self._turn:
                if self._headers is None:
                    self._headers = await self._ask(refused=False)
        return self._headers

    async def tries(self) -> AsyncIterator[Headers]:
        """Give the headers, and if there is a second round, headers that were made anew."""
        before = await self.current()
        yield before
        async with self._turn:
            if self._headers is before:  # nobody else has been here meanwhile
                self._headers = await self._ask(refused=True)
            again = self._headers or {}
        yield again

    def refused(self) -> None:
        """Make the headers anew for the next request."""
        self._headers = None

    async def _ask(self, *, refused: bool) -> Headers:
        """Go through the steps of authentication without sending anything."""
        if self._auth is None:
            return {}
        request = httpx2.Request("GET", self._server)
        flow = self._auth.async_auth_flow(request)
        found = await anext(flow)
        if refused:
            with contextlib.suppress(StopAsyncIteration):
                found = await flow.asend(httpx2.Response(401, request=request))
        await flow.aclose()
        value = found.headers.get("Authorization")
        if value is None:
            return {}
        if not value.isprintable():
            raise ConnectionError("the credentials of the hub hold a line break or another control character")
        return {"Authorization": value}


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
