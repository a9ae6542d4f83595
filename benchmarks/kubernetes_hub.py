"""What starts on Kubernetes cost a whole hub: `python -m benchmarks.kubernetes_hub [--starts 1000] [--at-once 200]`.

As `benchmarks.kubernetes`, with everything that a hub does besides: its database, tokens, progress, probes and routes.
`--outage STOP,START` names two commands: one that stops the API server, and one that starts it again; they are run in
the middle of the starts, with `--away` seconds in between.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from benchmarks import machine
from benchmarks.kubernetes import SETTINGS
from benchmarks.load import Client

TOKEN = uuid.uuid4().hex
LOOK_SECONDS = 1.0


def config(namespace: str) -> str:
    """Return the hub's configuration."""
    settings = {**SETTINGS, "namespace": namespace, "kubeconfig": os.environ["KUBECONFIG"], "start_timeout": 900}
    return "\n".join(
        [
            "c.Hub.authenticator_class = 'dummy'",
            "c.Hub.spawner_class = 'kubernetes'",
            "c.Hub.concurrent_spawn_limit = 0",
            f"c.Hub.services = [{{'name': 'load', 'api_token': {TOKEN!r}}}]",
            "c.Hub.load_roles = [{'name': 'load', 'services': ['load'], 'scopes': ['admin:users', 'admin:servers']}]",
            *(f"c.KubeSpawner.{name} = {value!r}" for name, value in settings.items()),
        ]
    )


class Hub:
    """The hub and what it has used so far."""

    def __init__(self, folder: Path, namespace: str) -> None:
        (folder / "nbhub_config.py").write_text(config(namespace))
        self.port, self.inner = machine.free_ports(2)
        command = [".venv/bin/python", "-m", "nbhub", f"--port={self.port}", f"--Hub.hub_port={self.inner}"]
        command += [f"--data-dir={folder / 'data'}", f"--config={folder / 'nbhub_config.py'}"]
        self.process = machine.Process(command, core=machine.SYSTEM_CORE, log=folder / "hub.log", cwd=Path.cwd())

    async def up(self) -> None:
        client = Client(self.port, TOKEN)
        async with asyncio.timeout(60):
            while True:
                self.process.check()
                try:
                    if (await client.ask("GET", "/hub/api/users?limit=1"))[0] == 200:
                        return
                except OSError:
                    pass
                await asyncio.sleep(0.1)

    @property
    def used(self) -> tuple[float, float]:
        """CPU seconds and MB of memory of the hub alone."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        return (int(fields[11]) + int(fields[12])) / machine.TICKS, memory / 1024


async def start(hub: Hub, gate: asyncio.Semaphore, name: str, took: list[float]) -> None:
    """Start one server and wait until it is ready, as its page does: by following its progress."""
    async with gate:
        begun = time.monotonic()
        client = Client(hub.inner, TOKEN)
        status, body = await client.ask("POST", f"/hub/api/users/{name}/server", seconds=900)
        assert status in (201, 202), body
        last = b""
        while b'"ready": true' not in last and b'"ready":true' not in last:
            try:
                status, last = await client.ask("GET", f"/hub/api/users/{name}/server/progress", seconds=900)
            except OSError:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            assert b'"failed": true' not in last and b'"failed":true' not in last, last[-2000:]
        took.append(time.monotonic() - begun)
        client.close()


async def run(chosen: argparse.Namespace, hub: Hub) -> None:
    """Make users, start their servers, and say what it cost."""
    await hub.up()
    names = [f"user{number}" for number in range(chosen.starts)]
    client = Client(hub.inner, TOKEN)
    await client.ask("POST", "/hub/api/users", {"usernames": names})
    gate, took = asyncio.Semaphore(chosen.at_once), []
    cpu, memory = hub.used
    begun = time.monotonic()
    tasks = [asyncio.ensure_future(start(hub, gate, name, took)) for name in names]
    if chosen.outage:
        await outage(chosen, took)
    await asyncio.gather(*tasks)
    wall = time.monotonic() - begun
    after, grown = hub.used
    took.sort()
    print(
        f"{len(names)} starts in {wall:.1f} s: {(after - cpu) / len(names) * 1000:.2f} ms CPU of the hub each; "
        f"{took[len(took) // 2]:.1f} s (median), {took[-1]:.1f} s (longest); "
        f"memory {memory:.0f} MB before, {grown:.0f} MB after",
        flush=True,
    )
    idle_cpu = hub.used[0]
    await asyncio.sleep(60)
    print(f"a minute of {len(names)} running servers: {(hub.used[0] - idle_cpu) * 1000:.0f} ms CPU", flush=True)


async def outage(chosen: argparse.Namespace, took: list[float]) -> None:
    """Take the API server away when a third of the servers is up."""
    stop, begin = chosen.outage.split(",")
    while len(took) < chosen.starts / 3:  # noqa: ASYNC110 - nothing tells us but looking
        await asyncio.sleep(0.1)
    before = len(took)
    await asyncio.to_thread(subprocess.run, shlex.split(stop), check=True)
    await asyncio.sleep(chosen.away)
    during = len(took)
    await asyncio.to_thread(subprocess.run, shlex.split(begin), check=True, stdout=subprocess.DEVNULL)
    print(f"API server away for {chosen.away} s: {before} ready before, {during} when it came back", flush=True)


def count(namespace: str) -> None:
    """Say what is there, and whether anything is there twice."""
    for kind in ("pods", "pvc", "secrets"):
        listed = subprocess.run(
            ["kubectl", "-n", namespace, "get", kind, "-o", "json"], capture_output=True, check=True, text=True
        )
        items = json.loads(listed.stdout)["items"]
        generations: Mapping[str, int] = {
            item["metadata"]["name"]: int(item["metadata"]["labels"].get("nbhub/generation", 1)) for item in items
        }
        print(f"  {kind}: {len(items)}, of start number {sorted(set(generations.values()))}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--outage", default="")
    parser.add_argument("--away", type=float, default=5.0)
    chosen = parser.parse_args()
    namespace = f"nbhub-bench-{uuid.uuid4().hex[:6]}"
    subprocess.run(["kubectl", "create", "namespace", namespace], check=True)
    with tempfile.TemporaryDirectory() as folder:
        hub = Hub(Path(folder), namespace)
        try:
            asyncio.run(run(chosen, hub))
            count(namespace)
        finally:
            print("\n".join((Path(folder) / "hub.log").read_text().splitlines()[-5:]))
            hub.process.end()
            subprocess.run(["kubectl", "delete", "namespace", namespace, "--wait=false"], check=True)


if __name__ == "__main__":
    main()
