"""Histories of one server settle in a right state, whatever dies, freezes or is asked between two acts."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import histories
from core.histories import LEASE, Hub, World

LONG = os.environ.get("NBHUB_LONG") == "1"
STRIDE = 1 if LONG else 4  # in the points at which hubs are interrupted


@settings(
    max_examples=3000 if LONG else 40,
    deadline=None,
    database=None,
    derandomize=not LONG,
    suppress_health_check=list(HealthCheck),
)
@given(tape=st.binary(max_size=400 if LONG else 80), finds_by_name=st.booleans())
def test_every_history_settles_in_a_right_state(tape: bytes, finds_by_name: bool) -> None:
    histories.run(tape, finds_by_name=finds_by_name)


@pytest.mark.parametrize("seed", range(40 if LONG else 4))
def test_histories_of_few_kinds_of_events_settle_in_a_right_state(seed: int) -> None:
    source = random.Random(seed)
    for number in range(1000 if LONG else 15):
        kinds = source.sample(range(256), source.randrange(4, 40))  # few kinds meet more often in odd orders
        tape = bytes(source.choices(kinds, k=source.randrange(5, 100)))
        try:
            histories.run(tape, finds_by_name=number % 2 == 0)
        except AssertionError as error:
            pytest.fail(f"history {tape.hex()} finds_by_name={number % 2 == 0}: {error}")


@pytest.mark.parametrize("finds_by_name", [False, True])
@pytest.mark.parametrize("acts", range(12))
def test_a_start_survives_the_death_of_its_hub_after_every_act(acts: int, finds_by_name: bool) -> None:
    world, first, second = _asked(finds_by_name)
    _act(first, acts)
    first.die()
    _check(world, first, second)
    assert world.server is not None
    assert world.server.is_ready
    assert world.starts == 1


@pytest.mark.parametrize("finds_by_name", [False, True])
def test_a_stop_in_the_middle_of_a_start_leaves_nothing_even_if_both_hubs_die(finds_by_name: bool) -> None:
    for started, stopped, removed in itertools.product(range(12), range(1, 8), (False, True)):
        world, first, second = _asked(finds_by_name)
        _act(first, started)
        first.die()
        world.ask(wanted=False, remove=removed)
        world.now += LEASE
        _act(second, stopped)
        second.die()
        _check(world, first, second)


@pytest.mark.parametrize("finds_by_name", [False, True])
@pytest.mark.parametrize("meanwhile", ["nothing", "dies", "stop", "restart", "stop and start"])
def test_a_hub_that_wakes_up_late_spoils_nothing(meanwhile: str, finds_by_name: bool) -> None:
    events: dict[str, Callable[[World], None]] = {
        "nothing": lambda world: None,
        "dies": lambda world: world.die(1),
        "stop": lambda world: world.ask(wanted=False),
        "restart": lambda world: world.ask(wanted=True),
        "stop and start": _ask_for_stop_and_start,
    }
    for frozen, before, after in itertools.product(range(10), range(0, 12, STRIDE), range(0, 12, 2 * STRIDE)):
        world, first, second = _asked(finds_by_name)
        _act(first, frozen)
        world.now += LEASE
        _act(second, before)
        events[meanwhile](world)
        _act(second, after)
        histories.come_to_rest(world, [second])
        _check(world, first, second)


def _ask_for_stop_and_start(world: World) -> None:
    world.ask(wanted=False)
    world.ask(wanted=True)


def _asked(finds_by_name: bool) -> tuple[World, Hub, Hub]:
    world = World(finds_by_name)
    world.ask(wanted=True)
    return world, Hub(world), Hub(world)


def _act(hub: Hub, times: int) -> None:
    for _ in range(times):
        hub.act()


def _check(world: World, *hubs: Hub) -> None:
    histories.come_to_rest(world, list(hubs))
    histories.check_at_rest(world)
