"""A small world to run histories in: one row, one backend, hubs that can be stopped between any two of their acts.

The hubs here do what the reconciler does, act by act: every `yield` is a point where a hub can be interrupted, freeze,
or die, between having done something and having recorded it. Who acts next, and what goes wrong, is read from a tape.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from nbhub.core.lifecycle import ABSENT, Limits, Observation, Probe, Settle, Start, Step, Stop, Wait, decide
from nbhub.core.model import Phase, Server

LEASE = 15.0
TIMEOUT = 60.0  # seconds for a launch, and again until it answers
LIMITS = Limits(poll_interval=30.0, probe_interval=1.0)
Acts = Generator[None, None, None]


class LeaseLost(Exception):
    """The row has another lease token now."""


class Unavailable(Exception):
    """The backend does not answer."""


class Failed(Exception):
    """The backend cannot start this."""


@dataclass
class Thing:
    """What runs at the backend."""

    generation: int
    answers: bool
    alive: bool = True
    exit_code: int | None = None


@dataclass
class Held:
    """A hub's copy of the row."""

    server: Server
    token: int
    claimed_generation: int
    wanted: bool
    released: bool = False  # the lease went with the last record


@dataclass
class World:
    """The row, the backend, and the faults that wait to happen."""

    finds_by_name: bool  # poll sees also what no saved state leads to
    server: Server | None = field(default_factory=lambda: Server(1, 1, "alice", "", phase=Phase.STOPPED))
    now: float = 1000.0
    token: int = 0
    lease_until: float | None = None
    thing: Thing | None = None
    last_stopped: int = 0  # no start of this generation or an older one begins any more
    last_made: int = 0
    fail_next: bool = False
    mute_next: bool = False
    away: bool = False
    excused: bool = False  # something went wrong since the last ask, so that ending FAILED is right
    starts: int = 0

    # -- what users do

    def ask(self, *, wanted: bool, remove: bool = False) -> None:
        """A start, restart or stop is asked for."""
        if self.server is None:
            return
        removing = remove or (self.server.removing and not wanted)
        generation = self.server.generation + 1
        self.server = replace(self.server, wanted=wanted, removing=removing, generation=generation, due=self.now)
        self.excused = self.fail_next or self.mute_next

    # -- what the store does

    def claim(self) -> Held | None:
        """As `servers.claim`."""
        row = self.server
        if row is None:
            return None
        free = row.due is not None and row.due <= self.now if self.lease_until is None else self.lease_until <= self.now
        if not free:
            return None
        self.token += 1
        self.lease_until = self.now + LEASE
        self.server = replace(row, due=None, lease_token=self.token)
        return Held(self.server, self.token, row.generation, row.wanted)

    def is_held(self, held: Held) -> bool:
        """Whether the lease is still the holder's."""
        return self.server is not None and self.token == held.token

    def renew(self, held: Held) -> bool:
        """As `servers.renew`: False when the holder has to let go."""
        if not self.is_held(held) or self.server is None:
            return False
        self.lease_until = self.now + LEASE
        return self.server.generation == held.claimed_generation

    def record(self, held: Held, **status: Any) -> None:
        """As `servers.record`; the holder's copy follows."""
        if not self.is_held(held) or self.server is None:
            raise LeaseLost
        self.server = replace(self.server, **status)
        held.server = replace(held.server, **status)

    def release(self, held: Held, due: float | None) -> None:
        """As `servers.release`."""
        if not self.is_held(held) or self.server is None:
            return
        times = [time for time in (self.server.due, due) if time is not None]
        asked = self.server.generation > held.claimed_generation
        self.server = replace(self.server, due=self.now if asked else min(times, default=None))
        self.token += 1
        self.lease_until = None

    def nudge(self) -> None:
        """As `servers.nudge`."""
        if self.server is not None and (self.server.due is None or self.server.due > self.now):
            self.server = replace(self.server, due=self.now)

    def delete(self, held: Held) -> None:
        """As `servers.delete`."""
        if not self.is_held(held):
            raise LeaseLost
        self.server = None

    # -- what the backend does

    def poll(self, held: Held) -> Observation:
        """As `Spawner.poll`."""
        self.reach()
        thing = self.thing
        if thing is None or not held.server.start_generation:
            return ABSENT
        if not self.finds_by_name and held.server.state.get("generation") != thing.generation:
            return ABSENT
        return Observation(thing.alive, thing.exit_code)

    def clear_older(self, generation: int) -> None:
        """The first half of `Spawner.start`."""
        self.reach()
        if self.thing is not None and (self.thing.generation < generation or not self.thing.alive):
            self.thing = None

    def make(self, generation: int) -> None:
        """The second half of `Spawner.start`: adopt, or create in place of an older one that came meanwhile."""
        self.reach()
        if generation <= self.last_stopped or generation < self.last_made:
            raise Failed("overtaken")
        if self.thing is not None and self.thing.alive and self.thing.generation == generation:
            return
        if self.fail_next:
            self.fail_next, self.excused = False, True
            raise Failed("no room")
        self.thing = Thing(generation, answers=not self.mute_next)
        self.excused |= self.mute_next
        self.mute_next = False
        self.last_made = generation
        self.starts += 1

    def stop(self, held: Held) -> None:
        """As `Spawner.stop`: by name, whatever generation is there."""
        self.reach()
        if self.thing is not None and not self.is_held(held):
            self.excused = True  # a hub that was frozen ended what others had started since
        self.last_stopped = max(self.last_stopped, held.server.start_generation, self.thing_generation)
        self.thing = None

    @property
    def thing_generation(self) -> int:
        """Generation of what is there."""
        return self.thing.generation if self.thing is not None else 0

    def reach(self) -> None:
        """Raise Unavailable while the backend is away."""
        if self.away:
            raise Unavailable

    def die(self, code: int | None) -> None:
        """The server's process ends."""
        if self.thing is not None and self.thing.alive:
            self.thing.alive, self.thing.exit_code = False, code
            self.excused = True


class Hub:
    """One reconciler, working on the one row; `acts` is where it is in doing so."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.held: Held | None = None
        self.acts: Acts | None = None

    def act(self) -> None:
        """Do the next thing."""
        if self.acts is None:
            self.held = self.world.claim()
            self.acts = self._work(self.held) if self.held is not None else None
            return
        if next(self.acts, self) is self:
            self.acts = self.held = None

    def look_after_lease(self) -> None:
        """Renew, or let go where something newer is asked for."""
        if self.held is None or self.world.renew(self.held):
            return
        held = self.held
        self.die()
        if self.world.is_held(held):
            self.world.release(held, self.world.now)
        else:
            self.world.nudge()

    def die(self) -> None:
        """As by `kill -9`: nothing is done any more."""
        if self.acts is not None:
            self.acts.close()
        self.acts = self.held = None

    def _work(self, held: Held) -> Acts:
        pause: float | None = 1.0
        try:
            seen = self.world.poll(held)
            while True:
                yield
                step = decide(held.server, seen, self.world.now, LIMITS)
                if isinstance(step, Wait):
                    pause = step.seconds
                    break
                again = yield from self._perform(held, step)
                if held.released:
                    return
                if again is not None:
                    pause = again
                    break
                seen = self.world.poll(held)
        except LeaseLost:
            self.world.nudge()
            return
        except Unavailable:
            pause = 1.0
        yield
        self.world.release(held, None if pause is None else self.world.now + pause)

    def _perform(self, held: Held, step: Step) -> Generator[None, None, float | None]:
        match step:
            case Start():
                yield from self._start(held)
            case Probe():
                return (yield from self._probe(held))
            case Stop():
                yield from self._stop(held, step)
            case Settle():
                self._settle(held, step)
        return None

    def _start(self, held: Held) -> Acts:
        world, generation = self.world, held.server.generation
        status: dict[str, Any] = {"phase": Phase.STARTING, "start_generation": generation, "launched": False}
        if held.server.phase is not Phase.STARTING or held.server.start_generation != generation:
            status |= {"started": world.now, "deadline": world.now + TIMEOUT}
        world.record(held, **status)
        yield
        try:
            world.clear_older(generation)
            yield
            world.make(generation)
        except Failed as error:
            yield from self._stop(held, Stop(Phase.FAILED, str(error)))
            return
        yield
        world.record(held, state={"generation": generation})
        yield
        world.record(held, launched=True, deadline=world.now + TIMEOUT)

    def _probe(self, held: Held) -> Generator[None, None, float | None]:
        thing = self.world.thing
        yield
        if thing is None or not thing.alive or not thing.answers:
            self.world.excused |= self.world.now > (held.server.deadline or 0)
            return 1.0
        self.world.record(held, phase=Phase.RUNNING, observed_generation=held.server.start_generation, deadline=None)
        self._let_go(held, LIMITS.poll_interval)
        return None

    def _stop(self, held: Held, step: Stop) -> Acts:
        world = self.world
        if held.server.deadline is not None and world.now > held.server.deadline:
            world.excused = True
        if step.then is Phase.STOPPED and held.server.phase is not Phase.STOPPING:
            world.record(held, phase=Phase.STOPPING)
            yield
        world.stop(held)
        yield
        self._settle(held, Settle(step.then, step.message, step.answered))

    def _settle(self, held: Held, step: Settle) -> None:
        server = held.server
        if step.phase is Phase.STOPPED and server.removing and not held.wanted:
            self.world.delete(held)
            raise LeaseLost
        answered = server.start_generation if step.phase is Phase.FAILED else held.claimed_generation
        observed = max(server.observed_generation, answered if step.answered else 0)
        self.world.record(
            held, phase=step.phase, observed_generation=observed, launched=False, deadline=None, message=step.message
        )
        self._let_go(held, None if step.answered else 0.0)

    def _let_go(self, held: Held, seconds: float | None) -> None:
        """In the transaction of the record before."""
        self.world.release(held, None if seconds is None else self.world.now + seconds)
        held.released = True


def run(tape: bytes, *, finds_by_name: bool) -> World:
    """Live through the history on the tape, then come to rest; raises AssertionError where something is wrong."""
    world = World(finds_by_name)
    hubs = [Hub(world), Hub(world)]
    removal = sum(tape) % 4 == 0  # a removed server has no history any more, so most are not
    for event in tape:
        happen(world, hubs, event, removal)
        check_always(world)
    come_to_rest(world, hubs)
    check_at_rest(world)
    if world.server is not None:
        ask_and_check(world, hubs)
    return world


def happen(world: World, hubs: list[Hub], event: int, removal: bool) -> None:
    """One event of a history; most of them are a hub doing its next act."""
    kind, which = event % 32, hubs[event // 32 % 2]
    if kind < 17:
        for _ in range((1, 2, 4, 9)[event // 64]):
            which.act()
    elif kind < 19:
        world.ask(wanted=True)
    elif kind == 19:
        world.ask(wanted=event < 64, remove=removal and event >= 224)
    elif kind < 22:
        which.die()
        world.now += LEASE + 1 if event < 128 else 0
    elif kind < 24:
        which.look_after_lease()
    elif kind < 28:
        world.now += (1.0, 5.0, 16.0, 31.0, 70.0, 0.1, 20.0, 16.0)[event // 32]
    elif kind == 28:
        world.die((0, 1, -9, None)[event // 64])
    elif kind == 29:
        world.fail_next = world.excused = True
    elif kind == 30:
        world.mute_next = world.excused = True
    else:
        world.away = not world.away


def come_to_rest(world: World, hubs: list[Hub]) -> None:
    """No more faults: hubs that were frozen wake up, time goes on, until nothing is left to do."""
    world.away = False
    for _ in range(300):
        for hub in hubs:
            _finish(world, hub)
        if _rests(world, hubs):
            return
        world.now = max(world.now + 0.01, min(_times(world), default=world.now + 1))
    raise AssertionError(f"does not come to rest: {world}")


def ask_and_check(world: World, hubs: list[Hub]) -> None:
    """Whatever came before: who asks gets."""
    world.fail_next = world.mute_next = False
    world.ask(wanted=True)
    come_to_rest(world, hubs)
    check_at_rest(world)
    world.ask(wanted=False)
    come_to_rest(world, hubs)
    check_at_rest(world)


def check_always(world: World) -> None:
    """What is never wrong, not even for a moment."""
    row = world.server
    if row is None:
        return
    assert row.observed_generation <= row.generation, "an ask was answered before it was made"
    if row.phase is Phase.RUNNING:
        assert row.launched


def check_at_rest(world: World) -> None:
    """What is right once nothing is left to do."""
    row, thing = world.server, world.thing
    alive = thing is not None and thing.alive
    if row is None:
        assert not alive, f"removed, and yet it runs: {world}"
        return
    assert row.observed_generation >= row.generation, f"an ask was lost: {world}"
    if not row.wanted:
        assert row.phase is Phase.STOPPED and not alive, f"not wanted: {world}"
        assert not row.removing, f"it should be gone: {world}"
    elif row.phase is Phase.RUNNING:
        assert thing is not None and alive and thing.generation == row.start_generation == row.generation, f"{world}"
    else:
        assert row.phase in (Phase.STOPPED, Phase.FAILED) and not alive, f"nobody looks after it: {world}"
        assert world.excused, f"it should run: {world}"


def _finish(world: World, hub: Hub) -> None:
    for _ in range(200):
        hub.act()
        if hub.acts is None:
            return
    raise AssertionError(f"a hub works without end: {world}")


def _times(world: World) -> Iterator[float]:
    if world.server is not None and world.server.due is not None and world.lease_until is None:
        yield world.server.due
    if world.lease_until is not None:
        yield world.lease_until


def _rests(world: World, hubs: list[Hub]) -> bool:
    row = world.server
    if any(hub.acts is not None for hub in hubs) or (row is not None and world.lease_until is not None):
        return False
    if row is None or row.due is None:
        return True
    return (
        row.phase is Phase.RUNNING
        and row.due > world.now
        and row.generation == row.observed_generation
        and bool(world.thing and world.thing.alive)
    )
