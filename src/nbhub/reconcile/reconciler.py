"""The loop: claim → one bulk poll → decide → perform → release.

Every hub runs one. They share the work through leases in the rows, so resync, crash recovery, the discovery of dead
servers and start-up are the same code path.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from nbhub.core import launch, secrets
from nbhub.core.lifecycle import ABSENT, Observation, Stop, Wait, decide
from nbhub.core.model import Phase, Server
from nbhub.errors import BackendUnavailable, DatabaseUnavailable
from nbhub.reconcile.steps import Held, LeaseLost, Pace, Steps
from nbhub.spawners.base import Spawner
from nbhub.store import Store, servers

log = logging.getLogger("nbhub.reconcile")

IDLE_SECONDS = 5.0  # look for due rows at least this often, should a ring get lost
RENEW_SPACING = 0.1  # rings may come by the hundred; held leases are looked at no more often than this


class Reconciler:
    """Brings servers to what is wanted of them. `holder` names this process in the leases."""

    def __init__(
        self,
        store: Store,
        spawner: Spawner,
        *,
        hub: launch.HubAddress,
        keys: secrets.Keys,
        clock: Callable[[], float],
        holder: str,
        pace: Pace | None = None,
    ) -> None:
        self.store = store
        self.spawner = spawner
        self.clock = clock
        self.holder = holder
        self.steps = Steps(store, spawner, hub, keys, clock, pace or Pace())
        self._held: dict[int, Held] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}  # of those held
        self._unfinished: set[asyncio.Task[None]] = set()  # these, and those that are about to let go
        self.on_poll: Callable[[float], None] = lambda seconds: None

    @property
    def pace(self) -> Pace:
        """How often and how long; may be changed at any time."""
        return self.steps.pace

    @pace.setter
    def pace(self, pace: Pace) -> None:
        self.steps.pace = pace

    async def run(self) -> None:
        """Work until cancelled; what is in flight then is handed over by letting its lease go."""
        keeper = asyncio.create_task(self._keep_leases(), name="leases")
        watcher = asyncio.create_task(self._follow_hints(), name="hints")
        try:
            async with self.store.wakeup.listen("servers", "resync") as bell:
                while True:
                    pause = await self._turn()
                    await bell.wait(pause)
        finally:
            keeper.cancel()
            watcher.cancel()
            await self._hand_over()
            await asyncio.gather(keeper, watcher, return_exceptions=True)

    async def _turn(self) -> float:
        """Take on what is due; return the seconds until there is more."""
        try:
            claimed = await self._claim()
            if claimed:
                await self._work_on(claimed)
                return 0.0
            async with self.store.read() as tx:
                due = await servers.next_due(tx, self.clock())
        except DatabaseUnavailable as error:
            log.warning("the database does not answer, servers keep running: %s", error.message)
            return self.pace.retry
        except Exception:
            log.exception("a turn failed; what was claimed comes due again when its lease ends")
            return self.pace.retry
        if due is None or len(self._held) >= self.pace.concurrency:
            return IDLE_SECONDS
        return min(max(due - self.clock(), 0.01), IDLE_SECONDS)

    async def _claim(self) -> Sequence[Server]:
        room = min(self.pace.batch, self.pace.concurrency - len(self._held))
        if room <= 0:
            return ()
        async with self.store.write() as tx:
            return await servers.claim(tx, holder=self.holder, now=self.clock(), lease=self.pace.lease, limit=room)

    async def _work_on(self, claimed: Sequence[Server]) -> None:
        """Poll all at once, release those with nothing to do in one go, and give each other one a task."""
        batch = [Held(server) for server in claimed]
        try:
            seen = await self._poll(batch)
        except BackendUnavailable as error:
            # Nothing is known, so nothing may be concluded.
            log.warning("the backend does not answer: %s", error.message)
            await self._release([(held, self.pace.retry) for held in batch])
            return
        except asyncio.CancelledError:
            await self._release([(held, 0.0) for held in batch])  # others need not wait for the leases to run out
            raise
        resting: list[tuple[Held, float | None]] = []
        for held, observation in zip(batch, seen, strict=True):
            step = decide(held.server, observation, self.clock(), self.pace.limits)
            if not isinstance(step, Wait):
                self._take(held, observation)
                continue
            if observation.url and held.server.phase is Phase.RUNNING and observation.url != held.server.url:
                with contextlib.suppress(LeaseLost):
                    await self.steps.moved(held, observation.url)
            resting.append((held, step.seconds))
        await self._release(resting)

    async def _poll(self, batch: Sequence[Held]) -> Sequence[Observation]:
        """Look at those that were ever started; the backend has never heard of the others."""
        started = [held for held in batch if held.server.start_generation]
        begun = self.clock()
        seen = await self.spawner.poll([held.handle for held in started]) if started else ()
        if started:
            self.on_poll(self.clock() - begun)
        known = {held.server.id: observation for held, observation in zip(started, seen, strict=True)}
        return [known.get(held.server.id, ABSENT) for held in batch]

    async def _release(self, resting: Sequence[tuple[Held, float | None]]) -> None:
        if not resting:
            return
        now = self.clock()
        async with self.store.write() as tx:
            for held, seconds in resting:
                due = None if seconds is None else now + seconds
                seen = held.claimed_generation
                if not await servers.release(tx, held.server.id, held.token, due=due, seen_generation=seen):
                    # Others took over, and what was begun here may have come to pass after they closed the case.
                    await servers.nudge(tx, [held.server.id], now)

    # -- one server ----------------------------------------------------------------------------------------------

    def _take(self, held: Held, seen: Observation) -> None:
        self._held[held.server.id] = held
        task = asyncio.create_task(self._bring_along(held, seen), name=f"server {held.full_name}")
        self._tasks[held.server.id] = task
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)

    async def _bring_along(self, held: Held, seen: Observation) -> None:
        """Perform step after step until there is nothing to do now, then let the server go."""
        pause: float | None = self.pace.retry
        try:
            pause = await self._advance(held, seen)
        except LeaseLost:
            pause = 0.0
        except asyncio.CancelledError:
            # A newer ask came, or this hub stops: let go at once, so that somebody takes the row from here.
            pause = 0.0
        except DatabaseUnavailable as error:
            log.warning("server=%s could not be recorded: %s", held.full_name, error.message)
        except BackendUnavailable as error:
            log.warning("server=%s backend unavailable: %s", held.full_name, error.message)
        except Exception as error:
            log.exception("server=%s unexpected error", held.full_name)
            await self._fail(held, error)
        finally:
            self._put_down(held)
        if not held.released:
            with contextlib.suppress(DatabaseUnavailable):  # the lease runs out by itself
                await self._release([(held, pause)])

    def _put_down(self, held: Held) -> None:
        was_full = len(self._held) >= self.pace.concurrency
        self._held.pop(held.server.id, None)
        self._tasks.pop(held.server.id, None)
        if was_full:
            self.store.wakeup.ring("servers")  # others may be due for long, and there is room for one of them now

    async def _fail(self, held: Held, error: Exception) -> None:
        """A start that meets a programming error (in a hook, in a spawner) fails now, not at its deadline."""
        if held.attempted <= held.server.observed_generation:
            return
        message = f"The hub met an unexpected {type(error).__name__} while starting the server; see the hub's log."
        try:
            with contextlib.suppress(LeaseLost, DatabaseUnavailable, BackendUnavailable):
                await self.steps.perform(held, Stop(Phase.FAILED, message))
        except Exception:
            log.exception("server=%s what was begun of it cannot be taken away, trying again", held.full_name)

    async def _advance(self, held: Held, seen: Observation) -> float | None:
        while True:
            step = decide(held.server, seen, self.clock(), self.pace.limits)
            if isinstance(step, Wait):
                return step.seconds
            pause = await self.steps.perform(held, step)
            if pause is not None or held.released:
                return pause
            seen = await self.steps.observe(held)

    # -- leases and hints ----------------------------------------------------------------------------------------

    async def _keep_leases(self) -> None:
        """Renew what is held; drop what is lost; interrupt what nobody wants any more."""
        async with self.store.wakeup.listen("servers", "resync") as bell:
            while True:
                await bell.wait(self.pace.lease / 3)
                try:
                    await self._renew()
                except DatabaseUnavailable as error:
                    log.warning("leases could not be renewed: %s", error.message)
                except Exception:
                    log.exception("leases could not be renewed, trying again")
                await asyncio.sleep(RENEW_SPACING)

    async def _renew(self) -> None:
        if not self._held:
            return
        held = {server_id: item.token for server_id, item in self._held.items()}
        async with self.store.write() as tx:
            ours = await servers.renew(tx, held, now=self.clock(), lease=self.pace.lease)
        for server_id, token in held.items():
            item = self._held.get(server_id)
            if item is None or item.token != token:
                continue
            if ours.get(server_id) != item.claimed_generation:
                self._interrupt(item)

    def _interrupt(self, held: Held) -> None:
        """Cancel the work on a server, once: what is being tidied up then is not cut off, unless it takes too long."""
        now = asyncio.get_running_loop().time()
        if now - held.interrupted > self.pace.lease:
            held.interrupted = now
            self._tasks[held.server.id].cancel()

    async def _follow_hints(self) -> None:
        while True:
            try:
                async for server_id in self.spawner.watch():
                    await self._take_hint(server_id)
                return  # this backend gives none
            except Exception:
                log.exception("no hints from the backend for now; the next polls see what changes")
            await asyncio.sleep(self.pace.lease)

    async def _take_hint(self, server_id: int) -> None:
        if server_id in self._held:
            return  # being looked at anyway
        with contextlib.suppress(DatabaseUnavailable):  # only a hint: the next poll sees it
            async with self.store.write() as tx:
                await servers.nudge(tx, [server_id], self.clock())

    async def _hand_over(self) -> None:
        for held in list(self._held.values()):
            self._interrupt(held)
        await asyncio.gather(*self._unfinished, return_exceptions=True)
