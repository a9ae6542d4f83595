"""Connections to one HTTP server: bytes of a request in, the answer's status, headers and bytes out.

Answers are taken apart by httptools, which nbhub's own server uses as well. What goes wrong is always an OSError.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from typing import cast

import httptools

IDLE_SECONDS = 60.0  # after so long a connection is not used again: something on the way may have forgotten it


class Garbled(ConnectionError):
    """What came is no answer in HTTP, or more than one."""


class Connection(asyncio.Protocol):
    """One connection, on which one request at a time is under way."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}  # names in lower case
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._asked = self._told = self._complete = False
        self._lasting = True
        self._trouble: OSError | None = None
        self._news: asyncio.Future[None] | None = None

    async def ask(self, request: bytes) -> None:
        """Send a request, and wait for the head of its answer: `status` and `headers`."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self.status, self.headers, self._pieces = 0, {}, []
        self._asked, self._told, self._complete = True, False, False
        self._transport.write(request)
        while not self._told:
            await self._more()

    async def whole(self) -> bytes:
        """Return all bytes of the answer."""
        while not self._complete:
            await self._more()
        return b"".join(self._pieces)

    async def pieces(self, silence: float) -> AsyncIterator[bytes]:
        """Give the answer's bytes as they come; raises TimeoutError after so many seconds without any."""
        while True:
            if self._pieces:
                piece = b"".join(self._pieces)
                self._pieces.clear()
                yield piece
            elif self._complete:
                return
            else:
                async with asyncio.timeout(silence):
                    await self._more()

    @property
    def reusable(self) -> bool:
        """Say whether another request may follow."""
        if self._transport is None or self._transport.is_closing() or self._trouble is not None:
            return False
        # An answer may come before all of the request has gone.
        return self._complete and self._lasting and not self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    async def _more(self) -> None:
        """Wait until more of the answer has come."""
        if self._trouble is not None:
            raise self._trouble
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _fail(self, trouble: OSError) -> None:
        self._trouble = self._trouble or trouble
        self.abort()

    # -- what the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(Garbled(f"not an answer in HTTP/1.1: {error}"))
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._parser = None  # it holds on to us
        lengthless = not self.headers.keys() & {"content-length", "transfer-encoding"}
        if exc is None and self._told and lengthless:
            self._complete, self._lasting = True, False  # that was how the end of the answer was told
        elif not self._complete:
            lost = exc if isinstance(exc, OSError) else ConnectionResetError("the server closed the connection")
            self._trouble = self._trouble or lost
        self._wake()

    # -- what the parser tells

    def on_message_begin(self) -> None:
        """See httptools."""
        if not self._asked or self._complete:
            raise Garbled("an answer to nothing")

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """See httptools."""
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        self._told = self.status >= 200

    def on_body(self, piece: bytes) -> None:
        """See httptools."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """See httptools."""
        if not self._told:  # one of the answers before the answer
            self.headers.clear()
            return
        assert self._parser is not None
        self._complete, self._lasting = True, self._parser.should_keep_alive()


class Connections:
    """Connections to one server, kept open between requests; the one used last is used next."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._idle: deque[Connection] = deque()
        self._closed = False

    async def take(self) -> Connection:
        """Return a connection that nobody else uses; `give` it back in any case. Raises OSError."""
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and loop.time() - connection.idle_since < IDLE_SECONDS:
                return connection
            connection.abort()
        name = self._host if self._tls is not None else None
        _, connection = await loop.create_connection(
            Connection, self._host, self._port, ssl=self._tls, server_hostname=name
        )
        return connection

    def give(self, connection: Connection) -> None:
        """Take a connection back. Where one failed, those that are idle now are not trusted any more."""
        if not connection.reusable or self._closed:
            connection.abort()
            self._close_idle(None)
            return
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)
        self._close_idle(connection.idle_since - IDLE_SECONDS)

    async def close(self) -> None:
        """Close all connections, those in use when they are given back."""
        self._closed = True
        self._close_idle(None)
        await asyncio.sleep(0)  # the loop closes sockets in its next round

    def _close_idle(self, before: float | None) -> None:
        while self._idle and (before is None or self._idle[0].idle_since < before):
            self._idle.popleft().abort()
