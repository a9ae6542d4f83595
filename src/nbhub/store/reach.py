"""Reach: which servers the proxies lead to by now, as far as this process was told.

Like the doorbell it lives in the process and stands between rooms that never call each other: proxies tell which routes
are in force, and who promises that a server is reachable waits for it. What was never told is never waited for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from nbhub.core.model import Route, Server
from nbhub.store.wakeup import Wakeup

PATIENCE = 2.0
TOPIC = "routes in force"  # heard in this process only


class Reach:
    """What each proxy leads to, by the proxy's name."""

    def __init__(self, wakeup: Wakeup) -> None:
        self.patience = PATIENCE  # seconds that a promise waits at most: a proxy may be away or overloaded
        self._wakeup = wakeup
        self._told: dict[str, dict[tuple[str, str], str]] = {}
        self._words: Counter[str] = Counter()  # how often each said something
        self._late: set[str] = set()  # said nothing while somebody waited as long as one does

    def tell(self, proxy: str, routes: Iterable[Route]) -> None:
        """Note that these routes, as the store had them, are in force in a proxy, and no others."""
        self._told[proxy] = {(route.user, route.server): route.target for route in routes if route.user}
        self._words[proxy] += 1
        self._late.discard(proxy)
        self._wakeup.ring(TOPIC)

    @property
    def proxies(self) -> int:
        """How many proxies are known."""
        return len(self._told)

    def forget(self, proxy: str) -> None:
        """No longer wait for this proxy."""
        self._late.discard(proxy)
        self._words.pop(proxy, None)
        if self._told.pop(proxy, None) is not None:
            self._wakeup.ring(TOPIC)

    def leads_to(self, server: Server) -> bool:
        """Say whether every proxy that is known leads to the server where it runs now."""
        return not self._behind(server)

    async def until_told(self) -> None:
        """Wait until there is a proxy that tells what it leads to, at most for as long as its promises wait."""
        async with self._wakeup.listen(TOPIC) as bell:
            if not self._told:
                await bell.wait(self.patience)

    async def until_led_to(self, server: Server, *, also_by_late_ones: bool = False) -> bool:
        """Wait until every known proxy leads to the server; False when patience ends before.

        A proxy that kept somebody waiting in vain, and said nothing meanwhile, is not waited for before it says
        something again: it hangs, and would hold up every start until it counts as gone.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience
        async with self._wakeup.listen(TOPIC) as bell:
            words = self._words.copy()
            while behind := self._behind(server) - (set() if also_by_late_ones else self._late):
                left = until - loop.time()
                if left <= 0:
                    self._give_up({proxy for proxy in behind if self._words[proxy] == words[proxy]})
                    break
                await bell.wait(left)
        return self.leads_to(server)

    def _behind(self, server: Server) -> set[str]:
        key = (server.user_name, server.name)
        return {proxy for proxy, told in self._told.items() if told.get(key) != server.url}

    def _give_up(self, proxies: set[str]) -> None:
        if proxies - self._late:
            self._late |= proxies
            self._wakeup.ring(TOPIC)  # others may be waiting for them too
