"""A hub without a proxy of its own, proxies that run apart, and what stands for the address of several hubs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx

from servers.hub import PATIENCE, ROOT, START_SECONDS, HubProcess, until
from servers.ports import free_port

APART = "c.Hub.start_proxy = False\n"


class LoneHub(HubProcess):
    """A hub that is talked to at its private port."""

    def __init__(self, folder: Path, settings: str, *, data_dir: Path | None = None, db_url: str = "") -> None:
        super().__init__(folder, settings + APART, data_dir=data_dir, db_url=db_url)
        self.url = f"http://127.0.0.1:{self.hub_port}"

    @property
    def token_file(self) -> Path:
        """Where the hub keeps the token of its proxies."""
        return self.data_dir / "proxy-token"


class ProxyProcess:
    """`nbhub proxy` as a child process, with ports and a folder of its own."""

    def __init__(self, folder: Path, hub_url: str, token_file: Path) -> None:
        self.folder = folder
        self.port, self.health_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.health = f"http://127.0.0.1:{self.health_port}"
        self.hub_url, self.token_file = hub_url, token_file
        self.output = folder / "proxy.out"
        self.child: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def envoy_pid(self) -> int:
        """Process id of the Envoy that this proxy, or an earlier one with its folder, started."""
        return int(json.loads((self.folder / "proxy" / "envoy.pid").read_bytes())["pid"])

    def command(self, *more: str) -> list[str]:
        """Return the command line; `more` goes before what is usual."""
        options = {
            "--hub-url": self.hub_url,
            "--token-file": str(self.token_file),
            "--folder": str(self.folder),
            "--port": str(self.port),
            "--health": f"127.0.0.1:{self.health_port}",
        }
        options |= dict(word.split("=", 1) for word in more)
        return [sys.executable, "-m", "nbhub", "proxy", *(f"{name}={value}" for name, value in options.items())]

    def spawn(self, *more: str) -> None:
        """Start without waiting for it."""
        with self.output.open("ab") as output:
            self.child = subprocess.Popen(
                self.command(*more),
                cwd=self.folder,
                env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src")},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def start(self, *more: str) -> None:
        """Start, and wait until it is ready."""
        self.spawn(*more)
        await until(self.is_ready, "the proxy is ready", START_SECONDS)

    def refused(self, *more: str) -> tuple[int, str]:
        """Run one that is expected to end by itself; return its status and what it said."""
        done = subprocess.run(
            self.command(*more),
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stderr

    async def is_ready(self) -> bool:
        """Say whether the proxy takes traffic; fails with its words when it has ended."""
        assert self.child is not None and self.child.poll() is None, self.text()
        with contextlib.suppress(httpx.TransportError):
            async with httpx.AsyncClient(timeout=PATIENCE) as client:
                return (await client.get(f"{self.health}/ready")).status_code == 200
        return False

    def text(self) -> str:
        """Everything that it has said."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def kill(self) -> None:
        """End it the hard way; its Envoy lives on."""
        assert self.child is not None
        self.child.kill()
        self.child.wait()

    async def stop(self) -> int:
        """End it, and its Envoy, in order."""
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.child.wait, PATIENCE)


class Balancer:
    """One address for several hubs, as a Kubernetes Service is: each connection goes to one that takes it."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Pass connections on; the value is the URL."""
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.url = f"http://localhost:{server.sockets[0].getsockname()[1]}"
        try:
            yield self.url
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            for port in self._ports:
                with contextlib.suppress(OSError):
                    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                    await asyncio.wait(
                        [
                            asyncio.create_task(_copy(reader, far_writer)),
                            asyncio.create_task(_copy(far_reader, writer)),
                        ],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    far_writer.close()
                    return
        finally:
            writer.close()
            self._tasks.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
