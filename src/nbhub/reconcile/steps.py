"""Perform one step for one server, and record every outcome under the lease.

A write that comes back as stale means that another hub works on the server now: whatever was being done here is
thrown away by raising `LeaseLost`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from nbhub.core import launch, names, roles, scopes, secrets
from nbhub.core.lifecycle import ABSENT, Limits, Observation, Probe, Settle, Start, Step, Stop, late
from nbhub.core.model import OAuthClient, Phase, ProgressEvent, Role, Server, User
from nbhub.errors import BackendUnavailable, BadRequest, NbhubError, SpawnError
from nbhub.reconcile.probe import ATTEMPT_SECONDS, Prober
from nbhub.spawners.base import Checkpoint, Handle, Note, Spawner
from nbhub.spawners.one_server import AuthState, Prepared, Subject, is_special, prepare
from nbhub.store import Store, grants, servers, users

log = logging.getLogger("nbhub.servers")

MAX_EVENTS = 60
LOG_TAIL_CHARACTERS = 8_000
MOST_PATIENT = 10  # times Pace.retry
SERVER_MAY = "users:activity!user"


class LeaseLost(Exception):
    """Another hub holds the server now; nothing may be recorded here."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long, in seconds; counts where it says so."""

    lease: float = 15.0
    batch: int = 200  # servers claimed in one go
    concurrency: int = 1_000  # servers worked on at once
    retry: float = 1.0  # after the backend did not answer or a stop failed; stops wait longer each time
    probe_window: float = 1.0  # after this much probing look again whether the process is still there
    stop_grace: float = 5.0
    limits: Limits = field(default_factory=Limits)


class Held:
    """A server that this hub holds the lease of: its record as last written, and the token that fences writes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.token = server.lease_token
        self.claimed_generation = server.generation
        self.wanted = server.wanted
        self.attempted = server.start_generation  # the latest ask that a start was tried for
        self.released = False  # the lease went with the last record
        self.interrupted = -math.inf  # when the work on it was cancelled, by a steady clock

    @property
    def full_name(self) -> str:
        """The server's name as in `alice/gpu`; `alice/` is the default server."""
        return f"{self.server.user_name}/{self.server.name}"

    @property
    def handle(self) -> Handle:
        """What the backend knows the server by."""
        return Handle.of(self.server)


class Steps:
    """Performs steps; holds what they need."""

    def __init__(
        self,
        store: Store,
        spawner: Spawner,
        hub: launch.HubAddress,
        keys: secrets.Keys,
        clock: Callable[[], float],
        pace: Pace,
    ) -> None:
        self.store = store
        self.spawner = spawner
        self.hub = hub
        self.keys = keys
        self.clock = clock
        self.pace = pace
        self.prober = Prober()
        self._setbacks: dict[int, int] = {}  # of servers whose stop failed: how often, one after the other
        self.on_start: Callable[[bool, float], None] = lambda ready, seconds: None
        self.on_stop: Callable[[float], None] = lambda seconds: None
        self.auth_state: Callable[[User], Awaitable[Mapping[str, Any] | None]] | None = None  # None: nothing is kept

    async def perform(self, held: Held, step: Step) -> float | None:
        """Perform a step other than Wait; return seconds to wait before the next look, None for at once."""
        match step:
            case Start():
                return await self._start(held)
            case Probe():
                return await self._probe(held)
            case Stop():
                return await self._stop(held, step)
            case Settle():
                await self._settle(held, step)
        return None

    # -- start ---------------------------------------------------------------------------------------------------

    async def _start(self, held: Held) -> float | None:
        held.attempted = held.server.generation
        try:
            build = await self._begin(held)
            budget = (held.server.deadline or 0) - self.clock()
            await self._bring_up(held, build, budget)
        except BackendUnavailable as error:
            log.warning("server=%s backend unavailable: %s", held.full_name, error.message)
            await self._say(held, error.message)
            return self.pace.retry
        except TimeoutError:
            await self._give_up(held, late(held.server, self.clock()))
        except SpawnError as error:
            await self._give_up(held, error.message, error.log_tail)
        except NbhubError as error:
            await self._give_up(held, error.message)
        return None

    async def _begin(self, held: Held) -> launch.Launch:
        """Record STARTING and what the server needs to call home, before anything of it runs."""
        server, now = held.server, self.clock()
        token = await self._token(server)
        subject = await self._subject(held, token)
        status = self._starting(server, now)
        is_first = "started" in status
        if is_special(self.spawner):
            # The configuration's functions may take long, and whoever waits should see that it has begun.
            async with self.store.write() as tx:
                await self._record(tx, held, **status)
            status = {"launched": False}
        prepared = await self._prepared(held, subject)
        if is_first and "start_timeout" in prepared.settings:
            status["deadline"] = now + prepared.settings["start_timeout"]
        hub = self.hub.reached_at(prepared.hub_connect_url) if prepared.hub_connect_url else self.hub
        build = launch.build(server, subject.user, subject.groups, hub, prepared.template, token, prepared.settings)
        async with self.store.write() as tx:
            await self._record(tx, held, **status)
            role = await grants.get_role(tx, roles.SERVER)
            await grants.issue_server_grants(
                tx,
                held.server,
                token_hash=secrets.hash_token(token),
                scopes=_token_scopes(held, role, prepared.token_scopes),
                note=f"Server at {build.prefix}",
                client=self._oauth_client(held.server, build, token),
                now=now,
            )
        log.info("server=%s starting generation=%d", held.full_name, server.generation)
        return build

    async def _token(self, server: Server) -> str:
        """Return the token of this start: if it was begun under an older secret, the one that the object has."""
        possible = [secrets.server_token(keys.tokens, server.id, server.generation) for keys in self.keys]
        if len(possible) > 1:
            async with self.store.read() as tx:
                for token in possible[1:]:
                    if await grants.token_by_hash(tx, secrets.hash_token(token), self.clock()) is not None:
                        return token
        return possible[0]

    def _starting(self, server: Server, now: float) -> dict[str, Any]:
        """Return what is recorded when a start begins; one that is repeated keeps its story and deadline."""
        status: dict[str, Any] = {"phase": Phase.STARTING, "start_generation": server.generation, "launched": False}
        if server.phase is Phase.STARTING and server.start_generation == server.generation:
            return status
        return status | {
            "started": now,
            "deadline": now + self.spawner.start_timeout,
            "ready": None,
            "url": None,
            "message": "",
            "log_tail": "",
            "events": (ProgressEvent(now, 0, "Server requested"),),
        }

    async def _prepared(self, held: Held, subject: Subject) -> Prepared:
        if not is_special(self.spawner):
            return await prepare(self.spawner, subject)
        async with asyncio.timeout(max((held.server.deadline or 0) - self.clock(), 0.001)):
            prepared = await prepare(self.spawner, subject)
        try:
            scopes.validate((*prepared.token_scopes, *prepared.template.oauth_allowed_scopes))
        except BadRequest as error:
            raise SpawnError(f"The configuration gives servers a scope that there is not: {error.message}") from error
        return prepared

    async def _subject(self, held: Held, token: str) -> Subject:
        server = held.server
        async with self.store.read() as tx:
            user = await users.by_id(tx, server.user_id)
            groups = (await users.groups_of(tx, [server.user_id])).get(server.user_id, ())
        if user is None:
            raise LeaseLost
        prefix = names.server_prefix(self.hub.base_url, user.name, server.name)
        return Subject(
            user, groups, server.name, server.options or {}, prefix, token, self._auth_state(user), server.state
        )

    def _auth_state(self, user: User) -> AuthState | None:
        return None if self.auth_state is None else functools.partial(self.auth_state, user)

    def _oauth_client(self, server: Server, build: launch.Launch, token: str) -> OAuthClient:
        access = f"access:servers!server={server.user_name}/{server.name}"
        return OAuthClient(
            identifier=names.server_client_id(server.user_name, server.name),
            description=f"Server at {build.prefix}",
            secret_hash=secrets.hash_token(token),
            redirect_uri=f"{build.prefix}oauth_callback",
            allowed_scopes=(*build.template.oauth_allowed_scopes, access),
            server_id=server.id,
            user_id=server.user_id,
        )

    async def _bring_up(self, held: Held, build: launch.Launch, budget: float) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(loop.time() + max(budget, 0.001)) as deadline:
            async with aclosing(self.spawner.start(build)) as checkpoints:  # type: ignore[type-var]
                async for checkpoint in checkpoints:
                    if checkpoint.deadline is not None:
                        deadline.reschedule(loop.time() + checkpoint.deadline)
                    await self._save(held, checkpoint)
        if not held.server.url:
            raise SpawnError(f"The spawner brought up server {held.full_name} without naming its address.")
        async with self.store.write() as tx:
            now = self.clock()
            await self._record(tx, held, launched=True, deadline=now + self.spawner.setting(build, "http_timeout"))

    async def _save(self, held: Held, checkpoint: Checkpoint) -> None:
        now = self.clock()
        status: dict[str, Any] = {"state": dict(checkpoint.state)}
        if checkpoint.url:
            status["url"] = checkpoint.url
        if checkpoint.deadline is not None:
            status["deadline"] = now + checkpoint.deadline
        if checkpoint.message:
            status["events"] = self._events(held, checkpoint.message, checkpoint.progress)
        async with self.store.write() as tx:
            await self._record(tx, held, **status)

    async def _say(self, held: Held, message: str) -> None:
        """Add a line to the story of the start, unless it is what was said last."""
        if held.server.events and held.server.events[-1].message == message:
            return
        async with self.store.write() as tx:
            await self._record(tx, held, events=self._events(held, message, None))

    def _events(self, held: Held, message: str, progress: int | None) -> tuple[ProgressEvent, ...]:
        events = held.server.events
        reached = events[-1].progress if events else 0
        event = ProgressEvent(self.clock(), max(reached, min(progress or reached, 90)), message)
        return (*events, event)[-MAX_EVENTS:]

    async def _give_up(self, held: Held, message: str, log_tail: str = "") -> None:
        await self._stop(held, Stop(Phase.FAILED, message), log_tail)

    # -- probe ---------------------------------------------------------------------------------------------------

    async def _probe(self, held: Held) -> float | None:
        """Ask until the server answers, or for so long that its process deserves another look."""
        server = held.server
        prefix = names.server_prefix(self.hub.base_url, server.user_name, server.name)
        loop = asyncio.get_running_loop()
        until = loop.time() + self.pace.probe_window
        attempts = round((self.clock() - (server.deadline or 0) + self.spawner.http_timeout) * 20)
        self.prober.waiting += 1
        try:
            while not await self.prober.answers(server.url or "", prefix, self._patience(server)):
                attempts += 1
                if loop.time() > until:
                    return None
                await asyncio.sleep(self.prober.pause(max(attempts, 0)))
        finally:
            self.prober.waiting -= 1
        await self._settle_running(held)
        return None

    def _patience(self, server: Server) -> float:
        """Seconds that one readiness request may take: never far beyond the server's deadline."""
        left = (server.deadline or 0) - self.clock()
        return min(max(left, 0.1), ATTEMPT_SECONDS)

    async def _settle_running(self, held: Held) -> None:
        now, server = self.clock(), held.server
        took = now - (server.started or now)
        async with self.store.write() as tx:
            await self._record(
                tx,
                held,
                phase=Phase.RUNNING,
                observed_generation=server.start_generation,
                ready=now,
                deadline=None,
                message="",
                last_activity=max(now, server.last_activity or 0),
            )
            await self.release(tx, held, self.pace.limits.poll_interval)
        log.info("server=%s starting→running after=%.1fs", held.full_name, took)
        self.spawner.note(held.handle, Note("Started", f"The server answers, {took:.1f} seconds after its start began"))
        self.on_start(True, took)

    # -- stop and settle -----------------------------------------------------------------------------------------

    async def _stop(self, held: Held, step: Stop, log_tail: str = "") -> float | None:
        begun = self.clock()
        if step.then is Phase.STOPPED and held.server.phase is not Phase.STOPPING:
            async with self.store.write() as tx:
                await self._record(tx, held, phase=Phase.STOPPING)
        else:
            await self._confirm(held)
        if step.then is Phase.FAILED and not log_tail:
            log_tail = await self._log_tail(held)
        try:
            async with asyncio.timeout(self.spawner.stop_timeout):
                await self.spawner.stop(held.handle, grace=timedelta(seconds=self.pace.stop_grace))
        except TimeoutError:
            log.warning("server=%s still stopping after=%.0fs", held.full_name, self.spawner.stop_timeout)
            return self._later(held)
        except SpawnError as error:
            log.warning("server=%s could not be stopped: %s", held.full_name, error.message)
            if step.then is Phase.FAILED:
                await self._say(held, step.message)  # so that whoever waits learns why, before what is left is gone
            return self._later(held)
        self._setbacks.pop(held.server.id, None)
        self.on_stop(self.clock() - begun)
        await self._settle(held, Settle(step.then, step.message, step.answered), log_tail)
        return None

    def _later(self, held: Held) -> float:
        """Seconds until a stop that failed is tried again: what one try could not end is not asked for every second."""
        setbacks = self._setbacks.get(held.server.id, 0)
        self._setbacks[held.server.id] = setbacks + 1
        return self.pace.retry * min(1 << setbacks, MOST_PATIENT)

    async def _settle(self, held: Held, step: Settle, log_tail: str = "") -> None:
        server, now = held.server, self.clock()
        if step.phase is Phase.FAILED and not log_tail:
            log_tail = await self._log_tail(held)
        if step.phase is Phase.STOPPED and server.removing and not held.wanted:
            await self._remove(held)
            return
        await self._tell_stopped(held)
        answered = held.attempted if step.phase is Phase.FAILED else held.claimed_generation
        observed = max(server.observed_generation, answered if step.answered else 0)
        async with self.store.write() as tx:
            await self._record(
                tx,
                held,
                phase=step.phase,
                observed_generation=observed,
                launched=False,
                url=None,
                deadline=None,
                message=step.message,
                log_tail=log_tail[-LOG_TAIL_CHARACTERS:],
                stopped=now,
            )
            await grants.revoke_server_grants(tx, server.id)
            await self.release(tx, held, None if observed >= server.generation else 0.0)
        if step.phase is Phase.FAILED and server.phase is not Phase.FAILED:
            self.spawner.note(held.handle, Note("Failed", step.message or "The server ended.", is_trouble=True))
        reason = f" reason={step.message!r}" if step.message else ""
        log.info("server=%s %s→%s%s", held.full_name, server.phase, step.phase, reason)
        if step.phase is Phase.FAILED and server.phase is Phase.STARTING:
            self.on_start(False, now - (server.started or now))

    async def _tell_stopped(self, held: Held) -> None:
        """Call the configuration's functions for a server that was there; one that fails changes nothing."""
        if held.server.phase in (Phase.STOPPED, Phase.FAILED):
            return
        try:
            async with asyncio.timeout(self.spawner.stop_timeout):
                await self.spawner.stopped(await self._subject(held, ""))
        except (SpawnError, TimeoutError) as error:
            log.warning("server=%s a function of the configuration failed after the stop: %s", held.full_name, error)

    async def _confirm(self, held: Held) -> None:
        """Raise LeaseLost unless the server is still ours: a hub that was frozen wakes up long past its deadlines."""
        async with self.store.write() as tx:
            await self._record(tx, held, launched=held.server.launched)

    async def _remove(self, held: Held) -> None:
        await self._confirm(held)
        await self._tell_stopped(held)
        await self.spawner.forget(held.handle)
        async with self.store.write() as tx:
            await grants.revoke_server_grants(tx, held.server.id)
            if not await servers.delete(tx, held.server.id, held.token, seen_generation=held.claimed_generation):
                raise LeaseLost
        log.info("server=%s removed", held.full_name)
        raise LeaseLost  # there is no row to release any more

    async def moved(self, held: Held, url: str) -> None:
        """Record that a running server is to be reached at another address now.

        One whose address was given to another server gets it back when that one has left it, never before: which of the
        two answers there cannot be told.
        """
        async with self.store.write() as tx:
            if held.server.url is None and await servers.is_others(tx, url, held.server.id):
                log.warning("server=%s cannot be reached: another server has its address %s", held.full_name, url)
                return
            await self._record(tx, held, url=url)
        log.info("server=%s moved to %s", held.full_name, url)

    # -- shared --------------------------------------------------------------------------------------------------

    async def observe(self, held: Held) -> Observation:
        """Look at one server."""
        return (await self.spawner.poll([held.handle]))[0] if held.server.start_generation else ABSENT

    async def _log_tail(self, held: Held) -> str:
        try:
            return await self.spawner.log_tail(held.handle)
        except SpawnError:
            return ""  # the reason of the failure matters more than what the server wrote before it

    async def release(self, tx: Any, held: Held, seconds: float | None) -> None:
        """Let a server go: due in `seconds`, not before somebody asks (None), or now if somebody did meanwhile."""
        due = None if seconds is None else self.clock() + seconds
        await servers.release(tx, held.server.id, held.token, due=due, seen_generation=held.claimed_generation)
        held.released = True

    async def _record(self, tx: Any, held: Held, **status: Any) -> None:
        if not await servers.record(tx, held.server.id, held.token, **status):
            raise LeaseLost
        held.server = replace(held.server, **status)


def _token_scopes(held: Held, role: Role | None, more: Iterable[str]) -> tuple[str, ...]:
    """Return what a server may do with its token: what the role `server` says, and what its spawner adds."""
    usual = role is None or role.scopes == roles.BUILT_IN[roles.SERVER].scopes
    return (
        SERVER_MAY,
        *((f"access:servers!server={held.full_name}",) if usual or role is None else role.scopes),
        *more,
    )
