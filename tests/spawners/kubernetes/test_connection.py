"""HTTP to the API server: connections are kept, dropped when in doubt, and never hand one answer to another request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from lightkube.config.client_adapter import BearerTokenFileAuth

from nbhub.spawners.kubernetes.connection import Connections, Garbled
from nbhub.spawners.kubernetes.wire import Wire

ASK = b"GET /one HTTP/1.1\r\nHost: here\r\n\r\n"
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


async def ask(connections: Connections, request: bytes = ASK) -> tuple[int, bytes]:
    connection = await connections.take()
    try:
        await connection.ask(request)
        return connection.status, await connection.whole()
    finally:
        connections.give(connection)


@contextlib.asynccontextmanager
async def to(server: Server):
    connections = Connections("127.0.0.1", server.port, None)
    try:
        yield connections
    finally:
        await connections.close()


async def test_one_connection_serves_requests_that_follow_each_other_and_two_those_at_once():
    async with Server(says(OK)) as server, to(server) as connections:
        assert [await ask(connections) for _ in range(3)] == [(200, b"ok")] * 3
        assert {number for number, _ in server.heard} == {0}
        await asyncio.gather(ask(connections), ask(connections))
        assert {number for number, _ in server.heard} == {0, 1}


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again():
    async with Server(says(OK)) as server, to(server) as connections:
        await ask(connections)
        kept = await connections.take()
        connections.give(kept)
        server.writers[0].close()
        async with asyncio.timeout(30):
            while kept.reusable:  # noqa: ASYNC110 - nothing tells us but looking
                await asyncio.sleep(0.01)
        assert await ask(connections) == (200, b"ok")
        assert [number for number, _ in server.heard] == [0, 1]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
        OK + b"noise",
    ],
    ids=["close", "1.0", "a second answer", "noise"],
)
async def test_a_connection_is_not_kept_when_the_server_says_so_or_says_too_much(answer):
    async with Server(says(answer, OK)) as server, to(server) as connections:
        assert await ask(connections) == (200, b"ok")
        assert await ask(connections) == (200, b"ok")
        assert [number for number, _ in server.heard] == [0, 1]


async def test_the_answer_to_a_request_that_was_given_up_reaches_nobody_else():
    late = asyncio.Event()

    async def answer(server, writer, head):
        if b"/slow" in head:
            await late.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
        else:
            writer.write(OK)

    async with Server(answer) as server, to(server) as connections:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ask(connections, ASK.replace(b"/one", b"/slow"))
        late.set()
        assert [await ask(connections) for _ in range(3)] == [(200, b"ok")] * 3


async def test_where_one_connection_went_silent_the_idle_ones_are_not_trusted_either():
    async def answer(server, writer, head):
        if b"/never" not in head:
            writer.write(OK)

    async with Server(answer) as server, to(server) as connections:
        await asyncio.gather(ask(connections), ask(connections))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ask(connections, ASK.replace(b"/one", b"/never"))
        await ask(connections)
        assert server.heard[-1][0] == 2


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"ok")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", (200, b"ok")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
    ],
    ids=["continue", "chunked", "nothing"],
)
async def test_forms_of_an_answer(answer, found):
    async with Server(says(answer)) as server, to(server) as connections:
        assert await ask(connections) == found
        assert await ask(connections) == found
        assert {number for number, _ in server.heard} == {0}


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nall of it", b"all of it"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nonly this", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-", None),
        (b"", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", None),
    ],
    ids=["no length", "short", "unfinished", "half a head", "nothing", "another protocol"],
)
async def test_a_connection_that_ends_ends_an_answer_without_length_and_breaks_any_other(answer, found):
    async def hang_up(server, writer, head):
        writer.write(answer)
        writer.close()

    async with Server(hang_up) as server, to(server) as connections:
        if found is None:
            with pytest.raises(ConnectionError):
                await ask(connections)
        else:
            assert await ask(connections) == (200, found)


async def test_an_answer_that_comes_before_the_request_has_gone_leaves_no_connection_behind():
    async with Server(says(OK)) as server, to(server) as connections:
        large = b"POST /one HTTP/1.1\r\nHost: here\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 50_000_000
        assert await ask(connections, large) == (200, b"ok")
        assert await ask(connections) == (200, b"ok")
        assert [number for number, _ in server.heard] == [0, 1]


async def test_a_stream_gives_what_comes_at_once_and_breaks_when_nothing_comes():
    more = asyncio.Event()

    async def answer(server, writer, head):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        await more.wait()
        writer.write(b"4\r\ntwo\n\r\n")

    async with Server(answer) as server:
        wire = Wire(f"http://127.0.0.1:{server.port}/", None, None)
        async with wire.stream("/watch", {}, connect=30, silence=30) as (answered, pieces):
            assert answered.is_success
            assert await anext(pieces) == b"one\n"
            more.set()
            assert await anext(pieces) == b"two\n"
        with pytest.raises(TimeoutError):
            async with wire.stream("/watch", {}, connect=30, silence=0.2) as (_, pieces):
                async for _ in pieces:
                    pass
        await wire.aclose()


async def test_what_names_hold_stays_in_the_path():
    async with Server(says(OK)) as server:
        wire = Wire(f"http://127.0.0.1:{server.port}/above/", None, None)
        await wire.request("GET", "/pods/a\r\nb c?d", {"labelSelector": "e=f&g"}, None, "")
        await wire.aclose()
    first = server.heard[0][1].split(b"\r\n")[0]
    assert first == b"GET /above/pods/a%0D%0Ab%20c%3Fd?labelSelector=e%3Df%26g HTTP/1.1"


async def test_a_token_that_was_rotated_is_read_again_and_one_with_a_line_break_is_not_sent(tmp_path):
    async def answer(server, writer, head):
        writer.write(OK if b"Bearer new\r\n" in head else OK.replace(b"200 OK", b"401 Unauthorized"))

    token = tmp_path / "token"
    token.write_text("old\n")
    async with Server(answer) as server:
        wire = Wire(f"http://127.0.0.1:{server.port}", None, BearerTokenFileAuth(str(token)))
        assert (await wire.request("GET", "/one", None, None, "")).status == 401
        token.write_text("new\n")
        assert (await wire.request("GET", "/one", None, None, "")).status == 200
        token.write_text("new\r\nX-Remote-User: root\n")
        other = Wire(f"http://127.0.0.1:{server.port}", None, BearerTokenFileAuth(str(token)))
        with pytest.raises(Garbled):
            await other.request("GET", "/one", None, None, "")
        await wire.aclose()
    assert {number for number, _ in server.heard} == {0}
