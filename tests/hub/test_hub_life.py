"""A whole hub, as an operator starts, stops and kills it: real processes, real Envoy, real ports."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from pathlib import Path

import httpx

from nbhub import PROTOCOL_VERSION
from servers.hub import PATIENCE, HubProcess, running_hub, until
from servers.machine import leaders_of, processes_of


async def ask_start(api: httpx.AsyncClient, user: str) -> None:
    """Have a user with a running server."""
    await api.post(f"/users/{user}")
    answer = await api.post(f"/users/{user}/server", json={})
    assert answer.status_code == 201, answer.text


async def who_answers(hub: HubProcess, user: str) -> int:
    """Return the pid of the server that answers at the user's public address; 0 if none does."""
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        answer = await client.get(f"{hub.url}/user/{user}/api")
    return int(answer.text.split()[0]) if answer.status_code == 200 else 0


async def test_a_life_from_start_to_sigterm(folder: Path, small_servers: str) -> None:
    hub = HubProcess(folder / "one", small_servers)
    await hub.start()
    api = hub.client(await hub.token())
    assert (await api.get("/")).json() == {"version": PROTOCOL_VERSION}
    await ask_start(api, "alice")
    await ask_start(api, "bob")
    server = leaders_of(folder)["alice"][0]
    assert await who_answers(hub, "alice") == server.pid

    # Others that want what this one has are refused, and disturb nothing.
    second = HubProcess(folder / "two", small_servers, data_dir=hub.data_dir)
    refused = await asyncio.to_thread(second.refused)
    assert refused.status == 2
    assert refused.reason.startswith(
        f"Another hub (process {hub.pid}) uses the database {hub.data_dir}/nbhub.sqlite. Stop"
    )
    second = HubProcess(folder / "three", small_servers)
    second.port = hub.port
    refused = await asyncio.to_thread(second.refused)
    assert refused.status == 2
    assert refused.reason.startswith(f"The public address 127.0.0.1:{hub.port} is in use by another program. Stop")
    second.hub_port = hub.hub_port
    refused = await asyncio.to_thread(second.refused)
    assert refused.status == 2
    assert refused.reason.startswith(f"Another program listens on 127.0.0.1:{hub.hub_port}. Stop it, or choose another")
    assert not processes_of(folder / "three")
    assert await who_answers(hub, "alice") == server.pid

    await api.aclose()
    assert await hub.stop() == 0
    words = hub.text()
    assert f"nbhub is at {hub.url}/" in words
    assert "Stopping 2 servers" in words
    assert words.rstrip().endswith("Stopped.")
    assert "Traceback" not in words and "ERROR" not in words
    assert not processes_of(folder)


async def test_a_hub_elsewhere_that_is_ending_is_waited_for(folder: Path, small_servers: str) -> None:
    """As when the pod of a hub is deleted by force: the next one comes while the old one has not ended yet."""
    hub = HubProcess(folder, small_servers)
    hub.data_dir.mkdir(mode=0o700)
    with (hub.data_dir / "nbhub.sqlite.lock").open("w") as lock:
        lock.write("1 hub-of-before\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        hub.spawn()
        await until(lambda: "Another hub (process 1 on hub-of-before) uses" in hub.text(), "the hub says so")
        assert hub.alive
    await hub.until_answering()
    assert await hub.stop() == 0


async def test_servers_left_running_and_a_second_ctrl_c(folder: Path, small_servers: str) -> None:
    hub = HubProcess(folder / "hub", small_servers)
    await hub.start("--no-cleanup")
    api = hub.client(await hub.token())
    await ask_start(api, "alice")
    before = (await api.get("/users/alice")).json()["servers"][""]
    server = leaders_of(folder)["alice"][0]
    assert await hub.stop() == 0
    assert [process.pid for process in processes_of(folder)] == [server.pid]

    await hub.start()
    after = (await api.get("/users/alice")).json()["servers"][""]
    assert after["ready"] and after["started"] == before["started"]
    await until(lambda: _is(who_answers(hub, "alice"), server.pid), "the server that ran on is reachable again")

    os.kill(server.pid, signal.SIGSTOP)  # hears neither SIGINT nor SIGTERM
    hub.send(signal.SIGINT)
    await until(lambda: "Stopping 1 server" in hub.text(), "the hub says what it is waiting for")
    hub.send(signal.SIGINT)
    assert await hub.ended() == 130
    assert "Leaving at once" in hub.text()

    # The next hub takes up what that one left: the server is stopped all the same.
    await hub.start()
    await until(lambda: not leaders_of(folder), "the server is stopped")
    await until(lambda: _stopped(api, "alice"), "the stop is on record")
    await api.aclose()
    assert await hub.stop() == 0


async def test_who_waits_for_a_start_hears_that_it_goes_on_when_the_hub_stops(folder: Path) -> None:
    slow = "c.Hub.spawner_class = 'fake'\nc.FakeSpawner.delay = 300\nc.Hub.slow_spawn_timeout = 300\n"
    hub = HubProcess(folder, slow + "c.Hub.authenticator_class = 'dummy'\nc.Hub.cleanup_servers = False\n")
    await hub.start()
    async with hub.client(await hub.token()) as api:
        await api.post("/users/alice")
        waiting = asyncio.create_task(api.post("/users/alice/server", json={}))

        async def is_pending() -> bool:
            return bool((await api.get("/users/alice")).json()["pending"] == "spawn")

        await until(is_pending, "the start is under way")
        hub.send(signal.SIGTERM)
        answer = await waiting
    assert answer.status_code == 202, answer.text
    assert await hub.ended() == 0


async def test_a_hub_that_stops_its_servers_has_it_noted(folder: Path) -> None:
    settings = (
        "from nbhub.spawners.fake import FakeSpawner\n\n"
        "class Telling(FakeSpawner):\n"
        "    def note(self, handle, note):\n"
        "        print(f'noted: {handle.object_name} {note.word}: {note.sentence}', flush=True)\n\n"
        "c.Hub.spawner_class = Telling\nc.Hub.authenticator_class = 'dummy'\n"
    )
    async with running_hub(folder, settings) as hub, hub.client(await hub.token()) as api:
        for user in ("alice", "bob"):
            await ask_start(api, user)
        await api.delete("/users/bob/server")
        await until(lambda: _stopped(api, "bob"), "bob's server has stopped")
    assert [line for line in hub.text().splitlines() if line.startswith("noted:") and "Stopped" in line] == [
        "noted: bob Stopped: Stopped by admin",
        "noted: alice Stopped: Stopped with the hub",
    ]


async def test_hub_and_envoy_are_killed(folder: Path, small_servers: str) -> None:
    hub = HubProcess(folder / "hub", small_servers)
    await hub.start()
    api = hub.client(await hub.token())
    await ask_start(api, "alice")
    server, envoy = leaders_of(folder)["alice"][0], hub.envoy_pid

    # Envoy dies: it is started again, and still knows the way.
    os.kill(envoy, signal.SIGKILL)
    await until(lambda: hub.envoy_pid != envoy, "Envoy is started again")
    await until(lambda: _quietly(hub, "alice", server.pid), "the server is reachable through the new Envoy")
    envoy = hub.envoy_pid

    # The hub dies: servers stay reachable, and who wants the hub is told so in words.
    hub.kill()
    assert await who_answers(hub, "alice") == server.pid
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        away = await client.get(f"{hub.url}/hub/home")
    assert away.status_code == 503 and "hub" in away.text.lower()

    await hub.start()
    assert hub.envoy_pid == envoy, "the living Envoy is adopted"
    assert await who_answers(hub, "alice") == server.pid
    assert (await api.get("/users/alice")).json()["servers"][""]["ready"]

    # Both die: the next hub brings both back.
    hub.kill()
    os.kill(envoy, signal.SIGKILL)
    await hub.start()
    assert hub.envoy_pid != envoy
    await until(lambda: _quietly(hub, "alice", server.pid), "the server is reachable again")

    # Where no server runs, programs get JSON and people get a page.
    assert (await api.delete("/users/alice/server")).status_code == 204
    async with httpx.AsyncClient(headers=api.headers, follow_redirects=True, timeout=PATIENCE) as client:
        answer = await client.get(f"{hub.url}/user/alice/api/contents")
        assert answer.status_code == 424
        assert "no longer running" in answer.json()["message"]
    await api.aclose()
    assert await hub.stop() == 0


async def test_a_server_that_dies_is_noticed_at_once(folder: Path, small_servers: str) -> None:
    settings = small_servers + "c.Spawner.poll_interval = 3600\n"  # nobody would look so soon
    async with running_hub(folder / "hub", settings) as hub, hub.client(await hub.token()) as api:
        await ask_start(api, "alice")
        assert leaders_of(folder)["alice"][0].kill()
        await until(lambda: _stopped(api, "alice"), "the death is noticed")
        await ask_start(api, "alice")
        assert await who_answers(hub, "alice") == leaders_of(folder)["alice"][0].pid


async def _is(asked: object, wanted: int) -> bool:
    return await asked == wanted  # type: ignore[misc]


async def _quietly(hub: HubProcess, user: str, wanted: int) -> bool:
    try:
        return await who_answers(hub, user) == wanted
    except httpx.TransportError:
        return False


async def _stopped(api: httpx.AsyncClient, user: str) -> bool:
    return (await api.get(f"/users/{user}")).json()["servers"] == {}
