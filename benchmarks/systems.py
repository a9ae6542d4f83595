"""The two systems under test, brought up the same way: one core, a fresh folder, free servers, one token for all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import environments, machine, population
from benchmarks.load import Client

HERE = Path(__file__).resolve().parent


class System:
    """One hub with its proxy, on the system's core. `folder` outlives restarts."""

    name = ""
    proxy_word = ""  # what tells the proxy's command line from the hub's

    def __init__(self, folder: Path, *, notebook: Path | None = None) -> None:
        self.folder = folder
        self.notebook = notebook  # real servers from this environment instead of free ones
        self.public, self.hub, self.api, self.upstream = machine.free_ports(4)
        self.token = secrets.token_hex(16)
        self._process: machine.Process | None = None
        self._upstream: machine.Process | None = None

    def prepare(self) -> None:
        """Do what an operator does once, before the first start."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def given(self) -> dict[str, object]:
        """Values for the configuration file."""
        return {
            "public": self.public,
            "hub": self.hub,
            "api": self.api,
            "upstream": self.upstream,
            "token": self.token,
            "home": str(self.folder / "home"),
            "notebook": str(self.notebook / "bin" / "jupyterhub-singleuser") if self.notebook else "",
        }

    def environment(self) -> dict[str, str]:
        """Return the variables that the programs of the system need."""
        return {"BENCH": json.dumps(self.given()), "PYTHONPATH": str(environments.SOURCE)}

    def start(self) -> None:
        """Start the upstream (once) and the hub; returns at once."""
        (self.folder / "home").mkdir(exist_ok=True)
        if self._upstream is None:
            command = [sys.executable, str(HERE / "upstream.py"), str(self.upstream)]
            log = self.folder / "upstream.log"
            self._upstream = machine.Process(command, core=machine.LOAD_CORE, log=log, cwd=self.folder)
            machine.wait_for_port(self.upstream, self._upstream)
        self._process = machine.Process(
            self.command(),
            core=machine.SYSTEM_CORE,
            log=self.folder / "hub.log",
            cwd=self.folder,
            environment=self.environment(),
        )

    @property
    def process(self) -> machine.Process:
        assert self._process is not None, "not started"
        return self._process

    async def ready(self, *, seconds: float = 90.0, public: bool = True) -> None:
        """Wait for the first answer that needs the token and the database, asked through the proxy if `public`."""
        client = Client(self.public if public else self.hub, self.token)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.process.check()
            with contextlib.suppress(OSError, TimeoutError):
                status, _ = await client.ask("GET", "/hub/api/users?limit=1", seconds=5)
                if status == 200:
                    client.close()
                    return
            await asyncio.sleep(0.005)
        raise TimeoutError(f"{self.name} did not answer within {seconds:.0f} s; see {self.process.log}.")

    async def up(self) -> None:
        """Start and wait until it answers."""
        self.start()
        await self.ready()

    async def add_routes(self, names: Sequence[str]) -> None:
        """Give every user of `names` a route in the proxy; by default by starting their servers."""
        await population.for_each(self, names, population.start_server, at_once=25)

    def pids(self) -> tuple[list[int], list[int]]:
        """Return the processes of the hub and those of the proxy; notebook servers are neither."""
        everything = machine.tree(self.process.pid)
        proxy = [pid for pid in everything if self.proxy_word in machine.command_line(pid)]
        servers = [pid for pid in everything if "singleuser" in machine.command_line(pid)]
        return [pid for pid in everything if pid not in (*proxy, *servers)], proxy

    def stop(self) -> None:
        """Stop hub and proxy; running servers stay as recorded."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def close(self) -> None:
        self.stop()
        if self._upstream is not None:
            self._upstream.end()
            self._upstream = None


class JupyterHub(System):
    """JupyterHub with configurable-http-proxy, as its documentation sets it up on one machine."""

    name = "JupyterHub"
    proxy_word = "configurable-http-proxy"

    def command(self) -> list[str]:
        python = environments.JUPYTERHUB / "bin" / "python"
        return [str(python), "-m", "jupyterhub", "-f", str(HERE / "config" / "jupyterhub_config.py")]

    def given(self) -> dict[str, object]:
        proxy = environments.PROXY / "node_modules" / ".bin" / "configurable-http-proxy"
        return {**super().given(), "proxy": str(proxy)}

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "CONFIGPROXY_AUTH_TOKEN": self.token}

    async def add_routes(self, names: Sequence[str]) -> None:
        """Tell the proxy alone: starting thousands of servers would take JupyterHub minutes and changes nothing."""
        client = Client(self.api, self.token)
        for number, name in enumerate(names):
            target = f"http://127.80.{number >> 8}.{number & 255}:{self.upstream}"
            route = {"target": target, "user": name, "server_name": ""}
            await client.json("POST", f"/api/routes/user/{name}", route)
        client.close()


class Nbhub(System):
    """nbhub with Envoy, from this source tree and the interpreter that runs the benchmarks."""

    name = "nbhub"
    proxy_word = "envoy"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "nbhub", "-f", str(HERE / "config" / "nbhub_config.py")]

    def prepare(self) -> None:
        made = subprocess.run(
            [sys.executable, "-m", "nbhub", "token", "bench", "--admin", *self.command()[3:]],
            check=True,
            cwd=self.folder,
            env={**machine.clean_environment(), **self.environment()},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.token = made.stdout.strip()


BOTH: Sequence[type[System]] = (Nbhub, JupyterHub)


@contextlib.contextmanager
def fresh(kind: type[System], *, notebook: Path | None = None) -> Iterator[System]:
    """Give a system in a folder of its own, stopped; it is taken down and forgotten afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        system = kind(Path(folder), notebook=notebook)
        system.prepare()
        try:
            yield system
        finally:
            system.close()
