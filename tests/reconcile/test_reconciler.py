"""State in → the reconciler's work → state out, with a real store and the fake backend's faults."""

import time
from typing import Any

from nbhub.core import secrets
from nbhub.core.model import Phase, Server
from nbhub.spawners.fake import FakeSpawner
from nbhub.store import grants, servers
from reconcile_house import KEYS, House


async def test_start_leads_to_running_with_its_story_and_its_grants(house: House) -> None:
    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler()):
        found = await house.until_phase(server, Phase.RUNNING)
    assert found.url is not None and found.is_ready
    assert found.started and found.ready and found.ready >= found.started
    assert found.events[0].message == "Server requested"
    assert [event.progress for event in found.events] == sorted(event.progress for event in found.events)
    token = secrets.server_token(KEYS.tokens, server.id, server.generation)
    async with house.store.read() as tx:
        owner = await grants.find_token(tx, secrets.hash_token(token), time.time())
        client = await grants.get_client(tx, "jupyterhub-user-alice")
    assert owner is not None and owner.token.server_id == server.id
    assert client is not None and client.redirect_uri == "/user/alice/oauth_callback"
    assert house.backend.double_starts == 0


async def test_stop_takes_object_and_grants_away(house: House) -> None:
    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler()):
        await house.until_phase(server, Phase.RUNNING)
        await house.ask_stop(server)
        found = await house.until_phase(server, Phase.STOPPED)
    assert found.url is None and house.backend.live == 0
    async with house.store.read() as tx:
        token = secrets.server_token(KEYS.tokens, server.id, server.generation)
        assert await grants.find_token(tx, secrets.hash_token(token), time.time()) is None
        assert await grants.get_client(tx, "jupyterhub-user-alice") is None


async def test_failure_keeps_reason_and_log_tail_until_the_next_start(house: House) -> None:
    server = await house.ask_start(await house.server(), fault="fails", stage=1)
    async with house.running(house.reconciler()):
        found = await house.until_phase(server, Phase.FAILED)
        assert "failed on demand" in found.message and "RuntimeError" in found.log_tail
        again = await house.ask_start(server)
        assert again.message == "" and again.log_tail == ""
        found = await house.until_phase(server, Phase.RUNNING)
    assert found.message == ""


async def test_server_that_never_answers_fails_at_its_deadline_and_is_taken_away(house: House) -> None:
    server = await house.ask_start(await house.server(), fault="mute")
    async with house.running(house.reconciler(http_timeout=0.3)):
        found = await house.until_phase(server, Phase.FAILED)
    assert "did not answer" in found.message and house.backend.live == 0


async def test_start_that_hangs_fails_at_its_deadline(house: House) -> None:
    server = await house.ask_start(await house.server(), fault="slow", delay=60)
    async with house.running(house.reconciler(start_timeout=0.3)):
        found = await house.until_phase(server, Phase.FAILED)
    assert "could not be brought up" in found.message and house.backend.live == 0


async def test_a_hook_gives_one_start_a_time_of_its_own(house: House) -> None:
    def hook(spawner: Any) -> None:
        spawner.start_timeout = spawner.http_timeout = spawner.user_options["seconds"]

    slow = await house.ask_start(await house.server(), fault="slow", delay=60, seconds=0.3)
    mute = await house.ask_start(await house.server("bob"), fault="mute", seconds=0.3)
    fine = await house.ask_start(await house.server("carol"), fault="slow", delay=0.2, seconds=60)
    async with house.running(house.reconciler(pre_spawn_hook=hook, start_timeout=20, http_timeout=20)):
        assert "could not be brought up" in (await house.until_phase(slow, Phase.FAILED)).message
        assert "did not answer" in (await house.until_phase(mute, Phase.FAILED)).message
        await house.until_phase(fine, Phase.RUNNING)


async def test_dead_server_is_noticed_and_explained(house: House) -> None:
    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler()):
        await house.until_phase(server, Phase.RUNNING)
        house.backend.kill("alice", exit_code=-9)
        found = await house.until_phase(server, Phase.FAILED)
    assert "signal 9" in found.message


async def test_server_that_shuts_itself_down_is_stopped_not_failed(house: House) -> None:
    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler()):
        await house.until_phase(server, Phase.RUNNING)
        house.backend.kill("alice", exit_code=0)
        found = await house.until_phase(server, Phase.STOPPED)
    assert "shut itself down" in found.message


async def test_death_before_ready_is_a_failure(house: House) -> None:
    server = await house.ask_start(await house.server(), fault="dies", after=0.1, ready_after=30, exit_code=3)
    async with house.running(house.reconciler()):
        found = await house.until_phase(server, Phase.FAILED)
    assert "code 3" in found.message


async def test_stop_interrupts_a_slow_start_at_once(house: House) -> None:
    server = await house.ask_start(await house.server(), fault="slow", delay=60)
    async with house.running(house.reconciler()):
        await house.until(server, lambda row: row is not None and row.phase is Phase.STARTING and len(row.events) > 1)
        await house.ask_stop(server)
        await house.until_phase(server, Phase.STOPPED)
    assert house.backend.live == 0


async def test_start_asked_while_stopping_follows_the_stop(house: House) -> None:
    server = await house.ask_start(await house.server(), fault="stubborn")
    async with house.running(house.reconciler()):
        await house.until_phase(server, Phase.RUNNING)
        await house.ask_stop(server)
        await house.until(server, lambda row: row is not None and row.phase is Phase.STOPPING)
        asked = await house.ask_start(server)
        found = await house.until(server, lambda row: row is not None and row.is_ready)
    assert found is not None and found.start_generation == asked.generation
    assert house.backend.live == 1 and house.backend.double_starts == 0


async def test_removal_deletes_the_row(house: House) -> None:
    server = await house.ask_start(await house.server(name="gpu"))
    async with house.running(house.reconciler()):
        await house.until_phase(server, Phase.RUNNING)
        await house.ask_stop(server, remove=True)
        await house.until(server, lambda row: row is None)
    assert house.backend.live == 0


async def test_nothing_is_concluded_while_the_backend_is_away(house: House) -> None:
    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler()):
        await house.until_phase(server, Phase.RUNNING)
        house.backend.away = True
        before = await house.look(server)
        await house.until(
            server, lambda row: row is not None and before is not None and row.lease_token > before.lease_token + 2
        )
        found = await house.look(server)
        assert found is not None and found.phase is Phase.RUNNING
        house.backend.away = False
        await house.ask_stop(server)
        await house.until_phase(server, Phase.STOPPED)


async def test_a_start_waits_for_a_backend_that_is_away(house: House) -> None:
    house.backend.away = True
    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler()):
        await house.until(server, lambda row: row is not None and row.lease_token > 2)
        house.backend.away = False
        await house.until_phase(server, Phase.RUNNING)
    assert house.backend.double_starts == 0


async def test_cancelled_hub_hands_over_and_the_next_one_finishes(house: House) -> None:
    server = await house.ask_start(await house.server(), ready_after=0.6)
    async with house.running(house.reconciler("first")):
        await house.until(server, lambda row: row is not None and row.launched)
    async with house.running(house.reconciler("second")):
        await house.until_phase(server, Phase.RUNNING)
    assert house.backend.double_starts == 0 and house.backend.live == 1


async def test_a_start_that_is_repeated_under_a_new_secret_keeps_the_token_that_it_has(house: House) -> None:
    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler("first", delay=60.0)):
        await house.until(server, lambda row: row is not None and len(row.events) > 1)
    second = house.reconciler("second")
    second.steps.keys = secrets.Keys.from_secrets(b"new secret of it" * 2, b"reconciler tests" * 2)
    async with house.running(second):
        await house.until_phase(server, Phase.RUNNING)
        assert await _is_good(house, KEYS, server) and not await _is_good(house, second.steps.keys, server)
        again = await house.ask_start(server)
        await house.until_phase(server, Phase.RUNNING)
        assert await _is_good(house, second.steps.keys, again) and not await _is_good(house, KEYS, again)


async def _is_good(house: House, keys: secrets.Keys, server: Server) -> bool:
    """Whether the token of that start, under these keys, is accepted."""
    token = secrets.server_token(keys.tokens, server.id, server.generation)
    async with house.store.read() as tx:
        return await grants.find_token(tx, secrets.hash_token(token), time.time()) is not None


async def test_two_hubs_share_fifty_servers_without_doing_anything_twice(house: House) -> None:
    asked = [await house.ask_start(await house.server(f"user{number}")) for number in range(50)]
    async with house.running(house.reconciler("one"), house.reconciler("two")):
        for server in asked:
            await house.until_phase(server, Phase.RUNNING)
        assert house.backend.live == 50
        for server in asked:
            await house.ask_stop(server)
        for server in asked:
            await house.until_phase(server, Phase.STOPPED)
    assert house.backend.live == 0 and house.backend.double_starts == 0


async def test_expired_lease_is_taken_over_and_the_late_writer_changes_nothing(house: House) -> None:
    server = await house.ask_start(await house.server())
    async with house.store.write() as tx:
        dead = (await servers.claim(tx, holder="dead", now=time.time(), lease=0.05, limit=10))[0]
    async with house.running(house.reconciler("alive")):
        await house.until_phase(server, Phase.RUNNING)
    async with house.store.write() as tx:
        assert not await servers.record(tx, server.id, dead.lease_token, phase=Phase.FAILED)
    found = await house.look(server)
    assert found is not None and found.phase is Phase.RUNNING


async def test_programming_error_in_a_spawner_fails_the_start_in_words(house: House) -> None:
    class Broken(FakeSpawner):
        def start(self, launch: Any) -> Any:
            raise RuntimeError("a bug")

    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler(kind=Broken)):
        found = await house.until_phase(server, Phase.FAILED)
    assert "RuntimeError" in found.message and "a bug" not in found.message


async def test_programming_error_before_anything_runs_answers_the_ask(house: House) -> None:
    class Broken(FakeSpawner):
        def template(self) -> Any:
            raise RuntimeError("a bug")

    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler(kind=Broken)):
        found = await house.until_phase(server, Phase.FAILED)
    assert "RuntimeError" in found.message and found.due is None


async def test_server_that_answers_at_a_new_address_is_routed_there(house: House) -> None:
    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler()):
        before = await house.until_phase(server, Phase.RUNNING)
        house.backend.objects["alice"].url = "http://127.9.9.9:1234"
        found = await house.until(server, lambda row: row is not None and row.url != before.url)
    assert found is not None and found.url == "http://127.9.9.9:1234" and found.phase is Phase.RUNNING


async def test_server_whose_address_another_one_took_gets_it_back_once_that_is_gone(house: House) -> None:
    first, second = await house.server("alice"), await house.server("bob")
    async with house.running(house.reconciler()):
        await house.ask_start(first)
        address = (await house.until_phase(first, Phase.RUNNING)).url
        await house.ask_start(second)
        await house.until_phase(second, Phase.RUNNING)
        house.backend.objects["bob"].url = str(address)
        await house.until(second, lambda row: row is not None and row.url == address)
        lost = await house.until(first, lambda row: row is not None and row.url is None)
        assert lost is not None and lost.phase is Phase.RUNNING
        looked_at = lost.lease_token + 4
        lost = await house.until(first, lambda row: row is not None and row.lease_token > looked_at)
        assert lost is not None and lost.url is None, "while the other one is there, the address is not taken back"
        await house.ask_stop(second)
        found = await house.until(first, lambda row: row is not None and row.url == address)
    assert found is not None and found.phase is Phase.RUNNING
