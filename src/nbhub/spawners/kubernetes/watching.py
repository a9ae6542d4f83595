"""Follow a collection of objects: list, then watch, for ever, whatever happens to the connection.

What is followed is told to a `Follower`. Without the right to watch, the list is asked for again and again instead.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from nbhub.errors import BackendUnavailable
from nbhub.spawners.kubernetes import records
from nbhub.spawners.kubernetes.api import Api, Expired, Page, Refused, Target

log = logging.getLogger("nbhub.kubernetes")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
POLL_SECONDS = 2.0
WITHOUT_RIGHT = 30.0  # seconds until a list that is forbidden is asked for again
TRY_AGAIN = 300.0  # seconds until it is tried again to watch


class Follower(Protocol):
    """Who is told what is there."""

    def replace(self, items: Sequence[msgspec.Raw]) -> None:
        """Take these objects for all that there are."""

    def put(self, raw: msgspec.Raw) -> None:
        """An object is there, or has changed."""

    def drop(self, raw: msgspec.Raw) -> None:
        """An object is gone; these are its last fields."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. A watch is renewed after `renew`; one that says nothing for `silence` is taken for dead."""

    renew: float = 30.0
    silence: float = 45.0
    poll: float = POLL_SECONDS


class Watch:
    """Follows one collection. `heard` is when something was last known to be true (clock), None while it is not."""

    def __init__(
        self,
        api: Api,
        target: Target,
        params: dict[str, str],
        follower: Follower,
        *,
        only_new: bool = False,
        wanted: Callable[[], bool] = lambda: True,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.heard: float | None = None
        self.polls = False  # for want of the right to watch
        self.forbidden = False  # not even a list may be asked for
        self._api = api
        self._target = target
        self._params = params
        self._follower = follower
        self._only_new = only_new
        self._wanted = wanted  # whether anybody waits for news, if they have to be asked for
        self._pace = pace or Pace()
        self._clock = clock
        self._version = ""
        self._polls_since = 0.0
        self._synced = asyncio.Event()
        self._told: set[str] = set()

    def fresh(self, seconds: float) -> bool:
        """Say whether what was told cannot be older than so many seconds."""
        return self.heard is not None and self._clock() - self.heard <= seconds

    @property
    def name(self) -> str:
        """What is followed."""
        return str(self._target)

    async def synced(self) -> None:
        """Wait until the collection was listed once, or until that turned out to be forbidden."""
        await self._synced.wait()

    async def run(self) -> None:
        """Follow until cancelled."""
        pause = FIRST_PAUSE
        while True:
            try:
                if self.polls:
                    await self._poll()
                    continue
                if not self._version:
                    await self._list()
                await self._watch()
                pause = FIRST_PAUSE
            except Expired:
                self._lose()
            except Refused as error:
                self._refused(error)
                await asyncio.sleep(0 if self.polls else WITHOUT_RIGHT)
            except (BackendUnavailable, msgspec.MsgspecError) as error:
                self.heard = None
                self._version = self._version if isinstance(error, BackendUnavailable) else ""
                log.debug("kind=%s watch interrupted, again in %.1fs: %s", self._target.kind, pause, error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _poll(self) -> None:
        """Ask for everything while somebody waits for news; from time to time see whether the right is there."""
        if self._wanted():
            await self._list()
        else:
            self.heard = None
        await asyncio.sleep(self._pace.poll)
        if self._clock() - self._polls_since > TRY_AGAIN:
            self._lose()
            self.polls = False

    async def _list(self) -> None:
        """Ask for everything; of events only for where they stand, since old ones are of no interest."""
        asked_at = self._clock()
        items: list[msgspec.Raw] = []
        version = ""
        async for page in self._pages():
            items += page.items
            version = version or page.metadata.resource_version
            if self._only_new and not self.polls:
                items = []
                break
        self._follower.replace(items)
        self._version, self.heard, self.forbidden = version, asked_at, False
        self._synced.set()

    def _pages(self) -> AsyncIterator[Page]:
        return self._api.pages(self._target, self._params, **({"size": 1} if self._only_new and not self.polls else {}))

    async def _watch(self) -> None:
        seconds = self._pace.renew * random.uniform(0.8, 1.2)  # noqa: S311
        asked = {
            **self._params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(round(seconds), 1)),
        }
        async with self._api.stream(self._target, asked, self._pace.silence) as lines:
            self.heard = self._clock()
            async for line in lines:
                self._take(records.change(line))
                self.heard = self._clock()
        self.heard = self._clock()  # the server ended it in its own time, having told everything

    def _take(self, change: records.Change) -> None:
        if change.type == "ERROR":
            status = records.whole(change.object)
            if status.get("code") == 410:
                raise Expired(str(status.get("message") or "too old"))
            raise BackendUnavailable(str(status.get("message") or "The watch failed."))
        if change.type in ("ADDED", "MODIFIED"):
            self._follower.put(change.object)
        elif change.type == "DELETED":
            self._follower.drop(change.object)
        self._version = records.metadata(change.object).resource_version or self._version

    def _lose(self) -> None:
        self._version, self.heard = "", None

    def _refused(self, error: Refused) -> None:
        """Go on without the right: by asking again and again, or if not even that is allowed by waiting for it."""
        self._lose()
        if error.answer == 410:
            return
        if not self.polls and self._synced.is_set() and error.answer == 403:
            self.polls, self._polls_since = True, self._clock()
            self._once(f"{error.message} Until then the hub asks every {self._pace.poll:.0f} seconds instead.")
            return
        self.forbidden = True
        self._synced.set()
        self._once(error.message)

    def _once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            log.warning("%s", message)
