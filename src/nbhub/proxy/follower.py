"""Routes of a hub elsewhere: heard over a line, put in force, kept on disk for the times in which no hub answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from nbhub.core import feed
from nbhub.core.model import Route
from nbhub.errors import NbhubError
from nbhub.proxy import discovery
from nbhub.proxy.envoy import AGAIN_SECONDS, Proxy
from nbhub.proxy.line import Address, Line, opened

log = logging.getLogger("nbhub.proxy")

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
REMIND_SECONDS = 60.0  # an error that stays is said again after so long


class Follower:
    """Keeps the routes of one proxy as a hub has them. `known` is what was heard last, by it or an earlier process."""

    def __init__(self, proxy: Proxy, where: Address, saved: Path) -> None:
        self.proxy = proxy
        self.where = where
        self.known: dict[str, Route] | None = None  # None: never heard of any
        self.connected = False
        self._saved = saved
        self._line: Line | None = None
        self._error = ("", 0.0)

    def load(self) -> None:
        """Take up what an earlier process heard last."""
        try:
            self.known = feed.by_prefix(msgspec.json.decode(self._saved.read_bytes(), type=list[Route]))
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("routes of an earlier time cannot be read file=%s: %s", self._saved, error)

    async def first(self, seconds: float) -> None:
        """Hear the routes once; raises what `opened` does, and TimeoutError."""
        async with asyncio.timeout(seconds), opened(self.where) as line:
            async for change in line.changes():
                self._note(change)
                return

    async def run(self) -> None:
        """Follow whichever hub answers, until cancelled."""
        attempt = 0
        while True:
            try:
                async with opened(self.where) as line:
                    attempt = 0
                    await self._follow(line)
            except NbhubError as error:
                self._complain(error.message)
            except OSError as error:
                self._complain(f"The routes cannot be written to {self._saved.parent}: {error.strerror or error}.")
            finally:
                self._line, self.connected = None, False
                self.proxy.meters.follows.set(0)
            await asyncio.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
            attempt += 1

    async def tell_silent(self, silent: Sequence[Route]) -> None:
        """Have the hub look at servers that do not answer."""
        if self._line is not None and silent:
            await self._line.report(feed.Report(silent=tuple((route.user, route.server) for route in silent)))

    async def _follow(self, line: Line) -> None:
        self._line = line
        async for change in line.changes():
            self._note(change)
            if not self.connected:
                log.info("hub=%s is followed routes=%d", self.where.target, len(self.known or ()))
                self.connected, self._error = True, ("", 0.0)
                self.proxy.meters.follows.set(1)
            await self._put_in_force(line, change.serial)

    async def _put_in_force(self, line: Line, serial: int) -> None:
        """Have Envoy answer by what is known, say so, and take the next change when it is due."""
        assert self.known is not None
        await self.proxy.update(self.known.values())
        await line.report(feed.Report(in_force=serial if self.proxy.up_to_date else 0))
        if not self.proxy.up_to_date:
            # Envoy may just be starting again. Later changes bring what this one brought, so they need not wait.
            await asyncio.sleep(AGAIN_SECONDS)
            with suppress(NbhubError):
                await self.proxy.update(self.known.values())
            await line.report(feed.Report(in_force=serial if self.proxy.up_to_date else 0))
        await self.proxy.may_replace()
        await line.report(feed.Report(takes_more=True))

    def _note(self, change: feed.Change) -> None:
        before = self.known
        self.known = feed.applied(before or {}, change)
        if self.known != before:
            discovery.write(self._saved, msgspec.json.encode(list(self.known.values())))

    def _complain(self, words: str) -> None:
        """Say an error once, and again when it stays."""
        now = asyncio.get_running_loop().time()
        said, at = self._error
        if words != said or now - at > REMIND_SECONDS:
            kept = f" The {len(self.known)} routes known last stay in force." if self.known is not None else ""
            log.error("%s%s", words, kept)
            self._error = (words, now)
