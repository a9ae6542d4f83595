"""Readiness requests against real sockets that answer well, badly or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from nbhub.reconcile.probe import Prober


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that reads a request and sends `answer`; its URL and what it was asked."""
    asked: list[bytes] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", True),
        (b"HTTP/1.0 302\r\n\r\n", True),
        (b"HTTP/1.1 503 Busy\r\n\r\n", False),
        (b"HTTP/1.1 500\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
        (b"HTTP/1.1 two hundred\r\n\r\n", False),
        (b"", False),
        (b"x" * 200_000, False),
    ],
)
async def test_any_status_below_500_is_an_answer_and_nothing_else_is(answer: bytes, ready: bool) -> None:
    async with answering(answer) as (url, asked):
        assert await Prober().answers(url, "/user/alice/", 100) is ready
    assert asked[0].startswith(b"GET /user/alice/api HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_refused_silent_and_unresolvable_addresses_are_no_answers(
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    assert not await Prober().answers(f"http://127.0.0.1:{unused_tcp_port_factory()}", "/", 1)
    assert not await Prober().answers("http://no-such-host.invalid:80", "/", 1)
    silent = await asyncio.start_server(lambda reader, writer: asyncio.sleep(30), "127.0.0.1", 0)
    async with silent:
        assert not await Prober().answers(f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}", "/", 0.05)
        silent.close()
