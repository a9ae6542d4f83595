"""What people and programs meet when a server or the hub does not answer, and how its route goes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from nbhub.core.model import Route
from proxy.conftest import Edge
from proxy.edges import HOST, Upstream, get, make_proxy, started
from servers.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="session")

BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


async def test_browsers_get_a_page_that_comes_back(edge: Edge) -> None:
    answer = await edge.get("/user/carol/lab?<script>", BROWSER)
    assert answer.status == 503
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["refresh"] == answer.headers["retry-after"] == "3"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = answer.body.decode()
    assert "This server does not answer" in page
    assert 'href="/hub/home"' in page
    assert "script" not in page
    assert HOST not in page


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/user/carol/api/contents", "Accept: */*"),
        ("/user/carol/api", BROWSER),
        ("/user/carol/lab", "Accept: application/json"),
        ("/user/carol/lab", "Accept: application/json, text/plain"),
    ],
)
async def test_programs_get_json(edge: Edge, path: str, header: str) -> None:
    answer = await edge.get(path, header, "Content-Length: 0", method="POST")
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/json"
    assert "does not answer" in json.loads(answer.body)["message"]
    assert "refresh" not in answer.headers


async def test_api_in_the_query_is_not_an_api(edge: Edge) -> None:
    answer = await edge.get("/user/carol/lab?x=/api/", BROWSER)
    assert answer.headers["content-type"].startswith("text/html")


async def test_websockets_are_refused_at_once(edge: Edge) -> None:
    headers = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA=="]
    answer = await edge.get("/user/carol/api/kernels/1/channels", *headers)
    assert answer.status == 503


async def test_statuses_of_servers_are_their_own(tmp_path: Path) -> None:
    async def failing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmine")
        writer.close()

    server = await asyncio.start_server(failing, HOST, 0)
    async with server, Upstream("hub").serving() as hub:
        proxy = make_proxy(tmp_path, hub)
        async with started(proxy) as port:
            await proxy.update([Route("/user/a/", f"http://{HOST}:{server.sockets[0].getsockname()[1]}")])
            answer = await get(port, "/user/a/x", BROWSER)
            assert (answer.status, answer.body) == (503, b"mine")


async def test_while_the_hub_is_away_servers_answer_and_the_hub_is_excused(tmp_path: Path) -> None:
    hub, alice = Upstream("hub"), Upstream("alice")
    hub.port = free_port()
    proxy = make_proxy(tmp_path, hub, base_url="/jupyter/")
    async with alice.serving(), started(proxy) as port:
        await proxy.update([alice.route("/jupyter/user/alice/")])
        assert (await get(port, "/jupyter/user/alice/x")).who == "alice"
        page = await get(port, "/jupyter/hub/home", BROWSER)
        assert (page.status, page.headers["refresh"]) == (503, "3")
        assert b"The hub does not answer" in page.body
        program = await get(port, "/jupyter/hub/api/user")
        assert "hub does not answer" in json.loads(program.body)["message"]
        async with hub.serving():
            assert (await get(port, "/jupyter/hub/home")).who == "hub"


async def test_a_hub_that_is_just_restarted_is_waited_for(tmp_path: Path) -> None:
    hub = Upstream("hub")
    hub.port = free_port()
    async with started(make_proxy(tmp_path, hub)) as port:
        asking = asyncio.create_task(get(port, "/hub/api", "Content-Length: 0", method="POST"))
        await asyncio.sleep(0.05)
        async with hub.serving():
            assert (await asking).who == "hub"
        assert hub.requests == 1


async def test_a_server_that_closed_an_idle_connection_gets_the_request_on_a_new_one(tmp_path: Path) -> None:
    """A restarted hub on the same port must not cost the next request its answer."""
    hub = Upstream("hub")
    hub.port = free_port()
    async with hub.serving():
        proxy = make_proxy(tmp_path, hub)
        await proxy.start()
        assert (await get(proxy.port, "/hub/")).who == "hub"
    try:
        async with hub.serving():
            for _ in range(5):
                assert (await get(proxy.port, "/hub/")).who == "hub"
    finally:
        await proxy.stop()
