"""The doorbell between hubs: one PostgreSQL connection that listens for what the others ring."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from nbhub.errors import DatabaseUnavailable
from nbhub.store.wakeup import RESYNC, Wakeup

log = logging.getLogger(__name__)

CHANNEL = "nbhub"
HEARTBEAT_SECONDS = 5.0  # a connection that died without a word is noticed after this and an unanswered question
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


class Listener:
    """Keeps one connection listening; `connected` says whether it hears."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], wakeup: Wakeup, instance: str) -> None:
        self._connect = connect
        self._wakeup = wakeup
        self._instance = instance
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    async def start(self) -> None:
        """Listen from now on; returns once the first connection does, or cannot be made for now."""
        first = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(first), name="listen to the database")
        await asyncio.wait([self._task, first], return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            self._task.result()  # an error of ours, which nobody should wait for

    async def stop(self) -> None:
        """Hang up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, first: asyncio.Future[None]) -> None:
        attempt = 0
        while True:
            try:
                connection = await self._connect()
                attempt = 0
                await self._hear(connection, first)
            except (DatabaseUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                if attempt == 0:
                    log.warning("changes by other hubs cannot be heard for now: %s", str(error) or type(error).__name__)
            if not first.done():
                first.set_result(None)
            await asyncio.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
            attempt += 1

    async def _hear(self, connection: Any, first: asyncio.Future[None]) -> None:
        """Listen until the connection is lost."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda *_: lost.set())
        try:
            await connection.add_listener(CHANNEL, self._heard)
            self.connected = True
            if first.done():
                self._wakeup.ring(RESYNC)  # what rang since the last connection was missed
            else:
                first.set_result(None)
            while not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), HEARTBEAT_SECONDS)
                    break
                await connection.fetchval("SELECT 1", timeout=HEARTBEAT_SECONDS)
            log.warning("the connection that hears of changes by other hubs was lost")
        finally:
            self.connected = False
            self._wakeup.ring(RESYNC)
            connection.terminate()

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        sender, *topics = json.loads(str(payload))
        if sender != self._instance:
            self._wakeup.ring(*topics)
