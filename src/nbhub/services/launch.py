"""One process of a managed service: launched, found again after the death of a hub, ended with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbhub.core import names, secrets
from nbhub.core.launch import HubAddress, Launch
from nbhub.core.model import ServiceEntry, User
from nbhub.errors import SpawnError
from nbhub.services import environment
from nbhub.services.declared import ServiceSpec
from nbhub.spawners import process_launch
from nbhub.spawners.accounts import Account, own_account, own_name, system_account
from nbhub.spawners.ending import Counter, Patience
from nbhub.spawners.process_claim import Claim
from nbhub.spawners.process_files import Record, ServerFiles
from nbhub.spawners.processes import Identity, is_alive

PATIENCE = Patience(interrupt=5.0, term=5.0, kill=3.0)
PLACE_SECONDS = 20.0  # for another hub of this machine that is just launching or ending the same service
JUST_SECONDS = 30.0  # a hub that launched so long ago has noted it, or is dead
LOG_LIMIT = 50_000_000
ENV_KEEP = (
    "PATH", "PYTHONPATH", "CONDA_ROOT", "CONDA_DEFAULT_ENV", "VIRTUAL_ENV", "LANG", "LC_ALL", "LD_LIBRARY_PATH",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where the processes of services are made, on this machine. `folder` holds their locks, records and logs."""

    folder: Path
    hub: HubAddress
    clock: Callable[[], float] = time.time
    count: Counter = field(default_factory=Counter)

    def files(self, name: str) -> ServerFiles:
        """Return the files of a service. No user's server has a dot in the name of its files."""
        return ServerFiles(self.folder, f"service.{names.object_name(name, '')}")

    def found(self, spec: ServiceSpec, entry: ServiceEntry) -> Identity | None:
        """Return the process that an earlier hub left behind, if it lives and was launched by the same settings."""
        noted = Identity.of_state(entry.process)
        record = self.files(spec.name).record()
        same = noted is not None and record is not None and record.process == noted
        if not same or noted is None or entry.process.get("settings") != self.digest(spec):
            return None
        return noted if is_alive(noted) else None

    def is_left_over(self, spec: ServiceSpec, entry: ServiceEntry | None) -> bool:
        """Say whether a process lives here that is not the one that the database knows, nor one just launched."""
        record = self.files(spec.name).record()
        if record is None or record.process is None or self.clock() - record.at < JUST_SECONDS:
            return False
        noted = None if entry is None else Identity.of_state(entry.process)
        return record.process != noted and is_alive(record.process)

    def digest(self, spec: ServiceSpec) -> str:
        """Return what changes when a new process would be told anything else, its random token aside."""
        told = environment.build(spec, self.hub, spec.api_token)
        every = [sorted(told.items()), spec.command, spec.cwd, spec.user]
        return hashlib.sha256(json.dumps(every).encode()).hexdigest()[:32]

    def new_token(self, spec: ServiceSpec) -> str:
        """Return the token for a launch: the configured one, or a new secret that nobody but the service knows."""
        return spec.api_token or secrets.new_token()

    async def place(self, spec: ServiceSpec) -> int:
        """End what runs of the service on this machine and return the lock that allows to launch it."""
        return await self._claim(spec.name).empty(PATIENCE, PLACE_SECONDS)

    async def launch(
        self, spec: ServiceSpec, entry: ServiceEntry, token: str, lock: int
    ) -> tuple[subprocess.Popen[bytes], Identity]:
        """Launch with the lock, which the process keeps for its life; raises SpawnError with the reason.

        A caller that is cancelled waits for the end of it, so that nothing is left that nobody knows of.
        """
        work = asyncio.ensure_future(asyncio.to_thread(self._launch, spec, entry, token, lock))
        try:
            child, record = await asyncio.shield(work)
        except asyncio.CancelledError:
            with contextlib.suppress(SpawnError):
                _, record = await work
                await self.end(spec.name, record)
            raise
        assert record is not None
        return child, record

    async def end(self, name: str, process: Identity) -> None:
        """End the process and what it started; raises SpawnError when something survives even SIGKILL."""
        await self._claim(name).end(process, PATIENCE)

    async def clear_strangers(self, known: set[str]) -> None:
        """End what earlier hubs left of services that are not run any more."""
        kept = {self.files(name).name for name in known}
        for path in sorted(self.folder.glob("service.*.lock")) if self.folder.is_dir() else ():
            if path.stem not in kept:
                files = ServerFiles(self.folder, path.stem)
                claim = Claim(files, {}, "127.0.0.1", self.count, self.clock)
                await claim.remove_files(PATIENCE, PLACE_SECONDS)

    def _claim(self, name: str) -> Claim:
        return Claim(self.files(name), {}, "127.0.0.1", self.count, self.clock)

    def _launch(
        self, spec: ServiceSpec, entry: ServiceEntry, token: str, lock: int
    ) -> tuple[subprocess.Popen[bytes], Identity]:
        with contextlib.ExitStack() as place:
            place.callback(os.close, lock)
            account = _account(spec)
            record = Record(generation=1, at=self.clock())
            files = self.files(spec.name)
            files.write_record(record)
            order = process_launch.Order(
                launch=self._as_launch(spec, entry, token, files.name),
                account=replace(account, home=_folder(spec)),
                command=spec.command,
                environment=_kept() | (process_launch.identity_of(account) if spec.user else _own_home()),
                inherited=(lock,),
                popen_kwargs={},
            )
            child, record = process_launch.run(order, files, record, place.pop_all())
        assert record.process is not None
        return child, record.process

    def _as_launch(self, spec: ServiceSpec, entry: ServiceEntry, token: str, object_name: str) -> Launch:
        return Launch(
            server_id=entry.id,
            generation=1,
            object_name=object_name,
            user=User(0, spec.user),
            groups=(),
            server_name="",
            prefix=names.service_prefix(self.hub.base_url, spec.name),
            command=spec.command,
            arguments=(),
            environment=environment.build(spec, self.hub, token),
            options={},
            state={},
            api_token=token,
        )


def as_state(process: Identity, settings: str) -> dict[str, Any]:
    """Return what the database keeps of a launch."""
    return {**process.as_state(), "settings": settings}


def _account(spec: ServiceSpec) -> Account:
    return system_account(spec.user) if spec.user else own_account(own_name(), Path.home())


def _folder(spec: ServiceSpec) -> Path:
    folder = Path(spec.cwd).expanduser().absolute() if spec.cwd else Path.cwd()
    if not folder.is_dir():
        raise SpawnError(f"its folder {folder} does not exist. Make it, or correct cwd.")
    return folder


def _kept() -> dict[str, str]:
    return {"PATH": os.defpath} | {name: os.environ[name] for name in ENV_KEEP if name in os.environ}


def _own_home() -> dict[str, str]:
    return {name: os.environ[name] for name in ("HOME", "USER", "SHELL") if name in os.environ}
