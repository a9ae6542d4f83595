"""HTTP to the API server: connections are kept, dropped when in doubt, and never hand one answer to another request."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from lightkube.config.client_adapter import BearerTokenFileAuth

from nbhub.spawners.kubernetes.wire import Broken, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers requests on sockets as a test tells it; `heard` is each request's head, with the connection's number."""

    def __init__(self, answer: Callable[[Server, asyncio.StreamWriter, bytes], Awaitable[None]]) -> None:
        self.heard: list[tuple[int, bytes]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._answer = answer

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self.writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.writers)
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heard.append((number, head))
                await self._answer(self, writer, head)


def says(*answers: bytes):
    """Give these answers one after the other, the last one again and again."""
    left = list(answers)

    async def answer(server, writer, head):
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return answer


@contextlib.asynccontextmanager
async def to(server: Server, above: str = "/", identity: httpx2.Auth | None = None):
    wire = Wire(f"http://127.0.0.1:{server.port}{above}", ssl.create_default_context(), identity)
    try:
        yield wire
    finally:
        await wire.aclose()


async def ask(wire: Wire, path: str = "/one") -> tuple[int, bytes]:
    answer = await wire.request("GET", path, None, None, "")
    return answer.status, answer.content


async def test_one_connection_serves_requests_that_follow_each_other_and_two_those_at_once():
    async with Server(says(OK)) as server, to(server) as wire:
        assert [await ask(wire) for _ in range(3)] == [(200, b"ok")] * 3
        assert {number for number, _ in server.heard} == {0}
        await asyncio.gather(ask(wire), ask(wire))
        assert {number for number, _ in server.heard} == {0, 1}


async def test_the_answer_to_a_request_that_was_given_up_reaches_nobody_else():
    late = asyncio.Event()

    async def answer(server, writer, head):
        if b"/slow" in head:
            await late.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
        else:
            writer.write(OK)

    async with Server(answer) as server, to(server) as wire:
        await ask(wire)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ask(wire, "/slow")
        late.set()
        assert [await ask(wire) for _ in range(3)] == [(200, b"ok")] * 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["short", "unfinished", "half a head", "nothing", "another protocol"],
)
async def test_an_answer_that_breaks_off_is_no_answer(answer):
    async def hang_up(server, writer, head):
        writer.write(answer)
        writer.close()

    async with Server(hang_up) as server, to(server) as wire:
        with pytest.raises(Broken):
            await ask(wire)


async def test_a_stream_gives_what_comes_at_once_and_breaks_when_nothing_comes():
    more = asyncio.Event()

    async def answer(server, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        await more.wait()
        writer.write(b"4\r\ntwo\n\r\n")

    async with Server(answer) as server, to(server) as wire:
        async with wire.stream("/watch", {}, connect=30, silence=30) as (answered, pieces):
            assert answered.is_success
            assert await anext(pieces) == b"one\n"
            more.set()
            assert await anext(pieces) == b"two\n"
        more.clear()
        with pytest.raises(TimeoutError):
            async with wire.stream("/watch", {}, connect=30, silence=0.2) as (_, pieces):
                async for _ in pieces:
                    pass


async def test_what_names_hold_stays_in_the_path():
    async with Server(says(OK)) as server, to(server, "/above/") as wire:
        await wire.request("GET", "/pods/a\r\nb c?d", {"labelSelector": "e=f&g"}, None, "")
    first = server.heard[0][1].split(b"\r\n")[0]
    assert first == b"GET /above/pods/a%0D%0Ab%20c%3Fd?labelSelector=e%3Df%26g HTTP/1.1"


async def test_a_token_that_was_rotated_is_read_again_and_one_with_a_line_break_is_not_sent(tmp_path):
    async def answer(server, writer, head):
        writer.write(OK if b"Bearer new\r\n" in head else OK.replace(b"200 OK", b"401 Unauthorized"))

    token = tmp_path / "token"
    token.write_text("old\n")
    async with Server(answer) as server:
        async with to(server, identity=BearerTokenFileAuth(str(token))) as wire:
            assert (await ask(wire))[0] == 401
            token.write_text("new\n")
            assert (await ask(wire))[0] == 200
        token.write_text("new\r\nX-Remote-User: root\n")
        async with to(server, identity=BearerTokenFileAuth(str(token))) as wire:
            with pytest.raises(ConnectionError):
                await ask(wire)
    assert {number for number, _ in server.heard} == {0}
