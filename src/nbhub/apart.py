"""A proxy in operation, apart from the hub: Envoy kept running, its routes followed from whichever hub answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from nbhub import config, shared_token
from nbhub.app import Hub, url_host
from nbhub.core import feed
from nbhub.errors import ConfigError, NbhubError
from nbhub.proxy import Proxy, admin, health, line
from nbhub.proxy.follower import Follower

Say = Callable[[str], None]

PATIENCE_SECONDS = 5.0  # for the hub, before routes of an earlier time are put in force


@dataclass(frozen=True, slots=True)
class Order:
    """How the proxy was asked for, besides the settings; empty where the settings say it."""

    hub_url: str = ""
    token_file: str = ""
    folder: str = ""
    health: str = ""
    linger: float = 0.0  # seconds of serving after the signal to stop, in which balancers find other proxies


def run(hub: Hub, order: Order, say: Say) -> int:
    """Run until SIGINT or SIGTERM; a second one leaves at once. Returns the exit status. Raises ConfigError."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Apart(hub, order, say).run())


class Apart:
    """One proxy process and its Envoy."""

    def __init__(self, hub: Hub, order: Order, say: Say) -> None:
        self.hub = hub
        self.order = order
        self.say = say
        self._stop_asked = asyncio.Event()
        tokens = shared_token.find(order.token_file or hub.proxy_token_file, hub.folder, os.environ, make=False)
        if not tokens:
            raise ConfigError(
                "The proxy has no token to show to the hub. Name its file with --token-file, or set"
                f" {shared_token.VARIABLE}; the hub has to know the same one (c.Hub.proxy_token_file)."
            )
        where = line.address(order.hub_url or _hub_url(hub), hub.base_url, tokens[0])
        folder = Path(order.folder).expanduser().absolute() / "proxy" if order.folder else None
        self.proxy = config.build(
            Proxy,
            hub.config,
            parent=hub,
            ip=hub.ip,
            port=hub.port,
            base_url=hub.base_url,
            hub_target=where.target,
            hub_word=feed.word(where.token),
            run_dir=folder or hub.folder / "proxy" / str(hub.port),
        )
        self.follower = Follower(self.proxy, where, self.proxy.place.folder / "known.json")

    async def run(self) -> int:
        """Serve until told to stop; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._asked_to_stop, number)
        async with contextlib.AsyncExitStack() as stack:
            if self.order.health:
                answers = health.Health(self._why_not_ready, self.proxy.meters.registry)
                await stack.enter_async_context(answers.serving(*health.address(self.order.health)))
            await self._start()
            stack.push_async_callback(self.proxy.stop if self.hub.cleanup_proxy else self.proxy.leave)
            work = asyncio.create_task(self.proxy.keep(self.follower.run(), self.follower.tell_silent))
            asked = asyncio.create_task(self._stop_asked.wait())
            self.say(f"The proxy of {self.hub.address} follows the hub at {self.follower.where.target}")
            await asyncio.wait([work, asked], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await self._linger(work)
            failed = work.done() and not work.cancelled() and work.exception()
            for task in (work, asked):
                task.cancel()
            await asyncio.gather(work, asked, return_exceptions=True)
            if failed:
                raise failed
        self.say("Stopped.")
        return 0

    async def _start(self) -> None:
        """Have Envoy serve, by the hub's routes or, when it does not answer, those known last. Raises ConfigError."""
        self.proxy.place.prepare()
        self.follower.load()
        try:
            await self.follower.first(PATIENCE_SECONDS)
        except OSError as error:
            raise ConfigError(f"The folder {self.proxy.place.folder} cannot be written to: {error}.") from error
        except (NbhubError, TimeoutError) as error:
            words = error.message if isinstance(error, NbhubError) else "The hub does not answer."
            if self.follower.known is None and isinstance(error, line.TokenRefused):
                self.proxy.place.release()
                raise ConfigError(words) from error
            kept = self.follower.known
            rest = "no routes yet" if kept is None else f"the {len(kept)} routes that were known last"
            self.say(f"{words} Serving with {rest}, and asking again until it answers.")
        await self.proxy.start((self.follower.known or {}).values())

    async def _linger(self, work: asyncio.Task[None]) -> None:
        """Go on serving for a while, no longer ready, so that nobody is sent here when this ends."""
        if self.order.linger:
            await asyncio.wait([work], timeout=self.order.linger)

    async def _why_not_ready(self) -> str:
        if self._stop_asked.is_set():
            return "The proxy is about to stop."
        if self.follower.known is None:
            return f"The proxy has not heard of any routes yet from the hub at {self.follower.where.target}."
        if not await admin.is_ready(self.proxy.place.admin):
            return "Envoy does not serve."
        return ""

    def _asked_to_stop(self, number: int) -> None:
        if self._stop_asked.is_set():
            self.say("Leaving at once.")
            os._exit(128 + number)
        self.say("\nStopping. Once more to leave at once.")
        self._stop_asked.set()


def _hub_url(hub: Hub) -> str:
    """Where servers on other machines reach the hub is where a proxy does too."""
    return hub.hub_connect_url or f"http://{url_host(hub.hub_connect_ip or hub.hub_ip)}:{hub.hub_port}"
