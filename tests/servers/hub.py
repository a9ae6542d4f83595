"""A whole hub in a process of its own, as an operator runs it; it can be killed at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
START_SECONDS = 60


def free_port() -> int:
    """Return a port that is free now and given out once, from outside the range that connections take theirs from."""
    for port in _candidates:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port between 12000 and 18000 on 127.0.0.1; end the programs that hold them")


# Each test process walks through a range of its own.
_candidates = iter(range(12_000 + os.getpid() % 60 * 100, 18_000))


class HubProcess:
    """`nbhub` as a child process with its own data folder and ports."""

    def __init__(self, folder: Path, config: str = "", *, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.port, self.hub_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = folder / "hub.out"
        self.env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **(env or {})}
        self.child: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "nbhub_config.py").write_text(config)

    @property
    def pid(self) -> int:
        """Process id of the hub."""
        assert self.child is not None
        return self.child.pid

    def spawn(self, *arguments: str) -> None:
        """Start the process without waiting for it."""
        command = [sys.executable, "-m", "nbhub", f"--port={self.port}", f"--Hub.hub_port={self.hub_port}", *arguments]
        with self.output.open("ab") as output:
            self.child = subprocess.Popen(
                command, cwd=self.folder, env=self.env, stdout=output, stderr=output, start_new_session=True
            )

    async def start(self, *arguments: str) -> None:
        """Start and wait until the public address answers with the hub."""
        self.spawn(*arguments)
        async with httpx.AsyncClient() as client, asyncio.timeout(START_SECONDS):
            while not await self._answers(client):
                assert self.child is not None and self.child.poll() is None, f"the hub ended:\n{self.text()}"
                await asyncio.sleep(0.05)

    async def _answers(self, client: httpx.AsyncClient) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return (await client.get(f"{self.url}/hub/health")).status_code == 200
        return False

    def text(self) -> str:
        """Everything that the hub has said."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def kill(self) -> None:
        """End the hub the hard way; what it started lives on."""
        assert self.child is not None
        self.child.kill()
        self.child.wait()

    async def stop(self, seconds: float = 60) -> int:
        """End the hub in order and return its exit status."""
        assert self.child is not None
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.child.wait, seconds)

    def token(self, user: str = "admin", *, admin: bool = True) -> str:
        """Make an API token through the command line, while the hub is down or up."""
        command = [sys.executable, "-m", "nbhub", "token", user]
        if admin:
            command.append("--admin")
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=True)
        return done.stdout.split()[-1]

    def client(self, token: str, **options: Any) -> httpx.AsyncClient:
        """Return an API client that comes in through the proxy."""
        headers = {"Authorization": f"token {token}"}
        return httpx.AsyncClient(base_url=f"{self.url}/hub/api", headers=headers, timeout=30, **options)


@contextlib.asynccontextmanager
async def running_hub(folder: Path, config: str = "", **options: Any) -> AsyncIterator[HubProcess]:
    """A hub that is stopped in order at the end, whatever happened to it in between."""
    hub = HubProcess(folder, config, **options)
    try:
        await hub.start()
        yield hub
    finally:
        if hub.child is not None:
            await hub.stop()
