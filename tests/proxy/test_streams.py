"""Websockets, long silence, and bodies larger than any buffer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from nbhub.core.model import Route
from proxy.conftest import Edge
from proxy.edges import HOST, PATIENCE, Upstream, get, make_proxy, started, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

GIB = 1024**3
CHUNK = bytes(1024 * 1024)


async def test_websockets_pass_both_ways(edge: Edge) -> None:
    url = f"http://{HOST}:{edge.port}/user/alice/api/kernels/1/channels?session_id=%2f"
    headers = {"Cookie": "a=b", "Sec-Fetch-Site": "same-origin"}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, origin="http://h", headers=headers, max_msg_size=0) as channel,
    ):
        seen = await channel.receive_json(timeout=PATIENCE)
        received = dict(seen["headers"])
        assert seen["who"] == "alice"
        assert (received["origin"], received["cookie"], received["sec-fetch-site"]) == (
            "http://h",
            "a=b",
            "same-origin",
        )
        assert received["x-forwarded-proto"] == "http"
        await channel.send_str("hello")
        assert await channel.receive_str(timeout=PATIENCE) == "hello"
        large = b"x" * (8 * 1024**2)
        await channel.send_bytes(large)
        assert await channel.receive_bytes(timeout=PATIENCE) == large


async def test_many_websockets_of_one_server(edge: Edge) -> None:
    url = f"http://{HOST}:{edge.port}/user/bob/ws"
    unlimited = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=unlimited) as session, contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(session.ws_connect(url)) for _ in range(200)]
        for number, channel in enumerate(channels):
            await channel.send_str(str(number))
        for number, channel in enumerate(channels):
            await channel.receive(timeout=PATIENCE)
            assert await channel.receive_str(timeout=PATIENCE) == str(number)


async def test_a_websocket_survives_silence_and_new_routes(tmp_path: Path) -> None:
    """Limits on idle connections and requests are set to a second here; websockets and servers know none."""
    async with Upstream("hub").serving() as hub, Upstream("alice").serving() as alice:
        proxy = make_proxy(tmp_path, hub, keep_alive=1, hub_idle_timeout=1, request_headers_timeout=1)
        async with started(proxy) as port, aiohttp.ClientSession() as session:
            await proxy.update([alice.route("/user/alice/")])
            async with session.ws_connect(f"http://{HOST}:{port}/user/alice/ws") as channel:
                await channel.receive(timeout=PATIENCE)
                await proxy.update([alice.route("/user/alice/"), Route("/user/b/", "http://127.0.0.1:1")])
                slow, hub_slow = await asyncio.gather(
                    get(port, "/user/alice/slow?seconds=2.5"), get(port, "/hub/slow?seconds=2.5")
                )
                assert slow.who == "alice"
                assert (hub_slow.status, hub_slow.who) == (504, None)
                # Nor does it end with its route: what is established stays until the server goes.
                await proxy.update([])
                await channel.send_str("still there")
                assert await channel.receive_str(timeout=PATIENCE) == "still there"


async def test_dead_clients_are_found_by_the_kernel(edge: Edge) -> None:
    with socket.create_connection((HOST, edge.port)) as client:
        mine = f"0100007F:{client.getsockname()[1]:04X}"
        await until(lambda: _timer(mine) == "02", "a keep-alive timer on Envoy's side of the connection")


async def test_an_upload_of_a_gibibyte_is_streamed(edge: Edge) -> None:
    received = []

    def upstream(connection: socket.socket, head: bytes) -> None:
        received.append(_read(connection, GIB - len(head)) + len(head))
        connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    def client(connection: socket.socket) -> None:
        connection.sendall(f"PUT /user/big/x HTTP/1.1\r\nHost: h\r\nContent-Length: {GIB}\r\n\r\n".encode())
        for _ in range(GIB // len(CHUNK)):
            connection.sendall(CHUNK)
        assert connection.recv(12) == b"HTTP/1.1 204"

    grown = await _through(edge, upstream, client)
    assert received == [GIB]
    assert grown < 64 * 1024**2


async def test_a_download_of_a_gibibyte_is_streamed(edge: Edge) -> None:
    received = []

    def upstream(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(GIB // len(CHUNK)):
            connection.sendall(CHUNK)

    def client(connection: socket.socket) -> None:
        connection.sendall(b"GET /user/big/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        received.append(_read(connection, 2 * GIB))

    grown = await _through(edge, upstream, client)
    assert received[0] >= GIB
    assert grown < 64 * 1024**2


async def test_a_client_that_does_not_read_stops_the_server_and_fills_no_memory(edge: Edge) -> None:
    sent = [0]

    def upstream(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        connection.settimeout(0.7)
        with contextlib.suppress(TimeoutError):
            while sent[0] < GIB:
                sent[0] += connection.send(CHUNK)

    def client(connection: socket.socket) -> None:
        connection.sendall(b"GET /user/big/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        done.wait(PATIENCE)

    done = threading.Event()
    grown = await _through(edge, upstream, client, done)
    assert 0 < sent[0] < 64 * 1024**2
    assert grown < 16 * 1024**2


async def _through(
    edge: Edge,
    upstream: Callable[[socket.socket, bytes], None],
    client: Callable[[socket.socket], None],
    done: threading.Event | None = None,
) -> int:
    """Run a server and a client of raw sockets; returns by how many bytes Envoy's memory grew meanwhile, at most."""
    done = done or threading.Event()
    with socket.create_server((HOST, 0)) as server:
        await edge.proxy.update([*edge.routes, Route("/user/big/", f"http://{HOST}:{server.getsockname()[1]}")])
        envoy = psutil.Process(edge.proxy.pid)
        before = most = envoy.memory_info().rss
        with socket.create_connection((HOST, edge.port)) as connection:
            work = asyncio.gather(
                asyncio.to_thread(_accept, server, upstream, done), asyncio.to_thread(client, connection)
            )
            while not work.done():
                most = max(most, envoy.memory_info().rss)
                await asyncio.sleep(0.05)
            await work
    await edge.proxy.update(edge.routes)
    return most - before


def _accept(server: socket.socket, upstream: Callable[[socket.socket, bytes], None], done: threading.Event) -> None:
    server.settimeout(PATIENCE)
    connection, _ = server.accept()
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        upstream(connection, head.partition(b"\r\n\r\n")[2])
    done.set()


def _read(connection: socket.socket, most: int) -> int:
    room, total = bytearray(len(CHUNK)), 0
    while total < most and (count := connection.recv_into(room, min(len(room), most - total))):
        total += count
    return total


def _timer(remote: str) -> str | None:
    """Return the kind of timer that the kernel runs for the connection from `remote`; 02 is keep-alive."""
    return next((fields[5][:2] for fields in _connections() if fields[2] == remote), None)


def _connections() -> Iterator[list[str]]:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        yield line.split()
