"""The faults that the fake spawner has on demand."""

from __future__ import annotations

# ruff: noqa: ASYNC220 - a hub of the test itself
import asyncio
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from nbhub.core.model import User
from nbhub.errors import BackendUnavailable, BadRequest, SpawnError
from nbhub.spawners.fake import FakeSpawner
from nbhub.spawners.fake_backend import FakeBackend
from nbhub.spawners.fake_folder import FolderBackend
from nbhub.spawners.one_server import Subject
from spawners.launches import a_handle, a_launch, answers, bring_up, url_of

GRACE = timedelta(seconds=0.2)


@pytest.fixture
async def backend():
    made = FakeBackend()
    yield made
    made.close()


@pytest.fixture
def spawner(backend):
    return FakeSpawner(backend=backend)


async def test_every_server_has_an_address_of_its_own_and_answers_there(spawner, backend):
    urls = [url_of(await bring_up(spawner, a_launch(spawner, f"user{n}", server_id=n))) for n in range(300)]
    assert len(set(urls)) == 300
    assert await asyncio.to_thread(answers, urls[299])
    backend.kill("user299")
    assert not await asyncio.to_thread(answers, urls[299])
    assert await asyncio.to_thread(answers, urls[0])


async def test_fails_at_the_asked_stage_with_a_log_tail(spawner, backend):
    launch = a_launch(spawner, options={"fault": "fails", "stage": 2})
    seen = []
    with pytest.raises(SpawnError, match="on demand at stage 2") as failure:
        async for checkpoint in spawner.start(launch):
            seen.append(checkpoint)  # noqa: PERF401 - the list has to survive the error
    assert len(seen) == 3
    assert "RuntimeError" in failure.value.log_tail
    assert backend.live == 0


async def test_dies_after_a_while_with_its_exit_code_and_tells_watchers(spawner):
    launch = a_launch(spawner, server_id=7, options={"fault": "dies", "after": 1.0, "exit_code": 3})
    changes = spawner.watch()
    first = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    await bring_up(spawner, launch)
    assert await first == 7
    assert (await spawner.poll([a_handle(launch)]))[0].alive
    assert await asyncio.wait_for(anext(changes), 100) == 7
    seen = (await spawner.poll([a_handle(launch)]))[0]
    assert (seen.alive, seen.exit_code) == (False, 3)
    await changes.aclose()


async def test_lost_leaves_no_trace(spawner):
    launch = a_launch(spawner, options={"fault": "lost"})
    await bring_up(spawner, launch)
    seen = (await spawner.poll([a_handle(launch)]))[0]
    assert (seen.alive, seen.exit_code) == (False, None)


async def test_mute_lives_and_never_answers(spawner):
    launch = a_launch(spawner, options={"fault": "mute"})
    url = url_of(await bring_up(spawner, launch))
    assert (await spawner.poll([a_handle(launch)]))[0].alive
    assert not await asyncio.to_thread(answers, url, 0.2)


async def test_answers_only_after_the_asked_time(spawner, backend):
    now = [1000.0]
    backend.clock = lambda: now[0]
    url = url_of(await bring_up(spawner, a_launch(spawner, options={"ready_after": 50})))
    assert not await asyncio.to_thread(answers, url, 0.2)
    now[0] += 50
    assert await asyncio.to_thread(answers, url)


async def test_a_backend_that_is_away_says_so_to_every_call(spawner, backend):
    launch = a_launch(spawner)
    backend.away = True
    with pytest.raises(BackendUnavailable):
        await bring_up(spawner, launch)
    with pytest.raises(BackendUnavailable):
        await spawner.poll([a_handle(launch)])
    with pytest.raises(BackendUnavailable):
        await spawner.stop(a_handle(launch), grace=GRACE)
    backend.away = False
    await bring_up(spawner, launch)


async def test_stubborn_takes_all_the_grace_there_is(spawner, backend):
    launch = a_launch(spawner, options={"fault": "stubborn"})
    await bring_up(spawner, launch)
    stop = asyncio.ensure_future(spawner.stop(a_handle(launch), grace=GRACE))
    await asyncio.sleep(0.05)
    assert backend.live == 1
    await stop
    assert backend.live == 0


async def test_a_second_object_of_one_generation_is_counted(spawner, backend):
    launch = a_launch(spawner)
    await bring_up(spawner, launch)
    await bring_up(spawner, launch)
    assert backend.double_starts == 0
    await spawner.stop(a_handle(launch), grace=GRACE)
    await bring_up(spawner, launch)
    assert backend.double_starts == 1


async def test_two_spawners_with_one_backend_see_the_same_servers(backend):
    one, other = FakeSpawner(backend=backend), FakeSpawner(backend=backend)
    launch = a_launch(one)
    await asyncio.gather(bring_up(one, launch), bring_up(other, launch))
    await one.close()
    assert (await other.poll([a_handle(launch)]))[0].alive
    assert (backend.live, backend.double_starts) == (1, 0)


@pytest.mark.parametrize("options", [{"fault": "magic"}, {"after": "soon"}, {"delay": -1}, {"stage": None}])
async def test_options_that_make_no_sense_are_refused(spawner, options):
    with pytest.raises(BadRequest, match="Option"):
        await spawner.validate_options(Subject(User(1, "alice")), options)


async def test_options_of_a_form_come_as_lists(spawner):
    assert await spawner.validate_options(Subject(User(1, "alice")), {"fault": ["slow"]}) == {"fault": "slow"}


KILLED_HUB = """
import asyncio, os, sys
from nbhub.spawners.fake import FakeSpawner
from spawners.launches import a_launch, bring_up

async def main():
    spawner = FakeSpawner(folder=sys.argv[1])
    for number in range(1, 200):
        await bring_up(spawner, a_launch(spawner, f"user{number}", server_id=number))
        print(number, flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


async def test_servers_in_a_folder_outlive_a_killed_hub(tmp_path):
    root = Path(__file__).parents[2]
    environ = os.environ | {"PYTHONPATH": f"{root / 'src'}:{root / 'tests'}"}
    command = [sys.executable, "-c", KILLED_HUB, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, text=True) as hub:
        assert hub.stdout is not None
        assert hub.stdout.readline() == "1\n"
        looker = FolderBackend(tmp_path)
        first = looker.look("user1")
        assert first.alive
        if hub.stdout.readline() == "2\n":
            hub.kill()
    there = looker.live
    assert there >= 2
    spawner = FakeSpawner(folder=str(tmp_path))
    launch = a_launch(spawner, "user1")
    assert url_of(await bring_up(spawner, launch)) == first.url
    assert await asyncio.to_thread(answers, first.url)
    new = url_of(await bring_up(spawner, a_launch(spawner, "new", server_id=1000)))
    assert new not in {found.url for name, found in looker.objects.items() if name != "new"}
    await spawner.stop(a_handle(launch), grace=GRACE)
    assert (looker.live, looker.double_starts) == (there, 0)
    looker.kill("new", 7)
    assert (await spawner.poll([a_handle(a_launch(spawner, "new"))]))[0].exit_code == 7
    await spawner.close()
