"""A whole hub in a process of its own, as an operator runs it; it can be killed at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from nbhub import accounts, config
from nbhub.app import Hub
from servers.ports import free_port

ROOT = Path(__file__).parents[2]
SMALL_SERVER = Path(__file__).with_name("small_server.py")
START_SECONDS = 120
PATIENCE = 100.0  # seconds for whatever is waited for: no test fails because the machine is slow
LOOK_EVERY = 0.02
# Settings of a hub that answers for a start or stop when it is done, however slow the machine is.
PATIENT = """
c.Hub.slow_spawn_timeout = c.Hub.slow_stop_timeout = c.Hub.route_timeout = 100
c.Spawner.start_timeout = c.Spawner.http_timeout = 120
"""


@dataclass(frozen=True)
class Ended:
    """How a hub that did not start ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The one message that says why, as a person at the terminal finds it."""
        assert "Traceback" not in self.err, self.err
        _, *reasons = f"\n{self.err}".split("\nnbhub: ")
        assert len(reasons) == 1, self.err
        return reasons[0].strip()


class HubProcess:
    """`nbhub` as a child process with its own ports, in a folder of its own; several may share `data_dir`."""

    def __init__(
        self,
        folder: Path,
        settings: str = "",
        *,
        env: Mapping[str, str] | None = None,
        data_dir: Path | None = None,
        db_url: str = "",
    ) -> None:
        self.folder = folder
        self.data_dir = data_dir or folder / "nbhub-data"
        self.db_url = db_url
        self.port, self.hub_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = folder / "hub.out"
        self.env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **(env or {})}
        self.child: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "nbhub_config.py").write_text(settings)

    @property
    def pid(self) -> int:
        """Process id of the hub."""
        assert self.child is not None
        return self.child.pid

    @property
    def alive(self) -> bool:
        """Whether the hub's process runs."""
        return self.child is not None and self.child.poll() is None

    @property
    def envoy_pid(self) -> int:
        """Process id of the Envoy that this hub, or an earlier one with its ports, started."""
        remembered = json.loads((self.data_dir / "proxy" / str(self.port) / "envoy.pid").read_bytes())
        return int(remembered["pid"])

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of this hub."""
        given = [f"--port={self.port}", f"--Hub.hub_port={self.hub_port}", f"--data-dir={self.data_dir}"]
        if self.db_url:
            given.append(f"--db={self.db_url}")
        return [sys.executable, "-m", "nbhub", *given, *arguments]

    def spawn(self, *arguments: str) -> None:
        """Start the process without waiting for it."""
        with self.output.open("ab") as output:
            self.child = subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.env,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def start(self, *arguments: str) -> None:
        """Start and wait until the public address answers with the hub."""
        self.spawn(*arguments)
        await self.until_answering()

    async def until_answering(self, seconds: float = START_SECONDS) -> None:
        """Wait until the hub answers at the public address; fails with its words if it ends instead."""
        async with httpx.AsyncClient(timeout=PATIENCE) as client, asyncio.timeout(seconds):
            while not await self._answers(client):
                assert self.alive, f"the hub ended:\n{self.text()}"
                await asyncio.sleep(0.05)

    async def _answers(self, client: httpx.AsyncClient) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return (await client.get(f"{self.url}/hub/health")).status_code == 200
        return False

    def refused(self, *arguments: str, seconds: float = START_SECONDS) -> Ended:
        """Run a hub that is expected to end by itself, and return how it did."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def call(self, *words: str, given: bytes = b"") -> tuple[int, str]:
        """Call `nbhub` with a command beside the hub, for its data; return the exit status and all that it said."""
        where = [f"--data-dir={self.data_dir}", *([f"--db={self.db_url}"] if self.db_url else [])]
        done = subprocess.run(
            [sys.executable, "-m", "nbhub", *words, *where],
            cwd=self.folder,
            env=self.env,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=500,
            check=False,
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def text(self) -> str:
        """Everything that the hub has said."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def kill(self) -> None:
        """End the hub the hard way; what it started lives on."""
        assert self.child is not None
        self.child.kill()
        self.child.wait()

    def send(self, number: signal.Signals) -> None:
        """Send the hub a signal."""
        assert self.child is not None
        self.child.send_signal(number)

    async def ended(self, seconds: float = PATIENCE) -> int:
        """Wait for the hub's own end and return its exit status."""
        assert self.child is not None
        return await asyncio.to_thread(self.child.wait, seconds)

    async def stop(self, seconds: float = PATIENCE) -> int:
        """End the hub in order and return its exit status."""
        if self.alive:
            self.send(signal.SIGTERM)
        return await self.ended(seconds)

    async def token(self, user: str = "admin", *, admin: bool = True) -> str:
        """Make an API token as `nbhub token` does, while the hub is down or up."""
        options = [f"--data-dir={self.data_dir}", *([f"--db={self.db_url}"] if self.db_url else [])]
        hub = config.build(Hub, config.load(options, folder=self.folder).config)
        return await accounts.new_token(hub, user, admin=admin)

    def client(self, token: str, **options: Any) -> httpx.AsyncClient:
        """Return an API client that comes in through the proxy."""
        headers = {"Authorization": f"token {token}"}
        return httpx.AsyncClient(base_url=f"{self.url}/hub/api", headers=headers, timeout=PATIENCE, **options)


@contextlib.asynccontextmanager
async def running_hub(folder: Path, settings: str = "", **options: Any) -> AsyncIterator[HubProcess]:
    """A hub that is stopped in order at the end, whatever happened to it in between."""
    hub = HubProcess(folder, settings, **options)
    try:
        await hub.start()
        yield hub
    finally:
        if hub.child is not None:
            await hub.stop()


async def until(condition: Callable[[], Any | Awaitable[Any]], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until a condition (a function, plain or async) holds, and return its value; fails naming `what`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(LOOK_EVERY)
