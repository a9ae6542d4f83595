"""Starts and stops by many users at once, while hub, Envoy and servers are killed at random moments.

A `Storm` asks through the REST API and the proxy, as programs do, and remembers what was asked for last; its `Ground`
says what really runs. Both are compared afterwards, by `Storm.settle`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

from nbhub.spawners.fake_folder import FolderBackend
from servers.hub import HubProcess, until
from servers.machine import leaders_of

AWAY = (502, 503, 504)
PATIENCE = 250.0  # for any one thing to happen; a hub may be killed several times meanwhile


class Ground(Protocol):
    """Where servers really run."""

    def alive(self) -> Counter[str]:
        """Return how many living servers each user has."""

    def kill(self, user: str) -> bool:
        """Kill the server of a user; False if there was none."""

    def double_starts(self) -> list[str]:
        """Return what was started although it ran already."""


class FakeGround:
    """Fake servers, kept in a folder and answered for by this process."""

    def __init__(self, backend: FolderBackend) -> None:
        self.backend = backend

    def alive(self) -> Counter[str]:
        self.backend.catch_up()
        now = self.backend.clock()
        return Counter(found.name for found in self.backend.objects.values() if found.alive(now))

    def kill(self, user: str) -> bool:
        if not self.alive()[user]:
            return False
        self.backend.kill(user)
        return True

    def double_starts(self) -> list[str]:
        self.backend.catch_up()
        return [f"{self.backend.double_starts} double starts"] if self.backend.double_starts else []


class ProcessGround:
    """Processes of this machine; small servers write each of their starts into a journal."""

    def __init__(self, folder: Path, journal: Path | None = None) -> None:
        self.folder = folder
        self.journal = journal
        self.killed: set[int] = set()

    def alive(self) -> Counter[str]:
        return Counter({user: len(leaders) for user, leaders in leaders_of(self.folder).items()})

    def kill(self, user: str) -> bool:
        leaders = leaders_of(self.folder).get(user, [])
        self.killed |= {leader.pid for leader in leaders}
        return sum(leader.kill() for leader in leaders) > 0

    def double_starts(self) -> list[str]:
        """A start may be made again only after its process was killed."""
        if self.journal is None or not self.journal.exists():
            return []
        made: dict[str, list[int]] = {}
        for line in self.journal.read_text().splitlines():
            pid, prefix, start = line.split()
            made.setdefault(f"{prefix} {start}", []).append(int(pid))
        return [f"{start}: {pids}" for start, pids in made.items() if set(pids[:-1]) - self.killed]


@dataclass(frozen=True)
class Weather:
    """How the storm blows. Seconds."""

    asks: int = 200  # starts and stops, of all users together
    users: int = 8
    calm: tuple[float, float] = (0.2, 1.0)  # between two kills
    thinking: float = 1.0  # at most, between two asks of a user
    options: Callable[[random.Random], dict[str, Any]] = lambda chance: {}


@dataclass
class Storm:
    """One run of asks and kills against one hub."""

    hub: HubProcess
    ground: Ground
    token: str
    seed: str
    weather: Weather = field(default_factory=Weather)

    def __post_init__(self) -> None:
        self.users = [f"user{number}" for number in range(self.weather.users)]
        self.wanted = dict.fromkeys(self.users, False)
        self.strikes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._hurt: dict[str, float] = {}  # when a server was killed last
        self._steady: set[str] = set()  # seen reachable, and left alone since
        self._api = self.hub.client(self.token)
        self._plain = httpx.AsyncClient(timeout=PATIENCE)
        self._over = False

    async def rage(self) -> None:
        """Ask and kill until every ask has been answered; the hub and Envoy live at the end."""
        for user in self.users:
            assert (await self._api.post(f"/users/{user}")).status_code == 201
        striking = asyncio.create_task(self._strike())
        asks = self.weather.asks // self.weather.users
        try:
            async with asyncio.TaskGroup() as group:
                for user in self.users:
                    group.create_task(self._live(user, asks))
        finally:
            self._over = True
            await striking

    async def settle(self) -> None:
        """Check that everything came to what was last asked for, and that nothing else is left."""
        for user in sorted(self._hurt):
            await until(lambda user=user: self._death_is_known(user), f"the hub knows whether {user} lives", PATIENCE)
            if self.wanted[user] and not await self._settled(user):
                assert await self._ask(user, True), f"{user} cannot be started again"
        expected = {user for user, wanted in self.wanted.items() if wanted}
        shown = {user for user in self.users if await self._settled(user)}
        assert shown == expected, f"ready: {shown}, wanted: {expected}, killed: {self._hurt}\n{self._story()}"
        await until(lambda: self.ground.alive() == Counter(expected), f"exactly {expected} live", PATIENCE)
        for user in self.users:
            await until(lambda user=user: self._leads_right(user), f"the route of {user} is right")
        assert not self.ground.double_starts(), f"{self.ground.double_starts()}\n{self._story()}"
        assert not self.wrong, f"{self.wrong}\n{self._story()}"

    async def close(self) -> None:
        """Close the clients."""
        await self._api.aclose()
        await self._plain.aclose()

    # -- asking --------------------------------------------------------------------------------------------------

    async def _live(self, user: str, asks: int) -> None:
        chance = random.Random(f"{self.seed}/{user}")
        for _ in range(asks):
            again = chance.random() < 0.15  # asking for what is asked for already must do no harm
            await self._ask(user, self.wanted[user] == again, self.weather.options(chance))
            if chance.random() < 0.5:
                await self._settled(user)
                await self._watch_route(user)
            await asyncio.sleep(chance.random() * self.weather.thinking)
            self._steady.discard(user)

    async def _ask(self, user: str, wanted: bool, options: dict[str, Any] | None = None) -> bool:
        """Ask until the hub has answered; returns whether the server is known to be ready or stopped."""
        self._steady.discard(user)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            sent = time.monotonic()
            answer = await self._send(user, wanted, options or {})
            if answer is None or answer.status_code in AWAY:
                await asyncio.sleep(0.05)
                continue
            text = answer.text
            self.wanted[user] = wanted
            if answer.status_code in (201, 204):
                if self._hurt.get(user, sent) < sent:
                    del self._hurt[user]
                return True
            if answer.status_code == 202 or (wanted and "already running" in text):
                return False
            if wanted and "pending stop" in text:
                await asyncio.sleep(0.05)
                continue
            if wanted and answer.status_code == 500 and user in self._hurt:
                return False
            self.wrong.append(f"{user} wanted={wanted}: {answer.status_code} {text[:300]}")
            return False
        raise AssertionError(f"no answer to {user} wanted={wanted} within {PATIENCE:.0f} s:\n{self._story()}")

    async def _send(self, user: str, wanted: bool, options: dict[str, Any]) -> httpx.Response | None:
        with contextlib.suppress(httpx.TransportError):
            if wanted:
                return await self._api.post(f"/users/{user}/server", json={"user_options": options})
            return await self._api.delete(f"/users/{user}/server")
        return None

    async def _settled(self, user: str) -> bool:
        """Wait until nothing is pending any more; returns whether the server is ready."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                answer = await self._api.get(f"/users/{user}")
                if answer.status_code == 200:
                    shown = answer.json()["servers"].get("")
                    if shown is None:
                        return False
                    if shown["ready"]:
                        return True
            await asyncio.sleep(0.05)
        raise AssertionError(f"{user} does not settle: {answer.text}\n{self._story()}")

    async def _death_is_known(self, user: str) -> bool:
        return await self._settled(user) == bool(self.ground.alive()[user])

    async def _watch_route(self, user: str) -> None:
        """A server that is ready becomes reachable, and stays so whatever is killed."""
        if self.wanted[user] and user not in self._hurt:
            await until(lambda: user in self._hurt or self._reaches(user), f"{user} is reachable", PATIENCE)
            if user not in self._hurt:
                self._steady.add(user)

    def _story(self) -> str:
        """The end of what the hubs have said."""
        return self.hub.text()[-6000:]

    async def _leads_right(self, user: str) -> bool:
        return await self._reaches(user) == self.wanted[user]

    async def _reaches(self, user: str) -> bool:
        """Whether the user's own server answers at the user's address."""
        try:
            answer = await self._plain.get(f"{self.hub.url}/user/{user}/api")
        except httpx.TransportError:
            return False
        if answer.status_code != 200:
            return False
        if "/user/" in answer.text and f"/user/{user}/" not in answer.text:
            self.wrong.append(f"the address of {user} leads to {answer.text}")
        return True

    # -- killing -------------------------------------------------------------------------------------------------

    async def _strike(self) -> None:
        chance = random.Random(f"{self.seed}/strikes")
        while not self._over:
            await asyncio.sleep(chance.uniform(*self.weather.calm))
            missing = [kind for kind in ("server", "envoy", "hub") if not self.strikes[kind]]
            victim = missing[0] if missing else chance.choices(["hub", "envoy", "server", "both"], [4, 2, 5, 1])[0]
            self.strikes[victim] += 1
            if victim == "server":
                self._kill_server(chance)
            elif victim == "envoy":
                await self._kill_envoy()
            else:
                await self._kill_hub(chance, envoy=victim == "both")
            self.wrong += [f"{user} has {count} servers" for user, count in self.ground.alive().items() if count > 1]

    def _kill_server(self, chance: random.Random) -> None:
        user = chance.choice(sorted(self.ground.alive()) or self.users)
        self._steady.discard(user)
        self._hurt[user] = time.monotonic()
        if not self.ground.kill(user):
            self.strikes["server"] -= 1

    async def _kill_envoy(self) -> None:
        os.kill(self.hub.envoy_pid, signal.SIGKILL)
        await self.hub.until_answering()

    async def _kill_hub(self, chance: random.Random, *, envoy: bool) -> None:
        self.hub.kill()
        if envoy:
            os.kill(self.hub.envoy_pid, signal.SIGKILL)
        else:
            await self._check_steady()
        if chance.random() < 0.4:
            self._kill_server(chance)
        await asyncio.sleep(chance.random() * 0.3)
        while chance.random() < 0.3:
            self.strikes["starting hub"] += 1
            self.hub.spawn()
            await asyncio.sleep(chance.random() * 2.5)
            self.hub.kill()
        await self.hub.start()

    async def _check_steady(self) -> None:
        """With the hub dead, servers stay reachable."""
        for user in sorted(self._steady):
            if not await self._reaches(user) and user in self._steady:
                self.wrong.append(f"{user} is out of reach while the hub is away")


def check_rows(database: Path, running: set[str]) -> None:
    """No row is lost, double or left over: a server for each user; grants and addresses for those that run only."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT users.name, phase, wanted, url, lease_expires, generation - observed_generation,"
            " (SELECT count(*) FROM tokens WHERE server_id = servers.id),"
            " (SELECT count(*) FROM oauth_clients WHERE server_id = servers.id)"
            " FROM servers JOIN users ON users.id = user_id"
        ).fetchall()
        names = [row[0] for row in rows]
        assert len(names) == len(set(names))
        assert {row[0] for row in rows if row[1] == "running"} == running
        for name, phase, wanted, url, lease, unanswered, tokens, clients in rows:
            assert lease is None and unanswered == 0, (name, rows)
            if phase == "running":
                assert (wanted, bool(url), tokens, clients) == (1, True, 1, 1), (name, rows)
            else:  # a failure is kept, with its reason, until somebody asks for a start
                assert phase in ("stopped", "failed"), (name, rows)
                assert (url, tokens, clients) == (None, 0, 0), (name, rows)
        addresses = [row[3] for row in rows if row[3]]
        assert len(addresses) == len(set(addresses)), rows
        orphans = "SELECT count(*) FROM tokens WHERE server_id NOT IN (SELECT id FROM servers)"
        assert connection.execute(orphans).fetchone() == (0,)
