"""Every row of the state machine's table, and the words it gives to ends and delays."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.core.lifecycle import (
    ABSENT,
    Limits,
    Observation,
    Probe,
    Settle,
    Start,
    Step,
    Stop,
    Wait,
    decide,
    ended,
    late,
)
from nbhub.core.model import Phase, ProgressEvent, Server

LIMITS = Limits(poll_interval=30.0)
THERE = Observation(alive=True)
NOW = 1000.0
REST = (Phase.STOPPED, Phase.FAILED)
CRASHED = Observation(alive=False, exit_code=1)
BEFORE, WHILE = "before it was ready", "while it was running"
ENDED_EARLY = "The server exited with code 1 before it was ready."


def a_server(phase: Phase, **fields: Any) -> Server:
    """A server that was asked for twice, of which the second is answered, unless said otherwise."""
    known: dict[str, Any] = {"wanted": True, "generation": 2, "observed_generation": 2, "start_generation": 2}
    known |= {"launched": phase in (Phase.RUNNING, Phase.STOPPING)}
    return Server(1, 1, "alice", "", phase=phase, **(known | fields))


def starting(**fields: Any) -> Server:
    """A server in the middle of the start of its newest generation, in time."""
    known: dict[str, Any] = {"observed_generation": 0, "launched": True, "started": NOW - 20, "deadline": NOW + 40}
    return a_server(Phase.STARTING, **(known | fields))


NEWER = {"generation": 3}
UNWANTED = {"wanted": False, "generation": 3}

CRASHING = Observation(alive=True, exit_code=3, message="it crashed twice", failing=True)

TABLE: list[tuple[str, Server, Observation, Step]] = [
    *((f"unwanted {p}, there", a_server(p, **UNWANTED), THERE, Stop(Phase.STOPPED)) for p in Phase),
    *((f"unwanted {p}, absent", a_server(p, **UNWANTED, launched=True), ABSENT, Settle(Phase.STOPPED)) for p in Phase),
    *((f"unwanted {p}, at rest", a_server(p, wanted=False), ABSENT, Wait(None)) for p in REST),
    *((f"unwanted {p}, crashed before", a_server(p, wanted=False), CRASHED, Wait(None)) for p in REST),
    *((f"removing {p}", a_server(p, wanted=False, removing=True), ABSENT, Settle(Phase.STOPPED)) for p in REST),
    *(
        (f"unwanted {p}, half launched", a_server(p, **UNWANTED, launched=False), ABSENT, Stop(Phase.STOPPED))
        for p in (Phase.STARTING, Phase.STOPPING)
    ),
    *((f"{p}, newer ask, absent", a_server(p, **NEWER), ABSENT, Start()) for p in REST),
    *((f"{p}, newer ask, there", a_server(p, **NEWER), THERE, Start()) for p in REST),
    *((f"{p}, answered", a_server(p), ABSENT, Wait(None)) for p in REST),
    *((f"{p}, a late guest", a_server(p, message="why"), THERE, Stop(p, "why")) for p in REST),
    ("starting, newer ask, there", starting(**NEWER), THERE, Start()),
    ("starting, newer ask, absent", starting(**NEWER), ABSENT, Start()),
    ("starting, newer ask, too late", starting(**NEWER, deadline=NOW - 1), THERE, Start()),
    ("starting, not launched, absent", starting(launched=False), ABSENT, Start()),
    ("starting, not launched, there", starting(launched=False), THERE, Start()),
    ("starting, launched, there", starting(), THERE, Probe()),
    (
        "starting, launched, ends again and again",
        starting(),
        CRASHING,
        Stop(Phase.FAILED, "The server ended before it was ready: it crashed twice"),
    ),
    ("starting, no deadline", starting(deadline=None), THERE, Probe()),
    ("starting, deadline now", starting(deadline=NOW), THERE, Probe()),
    ("starting, launched, ended", starting(), CRASHED, Settle(Phase.FAILED, ENDED_EARLY)),
    ("starting, too late, ended", starting(deadline=NOW - 1), CRASHED, Stop(Phase.FAILED, ENDED_EARLY)),
    (
        "starting, too late, there",
        starting(deadline=NOW - 1),
        THERE,
        Stop(Phase.FAILED, late(starting(), NOW)),
    ),
    (
        "starting, too late, not launched",
        starting(deadline=NOW - 1, launched=False),
        ABSENT,
        Stop(Phase.FAILED, late(starting(launched=False), NOW)),
    ),
    ("running, there", a_server(Phase.RUNNING), THERE, Wait(30.0)),
    (
        "running, exit 0",
        a_server(Phase.RUNNING),
        Observation(alive=False, exit_code=0),
        Settle(Phase.STOPPED, "The server shut itself down."),
    ),
    ("running, exit 1", a_server(Phase.RUNNING), CRASHED, Settle(Phase.FAILED, ended(CRASHED, WHILE))),
    ("running, absent", a_server(Phase.RUNNING), ABSENT, Settle(Phase.FAILED, ended(ABSENT, WHILE))),
    ("restart, there", a_server(Phase.RUNNING, **NEWER), THERE, Stop(Phase.STOPPED, answered=False)),
    ("restart, absent", a_server(Phase.RUNNING, **NEWER), ABSENT, Settle(Phase.STOPPED, answered=False)),
    ("restart, crashed", a_server(Phase.RUNNING, **NEWER), CRASHED, Settle(Phase.STOPPED, answered=False)),
    ("stopping, wanted again, there", a_server(Phase.STOPPING, **NEWER), THERE, Stop(Phase.STOPPED, answered=False)),
    (
        "stopping, wanted again, absent",
        a_server(Phase.STOPPING, **NEWER),
        ABSENT,
        Settle(Phase.STOPPED, answered=False),
    ),
    (
        "stopping half launched, wanted again",
        a_server(Phase.STOPPING, **NEWER, launched=False),
        ABSENT,
        Stop(Phase.STOPPED, answered=False),
    ),
]


@pytest.mark.parametrize(("server", "seen", "step"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_table(server: Server, seen: Observation, step: Step) -> None:
    assert decide(server, seen, NOW, LIMITS) == step


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (ABSENT, "The server disappeared while it was running."),
        (Observation(False, 0), "The server exited with code 0 while it was running."),
        (Observation(False, 3), "The server exited with code 3 while it was running."),
        (Observation(False, -9), "The server was killed by signal 9 while it was running."),
        (Observation(False, 137, "out of memory"), "The server ended while it was running: out of memory"),
        (Observation(False, 9, "The server fell over."), "The server ended while it was running: it fell over."),
    ],
)
def test_an_end_is_told_in_words(seen: Observation, says: str) -> None:
    assert ended(seen, "while it was running") == says


def test_a_late_start_says_what_it_was_waiting_for() -> None:
    assert "did not answer at its address within 20 s" in late(starting(), NOW)
    assert "http_timeout" in late(starting(), NOW)
    assert "could not be brought up within 20 s" in late(starting(launched=False), NOW)
    assert "start_timeout" in late(starting(launched=False), NOW)
    heard = (ProgressEvent(NOW, 0, "Server requested"), ProgressEvent(NOW, 15, "Waiting for a node.\n\n0/1 nodes"))
    assert late(starting(launched=False, events=heard), NOW) == (
        "The server could not be brought up within 20 s. The last that was heard of it: Waiting for a node. "
        "Try again, or ask your administrator to allow more time (start_timeout).\n\n0/1 nodes"
    )
    again = ProgressEvent(NOW, 15, late(starting(launched=False, events=heard), NOW))
    for events in ((*heard, again), (*heard, again, again)):  # the stop that follows may have to be tried for long
        assert late(starting(launched=False, events=events), NOW) == again.message
    assert "within 0 s" in late(starting(started=None), NOW)
    assert "within 0 s" in late(starting(started=NOW + 5), NOW)  # a clock that was set back


def test_limits_decide_how_often_a_running_server_is_looked_at() -> None:
    assert decide(a_server(Phase.RUNNING), THERE, NOW, Limits(poll_interval=7)) == Wait(7)
