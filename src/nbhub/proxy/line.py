"""The line to a hub, for a proxy that runs apart: one HTTP request, kept open, over which both sides speak in lines."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.parse
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec

from nbhub.core import feed
from nbhub.errors import ConfigError, NbhubError

_CONNECT_SECONDS = 5.0
_CHUNK_LIMIT = 256 * 1024 * 1024
_LINE_LIMIT = 64 * 1024 * 1024  # the routes of a hundred thousand servers are a tenth of that


class HubAway(NbhubError):
    """The hub does not answer, or no longer; it may be restarting."""

    code = "hub_away"


class TokenRefused(NbhubError):
    """The hub knows another token than this proxy."""

    code = "token_refused"


class NotThatHub(NbhubError):
    """Something answers that is no hub, or one that is set up differently."""

    code = "not_that_hub"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the hub's private port is, and what opens it."""

    host: str
    port: int
    base_url: str
    token: str = field(repr=False)

    @property
    def target(self) -> str:
        """host:port, an IPv6 address in brackets."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def address(url: str, base_url: str, token: str) -> Address:
    """Read `http://host:port`; raises ConfigError."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urllib.parse.urlsplit(""), None
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") not in ("", base_url.strip("/")):
        raise ConfigError(f"--hub-url={url[:200]} is not of the form http://host:port, such as http://hub:8081.")
    return Address(parts.hostname, port or 80, base_url, token)


class Line:
    """An open line. `changes()` is what the hub says, `report()` what it is told."""

    def __init__(self, where: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._where = where
        self._reader = reader
        self._writer = writer

    async def changes(self) -> AsyncIterator[feed.Change]:
        """Yield changes until the hub hangs up or falls silent; raises HubAway then, and NotThatHub."""
        lines = feed.Lines(_LINE_LIMIT)
        try:
            while True:
                async with asyncio.timeout(feed.SILENCE_SECONDS):
                    piece = await self._chunk()
                if not piece:
                    raise HubAway(f"The hub at {self._where.target} hung up; it may be restarting.")
                for line in lines.take(piece):
                    if line:
                        yield self._checked(msgspec.json.decode(line, type=feed.Change))
        except (OSError, EOFError, TimeoutError) as error:
            raise HubAway(f"The line to the hub at {self._where.target} broke: {_words(error)}.") from error
        except (ValueError, msgspec.MsgspecError) as error:
            raise NotThatHub(f"What answers at {self._where.target} does not speak as a hub does: {error}.") from error

    async def report(self, report: feed.Report | None) -> None:
        """Tell the hub, or with None only that we are there. A line that is broken is noticed by `changes`."""
        said = b"\n" if report is None else msgspec.json.encode(report) + b"\n"
        with contextlib.suppress(OSError):
            self._writer.write(b"%x\r\n%b\r\n" % (len(said), said))
            await self._writer.drain()

    async def beat(self) -> None:
        """Say that we are there, again and again, until cancelled."""
        while True:
            await asyncio.sleep(feed.BEAT_SECONDS)
            await self.report(None)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    def _checked(self, change: feed.Change) -> feed.Change:
        if change.base_url != self._where.base_url:
            raise NotThatHub(
                f"The hub at {self._where.target} lives below {change.base_url!r}, this proxy below"
                f" {self._where.base_url!r}. Give both the same --base-url."
            )
        return change

    async def _chunk(self) -> bytes:
        """Read one chunk of the answer; empty at its end."""
        size = int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if size > _CHUNK_LIMIT:
            raise ValueError("a chunk is too large")
        return (await self._reader.readexactly(size + 2))[:-2]


@contextlib.asynccontextmanager
async def opened(where: Address) -> AsyncIterator[Line]:
    """Open a line; raises HubAway, TokenRefused and NotThatHub, each with the remedy."""
    line = await _open(where)
    beating = asyncio.create_task(line.beat())
    try:
        yield line
    finally:
        beating.cancel()
        line.close()


async def _open(where: Address) -> Line:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(where.host, where.port, limit=1024 * 1024)
    except (OSError, TimeoutError) as error:
        raise HubAway(
            f"The hub cannot be reached at {where.target}: {_words(error)}. Start it, or correct --hub-url: it is the"
            " hub's private port (Hub.hub_ip and Hub.hub_port), for which hub_ip must not be 127.0.0.1 from elsewhere."
        ) from error
    try:
        writer.write(_head(where))
        async with asyncio.timeout(feed.SILENCE_SECONDS):
            status, by_hub, body = await _answer(reader)
        if not by_hub:
            raise NotThatHub(
                f"What answers at {where.target} is no hub (status {status}). Correct --hub-url, or look at what"
                " stands between here and there."
            )
        if status != 200:
            raise _refusal(where, status, body)
    except (OSError, EOFError, TimeoutError, ValueError) as error:
        writer.close()
        raise HubAway(f"The hub at {where.target} does not answer: {_words(error)}.") from error
    except NbhubError:
        writer.close()
        raise
    return Line(where, reader, writer)


def _head(where: Address) -> bytes:
    lines = [
        f"POST {where.base_url}{feed.PATH} HTTP/1.1",
        f"Host: {where.target}",
        f"Authorization: token {where.token}",
        "Accept: application/json",
        "Transfer-Encoding: chunked",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool, str]:
    """Read the head of the answer: its status, whether a hub gave it, and of a refusal what came with it."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    body = "" if status == 200 else (await reader.read(4096)).decode(errors="replace")
    return status, b"\r\nx-jupyterhub-version:" in head.lower(), body


def _refusal(where: Address, status: int, body: str) -> NbhubError:
    if status in (401, 403):
        return TokenRefused(
            f"The hub at {where.target} refuses the token of this proxy. Give both the same: --token-file here,"
            " c.Hub.proxy_token_file (or CONFIGPROXY_AUTH_TOKEN) there; the hub reads it when it starts."
        )
    if status == 503:
        return HubAway(f"The hub at {where.target} cannot read its database for now.")
    reason = "it knows of no proxy that runs apart, or lives below another --base-url" if status == 404 else body[:200]
    return NotThatHub(
        f"The hub at {where.target} answers {status}: {reason}. Set c.Hub.start_proxy = False there, and check"
        " --hub-url and --base-url here."
    )


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, EOFError):
        return "it ended in the middle of an answer"
    return str(getattr(error, "strerror", None) or error)
