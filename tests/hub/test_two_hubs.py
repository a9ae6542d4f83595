"""Two hubs on one PostgreSQL and one machine, each with an Envoy of its own, side by side from the start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from hub.chaos import ProcessGround
from servers import postgresql
from servers.hub import PATIENCE, HubProcess, until
from servers.machine import leaders_of

pytestmark = pytest.mark.timeout(600)
# What a hub hears of it does at once; without hearing it would look in an hour, so that no test could wait for it.
HEARS = "c.Proxy.reread_interval = 3600\n"
STARTS = 30
AWAY = 60 if os.environ.get("NBHUB_LONG") else 6  # seconds without a database


@contextlib.asynccontextmanager
async def pair_of_hubs(folder: Path, settings: str, url: str) -> AsyncIterator[tuple[HubProcess, HubProcess]]:
    """Two hubs that share database, secret and servers' folder; stopped in order, with their servers."""
    one, two = (HubProcess(folder / name, settings, data_dir=folder / "data", db_url=url) for name in ("one", "two"))
    await asyncio.gather(one.start(), two.start())  # an empty database and an empty folder, for both at once
    try:
        yield one, two
        await _stop_servers(two)
        assert not leaders_of(folder)
    finally:
        statuses = [await hub.stop() for hub in (one, two)]
    assert statuses == [0, 0]
    for hub in (one, two):
        assert "Traceback" not in hub.text(), hub.text()


async def test_side_by_side(folder: Path, small_servers: str, journal: Path, postgresql_url: str) -> None:
    async with pair_of_hubs(folder, small_servers + HEARS, postgresql_url) as (one, two):
        token = await one.token()
        async with one.client(token) as first, two.client(token) as second:
            await _sees_what_the_other_does(first, second, one, two)
            await _refuses_what_the_other_revoked(first, second, one, two)
            await _finishes_what_the_other_began(first, second, one, two)
        assert ProcessGround(folder, journal).double_starts() == []


async def _sees_what_the_other_does(
    first: httpx.AsyncClient, second: httpx.AsyncClient, one: HubProcess, two: HubProcess
) -> None:
    assert (await first.post("/users/alice")).status_code == 201
    assert (await first.post("/users/alice/server")).status_code == 201
    assert (await second.get("/users/alice")).json()["servers"][""]["ready"]
    for hub in (one, two):
        await until(lambda hub=hub: _reaches(hub, "alice"), "reachable through both")
    assert (await second.delete("/users/alice/server")).status_code == 204
    assert (await first.get("/users/alice")).json()["servers"] == {}
    for hub in (one, two):
        await until(lambda hub=hub: _lost(hub, "alice"), "gone through both")
    # Both ask for the same at the same moment: one server comes of it.
    answers = await asyncio.gather(*(api.post("/users/alice/server") for api in (first, second) for _ in range(3)))
    assert {answer.status_code for answer in answers} <= {201, 202, 400}, [answer.text for answer in answers]
    assert len(leaders_of(one.folder.parent)["alice"]) == 1


async def _refuses_what_the_other_revoked(
    first: httpx.AsyncClient, second: httpx.AsyncClient, one: HubProcess, two: HubProcess
) -> None:
    made = (await first.post("/users/admin/tokens", json={"note": "to be revoked"})).json()
    async with two.client(made["token"]) as bearer:
        for _ in range(3):
            assert (await bearer.get("/user")).status_code == 200
        assert (await first.delete(f"/users/admin/tokens/{made['id']}")).status_code == 204
        await until(lambda: _is_refused(bearer), "the revoked token is refused")
    assert (await second.get("/user")).status_code == 200


async def _finishes_what_the_other_began(
    first: httpx.AsyncClient, second: httpx.AsyncClient, one: HubProcess, two: HubProcess
) -> None:
    names = [f"user{number}" for number in range(STARTS)]
    assert (await first.post("/users", json={"usernames": names})).status_code == 201
    folder = one.folder.parent
    starts = [asyncio.create_task(_ask(first, name)) for name in names]
    await until(lambda: len(leaders_of(folder)) > STARTS // 6, "the starts are under way")
    one.kill()
    killed = time.monotonic()
    asked = dict(zip(names, await asyncio.gather(*starts), strict=True))
    for name, heard in asked.items():
        if not heard:  # the answer died with the hub: ask the other one
            assert (await second.post(f"/users/{name}/server")).status_code in (201, 202, 400)
    await until(lambda: _ready(second, names), "the other hub finishes all starts")
    took = time.monotonic() - killed
    print(f"{STARTS} starts, {sum(asked.values())} answered before the kill, all ready {took:.1f} s after it")
    assert {name: len(leaders_of(folder).get(name, ())) for name in names} == dict.fromkeys(names, 1)
    for name in names:
        await until(lambda name=name: _reaches(two, name), "reachable through the living hub's Envoy")
    await one.start()
    for name in names:
        await until(lambda name=name: _reaches(one, name), "reachable through the restarted one as well")
    async with one.client(first.headers["authorization"].split()[1]) as again:
        assert await _ready(again, names)


@pytest.fixture
def own_postgresql() -> Iterator[postgresql.PostgresqlServer]:
    """A PostgreSQL server of the test's own, which it may stop."""
    if not postgresql.available():
        pytest.skip("PostgreSQL is not installed")
    server = postgresql.PostgresqlServer()
    server.start()
    server.query("CREATE DATABASE nbhub")
    yield server
    server.remove()


async def test_the_database_goes_away_and_comes_back(
    folder: Path, small_servers: str, own_postgresql: postgresql.PostgresqlServer
) -> None:
    async with pair_of_hubs(folder, small_servers, own_postgresql.url("nbhub")) as (one, two):
        token = await one.token()
        async with one.client(token) as first, two.client(token) as second:
            for user in ("alice", "bob"):
                await first.post(f"/users/{user}")
            assert (await first.post("/users/alice/server")).status_code == 201
            (alice,) = leaders_of(folder)["alice"]
            for hub in (one, two):
                await until(lambda hub=hub: _reaches(hub, "alice"), "reachable through both")

            await asyncio.to_thread(own_postgresql.stop)
            for hub, api in ((one, first), (two, second)):
                refused = await until(lambda api=api: _unavailable(api), "the hub says that the database is away")
                assert "database" in refused.lower() and "Servers keep running" in refused
                assert await _reaches(hub, "alice")
                await _pages_say_so(hub)
            # Long enough for looks at running servers, renewals of leases and the sweep to fail.
            until_then = time.monotonic() + AWAY
            while time.monotonic() < until_then:
                assert await _reaches(one, "alice") and await _reaches(two, "alice")
                await asyncio.sleep(0.5)
            assert one.alive and two.alive

            await asyncio.to_thread(own_postgresql.start)
            for api in (first, second):
                await until(lambda api=api: _works(api), "the hub works again")
            assert (await second.post("/users/bob/server")).status_code == 201
            assert [leader.pid for leader in leaders_of(folder)["alice"]] == [alice.pid]
            for hub in (one, two):
                for user in ("alice", "bob"):
                    await until(lambda hub=hub, user=user: _reaches(hub, user), "reachable through both again")
            # Hubs hear each other again.
            assert (await first.delete("/users/bob/server")).status_code == 204
            await until(lambda: _lost(two, "bob"), "the other hub heard of the stop")


async def _stop_servers(hub: HubProcess) -> None:
    async with hub.client(await hub.token()) as api:
        users = [user["name"] for user in (await api.get("/users", params={"state": "active", "limit": 200})).json()]
        await asyncio.gather(*(api.delete(f"/users/{user}/server") for user in users))
        await until(lambda: _none_active(api), "all servers are stopped")


async def _none_active(api: httpx.AsyncClient) -> bool:
    return (await api.get("/users", params={"state": "active"})).json() == []


async def _ask(api: httpx.AsyncClient, user: str) -> bool:
    try:
        return (await api.post(f"/users/{user}/server")).status_code in (201, 202)
    except httpx.TransportError:
        return False


async def _reaches(hub: HubProcess, user: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            answer = await client.get(f"{hub.url}/user/{user}/api")
            return answer.status_code == 200 and f"/user/{user}/" in answer.text
    return False


async def _lost(hub: HubProcess, user: str) -> bool:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        return (await client.get(f"{hub.url}/user/{user}/api")).status_code == 302


async def _is_refused(api: httpx.AsyncClient) -> bool:
    return (await api.get("/user")).status_code == 403


async def _ready(api: httpx.AsyncClient, names: list[str]) -> bool:
    shown = (await api.get("/users", params={"state": "ready", "limit": 200})).json()
    return {user["name"] for user in shown} >= set(names)


async def _pages_say_so(hub: HubProcess) -> None:
    """A page, and the address of a server that does not run, tell that the database is away, and when to ask again."""
    cookies = {"jupyterhub-hub-login": "whoever it is"}
    async with httpx.AsyncClient(timeout=60, follow_redirects=True, cookies=cookies) as browser:
        for path in ("/hub/home", "/user/bob/lab"):
            answer = await browser.get(f"{hub.url}{path}", headers={"Accept": "text/html"})
            assert answer.status_code == 503, (path, answer.status_code)
            assert answer.headers["content-type"].startswith("text/html") and answer.headers["retry-after"] == "5"
            assert "database is out of reach" in answer.text


async def _unavailable(api: httpx.AsyncClient) -> str:
    answer = await api.get("/users/bob")
    return str(answer.json()["message"]) if answer.status_code == 503 else ""


async def _works(api: httpx.AsyncClient) -> bool:
    return (await api.get("/users/bob")).status_code == 200
