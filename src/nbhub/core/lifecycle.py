"""The state machine of one server: from what is wanted and what is seen to the one next step.

Pure. The reconciler observes, asks `decide`, performs the step and records the outcome; it never decides by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from nbhub.core.model import Phase, Server


@dataclass(frozen=True, slots=True)
class Observation:
    """What a backend says about one server's object right now.

    `exit_code` is None when it is alive, absent without a trace, or ended unseen. `url` is set by backends whose
    objects can change their address. `failing` says of one that is alive that a start will come to nothing, such as one
    that ends and is run again.
    """

    alive: bool
    exit_code: int | None = None
    message: str = ""
    url: str | None = None
    failing: bool = False


ABSENT = Observation(alive=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds between looks: at a running server, and at one that is launched and does not answer yet."""

    poll_interval: float = 30.0
    probe_interval: float = 0.05


@dataclass(frozen=True, slots=True)
class Start:
    """Bring the object of the current generation up: adopt what is there of it, replace what is older."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask the server whether it answers; if it does, settle RUNNING."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Take the object away, then settle `then`; `answered` says whether the latest ask is thereby answered."""

    then: Phase
    message: str = ""
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Settle:
    """Record that the server is in `phase`; `answered` as for Stop."""

    phase: Phase
    message: str = ""
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do; look again in `seconds`, or not before somebody asks (None)."""

    seconds: float | None


Step = Start | Probe | Stop | Settle | Wait


def decide(server: Server, seen: Observation, now: float, limits: Limits) -> Step:
    """Return the one step that brings the server closer to what is wanted. `now` is in seconds since the epoch."""
    if not server.wanted:
        return _wind_down(server, seen)
    match server.phase:
        case Phase.STOPPED | Phase.FAILED:
            return _rest(server, seen)
        case Phase.STARTING:
            return _bring_up(server, seen, now)
        case Phase.RUNNING:
            return _keep_up(server, seen, limits)
        case Phase.STOPPING:
            # Asked to start again while it was going down: finish going down first, the ask stays open.
            if seen.alive or _half_launched(server):
                return Stop(Phase.STOPPED, answered=False)
            return Settle(Phase.STOPPED, answered=False)


def _half_launched(server: Server) -> bool:
    """Say whether a hub may have died in the middle of a launch, and left an object that no saved state leads to.

    Stopping finds it by name and does nothing when there is none.
    """
    return server.phase in (Phase.STARTING, Phase.STOPPING) and not server.launched


def _rest(server: Server, seen: Observation) -> Step:
    if server.generation > server.observed_generation:
        return Start()
    if seen.alive:
        # A hub that was frozen in the middle of a start woke up after others had closed the case, and finished it.
        return Stop(server.phase, server.message)
    return Wait(None)


def _wind_down(server: Server, seen: Observation) -> Step:
    if seen.alive or _half_launched(server):
        return Stop(Phase.STOPPED)
    at_rest = server.phase in (Phase.STOPPED, Phase.FAILED) and server.observed_generation >= server.generation
    if at_rest and not server.removing:
        return Wait(None)
    return Settle(Phase.STOPPED)


def _bring_up(server: Server, seen: Observation, now: float) -> Step:
    if server.generation > server.start_generation:
        return Start()
    if server.deadline is not None and now > server.deadline:
        gone = server.launched and not seen.alive
        return Stop(Phase.FAILED, ended(seen, "before it was ready") if gone else late(server, now))
    if not server.launched:
        return Start()
    if not seen.alive:
        return Settle(Phase.FAILED, ended(seen, "before it was ready"))
    return Stop(Phase.FAILED, ended(seen, "before it was ready")) if seen.failing else Probe()


def _keep_up(server: Server, seen: Observation, limits: Limits) -> Step:
    if server.generation > server.start_generation:
        # A restart. With the object gone already only the record has to follow, so that Start comes next.
        return Stop(Phase.STOPPED, answered=False) if seen.alive else Settle(Phase.STOPPED, answered=False)
    if seen.alive:
        return Wait(limits.poll_interval)
    if seen.exit_code == 0:
        return Settle(Phase.STOPPED, "The server shut itself down.")
    return Settle(Phase.FAILED, ended(seen, "while it was running"))


_LATE = "The server could not be brought up within "


def late(server: Server, now: float) -> str:
    """Say what a start that is past its deadline was waiting for."""
    took = max(0, round(now - (server.started if server.started is not None else now)))
    if server.launched:
        return (
            f"The server was launched and its process is alive, but it did not answer at its address within {took} s. "
            "Ask your administrator to look at its log, or to allow more time (http_timeout)."
        )
    told = (event.message for event in reversed(server.events[1:]))
    heard = next((words for words in told if not words.startswith(_LATE)), "")  # not what was said of it before
    sentence, _, details = heard.partition("\n\n")
    return (
        f"{_LATE}{took} s. "
        + (f"The last that was heard of it: {sentence} " if sentence else "")
        + "Try again, or ask your administrator to allow more time (start_timeout)."
        + (f"\n\n{details}" if details else "")
    )


def ended(seen: Observation, when: str) -> str:
    """Say how a server that should be there came to its end."""
    if seen.message:
        how = seen.message
        if how.startswith("The server "):
            how = f"it {how.removeprefix('The server ')}"
        return f"The server ended {when}: {how}"
    if seen.exit_code is None:
        return f"The server disappeared {when}."
    if seen.exit_code < 0:
        return f"The server was killed by signal {-seen.exit_code} {when}."
    return f"The server exited with code {seen.exit_code} {when}."
