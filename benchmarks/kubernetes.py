"""What a start costs on Kubernetes: `python -m benchmarks.kubernetes [--starts 1000] [--at-once 200]`.

Needs KUBECONFIG of a cluster whose nodes are simulated (KWOK: label and taint `fake=true`), since a thousand real pods
need a thousand times the memory. Everything is in a namespace of its own, deleted afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import uvloop

from nbhub.core import launch as launches
from nbhub.core import names
from nbhub.core.launch import HubAddress, Launch
from nbhub.core.model import Server, User
from nbhub.spawners.base import Handle
from nbhub.spawners.kubernetes.spawner import KubeSpawner

GRACE = timedelta(seconds=5)
# The claims are made and not mounted: a volume of this machine cannot be on a simulated node.
SETTINGS = {
    "image": "fake",
    "cmd": ["jupyterhub-singleuser"],
    "mem_guarantee": "1G",
    "cpu_guarantee": 0.5,
    "mem_limit": "2G",
    "node_selector": {"fake": "true"},
    "tolerations": [{"key": "fake", "operator": "Exists"}],
    "storage_pvc_ensure": True,
    "storage_capacity": "1Mi",
    "start_timeout": 600,
}
WATCHES = {("watch", "Pod"), ("watch", "Event"), ("list", "Pod"), ("list", "Event")}


async def run(starts: int, at_once: int, namespace: str, profile: bool) -> None:
    """Start, poll and stop, and print what each cost."""
    spawner = KubeSpawner(namespace=namespace, kubeconfig=os.environ["KUBECONFIG"], **SETTINGS)
    spawner.stop_timeout = 600
    meter = Meter(spawner)
    warm = a_launch(spawner, 0)
    warm_state = await bring_up(spawner, warm)
    await spawner.stop(a_handle(warm, warm_state), grace=GRACE)
    meter.begin()
    gate = asyncio.Semaphore(at_once)
    took: list[float] = []

    async def one(number: int) -> Handle:
        async with gate:
            launch = a_launch(spawner, number)
            begun = time.monotonic()
            state = await bring_up(spawner, launch)
            took.append(time.monotonic() - begun)
            return a_handle(launch, state)

    if profile:
        import cProfile  # noqa: PLC0415

        profiler = cProfile.Profile()
        profiler.enable()
    handles = await asyncio.gather(*(one(number) for number in range(1, starts + 1)))
    if profile:
        profiler.disable()
        profiler.dump_stats("/tmp/k8s.prof")
    meter.end("start", starts)
    took.sort()
    print(f"  a start took {took[len(took) // 2]:.1f} s (median), {took[-1]:.1f} s (longest)")
    await polls(spawner, meter, handles)
    await asyncio.gather(*(stop(spawner, gate, handle) for handle in handles))
    meter.end("stop", starts)
    await spawner.close()


async def polls(spawner: KubeSpawner, meter: Meter, handles: Sequence[Handle]) -> None:
    """Poll all servers by the watch, then by asking."""
    for how in ("watch", "list"):
        if how == "list":
            cache, spawner.backend.cache.pods.known = spawner.backend.cache.pods.known, {}
        meter.begin()
        seen = await spawner.poll(handles)
        assert all(observation.alive for observation in seen)
        meter.end(f"poll of {len(handles)} ({how})", 1)
    spawner.backend.cache.pods.known = cache
    meter.begin()


async def stop(spawner: KubeSpawner, gate: asyncio.Semaphore, handle: Handle) -> None:
    async with gate:
        await spawner.stop(handle, grace=GRACE)


class Meter:
    """Counts calls, CPU and memory of this process."""

    def __init__(self, spawner: KubeSpawner) -> None:
        self.spawner = spawner

    def begin(self) -> None:
        self.calls = Counter(self.spawner.backend.api.calls)
        self.cpu = time.process_time()
        self.wall = time.monotonic()

    def end(self, what: str, count: int) -> None:
        cpu, wall = time.process_time() - self.cpu, time.monotonic() - self.wall
        calls = Counter(self.spawner.backend.api.calls) - self.calls
        own = sum(number for call, number in calls.items() if call not in WATCHES)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{what}: {cpu / count * 1000:.2f} ms CPU, {own / count:.2f} calls each; {wall:.1f} s for {count}; "
            f"{memory:.0f} MB at most\n  {dict(calls)}",
            flush=True,
        )
        self.begin()


def a_launch(spawner: KubeSpawner, number: int, generation: int = 1) -> Launch:
    owner = User(id=number + 1, name=f"user{number}")
    row = Server(
        id=number + 1, user_id=owner.id, user_name=owner.name, name="", wanted=True, generation=generation, options={}
    )
    token = f"{number:08x}{random.Random(number).getrandbits(128):032x}"
    return launches.build(row, owner, (), HubAddress(), spawner.template(), token)


def a_handle(launch: Launch, state: dict[str, object]) -> Handle:
    return Handle(
        server_id=launch.server_id,
        object_name=names.object_name(launch.user.name, launch.server_name),
        user_name=launch.user.name,
        generation=launch.generation,
        state=state,
    )


async def bring_up(spawner: KubeSpawner, launch: Launch) -> dict[str, object]:
    state: dict[str, object] = {}
    async for checkpoint in spawner.start(launch):
        state = dict(checkpoint.state)
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args()
    namespace = f"nbhub-bench-{uuid.uuid4().hex[:6]}"
    subprocess.run(["kubectl", "create", "namespace", namespace], check=True)
    try:
        uvloop.run(run(chosen.starts, chosen.at_once, namespace, chosen.profile))
    finally:
        subprocess.run(["kubectl", "delete", "namespace", namespace, "--wait=false"], check=True)


if __name__ == "__main__":
    main()
