"""Calls that block, such as a PAM module's, in a few threads of their own, each with a deadline."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from nbhub.errors import Unavailable

_Answer = TypeVar("_Answer")


class Threads:
    """Runs at most `most` calls at once.

    A call that is past its deadline keeps its thread until it returns, which nothing can hasten; its caller is told at
    once. The threads do not keep the process from ending.
    """

    def __init__(self, most: int, seconds: float, what: str) -> None:
        self._free = most
        self._seconds = seconds
        self._what = what
        self._waiting: list[asyncio.Future[None]] = []

    async def run(self, call: Callable[..., _Answer], *args: Any) -> _Answer:
        """Return what the call returns, or raise what it raises. Raises Unavailable when it takes too long."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._begin()
                return await self._running(call, args)
        except TimeoutError:
            raise Unavailable(
                f"{self._what} did not answer within {self._seconds:g} seconds. Try again; if this stays, tell your "
                "administrator."
            ) from None

    async def _begin(self) -> None:
        while self._free <= 0:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            finally:
                if turn in self._waiting:
                    self._waiting.remove(turn)
        self._free -= 1

    def _running(self, call: Callable[..., _Answer], args: tuple[Any, ...]) -> asyncio.Future[_Answer]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Answer] = loop.create_future()

        def work() -> None:
            try:
                outcome: Any = call(*args)
                failed: BaseException | None = None
            except BaseException as error:
                outcome, failed = None, error
            try:
                loop.call_soon_threadsafe(self._end, answer, outcome, failed)
            except RuntimeError:  # the hub has ended meanwhile
                return

        threading.Thread(target=work, name=self._what, daemon=True).start()
        return answer

    def _end(self, answer: asyncio.Future[Any], outcome: Any, failed: BaseException | None) -> None:
        self._free += 1
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
                break
        if answer.done():
            return
        if failed is None:
            answer.set_result(outcome)
        else:
            answer.set_exception(failed)
