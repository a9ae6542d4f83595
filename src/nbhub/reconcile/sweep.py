"""Housekeeping that any hub may do at any time: idempotent statements, no leader."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from nbhub.errors import DatabaseUnavailable
from nbhub.spawners.base import Handle, Note
from nbhub.store import Store, grants, servers, users

log = logging.getLogger("nbhub.sweep")


Noting = Callable[[Handle, Note], None]

LISTENING_SECONDS = 600.0  # twice what servers usually let pass between two reports of activity
GAP_SECONDS = 60.0  # a sweep that comes later than it should by so much follows on a time in which nothing was heard


def _forgotten(handle: Handle, note: Note) -> None:
    """Take no note."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What the sweep does; seconds, 0 turns a habit off."""

    every: float = 15.0
    idle_timeout: float = 0.0  # servers without activity for so long are stopped
    temporary_user_grace: float = 120.0  # a visit that never started a server is forgotten after this
    login_memory: float = 90 * 86400.0  # how long it is known who failed to log in, and who did before


async def sweep(
    store: Store, habits: Habits, now: float, note: Noting = _forgotten, *, listening_since: float = -math.inf
) -> None:
    """Do everything once: stop idle servers, forget temporary users, delete what has expired.

    Servers could report activity only since `listening_since`, so none is called idle before it had the time to.
    """
    if habits.idle_timeout and now - listening_since >= min(habits.idle_timeout, LISTENING_SECONDS):
        await _stop_idle(store, habits.idle_timeout, now, note)
    async with store.write() as tx:
        for user in await users.delete_abandoned(tx, now - habits.temporary_user_grace):
            log.info("user=%s temporary, gone with its server", user)
    async with store.write() as tx:
        await grants.delete_expired(tx, now)
        await users.delete_old_failures(tx, now - habits.login_memory)


async def _stop_idle(store: Store, seconds: float, now: float, note: Noting) -> None:
    culled = []
    async with store.write() as tx:
        for number, user, server in await servers.ask_stop_idle(tx, now - seconds, now):
            log.info("server=%s/%s idle for over %.0fs, stopping", user, server, seconds)
            culled.append(await servers.by_id(tx, number))
    for record in culled:
        if record is not None:
            note(Handle.of(record), Note("Culled", f"Stopped by nbhub: nobody used it for over {seconds:.0f} seconds"))


async def run(
    store: Store, habits: Callable[[], Habits], clock: Callable[[], float], note: Noting = _forgotten
) -> None:
    """Sweep until cancelled, by the habits of the moment; a database that is away is tried again next time.

    After the start of the hub, a time without a database, or a sleep of the machine, servers get time to report first.
    """
    since = last = clock()
    while True:
        now, chosen = clock(), habits()
        if not 0 <= now - last <= chosen.every + GAP_SECONDS:
            since = now
        last = now
        try:
            await sweep(store, chosen, now, note, listening_since=since)
        except DatabaseUnavailable as error:
            log.warning("sweep put off: %s", error.message)
            since = clock()
        except Exception:
            log.exception("sweep failed; trying again in %.0f s", chosen.every)
        await asyncio.sleep(chosen.every)
