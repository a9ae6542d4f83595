"""Local processes: exactly one per server, whatever dies, stalls or competes; and none left in the end."""

# ruff: noqa: ASYNC220, RUF043 - processes of the tests themselves, and patterns meant as such

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from nbhub.errors import SpawnError
from nbhub.spawners import ports, processes
from nbhub.spawners.process import SimpleLocalProcessSpawner
from nbhub.spawners.process_files import Record, ServerFiles
from nbhub.spawners.processes import Identity
from spawners.conftest import servers_of
from spawners.launches import GRACE, a_handle, a_launch, bring_up, until, until_answering, until_dead, url_of

ROOT = Path(__file__).parents[2]
STARTER = """
import asyncio, sys
from nbhub.spawners.process import SimpleLocalProcessSpawner
from spawners.launches import a_launch, bring_up

async def main():
    spawner = SimpleLocalProcessSpawner(data_dir=sys.argv[1], cmd=sys.argv[2:])
    print("ready", flush=True)
    sys.stdin.readline()
    await bring_up(spawner, a_launch(spawner))
    print("started", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def make(leave_nothing, tiny, spawners):
    def one(**settings):
        settings = {"interrupt_timeout": 2, "term_timeout": 2, "kill_timeout": 60} | settings
        return spawners(SimpleLocalProcessSpawner(data_dir=str(leave_nothing), cmd=tiny, **settings))

    return one


@contextlib.contextmanager
def another_hub(data_dir, tiny):
    """A hub in a process of its own, ready to start the server alice when told to."""
    environ = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", STARTER, str(data_dir), *tiny]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True) as hub:
        try:
            assert hub.stdout.readline() == "ready\n"
            yield hub
        finally:
            hub.kill()


def go(hub):
    hub.stdin.write("go\n")
    hub.stdin.flush()


@pytest.mark.parametrize("seed", range(24))
async def test_a_hub_killed_at_any_moment_of_a_start_leaves_one_server(make, tiny, leave_nothing, seed):
    with another_hub(leave_nothing, tiny) as hub:
        go(hub)
        await asyncio.sleep(random.Random(seed).uniform(0, 0.12))
        hub.kill()
        hub.wait()
    spawner = make()
    launch = a_launch(spawner)
    checkpoints = await bring_up(spawner, launch)
    await until_answering(url_of(checkpoints))
    assert len(servers_of(leave_nothing)) == 1
    await spawner.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)
    assert servers_of(leave_nothing) == []


@pytest.mark.parametrize("seed", range(6))
async def test_a_hub_killed_at_any_moment_leaves_what_stop_finds(make, tiny, leave_nothing, seed):
    with another_hub(leave_nothing, tiny) as hub:
        go(hub)
        await asyncio.sleep(random.Random(seed).uniform(0, 0.12))
        hub.kill()
        hub.wait()
    spawner = make()
    await spawner.stop(a_handle(a_launch(spawner)), grace=GRACE)
    assert servers_of(leave_nothing) == []


async def test_a_hub_killed_between_launch_and_writing_it_down(make, leave_nothing):
    spawner = make()
    launch = a_launch(spawner)
    checkpoints = await bring_up(spawner, launch)
    files = ServerFiles(leave_nothing / "servers", "alice")
    record = files.record()
    files.write_record(Record(generation=record.generation, port=record.port, url=record.url, at=record.at))
    other = make()
    again = await bring_up(other, launch)
    assert again[-1].state == checkpoints[-1].state
    assert len(servers_of(leave_nothing)) == 1
    await other.stop(a_handle(launch), grace=GRACE)
    seen = await until_dead(spawner, a_handle(launch, checkpoints[-1].state))
    assert seen.exit_code in (-2, -9, -15, 0, 1)  # known, whatever it took on a slow machine


async def test_two_hubs_in_two_processes_start_the_same_server_at_once(make, tiny, leave_nothing):
    with another_hub(leave_nothing, tiny) as one, another_hub(leave_nothing, tiny) as two:
        go(one)
        go(two)
        assert one.stdout.readline() == two.stdout.readline() == "started\n"
        assert len(servers_of(leave_nothing)) == 1
    spawner = make()
    await spawner.stop(a_handle(a_launch(spawner)), grace=GRACE)


async def test_many_rounds_of_many_starts_at_once_give_one_each(make, leave_nothing):
    hubs = [make() for _ in range(4)]
    state = {}
    for generation in range(1, 13):
        launch = a_launch(hubs[0], generation=generation)
        runs = await asyncio.gather(*(bring_up(hub, launch) for hub in hubs))
        assert len({run[-1].state["pid"] for run in runs}) == 1
        assert len(servers_of(leave_nothing)) == 1
        state = runs[0][-1].state
    await hubs[1].stop(a_handle(launch, state), grace=GRACE)


async def test_starts_and_stops_by_several_hubs_in_any_order_leave_at_most_one(make, leave_nothing):
    choose = random.Random(7)
    hubs = [make() for _ in range(3)]
    generation = 0

    async def act():
        nonlocal generation
        hub = choose.choice(hubs)
        if choose.random() < 0.5:
            generation += 1
            with contextlib.suppress(SpawnError):
                await bring_up(hub, a_launch(hub, generation=generation))
        else:
            await hub.stop(a_handle(a_launch(hub, generation=generation)), grace=GRACE)

    for _ in range(8):
        await asyncio.gather(*(act() for _ in range(4)))
        assert len(servers_of(leave_nothing)) <= 1
    await hubs[0].stop(a_handle(a_launch(hubs[0], generation=generation)), grace=GRACE)


async def test_a_start_that_was_stopped_meanwhile_does_not_come_back(make, leave_nothing):
    frozen, other = make(), make()
    launch = a_launch(frozen, generation=5)
    await bring_up(other, launch)
    await other.stop(a_handle(launch), grace=GRACE)
    with pytest.raises(SpawnError, match="overtaken"):
        await bring_up(frozen, launch)
    frozen.clock = lambda: time.time() + 3600  # long after, a low number means a new database
    checkpoints = await bring_up(frozen, launch)
    await frozen.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)


async def test_a_reused_pid_is_never_taken_for_ours_nor_signalled(make, leave_nothing):
    spawner = make()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as stranger:
        true = processes.identify(stranger.pid)
        for impostor in (
            Identity(true.pid, true.start_time - 1, true.boot_id),
            Identity(true.pid, true.start_time, "another-boot"),
        ):
            launch = a_launch(spawner)
            files = ServerFiles(leave_nothing / "servers", "alice")
            os.close(files.try_lock())
            files.write_record(Record(generation=1, port=20_000, url="http://x", at=0.0).launched_as(impostor))
            state = {"generation": 1, "port": 20_000} | impostor.as_state()
            handle = a_handle(launch, state)
            assert not (await spawner.poll([handle]))[0].alive
            assert not processes.send(impostor, signal.SIGKILL)
            await spawner.stop(handle, grace=GRACE)
            assert stranger.poll() is None
            files.record_path.unlink()
        stranger.kill()


async def test_a_state_of_jupyterhub_with_a_bare_pid_is_not_trusted(make):
    spawner = make()
    handle = a_handle(a_launch(spawner), {"pid": os.getpid()})
    assert not (await spawner.poll([handle]))[0].alive
    await spawner.stop(handle, grace=GRACE)


@pytest.mark.parametrize(
    "args", [[], ["deaf"], ["stubborn"], ["child"], ["stubborn", "child"], ["apart"], ["stubborn", "apart"]]
)
async def test_stop_takes_the_whole_family(make, leave_nothing, args):
    spawner = make(interrupt_timeout=0.3, term_timeout=0.3)
    spawner.args = args
    launch = a_launch(spawner)
    checkpoints = await bring_up(spawner, launch)
    family = await family_of(spawner, launch, checkpoints)
    assert len(family) == 2 if {"child", "apart"} & set(args) else 1
    await spawner.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)
    assert not [process for process in family if processes.is_alive(process)]


async def test_what_a_dead_leader_left_is_ended_by_itself(make):
    spawner = make()
    spawner.args = ["child"]
    launch = a_launch(spawner)
    checkpoints = await bring_up(spawner, launch)
    leader, child = await family_of(spawner, launch, checkpoints)
    processes.send(leader, signal.SIGKILL)
    await until(lambda: not processes.is_alive(child))
    seen = (await spawner.poll([a_handle(launch, checkpoints[-1].state)]))[0]
    assert (seen.alive, seen.exit_code) == (False, -9)
    assert "out of memory" in seen.message


async def test_what_a_dead_leader_left_is_ended_by_a_later_hub(make, leave_nothing):
    first = make()
    first.args = ["child"]
    launch = a_launch(first)
    checkpoints = await bring_up(first, launch)
    leader, child = await family_of(first, launch, checkpoints)
    await first.close()  # that hub sees no more of it
    processes.send(leader, signal.SIGKILL)
    later = make()
    assert processes.is_alive(child)
    await later.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)
    assert not processes.is_alive(child)


async def family_of(spawner, launch, checkpoints):
    """Return the identities of a server and its grandchild, once that is there."""
    leader = Identity.of_state(checkpoints[-1].state)
    children = bool({"child", "apart"} & set(spawner.args))
    log = spawner.run_folder / "logs" / f"{launch.object_name}.log"
    await until(lambda: not children or "grandchild" in log.read_text())
    return [leader] + [
        Identity(stat.pid, stat.start_time, leader.boot_id)
        for stat in processes.census().values()
        if stat.parent == leader.pid
    ]


async def test_one_slow_stop_delays_no_other(make):
    spawner = make(interrupt_timeout=1000, term_timeout=1000)
    spawner.args = ["stubborn"]
    slow = a_launch(spawner, "slow")
    slow_state = (await bring_up(spawner, slow))[-1].state
    spawner.args = []
    quick = a_launch(spawner, "quick", server_id=2)
    quick_state = (await bring_up(spawner, quick))[-1].state
    stopping = asyncio.ensure_future(spawner.stop(a_handle(slow, slow_state), grace=timedelta(seconds=2000)))
    await asyncio.sleep(0)
    await spawner.stop(a_handle(quick, quick_state), grace=GRACE)
    assert not stopping.done()
    os.kill(slow_state["pid"], signal.SIGKILL)
    await stopping


async def test_the_grace_shortens_what_is_set_longer(make):
    spawner = make(interrupt_timeout=1000, term_timeout=1000)  # longer than this test may take
    spawner.args = ["stubborn"]
    launch = a_launch(spawner)
    state = (await bring_up(spawner, launch))[-1].state
    begun = time.monotonic()
    await spawner.stop(a_handle(launch, state), grace=timedelta(seconds=0.4))
    assert time.monotonic() - begun > 0.3


async def test_twenty_starts_at_once(make, leave_nothing):
    one, two = make(), make()
    launches = [a_launch(one, f"user{n}", server_id=n + 1) for n in range(20)]
    runs = await asyncio.gather(*(bring_up((one, two)[n % 2], launch) for n, launch in enumerate(launches)))
    assert len({url_of(run) for run in runs}) == 20
    await asyncio.gather(*(until_answering(url_of(run)) for run in runs))
    assert len(servers_of(leave_nothing)) == 20
    handles = [a_handle(launch, run[-1].state) for launch, run in zip(launches, runs, strict=True)]
    assert all(seen.alive for seen in await one.poll(handles))
    await asyncio.gather(*(one.stop(handle, grace=GRACE) for handle in handles))
    assert servers_of(leave_nothing) == []


async def test_no_zombies_are_left(make):
    spawner = make()
    launch = a_launch(spawner)
    checkpoints = await bring_up(spawner, launch)
    pid = checkpoints[-1].state["pid"]
    await spawner.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)
    await until(lambda: processes.read_stat(pid) is None)


async def test_an_exit_code_is_known_to_other_hubs_too(make):
    one, other = make(), make()
    launch = a_launch(one)
    checkpoints = await bring_up(one, launch)
    handle = a_handle(launch, checkpoints[-1].state)
    os.kill(checkpoints[-1].state["pid"], signal.SIGKILL)
    await until_dead(one, handle)
    assert (await other.poll([handle]))[0].exit_code == -9


async def test_two_spawners_never_get_one_port(make):
    one, two = make(port_first=11_000, port_last=11_003), make(port_first=11_000, port_last=11_003)
    reserved = [spawner._reserve(0) for spawner in (one, two, one, two)]
    assert sorted(port.number for port in reserved) == [11_000, 11_001, 11_002, 11_003]
    with pytest.raises(SpawnError, match="No port from 11000 to 11003.*port_first"):
        one._reserve(0)
    for port in reserved:
        port.close()


async def test_a_port_that_any_program_listens_on_is_not_given_out(make):
    spawner = make(port_first=11_010, port_last=11_011)
    with socket.create_server(("0.0.0.0", 11_010)):
        reserved = spawner._reserve(0)
        assert reserved.number == 11_011
        reserved.close()
        spawner.port = 11_010
        with pytest.raises(SpawnError, match="Port 11010.*is in use"):
            await bring_up(spawner, a_launch(spawner))


async def test_a_running_server_keeps_its_port_reserved(make):
    spawner = make(port_first=11_020, port_last=11_020)
    launch = a_launch(spawner)
    checkpoints = await bring_up(spawner, launch)
    assert ports.try_reserve("127.0.0.1", 11_020) is None
    with pytest.raises(SpawnError, match="No port"):
        await bring_up(spawner, a_launch(spawner, "bob", server_id=2))
    await spawner.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)
    freed = ports.reserve("127.0.0.1", 11_020, 11_020, random.Random(1))
    freed.close()


def test_ports_of_outgoing_connections_are_not_used():
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert ports.usable(low - 1, high) == [low - 1]


async def test_a_poll_of_two_thousand_is_quick(make):
    spawner = make()
    me = processes.identify(os.getpid())
    state = {"generation": 1, "port": 1} | me.as_state()
    handles = [a_handle(a_launch(spawner, f"user{n}", server_id=n), state) for n in range(2000)]
    begun = time.process_time()
    seen = await spawner.poll(handles)
    assert time.process_time() - begun < 0.3
    assert all(observation.alive for observation in seen)


async def test_damaged_files_do_not_stop_a_start(make, leave_nothing):
    spawner = make()
    folder = leave_nothing / "servers"
    (folder / "logs").mkdir(parents=True)
    for text in ("", "{", "[]", "null", json.dumps({"generation": 1, "nonsense": 2})):
        (folder / "alice.json").write_text(text)
        (folder / "alice.exit").write_text(text)
        launch = a_launch(spawner)
        assert not (await spawner.poll([a_handle(launch)]))[0].alive
    checkpoints = await bring_up(spawner, launch)
    (folder / "alice.json").write_text("{")
    again = await bring_up(make(), a_launch(spawner, generation=2))
    assert len(servers_of(leave_nothing)) == 1
    assert again[-1].state["pid"] != checkpoints[-1].state["pid"]
    await spawner.stop(a_handle(launch), grace=GRACE)
