"""A hub in operation: every object built from the settings, wired, run until told to stop, and taken down in order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import secrets as random_secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import uvloop

from nbhub import accounts, config, notebooks, notify, reload, secret, serve, services, shared_token
from nbhub.app import Hub, url_host
from nbhub.authenticators.admission import Admission, make_named_users
from nbhub.authenticators.base import Authenticator
from nbhub.core import scopes
from nbhub.core.secrets import Keys
from nbhub.errors import ConfigError, DatabaseUnavailable
from nbhub.metrics import Metrics
from nbhub.proxy import Proxy, place
from nbhub.reconcile import Reconciler, sweep
from nbhub.spawners.base import Handle, Note, Spawner
from nbhub.spawners.process import SimpleLocalProcessSpawner
from nbhub.store import HeldElsewhere, Store, servers
from nbhub.web.app import create_app
from nbhub.web.desk import Desk

log = logging.getLogger("nbhub")

Say = Callable[[str], None]
SERVICES = "services"
PREDECESSOR_SECONDS = 15.0  # that a hub elsewhere is waited for which has the database and may be about to end


def run(hub: Hub, say: Say, reread: reload.Reread | None = None) -> int:
    """Run until SIGINT or SIGTERM; a second one leaves at once. Returns the exit status.

    `reread` gives the settings as they are now, for SIGHUP; raises ConfigError.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(hub, say, reread))


async def _run(hub: Hub, say: Say, reread: reload.Reread | None) -> int:
    operation = Operation(hub, say)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, operation.asked_to_reload, reread)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, operation.asked_to_stop, number)
    try:
        async with operation.running():
            notify.tell(os.environ, notify.READY, f"STATUS=Serving at {hub.address}")
            await operation.stop_asked.wait()
            notify.tell(os.environ, notify.STOPPING)
    except notebooks.Interrupted as interrupted:
        say(interrupted.message)
    say("Stopped.")
    return 1 if operation.failed else 0


class Operation:
    """One hub process. `say` tells the person at the terminal what is happening."""

    def __init__(self, hub: Hub, say: Say, clock: Callable[[], float] = time.time) -> None:
        self.hub = hub
        self.say = say
        self.clock = clock
        self.stop_asked = asyncio.Event()
        self._failures = 0  # starts that failed since one went well
        self.failed = False  # a part of the hub ended by itself
        self._begun = clock()
        self._tasks: list[asyncio.Task[None]] = []
        self._reloads: set[asyncio.Task[None]] = set()
        # Names this process in leases and logs.
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{random_secrets.token_hex(4)}"

    def asked_to_stop(self, number: int) -> None:
        """Take a signal: the first stops in order, the second leaves at once."""
        if self.stop_asked.is_set():
            self.say("Leaving at once; what was going on is taken up by the next hub.")
            os._exit(128 + number)
        self.say("\nStopping. Once more to leave at once.")
        self.stop_asked.set()

    def asked_to_reload(self, reread: reload.Reread | None) -> None:
        """Take SIGHUP: read the settings again beside everything else."""
        if reread is not None and not self.stop_asked.is_set():
            task = asyncio.create_task(reload.renew(self, reread), name="reload")
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)
            notify.tell(os.environ, notify.reloading())
            task.add_done_callback(lambda _: notify.tell(os.environ, notify.READY))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Bring everything up, hand over, and take it down in order."""
        hub = self.hub
        self.declared = hub.declared()
        scopes.declare(self.declared.custom_scopes)
        root = prepare_folder(hub)
        listener = serve.listen(hub.hub_ip, hub.hub_port, "--Hub.hub_port")
        hub_port = listener.getsockname()[1]
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(listener.close)
            self.keys = Keys.from_secrets(*root)
            self.store = await self._open_store()
            stack.push_async_callback(self.store.close)
            self.store.reach.patience = hub.route_timeout
            self.spawner: Spawner = config.build(hub.spawner_class, hub.config, parent=hub)
            stack.push_async_callback(self.spawner.close)
            self.authenticator: Authenticator = config.build(hub.authenticator_class, hub.config, parent=hub)
            if isinstance(self.spawner, SimpleLocalProcessSpawner):
                await self._provide_notebooks(self.spawner.cmd)
            self.authenticator.attach(self.store, self.clock)
            stack.push_async_callback(self.authenticator.close)
            await self.authenticator.check()
            self.spawner.before_start = self.authenticator.before_start()
            self.spawner.after_stop = self.authenticator.after_stop()
            await make_named_users(self.authenticator, self.store, self.clock())
            await self.spawner.check()
            await self.apply(self.declared)
            self._wire(hub_port)
            stack.enter_context(reload.announced(hub))
            try:
                await self._open(stack, listener)
                yield
                if self.hub.stops_servers and not self.failed:
                    await self._stop_servers()
            finally:
                await self._close()

    async def _provide_notebooks(self, command: Sequence[str]) -> None:
        """Install what servers need, where it is missing; raises notebooks.Interrupted when asked to stop meanwhile."""
        hub, interrupt = self.hub, notebooks.Interrupt()
        if notebooks.missing(command, hub.folder) and hub.start_proxy and not self._proxy_folder.exists():
            # Nobody wants to hear that after minutes. Where there is the folder, our own proxy may have the port.
            serve.listen(place.listening_address(hub.ip), hub.port, "--port").close()
        installing = functools.partial(notebooks.provide, command, hub.folder, self.say, interrupt=interrupt)
        work = asyncio.create_task(asyncio.to_thread(installing))
        asked = asyncio.create_task(self.stop_asked.wait())
        await asyncio.wait([work, asked], return_when=asyncio.FIRST_COMPLETED)
        if not asked.cancel():
            interrupt.ask()
        await work

    @property
    def _proxy_folder(self) -> Path:
        return self.hub.folder / "proxy" / str(self.hub.port)

    async def apply(self, declared: services.Declared) -> None:
        """Make services, roles and groups in the database what the configuration says; raises ConfigError."""
        source = self.authenticator
        if declared.groups and source.manage_groups:
            raise ConfigError(
                "c.Hub.load_groups and c.Authenticator.manage_groups both say who is in which group. Take one out."
            )
        known: Sequence[services.RoleSpec] = ()
        if source.manage_roles:
            known = services.declare_managed(await source.load_managed_roles(), declared)
        await services.apply(
            self.store,
            declared,
            base_url=self.hub.base_url,
            now=self.clock(),
            normalize=source.normalize,
            admin_users=source.admin_users,
            source_roles=known,
            reset_source_roles=source.manage_roles and source.reset_managed_roles_on_startup,
        )

    async def _open_store(self) -> Store:
        """Open the store; the hub whose pod or machine this one replaces may take a moment to end."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PREDECESSOR_SECONDS
        told = False
        while True:
            try:
                return await Store.open(self.hub.database, clock=self.clock)
            except HeldElsewhere as error:
                if loop.time() >= until or self.stop_asked.is_set():
                    raise
                if not told:
                    self.say(
                        f"{error.message} This one waits for {PREDECESSOR_SECONDS:.0f} s, in case that one is ending."
                    )
                told = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop_asked.wait(), 0.25)

    def _wire(self, hub_port: int) -> None:
        hub = self.hub
        address = hub.hub_address(hub_port)
        self.keeper = services.Keeper(
            self.store,
            self.declared.services,
            services.Workshop(hub.folder / "services", address, self.clock),
            holder=self.holder,
            clock=self.clock,
            alone=not hub.database.startswith("postgres"),
        )
        self.metrics = Metrics()
        self.reconciler = Reconciler(
            self.store,
            self.spawner,
            hub=address,
            keys=self.keys,
            clock=self.clock,
            holder=self.holder,
            pace=hub.pace(self.spawner),
        )
        self.reconciler.steps.on_start = self._start_ended
        self.reconciler.on_poll = self.metrics.polled
        self.reconciler.steps.on_stop = self.metrics.stop_ended
        self.desk = Desk(
            store=self.store,
            spawner=self.spawner,
            authenticator=self.authenticator,
            settings=hub.web_settings(),
            keys=self.keys,
            clock=self.clock,
            metrics=self.metrics,
            is_open=False,
            proxy_tokens=shared_token.find(hub.proxy_token_file, hub.folder, os.environ, make=not hub.start_proxy),
        )
        self.use_keys(self.keys)
        self.front = create_app(self.desk)
        self.web = serve.WebServer(self.front)
        self.proxy = config.build(
            Proxy,
            hub.config,
            parent=hub,
            ip=hub.ip,
            port=hub.port,
            base_url=hub.base_url,
            hub_target=f"{url_host(hub.hub_ip)}:{hub_port}",
            run_dir=self._proxy_folder,
            registry=self.metrics.registry,
        )

    @staticmethod
    def keys_of(hub: Hub) -> Keys:
        """Return the keys that the settings lead to; raises ConfigError."""
        return Keys.from_secrets(*prepare_folder(hub))

    def use_keys(self, keys: Keys) -> None:
        """Sign and encrypt with these from now on."""
        self.keys = self.desk.keys = self.reconciler.steps.keys = keys
        self.reconciler.steps.auth_state = Admission(self.authenticator, self.store, keys, self.clock).state_of

    async def _open(self, stack: contextlib.AsyncExitStack, listener: socket.socket) -> None:
        self._spawn(self.web.run_on(listener), "web")
        if self.hub.start_proxy:
            await self.proxy.start()
            stack.push_async_callback(self.proxy.stop if self.hub.cleanup_proxy else self.proxy.leave)
            self._spawn(self.proxy.run(self.store), "proxy")
        self.desk.is_open = True
        self._spawn(self.front.run(), "front desk")
        self._spawn(self.reconciler.run(), "reconciler")
        self._spawn(self.keeper.run(), SERVICES)
        self._spawn(sweep.run(self.store, self.hub.habits, self.clock, self.spawner.note), "sweep")
        self.metrics.startup.set(self.clock() - self._begun)
        if warning := self.authenticator.warning():
            self.say(f"Warning: {warning}")
        self.say(f"nbhub is at {self.hub.address}")
        if link := await accounts.first_link(self.hub, self.store, self.authenticator, self.clock()):
            self.say(f"Make the first account, an administrator's, at {link.url} (works once, until {link.expiry})")

    def _start_ended(self, ready: bool, seconds: float) -> None:
        """Count a start; after too many failures in a row the hub ends, so that its supervisor makes it anew."""
        self.metrics.start_ended(ready, seconds)
        self._failures = 0 if ready else self._failures + 1
        limit = self.spawner.consecutive_failure_limit
        if limit and self._failures >= limit:
            log.critical("starts failed in a row=%d, the limit (Spawner.consecutive_failure_limit); ending", limit)
            self.failed = True
            self.stop_asked.set()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part that ends by itself takes the hub down: a supervisor can restart it, a half hub helps nobody."""
        if task.cancelled() or self.stop_asked.is_set():
            return
        log.error("part=%s ended unexpectedly, stopping", task.get_name(), exc_info=task.exception())
        self.failed = True
        self.stop_asked.set()

    # -- going down ----------------------------------------------------------------------------------------------

    async def _close(self) -> None:
        await self._stop_services()
        self.stop_asked.set()
        self.front.close()
        self.web.should_exit = True
        web, *others = self._tasks
        await asyncio.wait([web], timeout=5)
        for task in (web, *others):
            task.cancel()
        await asyncio.gather(web, *others, return_exceptions=True)

    async def _stop_services(self) -> None:
        """End the managed services, while there still is a hub that they can call."""
        running = [task for task in self._tasks if task.get_name() == SERVICES]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _stop_servers(self) -> None:
        """Ask all servers to stop and wait until they have, as long as stopping may take."""
        try:
            async with asyncio.timeout(self.hub.shutdown_timeout):
                async with self.store.write() as tx:
                    found = await servers.everybodys(tx)
                    await servers.ask_stop_all(tx, self.clock())
                for record in found:
                    if record.wanted and record.active:
                        self.spawner.note(Handle.of(record), Note("Stopped", "Stopped with the hub"))
                await self._until_all_stopped()
        except TimeoutError:
            self.say("Some servers are still stopping; the next hub sees to them.")
        except DatabaseUnavailable as error:
            self.say(f"Servers stay as they are: {error.message}")

    async def _until_all_stopped(self) -> None:
        said = 0
        async with self.store.wakeup.listen("server:*", "resync") as bell:
            while True:
                async with self.store.read() as tx:
                    left = await servers.count_active(tx)
                if not left:
                    return
                if left != said:
                    self.say(f"Stopping {left} server{'s' if left > 1 else ''} …")
                    said = left
                await bell.wait(1.0)


def prepare_folder(hub: Hub) -> secret.Secrets:
    """Make the data folder when missing, and return the hub's secrets. Raises ConfigError."""
    try:
        hub.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return secret.find(hub.cookie_secret, hub.cookie_secret_file, hub.folder, os.environ)
    except OSError as error:
        raise ConfigError(
            f"The data folder {hub.folder} cannot be used: {error.strerror or error}. "
            "Make it writable for this user, or choose another with --data-dir."
        ) from error
