"""Guessing gets slow, the owner of the account stays free."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nbhub.authenticators.throttle import ACCOUNT, ADDRESS, PAIR, Throttle, network
from nbhub.errors import TooManyRequests

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def throttle(store: Any) -> Throttle:
    return Throttle(store)


async def waits(throttle: Throttle, name: str, address: str, now: float) -> int:
    """Return for how long an attempt is refused, 0 when it is taken."""
    try:
        await throttle.begin(name, address, now)
    except TooManyRequests as refusal:
        return refusal.retry_after or -1
    return 0


async def test_a_few_mistakes_are_free_then_each_costs_twice_the_time(throttle: Throttle) -> None:
    now = 1000.0
    for _ in range(PAIR.free):
        assert await waits(throttle, "ada", HOME, now) == 0
    delays = []
    for _ in range(12):
        delays.append(await waits(throttle, "ada", HOME, now))
        now += delays[-1]
        assert await waits(throttle, "ada", HOME, now) == 0
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


async def test_success_forgets_the_failures(throttle: Throttle) -> None:
    for _ in range(PAIR.free):
        await throttle.begin("ada", HOME, 1000.0)
    await throttle.succeeded("ada", HOME, 1000.0)
    assert await waits(throttle, "ada", HOME, 1000.0) == 0


async def test_somebody_elses_guesses_do_not_lock_the_owner_out(throttle: Throttle) -> None:
    await throttle.succeeded("ada", HOME, 0.0)
    now = 1000.0
    for number in range(ACCOUNT.free + 20):
        await waits(throttle, "ada", f"203.0.113.{number}", now)
    assert await waits(throttle, "ada", "203.0.113.254", now) > 0  # spread guessing is slow
    assert await waits(throttle, "ada", HOME, now) == 0  # the owner is not


async def test_guesses_from_the_owners_own_address_cost_their_pair_only(throttle: Throttle) -> None:
    await throttle.succeeded("grace", HOME, 0.0)
    for _ in range(PAIR.free + 1):
        await waits(throttle, "ada", HOME, 1000.0)
    assert await waits(throttle, "ada", HOME, 1000.0) > 0
    assert await waits(throttle, "grace", HOME, 1000.0) == 0


async def test_one_address_cannot_try_many_names(throttle: Throttle) -> None:
    await throttle.succeeded("ada", ELSEWHERE, 0.0)
    for number in range(ADDRESS.free):
        assert await waits(throttle, f"user{number}", ELSEWHERE, 1000.0) == 0
        await throttle.failed(ELSEWHERE, 1000.0)
    assert await waits(throttle, "another", ELSEWHERE, 1000.0) > 0
    assert await waits(throttle, "ada", ELSEWHERE, 1000.0) == 0  # has been here before


async def test_time_heals(throttle: Throttle) -> None:
    for _ in range(PAIR.free + 1):
        await waits(throttle, "ada", HOME, 1000.0)
    assert await waits(throttle, "ada", HOME, 1000.0) > 0
    assert await waits(throttle, "ada", HOME, 1000.0 + PAIR.window + 1) == 0


async def test_many_guesses_at_once_are_not_one(throttle: Throttle) -> None:
    outcomes = await asyncio.gather(*(waits(throttle, "ada", HOME, 1000.0) for _ in range(40)))
    assert outcomes.count(0) == PAIR.free


async def test_hostile_names_and_addresses_are_counted_like_others(throttle: Throttle) -> None:
    for name, address in (("a" * 255, "x" * 500), ("é\u202e'; drop table", ""), ("known", "known")):
        assert await waits(throttle, name, address, 1.0) == 0


def test_what_counts_as_one_address() -> None:
    assert network("192.0.2.1") == "192.0.2.1"
    assert network("2001:db8:1:2:3::4") == network("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert network("::ffff:192.0.2.1") == "192.0.2.1"
    assert network("unknown") == "unknown"


async def test_the_native_source_says_when_to_try_again(native: Any, ada: str) -> None:
    for _ in range(PAIR.free):
        assert await native.authenticate("ada", "wrong password", address=ELSEWHERE) is None
    with pytest.raises(TooManyRequests, match="Try again in 1 second"):
        await native.authenticate("ada", "correct horse battery", address=ELSEWHERE)
    assert await native.authenticate("ada", "correct horse battery", address=HOME) is not None


async def test_the_event_loop_goes_on_while_passwords_are_checked(native: Any, ada: str) -> None:
    attempts = asyncio.gather(*(native.authenticate(f"user{n}", "wrong password", address=HOME) for n in range(20)))
    turns = 0
    while not attempts.done():
        await asyncio.sleep(0.001)
        turns += 1
    await attempts
    assert turns > 40  # checked on the loop, they would leave it two or three for each
