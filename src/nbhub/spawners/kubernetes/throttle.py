"""How many calls to the API server may be under way at once: fewer when it asks for that, more again when it copes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable

FEWEST = 1.0


class Throttle:
    """Bounds calls under way. Halves the bound when the server is overloaded, and grows it with what succeeds."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self.most = float(most)
        self.bound = float(most)
        self.under_way = 0
        self._clock = clock
        self._not_before = 0.0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold one of the places; waits for it in the order of asking."""
        await self._enter()
        try:
            yield
        finally:
            self.under_way -= 1
            self._let_in()

    def succeeded(self) -> None:
        """A call went well: one more may be under way for every round of calls that did."""
        self.bound = min(self.most, self.bound + 1 / self.bound)

    def overloaded(self, pause: float) -> None:
        """The server asked for fewer calls, and for none at all during the next seconds."""
        self.bound = max(FEWEST, self.bound / 2)
        self._not_before = max(self._not_before, self._clock() + pause)

    async def _enter(self) -> None:
        if not self._queue and self._is_free():
            self.under_way += 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(mine)
        self._let_in()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.under_way -= 1
                self._let_in()
            raise

    def _is_free(self) -> bool:
        return self.under_way < max(int(self.bound), 1) and self._clock() >= self._not_before

    def _let_in(self) -> None:
        while self._queue and self._is_free():
            waiting = self._queue.popleft()
            if not waiting.done():
                self.under_way += 1
                waiting.set_result(None)
        pause = self._not_before - self._clock()
        if self._queue and pause > 0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(pause, self._after_pause)

    def _after_pause(self) -> None:
        self._timer = None
        self._let_in()
