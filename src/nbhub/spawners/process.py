"""Servers as processes of the hub's machine: each user's own account, or all as the hub's user.

Processes lead sessions of their own and outlive the hub. Who launches is settled by a lock that the server inherits
(see process_files and process_claim), so a start that is repeated, on whichever hub, gives one process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from traitlets import Dict, Float, Int, List, Unicode, default

from nbhub.core import findings, names
from nbhub.core.findings import Finding
from nbhub.core.launch import HubAddress, Launch, expand
from nbhub.core.lifecycle import ABSENT, Observation
from nbhub.errors import ConfigError, SpawnError
from nbhub.spawners import ports, process_checks, process_details, process_launch, processes
from nbhub.spawners.accounts import Account, own_account, own_name, system_account
from nbhub.spawners.base import Checkpoint, Handle, Spawner
from nbhub.spawners.children import Children
from nbhub.spawners.details import Details
from nbhub.spawners.ending import Counter, Patience, end
from nbhub.spawners.process_claim import Claim, mark_of
from nbhub.spawners.process_files import Record, ServerFiles
from nbhub.spawners.process_ready import Awaited, Lookout
from nbhub.spawners.processes import Identity
from nbhub.traits import Command

ENV_KEEP = (
    "PATH",
    "PYTHONPATH",
    "CONDA_ROOT",
    "CONDA_DEFAULT_ENV",
    "VIRTUAL_ENV",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "JUPYTERHUB_SINGLEUSER_APP",
)
MANY = 100  # handles from which on a poll is worth a thread
LOG_LINES = 40
LEFTOVERS = Patience(interrupt=0.0, term=5.0, kill=2.0)


class ProcessSpawner(Spawner):
    """What the kinds of local processes have in common; use one of the kinds."""

    PER_START = frozenset({"port", "popen_kwargs", "shell_cmd", "env_keep", "home_dir_template"})

    interrupt_timeout = Float(30, help="Seconds a server gets to end after SIGINT, before SIGTERM.").tag(config=True)
    term_timeout = Float(30, help="Seconds a server gets to end after SIGTERM, before SIGKILL.").tag(config=True)
    kill_timeout = Float(5, help="Seconds to wait after SIGKILL before the stop counts as failed.").tag(config=True)
    popen_kwargs = Dict(
        help="Further arguments for subprocess.Popen, such as {'umask': 0o027}; what nbhub sets itself is refused."
    ).tag(config=True)
    shell_cmd = Command(
        [],
        help="Run the command through a shell, such as ['bash', '-l', '-c']; it is appended as one text.",
    ).tag(config=True)
    env_keep = List(
        Unicode(), list(ENV_KEEP), help="Variables of the hub's own environment that servers get; no others."
    ).tag(config=True)
    log_limit = Int(
        50_000_000,
        help="Bytes that a running server's log may grow to; then all but its end is dropped. 0 sets no limit.",
    ).tag(config=True)
    port_first = Int(20_000, help="First of the ports that servers get.").tag(config=True)
    port_last = Int(32_000, help="Last of the ports that servers get; each running server takes one.").tag(config=True)
    data_dir = Unicode(help="Folder of the hub's data, absolute; run_dir and homes are below it by default.")
    run_dir = Unicode(
        help="Folder for servers' locks and logs, {data_dir}/servers when empty. Only the hub's user may reach it; "
        "all hubs of one machine that share a database have to share it."
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.clock: Callable[[], float] = time.time
        self.random = random.SystemRandom()
        self._children = Children(self._ended)
        self._count = Counter()
        self._lookout = Lookout(self._count)
        self._watchers: set[asyncio.Queue[int]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    @default("data_dir")
    def _hub_data_dir(self) -> str:
        folder = getattr(self.parent, "data_dir", "nbhub-data")
        return str(Path(folder).expanduser().absolute())

    async def examine(self, hub: HubAddress, *, quick: bool, image: str) -> AsyncIterator[Finding]:
        """See Spawner: the machine, and the command that starts servers."""
        try:
            process_checks.platform()
            process_checks.command(self.cmd, self.shell_cmd, os.environ.get("PATH", os.defpath))
            process_checks.port_range(self.port, self.port_first, self.port_last)
        except ConfigError as error:
            yield findings.failed("command of servers", error.message)
        else:
            yield findings.ok("command of servers", f"{next(iter(self.shell_cmd or self.cmd))} is installed")

    def check_settings(self) -> None:
        process_checks.popen_kwargs(self.popen_kwargs)
        process_checks.port_range(self.port, self.port_first, self.port_last)

    async def check(self) -> None:
        await super().check()
        process_checks.platform()
        process_checks.command(self.cmd, self.shell_cmd, os.environ.get("PATH", os.defpath))
        process_checks.folder(self.run_folder)

    async def start(self, launch: Launch) -> AsyncIterator[Checkpoint]:
        account = await asyncio.to_thread(self.account, launch)
        claim = self._claim(launch.object_name, launch.state)
        taken = await claim.take(launch.generation, self._patience(), self.start_timeout)
        if isinstance(taken, Record):
            self._watch(launch.server_id, launch.object_name, taken)
            yield Checkpoint(taken.as_state(), "Found the server's process running", progress=60, url=taken.url)
            await self._until_listening(launch, account, taken)
            return
        with contextlib.ExitStack() as place:
            place.callback(os.close, taken)
            port = self._reserve(self.setting(launch, "port"))
            place.callback(port.close)
            record = Record(
                generation=launch.generation,
                port=port.number,
                url=f"http://{ports.url_host(self.ip)}:{port.number}",
                at=self.clock(),
            )
            claim.files.write_record(record)
            yield Checkpoint(
                record.as_state(), f"Starting a process on port {port.number}", progress=20, url=record.url
            )
            order = process_launch.Order(
                launch=launch.bound_to(self.ip, port.number),
                account=account,
                command=self.command(launch),
                environment=self._environment(account, self.setting(launch, "env_keep")),
                inherited=(taken, port.holder.fileno()),
                popen_kwargs=dict(self.setting(launch, "popen_kwargs")),
            )
            record = await self._launch(order, claim.files, record, place.pop_all())
        yield Checkpoint(record.as_state(), "Waiting for the process to listen", progress=50, url=record.url)
        await self._until_listening(launch, account, record)
        yield Checkpoint(record.as_state(), "Waiting for the first answer", progress=80, url=record.url)

    async def poll(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        known = [self._known(handle) for handle in handles]
        if len(handles) < MANY:
            alive = self._see(handles, known)
        else:
            alive = await asyncio.to_thread(self._see, handles, known)
        return [self._observe(*seen) for seen in zip(handles, known, alive, strict=True)]

    async def stop(self, handle: Handle, *, grace: timedelta) -> None:
        claim = self._claim(handle.object_name, handle.state)
        patience = self._patience().within(grace.total_seconds())
        await claim.clear(handle.generation, patience, self.start_timeout)

    async def forget(self, handle: Handle) -> None:
        claim = self._claim(handle.object_name, handle.state)
        await claim.remove_files(LEFTOVERS, self.start_timeout)

    async def log_tail(self, handle: Handle, lines: int = 40) -> str:
        return await asyncio.to_thread(self._files(handle.object_name).log_tail, lines)

    async def details(self, handles: Sequence[Handle]) -> Sequence[Details]:
        known = [(self._known(handle), mark_of(handle.object_name)) for handle in handles]
        return await asyncio.to_thread(process_details.details, known)

    async def watch(self) -> AsyncIterator[int]:
        queue: asyncio.Queue[int] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    async def close(self) -> None:
        self._children.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEFTOVERS.term + LEFTOVERS.kill)

    # -- for the kinds -------------------------------------------------------------------------------------------

    def account(self, launch: Launch) -> Account:
        """Return who the server runs as, with a home that exists; may block. Raises SpawnError."""
        raise NotImplementedError

    def command(self, launch: Launch) -> list[str]:
        """Return the words of the command line."""
        return process_launch.words(launch, self.setting(launch, "shell_cmd"))

    # -- starting ------------------------------------------------------------------------------------------------

    def _reserve(self, port: int) -> ports.ReservedPort:
        if port:
            return ports.reserve_exactly(self.ip, port)
        return ports.reserve(self.ip, self.port_first, self.port_last, self.random)

    def _environment(self, account: Account, env_keep: Sequence[str]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in env_keep if name in os.environ}
        kept.setdefault("PATH", os.defpath)
        return kept | process_launch.identity_of(account)

    async def _launch(
        self, order: process_launch.Order, files: ServerFiles, record: Record, place: contextlib.ExitStack
    ) -> Record:
        """Launch and write it down. A caller that is cancelled leaves this to its end, so that nothing is half-done."""
        task = asyncio.ensure_future(self._launch_now(order, files, record, place))
        self._keep(task)
        return await asyncio.shield(task)

    async def _launch_now(
        self, order: process_launch.Order, files: ServerFiles, record: Record, place: contextlib.ExitStack
    ) -> Record:
        child, record = await asyncio.to_thread(process_launch.run, order, files, record, place)
        self._watch(order.launch.server_id, order.launch.object_name, record, child)
        return record

    async def _until_listening(self, launch: Launch, account: Account, record: Record) -> None:
        files = self._files(launch.object_name)
        process = record.process
        assert process is not None
        await self._lookout.until_listening(
            Awaited(
                name=launch.object_name,
                ip=self.ip,
                record=record,
                uid=account.uid,
                mark=mark_of(launch.object_name),
                seconds=self.http_timeout,
                look=lambda: self._look_at_dead(launch.object_name, process),
                log_tail=lambda: files.log_tail(LOG_LINES),
            )
        )

    def _watch(
        self, server_id: int, object_name: str, record: Record, child: subprocess.Popen[bytes] | None = None
    ) -> None:
        if record.process is not None:
            self._children.watch(record.process, server_id, object_name, child)

    # -- looking -------------------------------------------------------------------------------------------------

    def _see(self, handles: Sequence[Handle], known: Sequence[Identity | None]) -> list[bool]:
        alive = [process is not None and processes.is_alive(process) for process in known]
        for handle, lives in zip(handles, alive, strict=True):
            if lives:
                self._files(handle.object_name).trim_log(self.log_limit)
        return alive

    def _known(self, handle: Handle) -> Identity | None:
        """Return the process that the handle means; its state may be of an earlier start."""
        saved = Identity.of_state(handle.state)
        if saved is not None and handle.state.get("generation") == handle.generation:
            return saved
        record = self._files(handle.object_name).record()
        return record.process if record is not None and record.process is not None else saved

    def _observe(self, handle: Handle, process: Identity | None, alive: bool) -> Observation:
        if process is None:
            return ABSENT
        if alive:
            self._children.watch(process, handle.server_id, handle.object_name)
            saved = handle.state if handle.state.get("generation") == handle.generation else {}
            return Observation(alive=True, url=saved.get("url"))
        return self._look_at_dead(handle.object_name, process)

    def _look_at_dead(self, object_name: str, process: Identity) -> Observation:
        """Say how a process ended, and end what it left."""
        self._children.collect(process)
        self._tidy(object_name, process)
        code = self._files(object_name).exit_code(process)
        return Observation(alive=False, exit_code=code, message=_explain(code))

    def _ended(self, server_id: int, object_name: str, process: Identity, code: int | None) -> None:
        if code is not None:
            self._files(object_name).write_exit_code(process, code)
        self._tidy(object_name, process)
        for queue in self._watchers:
            queue.put_nowait(server_id)

    def _tidy(self, object_name: str, process: Identity) -> None:
        """End what a server that died by itself left in its session."""
        self._keep(asyncio.ensure_future(end(process, mark_of(object_name), LEFTOVERS, self._count)))

    # -- small things --------------------------------------------------------------------------------------------

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.log.debug("task of a local server ended: %s", task.exception())

    def _patience(self) -> Patience:
        return Patience(self.interrupt_timeout, self.term_timeout, self.kill_timeout)

    def _claim(self, object_name: str, state: Any) -> Claim:
        return Claim(self._files(object_name), state, self.ip, self._count, self.clock)

    def _files(self, object_name: str) -> ServerFiles:
        return ServerFiles(self.run_folder, object_name)

    @property
    def run_folder(self) -> Path:
        """run_dir in force."""
        return Path(self.run_dir or Path(self.data_dir) / "servers").expanduser().absolute()


class LocalProcessSpawner(ProcessSpawner):
    """Servers run as the system user who logged in, in that user's home; the hub has to run as root."""

    async def check(self) -> None:
        await super().check()
        if os.geteuid() != 0:
            self.log.warning(
                "LocalProcessSpawner needs a hub that runs as root; as %s it can start servers of that user only. "
                "Run the hub as root, or use SimpleLocalProcessSpawner.",
                own_name(),
            )

    def account(self, launch: Launch) -> Account:
        account = system_account(launch.user.name)
        words = (*launch.command, *launch.arguments)
        if account.uid == 0 and not any("allow-root" in word.replace("_", "-") for word in words):
            raise SpawnError(
                f"The server of {account.name} would run as root, and whoever gets the name would get the machine. "
                "Add the name to c.Authenticator.blocked_users; if it is meant so, '--allow-root' to c.Spawner.args."
            )
        if not account.home.is_dir():
            raise SpawnError(
                f"The home folder {account.home} of system user {account.name} does not exist. "
                f"Create it, for example with: mkhomedir_helper {account.name}"
            )
        return account


class SimpleLocalProcessSpawner(ProcessSpawner):
    """Servers all run as the hub's own user, each user in a folder: for one person, a trial, or a closed container.

    Users are not protected from each other: whoever runs code in one server can read and stop the others.
    """

    home_dir_template = Unicode(
        "{data_dir}/homes/{object_name}",
        help="Folder of each user; {username}, {object_name} (the name made safe for files) and {data_dir} are "
        "filled in. A name that is no plain file name is replaced by its safe form.",
    ).tag(config=True)

    def account(self, launch: Launch) -> Account:
        safe = names.object_name(launch.user.name, "")
        fields = {"object_name": safe, "username": _file_name(launch.user.name, safe), "data_dir": self.data_dir}
        home = Path(expand(self.setting(launch, "home_dir_template"), fields)).expanduser().absolute()
        process_launch.make_home(home)
        return own_account(launch.user.name, home)

    async def check(self) -> None:
        await super().check()
        if os.geteuid() == 0:
            self.log.warning(
                "SimpleLocalProcessSpawner runs as root: ALL SERVERS RUN AS ROOT, every user may do anything on this "
                "machine. That is for trials in a container only. Run the hub as another user, or use "
                "LocalProcessSpawner."
            )

    def command(self, launch: Launch) -> list[str]:
        if os.geteuid() == 0 and any("jupyter" in word for word in launch.command):
            return process_launch.words(launch, self.setting(launch, "shell_cmd"), more=("--allow-root",))
        return super().command(launch)


def _file_name(name: str, safe: str) -> str:
    """Return the name if it is one plain path component that no safe form of another name can equal."""
    plain = name.isprintable() and "/" not in name and "---" not in name and not name.startswith((".", "-", "~"))
    return name if plain and 0 < len(name.encode()) <= 200 else safe


def _explain(code: int | None) -> str:
    if code == -9:
        return "it was killed (signal 9), as happens when the machine runs out of memory."
    return ""
