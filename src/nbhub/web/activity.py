"""When users, servers and tokens were last active: gathered in memory, written together.

A kill may lose what the last second brought; nothing else depends on it.
"""

from __future__ import annotations

import asyncio
import logging

from nbhub.errors import DatabaseUnavailable
from nbhub.store import Store, grants, servers, users

log = logging.getLogger("nbhub.web")

FLUSH_SECONDS = 1.0


class Activity:
    """What was noted and is not written yet. Times are seconds since the epoch and only move forward."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._users: dict[int, float] = {}
        self._servers: dict[int, float] = {}
        self._tokens: dict[int, float] = {}

    def note_user(self, user_id: int, at: float) -> None:
        """Remember that a user was active."""
        _forward(self._users, user_id, at)

    def note_server(self, server_id: int, at: float) -> None:
        """Remember that a server was in use."""
        _forward(self._servers, server_id, at)

    def note_token(self, token_id: int, at: float) -> None:
        """Remember that a token was used."""
        _forward(self._tokens, token_id, at)

    def user_at(self, user_id: int, written: float | None) -> float | None:
        """Return the later of what the database says and what is noted."""
        return _later(self._users.get(user_id), written)

    def server_at(self, server_id: int, written: float | None) -> float | None:
        """Return the later of what the database says and what is noted."""
        return _later(self._servers.get(server_id), written)

    def token_at(self, token_id: int, written: float | None) -> float | None:
        """Return the later of what the database says and what is noted."""
        return _later(self._tokens.get(token_id), written)

    async def run(self) -> None:
        """Write every second until cancelled, then once more."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write what was noted, in one transaction; what cannot be written stays for the next time."""
        if not (self._users or self._servers or self._tokens):
            return
        noted = self._users, self._servers, self._tokens
        self._users, self._servers, self._tokens = {}, {}, {}
        try:
            async with self._store.write() as tx:
                await users.touch_many(tx, noted[0])
                await servers.touch_many(tx, noted[1])
                await grants.touch_many(tx, noted[2])
        except DatabaseUnavailable as error:
            log.warning("activity is kept for later, the database does not answer: %s", error.message)
            self._take_back(*noted)
        else:
            self._store.wakeup.ring("activity")  # heard in this process only

    def _take_back(self, *noted: dict[int, float]) -> None:
        for table, old in zip((self._users, self._servers, self._tokens), noted, strict=True):
            for key, at in old.items():
                _forward(table, key, at)


def _forward(table: dict[int, float], key: int, at: float) -> None:
    if at > table.get(key, 0.0):
        table[key] = at


def _later(noted: float | None, written: float | None) -> float | None:
    if noted is None:
        return written
    return noted if written is None or noted > written else written
