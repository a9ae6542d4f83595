"""What servers of this machine take, as /proc tells: the memory of their processes, kernels included."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path

from nbhub.spawners import processes
from nbhub.spawners.details import Amount, Details
from nbhub.spawners.processes import Identity


def details(servers: Sequence[tuple[Identity | None, bytes]]) -> list[Details]:
    """Return what is known of each server, given its leading process and the mark of its family."""
    people = processes.census()
    return [_details(leader, mark, people) for leader, mark in servers]


def _details(leader: Identity | None, mark: bytes, people: processes.Census) -> Details:
    family = {} if leader is None else processes.family(leader, mark, people)
    if leader is None or not family:
        return Details()
    others = f" and {len(family) - 1} more" if len(family) > 1 else ""
    return Details(object=f"process {leader.pid}{others}", use=Amount(memory=sum(map(_memory, family))))


def _memory(pid: int) -> int:
    """Return the bytes of memory that a process holds; what it shares with others counts for each of them."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0  # it ended meanwhile
