"""Proxies apart from their hubs: real processes, which are restarted and killed while people work."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import httpx
import pytest

from servers.apart import Balancer, LoneHub, ProxyProcess
from servers.hub import PATIENCE, PATIENT, until
from servers.machine import leaders_of
from servers.ports import free_port

pytestmark = pytest.mark.timeout(600)
ECHO = Path(__file__).parents[1] / "servers" / "echo_server.py"


@pytest.fixture
def echo_servers() -> str:
    """Settings for real processes that speak websocket; anybody may log in."""
    return (
        f"{PATIENT}"
        "c.Hub.authenticator_class = 'dummy'\n"
        "c.Hub.spawner_class = 'simple'\n"
        f"c.Spawner.cmd = {[sys.executable, str(ECHO)]!r}\n"
        "c.Spawner.poll_interval = 2\n"
    )


@contextlib.asynccontextmanager
async def a_hub(folder: Path, settings: str, **options: object) -> AsyncIterator[LoneHub]:
    """A hub that at its end is started again if need be, ends its servers and stops."""
    hub = LoneHub(folder, settings, **options)  # type: ignore[arg-type]
    await hub.start()
    try:
        yield hub
    finally:
        if not hub.alive:
            await hub.start()
        async with hub.client(await hub.token()) as api:
            active = (await api.get("/users", params={"state": "active"})).json()
            await asyncio.gather(*(api.delete(f"/users/{user['name']}/server") for user in active))
        assert await hub.stop() == 0
    assert "Traceback" not in hub.text(), hub.text()


@contextlib.asynccontextmanager
async def a_proxy(folder: Path, hub_url: str, token_file: Path) -> AsyncIterator[ProxyProcess]:
    proxy = ProxyProcess(folder, hub_url, token_file)
    await proxy.start()
    try:
        yield proxy
    finally:
        if proxy.child is not None and proxy.child.poll() is None:
            assert await proxy.stop() == 0
    assert "Traceback" not in proxy.text(), proxy.text()


@contextlib.asynccontextmanager
async def in_use(proxy: ProxyProcess, user: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A websocket to a user's server, as a kernel's is."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{proxy.url}/user/{user}/channels") as channel:
        yield channel


async def says(channel: aiohttp.ClientWebSocketResponse, word: str) -> int:
    """Send a word, and return the pid of the server that gave it back."""
    await channel.send_str(word)
    pid, given = (await channel.receive_str(timeout=30)).split()
    assert given == word
    return int(pid)


async def start(api: httpx.AsyncClient, user: str) -> None:
    await api.post(f"/users/{user}")
    answer = await api.post(f"/users/{user}/server", json={})
    assert answer.status_code == 201, answer.text


async def reached(proxy: ProxyProcess, user: str) -> bool:
    """Say whether the user's server answers through this proxy."""
    with contextlib.suppress(httpx.TransportError):
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            answer = await client.get(f"{proxy.url}/user/{user}/api")
            return answer.status_code == 200 and answer.text.endswith(f"/user/{user}/")
    return False


def times_followed(proxy: ProxyProcess) -> int:
    """How often the proxy found a hub to follow."""
    return proxy.text().count("is followed")


async def test_work_goes_on_while_hub_and_follower_come_and_go(folder: Path, echo_servers: str) -> None:
    async with a_hub(folder / "hub", echo_servers) as hub:
        # By name, as a Service is: Envoy looks it up.
        url = f"http://localhost:{hub.hub_port}"
        async with a_proxy(folder / "proxy", url, hub.token_file) as proxy, hub.client(await hub.token()) as api:
            await start(api, "alice")
            assert await reached(proxy, "alice"), "what is said to be ready is reachable, apart as well"
            pid = leaders_of(folder)["alice"][0].pid
            async with in_use(proxy, "alice") as channel:
                assert await says(channel, "before") == pid
                assert await hub.stop() == 0
                assert await says(channel, "stopped") == pid
                assert await reached(proxy, "alice")
                await hub.start()
                assert await says(channel, "restarted") == pid
                hub.kill()
                assert await says(channel, "killed") == pid
                async with httpx.AsyncClient(timeout=PATIENCE) as client:
                    away = await client.get(f"{proxy.url}/hub/home")
                assert away.status_code == 503 and "hub" in away.text.lower()
                before = times_followed(proxy)
                await hub.start()
                await until(lambda: times_followed(proxy) > before, "the proxy follows the hub again")
                await start(api, "bob")
                assert await reached(proxy, "bob")

                envoy = proxy.envoy_pid
                proxy.kill()
                assert await says(channel, "alone") == pid
                await start(api, "carol")
                await proxy.start()
                assert proxy.envoy_pid == envoy, "the living Envoy is adopted"
                assert await says(channel, "adopted") == pid
                await until(lambda: reached(proxy, "carol"), "what came meanwhile is reachable")
                assert await reached(proxy, "bob")


async def test_routes_on_disk_serve_while_no_hub_answers(folder: Path, echo_servers: str) -> None:
    async with (
        a_hub(folder / "hub", echo_servers) as hub,
        a_proxy(folder / "proxy", hub.url, hub.token_file) as proxy,
        hub.client(await hub.token()) as api,
    ):
        await start(api, "alice")
        assert await reached(proxy, "alice")
        assert await proxy.stop() == 0
        assert "Stopped." in proxy.text()
        hub.kill()
        await proxy.start()
        assert "the 1 routes that were known last" in proxy.text()
        assert await reached(proxy, "alice")
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            metrics = (await client.get(f"{proxy.health}/metrics")).text
            assert "nbhub_proxy_routes 1.0" in metrics
            assert (await client.get(f"{proxy.health}/health")).status_code == 200
            assert (await client.get(f"{proxy.health}/etc/passwd")).status_code == 404
        await hub.start()
        assert (await api.delete("/users/alice/server")).status_code == 204
        await until(lambda: _withdrawn(proxy, "alice"), "the route of a server that is gone is withdrawn")


async def test_a_server_that_dies_is_noticed_through_a_proxy_apart(folder: Path, echo_servers: str) -> None:
    settings = echo_servers + "c.Spawner.poll_interval = 3600\n"
    async with (
        a_hub(folder / "hub", settings) as hub,
        a_proxy(folder / "proxy", hub.url, hub.token_file) as proxy,
        hub.client(await hub.token()) as api,
    ):
        await start(api, "alice")
        hub.kill()
        assert leaders_of(folder)["alice"][0].kill()
        before = times_followed(proxy)
        await hub.start()  # it has not seen the death, and looks in an hour unless it is told
        await until(lambda: times_followed(proxy) > before, "the proxy follows the hub again")
        assert not await reached(proxy, "alice")
        await until(lambda: _gone(api, "alice"), "the hub was told to look")


async def test_two_hubs_and_two_proxies(folder: Path, echo_servers: str, postgresql_url: str) -> None:
    shared = {"data_dir": folder / "data", "db_url": postgresql_url}
    settings = echo_servers + f"c.Hub.proxy_token_file = {str(folder / 'token')!r}\n"
    (folder / "token").write_text("0123456789abcdef" * 4 + "\n")
    (folder / "token").chmod(0o600)
    async with (
        a_hub(folder / "two", settings, **shared) as two,
        a_hub(folder / "one", settings, **shared) as one,
        Balancer([one.hub_port, two.hub_port]).serving() as url,
        a_proxy(folder / "p1", url, folder / "token") as first,
        a_proxy(folder / "p2", two.url, folder / "token") as second,
    ):
        token = await one.token()
        async with one.client(token) as api:
            await start(api, "alice")
        assert await reached(first, "alice"), "the hub that started it knows this proxy"
        await until(lambda: reached(second, "alice"), "reachable through the other hub's proxy")
        async with in_use(first, "alice") as channel:
            pid = await says(channel, "before")
            before = times_followed(first)
            one.kill()
            assert await says(channel, "killed") == pid
            async with httpx.AsyncClient(headers={"Authorization": f"token {token}"}, timeout=PATIENCE) as client:
                answer = await client.get(f"{first.url}/hub/api/users/alice")
                assert answer.status_code == 200, "the other hub answers behind the same address"
            await until(lambda: times_followed(first) > before, "the proxy follows the other hub")
            async with two.client(token) as api:
                await start(api, "bob")
            for proxy in (first, second):
                assert await reached(proxy, "bob")
            assert await says(channel, "after") == pid


async def test_the_doctor_says_whether_a_proxy_follows(folder: Path) -> None:
    async with a_hub(folder / "hub", "c.Hub.spawner_class = 'fake'\nc.Hub.authenticator_class = 'dummy'\n") as hub:
        alone = await asyncio.to_thread(seen_by_doctor, hub)
        assert (alone["state"], alone["said"].partition(":")[0]) == ("warning", "none follows this hub")
        async with a_proxy(folder / "proxy", f"http://localhost:{hub.hub_port}", hub.token_file):
            assert await asyncio.to_thread(seen_by_doctor, hub) == {
                "about": "proxies apart",
                "state": "ok",
                "said": "1 follows this hub",
                "remedy": "",
            }
        token = hub.token_file.read_text()
        hub.token_file.write_text(f"{'n' * 40}\n")
        assert "does not take the token" in (await asyncio.to_thread(seen_by_doctor, hub))["said"]
        hub.token_file.write_text(token)


def seen_by_doctor(hub: LoneHub) -> dict[str, str]:
    """Return what the doctor says of the proxies of a hub."""
    _, told = hub.call("doctor", "--json", "--quick", f"--Hub.hub_port={hub.hub_port}", f"--port={hub.port}")
    [finding] = [item for item in json.loads(told)["findings"] if item["about"] == "proxies apart"]
    return dict(finding)


@contextlib.asynccontextmanager
async def a_stranger() -> AsyncIterator[int]:
    """Something of the network that refuses whatever it is asked; the value is its port."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_what_cannot_work_is_said(folder: Path, echo_servers: str) -> None:
    async with a_hub(folder / "hub", echo_servers) as hub, a_stranger() as stranger:
        wrong = folder / "wrong"
        wrong.write_text("f" * 64)
        wrong.chmod(0o600)
        given = ProxyProcess(folder / "proxy", hub.url, wrong)

        async def refusal(*more: str) -> str:
            status, words = await asyncio.to_thread(given.refused, *more)
            assert status == 2, words
            return words

        assert "refuses the token of this proxy" in await refusal()
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            answer = await client.post(f"{hub.url}/hub/proxy/routes", headers={"Authorization": f"token {'f' * 64}"})
            assert answer.status_code == 403 and "token" in answer.json()["message"]
            assert (await client.post(f"{hub.url}/hub/proxy/routes")).status_code == 403
        given.token_file = folder / "missing"
        assert f"{folder / 'missing'} cannot be read" in await refusal()
        given.token_file = hub.token_file
        assert "is not of the form http://host:port" in await refusal("--hub-url=ftp://hub")
        assert "is not of the form ADDRESS:PORT" in await refusal("--health=here")
        assert "cannot be listened on" in await refusal(f"--health=127.0.0.1:{hub.hub_port}")
        assert f"127.0.0.1:{hub.hub_port} is in use by another program" in await refusal(f"--port={hub.hub_port}")
        (folder / "file").write_text("")
        assert "cannot be used" in await refusal(f"--folder={folder / 'file'}")

        # A hub that is set up differently, something else, or nothing: the proxy serves, says so and is not ready.
        for options, words in (
            (["--base-url=/other/"], "answers 404"),
            ([f"--hub-url=http://127.0.0.1:{stranger}"], "is no hub (status 403)"),
            ([f"--hub-url=http://127.0.0.1:{free_port()}"], "cannot be reached"),
        ):
            given.output.unlink(missing_ok=True)
            given.spawn(*options, f"--folder={folder / 'fresh'}")
            await until(lambda words=words: words in given.text() and "follows the hub" in given.text(), words)
            async with httpx.AsyncClient(timeout=PATIENCE) as client:
                answer = await client.get(f"{given.health}/ready")
                assert answer.status_code == 503 and "not heard of any routes" in answer.text
                assert (await client.get(f"{given.url}/user/x/api")).status_code in (302, 403, 404, 503)
            assert await given.stop() == 0


async def _withdrawn(proxy: ProxyProcess, user: str) -> bool:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        return (await client.get(f"{proxy.url}/user/{user}/api")).status_code == 302


async def _gone(api: httpx.AsyncClient, user: str) -> bool:
    return (await api.get(f"/users/{user}")).json()["servers"] == {}
