"""PostgreSQL: the doorbell between hubs, and a database that goes away and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from nbhub.errors import ConfigError, Conflict, DatabaseUnavailable, NotFound
from nbhub.store import Store, Wakeup, postgresql, servers, users
from nbhub.store.listening import Listener
from servers.postgresql import PostgresqlServer


@pytest.fixture
async def pair(postgresql_url: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two hubs on one database."""
    one, two = await Store.open(postgresql_url), await Store.open(postgresql_url)
    yield one, two
    await one.close()
    await two.close()


@pytest.fixture
def own_server() -> Iterator[PostgresqlServer]:
    """A server that the test may stop."""
    server = PostgresqlServer()
    server.start()
    yield server
    server.remove()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, for 20 s at most."""
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


async def test_another_hub_hears_what_was_committed(pair: tuple[Store, Store]) -> None:
    one, two = pair
    async with one.write() as tx:
        alice = await users.create(tx, "alice", now=1)
        server = await servers.create(tx, alice, "", now=1)
    async with two.wakeup.listen("servers", "server:*") as theirs, one.wakeup.listen("servers") as ours:
        async with one.write() as tx:
            await servers.ask_start(tx, server.id, now=1)
        assert await ours.wait(0) == {"servers"}
        heard = await theirs.wait(10)
        while heard != {"servers", f"server:{server.id}"}:
            heard |= await theirs.wait(10)
        assert await ours.wait(0.2) == set()  # our own notification comes back and is not rung again


async def test_what_was_rolled_back_is_not_heard(pair: tuple[Store, Store]) -> None:
    one, two = pair
    async with two.wakeup.listen("before", "it's odd", "after") as bell:
        with pytest.raises(ZeroDivisionError):
            async with one.write() as tx:
                tx.ring("before")
                raise ZeroDivisionError
        async with one.write() as tx:
            tx.ring("it's odd", "after")
        assert await bell.wait(100) == {"it's odd", "after"}


async def test_many_topics_are_all_heard(pair: tuple[Store, Store]) -> None:
    one, two = pair
    topics = {f"server:{number}" for number in range(3000)}
    async with two.wakeup.listen("server:*") as bell:
        async with one.write() as tx:
            tx.ring(*topics)
        heard: set[str] = set()
        while heard != topics:
            more = await bell.wait(100)
            assert more
            heard |= more


async def test_a_lost_ear_is_known_mended_and_everybody_looks_again(
    pair: tuple[Store, Store], postgresql_server: PostgresqlServer
) -> None:
    one, two = pair
    assert two.hears_changes
    silent: list[bool] = []
    async with two.wakeup.listen("servers") as bell:
        postgresql_server.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN%' AND datname <> 'postgres'"
        )
        assert await bell.wait(100) == {"resync"}
        silent.append(two.hears_changes)
        await until(lambda: two.hears_changes)
        async with one.write() as tx:
            tx.ring("servers")
        heard: set[str] = set()
        while "servers" not in heard:
            more = await bell.wait(100)
            assert more
            heard |= more
    assert silent == [False]


async def test_a_listener_that_cannot_be_ends_the_start_and_does_not_hold_it_up() -> None:
    async def connect() -> None:
        raise AttributeError("a bug")

    with pytest.raises(AttributeError):
        async with asyncio.timeout(100):
            await Listener(connect, Wakeup(), "one").start()


async def test_the_database_goes_away_and_comes_back(own_server: PostgresqlServer) -> None:
    store = await Store.open(own_server.url("postgres"))
    async with store.write() as tx:
        await users.create(tx, "alice", now=1)
    own_server.stop()
    await until(lambda: not store.hears_changes)
    for _ in range(10):  # more often than there are connections: none may be lost for good
        begun = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="The database"):
            async with store.read() as reading:
                await users.count(reading)
        with pytest.raises(DatabaseUnavailable, match="The database"):
            async with store.write() as tx:
                await users.create(tx, "bob", now=1)
        assert time.monotonic() - begun < 60
    own_server.start()
    async with store.read() as reading:
        assert await users.count(reading) == 1
    async with store.write() as tx:
        await users.create(tx, "bob", now=1)
    await until(lambda: store.hears_changes)
    await store.close()


async def test_connections_to_a_server_that_takes_no_writes_any_more_are_given_up(postgresql_url: str) -> None:
    store, name = await Store.open(postgresql_url), postgresql_url.partition("?")[0].rpartition("/")[2]
    admin = await postgresql.connect(postgresql_url)
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # as a standby would be
    with pytest.raises(DatabaseUnavailable, match="takes no writes"):
        async with store.write() as tx:
            await users.create(tx, "alice", now=1)
    await admin.execute("SET default_transaction_read_only = off")
    await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    async with store.write() as tx:
        await users.create(tx, "alice", now=1)
    await admin.close()
    await store.close()


async def test_a_transaction_cut_in_the_middle_is_told_and_undone(own_server: PostgresqlServer) -> None:
    store = await Store.open(own_server.url("postgres"))
    with pytest.raises(DatabaseUnavailable):
        async with store.write() as tx:
            await users.create(tx, "alice", now=1)
            own_server.stop()
            await users.create(tx, "bob", now=1)
    own_server.start()
    async with store.read() as reading:
        assert await users.count(reading) == 0
    await store.close()


async def test_a_cancelled_query_spoils_nothing(postgresql_url: str) -> None:
    store = await Store.open(postgresql_url)
    holder, waiter = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with store.write() as tx:
            await tx.lock("test")
            holder.set()
            await waiter.wait()

    async def want() -> None:
        async with store.write() as tx:
            await tx.lock("test")

    first = asyncio.create_task(hold())
    await holder.wait()
    for _ in range(postgresql.POOL_SIZE + 1):
        second = asyncio.create_task(want())
        await asyncio.sleep(0.05)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
    waiter.set()
    await first
    await want()
    await store.close()


async def test_a_busy_pool_says_so_in_bounded_time(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "ACQUIRE_SECONDS", 0.1)
    store = await Store.open(postgresql_url)
    held = [store.read() for _ in range(postgresql.POOL_SIZE)]
    for reading in held:
        await reading.__aenter__()
    with pytest.raises(DatabaseUnavailable, match="no connection became free"):
        async with store.read():
            pass
    for reading in held:
        await reading.__aexit__(None, None, None)
    async with store.read() as tx:
        assert await users.count(tx) == 0
    await store.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("@/", "@/nowhere_"), "does not exist"),
        (("nbhub@", "stranger@"), "refuses the hub"),
        (("?host=/", "?host=/nowhere/"), "out of reach"),
    ],
)
async def test_a_database_that_cannot_be_used_is_explained(
    postgresql_url: str, change: tuple[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        await Store.open(postgresql_url.replace(*change))


async def test_passwords_are_not_told() -> None:
    with pytest.raises(ConfigError) as told:
        await Store.open("postgresql://hub:s3cret@127.0.0.1:1/nbhub")
    assert "s3cret" not in told.value.message
    assert "127.0.0.1:1/nbhub" in told.value.message


async def test_what_two_hubs_do_to_one_user_at_once(pair: tuple[Store, Store]) -> None:
    one, two = pair
    async with one.write() as tx:
        alice = await users.create(tx, "alice", now=1)
        server = await servers.create(tx, alice, "", now=1)

    async def ask() -> None:
        async with two.write() as theirs:
            await servers.ask_start(theirs, server.id, now=1)

    async def make() -> None:
        async with two.write() as theirs:
            await servers.create(theirs, alice, "another", now=1)

    async with one.write() as tx:
        await users.hold(tx, alice.id)
        asking, making = asyncio.create_task(ask()), asyncio.create_task(make())
        await asyncio.wait([asking, making], timeout=0.5)
        assert not asking.done() and not making.done()
        await users.delete(tx, alice.id)
    outcomes = await asyncio.gather(asking, making, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotFound, Conflict]


async def test_a_visit_that_begins_to_work_just_now_is_not_forgotten(pair: tuple[Store, Store]) -> None:
    one, two = pair
    async with one.write() as tx:
        visitor = await users.create(tx, "visitor", temporary=True, now=1)

    async def forget() -> list[str]:
        async with two.write() as theirs:
            return await users.delete_abandoned(theirs, 50)

    async with one.write() as tx:
        server = await servers.create(tx, visitor, "", now=1)
        await servers.ask_start(tx, server.id, now=1)
        forgetting = asyncio.create_task(forget())
        await asyncio.wait([forgetting], timeout=0.5)
    assert await forgetting == []
    async with one.read() as reading:
        assert await servers.by_id(reading, server.id) is not None
