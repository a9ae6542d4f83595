"""What every spawner promises, whatever runs behind it."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from dataclasses import replace

import pytest

from nbhub.errors import SpawnError
from nbhub.spawners.base import Note
from nbhub.spawners.details import Details
from spawners.launches import GRACE, a_handle, a_launch, bring_up, until_answering, until_dead, url_of


@pytest.fixture
def spawner(kind):
    return kind.make()


@pytest.fixture
async def started(kind, spawner):
    """A launch that was brought up, its checkpoints and its handle; stopped after the test."""
    launch = a_launch(spawner, kind.user)
    checkpoints = await bring_up(spawner, launch)
    handle = a_handle(launch, checkpoints[-1].state)
    yield launch, checkpoints, handle
    await spawner.stop(handle, grace=GRACE)


async def test_a_started_server_is_alive_and_answers_at_its_url(kind, spawner, started):
    _, checkpoints, handle = started
    assert (await spawner.poll([handle]))[0].alive
    url = url_of(checkpoints)
    assert url.startswith(kind.address)
    await until_answering(url)


async def test_details_come_in_the_order_of_the_handles(spawner, started):
    _, _, handle = started
    nobody = replace(handle, server_id=99, object_name="nobody", user_name="nobody", generation=1, state={})
    absent, there = await spawner.details([nobody, handle])
    assert absent == Details()
    assert there.object
    spawner.note(handle, Note("Started", "It is there"))  # never fails, wherever there is no place for it
    assert (await spawner.details([])) == []


async def test_progress_grows_and_stays_below_ready(started):
    _, checkpoints, _ = started
    progress = [c.progress for c in checkpoints if c.progress is not None]
    assert progress == sorted(progress)
    assert max(progress) <= 90
    assert all(c.message for c in checkpoints)


async def test_a_repeated_start_adopts_what_is_there(kind, spawner, started):
    launch, checkpoints, handle = started
    again = await bring_up(spawner, launch)
    assert url_of(again) == url_of(checkpoints)
    assert again[-1].state == handle.state
    assert kind.alive() == 1


async def test_another_spawner_adopts_it_without_the_saved_state(kind, started):
    launch, checkpoints, _ = started
    other = kind.make()
    assert url_of(await bring_up(other, launch)) == url_of(checkpoints)
    assert (await other.poll([a_handle(launch)]))[0].alive
    assert kind.alive() == 1


async def test_a_newer_generation_replaces_the_older(kind, spawner, started):
    launch, checkpoints, handle = started
    newer = replace(a_launch(spawner, kind.user, generation=2), state=handle.state)
    replaced = await bring_up(spawner, newer)
    assert url_of(replaced) != url_of(checkpoints)
    assert kind.alive() == 1
    with pytest.raises(SpawnError):
        await bring_up(spawner, launch)
    assert kind.alive() == 1
    await spawner.stop(a_handle(newer, replaced[-1].state), grace=GRACE)


async def test_many_starts_of_one_server_at_once_give_one(kind, spawner):
    launch = a_launch(spawner, kind.user)
    others = [kind.make() for _ in range(3)]
    runs = await asyncio.gather(*(bring_up(each, launch) for each in (spawner, spawner, *others)))
    assert len({url_of(run) for run in runs}) == 1
    assert kind.alive() == 1
    await spawner.stop(a_handle(launch, runs[0][-1].state), grace=GRACE)


async def test_stop_takes_it_away_and_may_be_repeated(kind, spawner, started):
    _, _, handle = started
    await spawner.stop(handle, grace=GRACE)
    assert kind.alive() == 0
    assert not (await spawner.poll([handle]))[0].alive
    await spawner.stop(handle, grace=GRACE)


async def test_stop_needs_no_saved_state(kind, spawner, started):
    launch, _, _ = started
    await kind.make().stop(a_handle(launch), grace=GRACE)
    assert kind.alive() == 0


async def test_stop_of_what_never_was_is_nothing(kind, spawner):
    await spawner.stop(a_handle(a_launch(spawner, kind.user, "never")), grace=GRACE)


async def test_poll_keeps_the_order_and_knows_the_absent(kind, spawner, started):
    _, _, handle = started
    never = [a_handle(a_launch(spawner, kind.user, f"never{n}", server_id=n + 2)) for n in range(3)]
    seen = await spawner.poll([never[0], handle, never[1], never[2]])
    assert [observation.alive for observation in seen] == [False, True, False, False]
    assert await spawner.poll([]) == []


async def test_a_server_that_dies_is_told_with_its_exit_code(kind, spawner):
    options = kind.dying if kind.name == "fake" else {}
    if kind.name != "fake":
        spawner.args = kind.dying["args"]
    launch = a_launch(spawner, kind.user, options=options)
    with contextlib.suppress(SpawnError):  # a backend may notice while it starts
        await bring_up(spawner, launch)
    handle = a_handle(launch)
    assert (await until_dead(spawner, handle)).exit_code == 3
    await spawner.stop(handle, grace=GRACE)


async def test_a_server_killed_from_outside_is_noticed_and_hinted_at(kind, spawner, started):
    launch, _, handle = started
    hints = spawner.watch()

    async def death_by_hints():
        seen = None
        while seen is None or seen.alive:  # other things change, too
            assert await anext(hints) == launch.server_id
            seen = (await spawner.poll([handle]))[0]
        return seen

    hearing = asyncio.ensure_future(death_by_hints())
    await asyncio.sleep(0)
    kind.kill(launch.object_name)
    assert (await asyncio.wait_for(hearing, kind.patience)).exit_code == -9
    await hints.aclose()


async def test_it_can_be_started_again_after_it_died(kind, spawner, started):
    launch, _, handle = started
    kind.kill(launch.object_name)
    newer = replace(a_launch(spawner, kind.user, generation=2), state=handle.state)
    checkpoints = await bring_up(spawner, newer)
    await until_answering(url_of(checkpoints))
    assert kind.alive() == 1
    await spawner.stop(a_handle(newer, checkpoints[-1].state), grace=GRACE)


@pytest.mark.parametrize("checkpoint", [1, 2, 3])
async def test_a_start_cut_short_is_taken_up_by_the_next(kind, spawner, checkpoint):
    launch = a_launch(spawner, kind.user)
    async with aclosing(spawner.start(launch)) as stages:
        for _ in range(checkpoint):
            await anext(stages, None)
    checkpoints = await bring_up(kind.make(), launch)
    await until_answering(url_of(checkpoints))
    assert kind.alive() == 1
    await spawner.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)
    assert kind.alive() == 0


@pytest.mark.parametrize("steps", range(0, 40, 4))
async def test_a_start_cancelled_anywhere_leaves_what_stop_can_take_away(kind, spawner, steps):
    launch = a_launch(spawner, kind.user)
    run = asyncio.ensure_future(bring_up(spawner, launch))
    for _ in range(steps):
        await asyncio.sleep(0.001)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await spawner.stop(a_handle(launch), grace=GRACE)
    assert kind.alive() == 0


async def test_two_servers_of_one_user_do_not_touch_each_other(kind, spawner, started):
    _, checkpoints, handle = started
    second = a_launch(spawner, kind.user, "second", server_id=2)
    others = await bring_up(spawner, second)
    assert url_of(others) != url_of(checkpoints)
    await spawner.stop(a_handle(second, others[-1].state), grace=GRACE)
    assert (await spawner.poll([handle]))[0].alive


async def test_forget_leaves_nothing_and_the_name_can_be_used_again(kind, spawner, started):
    _, _, handle = started
    await spawner.stop(handle, grace=GRACE)
    await spawner.forget(handle)
    assert await spawner.log_tail(handle) == ""
    again = a_launch(spawner, kind.user, server_id=9)
    checkpoints = await bring_up(spawner, again)
    await spawner.stop(a_handle(again, checkpoints[-1].state), grace=GRACE)
