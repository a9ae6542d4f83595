"""Calls under way at once: bounded, fewer when the server asks for it, in the order of asking."""

from __future__ import annotations

import asyncio

import pytest

from nbhub.spawners.kubernetes.throttle import Throttle


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


async def busy(throttle, release, log, name):
    async with throttle.turn():
        log.append(name)
        await release.wait()


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_more_than_the_bound_are_under_way_and_the_rest_come_in_order():
    throttle, log = Throttle(2, Clock()), []
    releases = [asyncio.Event() for _ in range(5)]
    tasks = [asyncio.ensure_future(busy(throttle, release, log, n)) for n, release in enumerate(releases)]
    await settle()
    assert log == [0, 1]
    for n, release in enumerate(releases):
        release.set()
        await settle()
        assert log == list(range(min(n + 3, 5)))
    await asyncio.gather(*tasks)
    assert throttle.under_way == 0


async def test_overload_halves_the_bound_and_success_lets_it_grow_again():
    throttle = Throttle(16, Clock())
    throttle.overloaded(0)
    assert throttle.bound == 8
    for _ in range(10):
        throttle.overloaded(0)
    assert throttle.bound == 1
    for _ in range(200):
        throttle.succeeded()
    assert throttle.bound == 16


async def test_nobody_goes_in_before_the_time_that_the_server_asked_for():
    clock = Clock()
    throttle, log, go = Throttle(4, clock), [], asyncio.Event()
    go.set()
    throttle.overloaded(0.01)
    task = asyncio.ensure_future(busy(throttle, go, log, "late"))
    await settle()
    assert log == []
    clock.now = 1.0
    await asyncio.wait_for(task, 10)
    assert log == ["late"]


@pytest.mark.parametrize("already_let_in", [False, True])
async def test_one_that_is_cancelled_while_it_waits_takes_no_place(already_let_in):
    throttle, log = Throttle(1, Clock()), []
    first, second = asyncio.Event(), asyncio.Event()
    holder = asyncio.ensure_future(busy(throttle, first, log, "holder"))
    await settle()
    waiting = asyncio.ensure_future(busy(throttle, second, log, "waiting"))
    await settle()
    if already_let_in:
        first.set()
        await holder
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    first.set()
    second.set()
    await holder
    await asyncio.wait_for(busy(throttle, second, log, "last"), 10)
    assert log[-1] == "last"
    assert throttle.under_way == 0
