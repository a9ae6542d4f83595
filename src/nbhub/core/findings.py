"""What an examination of a deployment finds: one object, how it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How an object is: as it should be, worth a look, or in the way of the work."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one object is. `said` are words; the remedy may have several lines, such as a rule to add."""

    state: State
    about: str
    said: str
    remedy: str = ""


def ok(about: str, said: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(State.OK, about, said)


def warning(about: str, said: str, remedy: str = "") -> Finding:
    """Return a finding that is worth a look."""
    return Finding(State.WARNING, about, said, remedy)


def failed(about: str, said: str, remedy: str = "") -> Finding:
    """Return a finding that is in the way of the work. Without a remedy the words name it."""
    return Finding(State.FAILED, about, said, remedy)


def split(about: str, message: str, state: State = State.FAILED) -> Finding:
    """Return a finding of an error's message, whose details are the remedy."""
    words, _, details = message.partition("\n\n")
    return Finding(state, about, words, details)


def ahead(there: float, begun: float, ended: float) -> float:
    """Return by how much another clock, read between two moments of ours, is ahead of it at least; negative: behind."""
    return there - min(max(there, begun), ended)
