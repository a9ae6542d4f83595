"""The front desk behind a real HTTP server: pipelining, big bodies, streams, closing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from nbhub import serve


@pytest.fixture
async def origin(hub: Any) -> AsyncIterator[str]:
    """The address of the hub, served over a socket."""
    listener = serve.listen("127.0.0.1", 0, "port")
    web = serve.WebServer(hub.app)
    task = asyncio.create_task(web.run_on(listener))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    hub.app.close()
    web.should_exit = True
    await asyncio.wait_for(task, 100)
    listener.close()


async def talk(origin: str, *requests: bytes) -> bytes:
    """Send requests one behind the other on one connection; return all that comes back."""
    host, port = origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"".join(requests))
    answer = await asyncio.wait_for(reader.read(), 100)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


async def test_pipelined_requests_are_answered_in_order(hub: Any, origin: str) -> None:
    token = await hub.token("alice")
    head = f"Host: x\r\nAuthorization: token {token}\r\n"
    requests = [f"GET /hub/api/{path} HTTP/1.1\r\n{head}\r\n".encode() for path in ("", "user", "nothing")]
    last = f"GET /hub/health HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode()
    answer = await talk(origin, *requests, last)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"200", b"200", b"404", b"200"]
    assert answer.index(b'{"version"') < answer.index(b'"name":"alice"') < answer.index(b'{"status":404')


@pytest.mark.parametrize("path", ["/hub/api/users/a%2Fb", "/hub/api/users/..%2f..", "/hub/api/users/%ff"])
async def test_escapes_reach_us_as_they_were_sent(hub: Any, origin: str, path: str) -> None:
    token = await hub.token("root")
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: token {token}\r\nConnection: close\r\n\r\n"
    answer = await talk(origin, request.encode())
    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_big_bodies_are_refused_without_being_read(hub: Any, origin: str) -> None:
    token = await hub.token("root")
    async with httpx.AsyncClient(base_url=origin, headers={"Authorization": f"token {token}"}, timeout=100) as client:
        answer = await client.post("/hub/api/users", content=b"x" * 5_000_000)
        assert answer.status_code == 413
        assert answer.headers["x-jupyterhub-version"]
        assert (await client.get("/hub/api/user")).status_code == 200


async def test_long_answers_arrive_whole(hub: Any, origin: str) -> None:
    token = await hub.token("root")
    async with httpx.AsyncClient(base_url=origin, headers={"Authorization": f"token {token}"}, timeout=100) as client:
        names = [f"user-{'x' * 200}-{number}" for number in range(199)]
        assert (await client.post("/hub/api/users", json={"usernames": names})).status_code == 201
        answer = await client.get("/hub/api/users")
        assert len(answer.content) > 65_536
        assert len(answer.json()) == 200


async def test_events_arrive_as_they_happen(hub: Any, origin: str) -> None:
    token = await hub.token("alice")
    async with httpx.AsyncClient(base_url=origin, headers={"Authorization": f"token {token}"}, timeout=100) as client:
        starting = asyncio.create_task(client.post("/hub/api/users/alice/server", json={"delay": 0.6}))

        async def known() -> bool:
            return bool((await client.get("/hub/api/users/alice")).json()["servers"])

        await hub.until(known)
        async with client.stream("GET", "/hub/api/users/alice/server/progress") as answer:
            lines = answer.aiter_lines()
            arrived = [(starting.done(), json.loads(line[6:])) async for line in lines if line.startswith("data: ")]
        assert arrived[0][0] is False, "it is told while it goes on"
        assert arrived[-1][1]["ready"] is True
        assert (await starting).status_code == 201


async def test_a_browser_that_leaves_a_stream_leaves_nothing_behind(hub: Any, origin: str) -> None:
    token = await hub.token("alice")
    async with httpx.AsyncClient(base_url=origin, headers={"Authorization": f"token {token}"}, timeout=100) as client:
        starting = asyncio.create_task(client.post("/hub/api/users/alice/server", json={"delay": 100}))

        async def known() -> bool:
            return bool((await client.get("/hub/api/users/alice")).json()["servers"])

        await hub.until(known)
        before = {task for task in asyncio.all_tasks() if "run_asgi" in repr(task)}
        async with client.stream("GET", "/hub/api/users/alice/server/progress") as answer:
            await anext(answer.aiter_bytes())
        await hub.until(lambda: {task for task in asyncio.all_tasks() if "run_asgi" in repr(task)} <= before)
        assert (await client.delete("/hub/api/users/alice/server")).status_code == 204
        assert (await starting).status_code == 400
