"""The doorbell: who waits for a topic hears that it rang, and then looks at the database.

A ring is a hint and carries nothing else. Topics:
`servers` (some server needs a look), `server:<id>` (its row changed), `routes`, `user:<id>`,
`grants:user:<id>`, `grants:service:<id>`, `grants:all` (forget what you remember of their tokens, roles, groups),
`resync` (heard by every listener: rings may have been missed).
Heard in one process only: `activity` (what was gathered is written), `routes in force` (see reach).
"""

from __future__ import annotations

import asyncio
from types import TracebackType

RESYNC = "resync"


class Wakeup:
    """The bells of one process."""

    def __init__(self) -> None:
        self._exact: dict[str, set[Bell]] = {}
        self._prefixes: dict[str, set[Bell]] = {}

    def ring(self, *topics: str) -> None:
        """Wake the listeners of `topics` in this process. Call it on the event loop."""
        for topic in topics:
            if topic == RESYNC:
                for bell in self._all():
                    bell.hear(RESYNC)
                continue
            for bell in self._exact.get(topic, ()):
                bell.hear(topic)
            for prefix, bells in self._prefixes.items():
                if topic.startswith(prefix):
                    for bell in bells:
                        bell.hear(topic)

    def listen(self, *topics: str) -> Bell:
        """Return a bell that, once entered, hears `topics`; one that ends in `*` matches by what stands before."""
        return Bell(self, topics)

    def _all(self) -> set[Bell]:
        return set().union(*self._exact.values(), *self._prefixes.values())

    def _table(self, topic: str) -> tuple[dict[str, set[Bell]], str]:
        return (self._prefixes, topic[:-1]) if topic.endswith("*") else (self._exact, topic)

    def add(self, bell: Bell, topics: tuple[str, ...]) -> None:
        """Let `bell` hear `topics` from now on."""
        for topic in topics:
            table, key = self._table(topic)
            table.setdefault(key, set()).add(bell)

    def remove(self, bell: Bell, topics: tuple[str, ...]) -> None:
        """Let `bell` hear nothing more."""
        for topic in topics:
            table, key = self._table(topic)
            bells = table.get(key, set())
            bells.discard(bell)
            if not bells:
                table.pop(key, None)


class Bell:
    """What one listener hears. Nothing rung between entering and waiting, or between two waits, is lost."""

    def __init__(self, wakeup: Wakeup, topics: tuple[str, ...]) -> None:
        self._wakeup = wakeup
        self._topics = topics
        self._heard: set[str] = set()
        self._waiting: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Bell:
        self._wakeup.add(self, self._topics)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wakeup.remove(self, self._topics)

    def hear(self, topic: str) -> None:
        """Note that `topic` rang and wake the one who waits."""
        self._heard.add(topic)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def wait(self, timeout: float | None = None) -> set[str]:
        """Return the topics that rang since the last call, waiting for one; empty after `timeout` seconds."""
        if not self._heard and (timeout is None or timeout > 0):
            await self._wait(timeout)
        heard, self._heard = self._heard, set()
        return heard

    async def _wait(self, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._waiting = waiting = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, _finish, waiting)
        try:
            await waiting
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()


def _finish(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
