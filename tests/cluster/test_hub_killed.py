"""Hubs that are killed in the middle of starts: nothing is lost and nothing is there twice.

NBHUB_LONG=1 starts 50 servers instead of 8, on simulated nodes where the cluster has some.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path

import httpx
import pytest

from servers.cluster_fixtures import Namespace
from servers.hub import HubProcess, until

LONG = os.environ.get("NBHUB_LONG") == "1"
COUNT = 50 if LONG else 8
AWAY = (httpx.TransportError, AssertionError)


def settings(namespace: Namespace, image: str, *, simulated: bool) -> str:
    """Return the hub's configuration."""
    lines = [
        "c.Hub.authenticator_class = 'dummy'",
        "c.Hub.spawner_class = 'kubernetes'",
        f"c.KubeSpawner.namespace = {namespace.name!r}",
        f"c.KubeSpawner.kubeconfig = {str(namespace.kubeconfig)!r}",
        f"c.KubeSpawner.image = {image!r}",
        "c.KubeSpawner.image_pull_policy = 'Never'",
        "c.KubeSpawner.cmd = ['jupyterhub-singleuser']",
        "c.KubeSpawner.storage_pvc_ensure = True",
        "c.KubeSpawner.storage_capacity = '1Mi'",
        "c.KubeSpawner.start_timeout = 300",
    ]
    if simulated:
        lines.append("c.KubeSpawner.node_selector = {'fake': 'true'}")
        lines.append("c.KubeSpawner.tolerations = [{'key': 'fake', 'operator': 'Exists'}]")
    return "\n".join(lines)


@pytest.fixture
async def hub(namespace, small_image, tmp_path):
    nodes = namespace.cluster.kubectl("get", "nodes", "-l", "fake=true", "-o", "name").split()
    hub = HubProcess(tmp_path / "hub", settings(namespace, small_image, simulated=LONG and bool(nodes)))
    await hub.start()
    yield hub
    if hub.alive:
        await hub.stop()


async def ask(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    """Ask until somebody answers."""
    async with asyncio.timeout(400):
        while True:
            try:
                answer = await client.request(method, path)
                if answer.status_code < 500:
                    return answer
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


async def ready(client: httpx.AsyncClient, users: list[str]) -> bool:
    answer = await ask(client, "GET", "/users?limit=200")
    there = {user["name"]: user["servers"] for user in answer.json()}
    return all(there[user] and there[user][""]["ready"] for user in users)


def there(namespace: Namespace, kind: str) -> list[str]:
    return sorted(namespace.names(kind))


@pytest.mark.timeout(1500)
async def test_starts_go_on_where_killed_hubs_left_them(hub: HubProcess, namespace: Namespace, tmp_path: Path) -> None:
    chance = random.Random(os.environ.get("NBHUB_SEED", "1"))
    users = [f"user{number}" for number in range(COUNT)]
    token = await hub.token()
    async with hub.client(token) as client:
        await client.post("/users", json={"usernames": users})
        started = [asyncio.ensure_future(ask(client, "POST", f"/users/{user}/server")) for user in users]
        for _ in range(3):
            await asyncio.sleep(chance.uniform(0.2, 1.2))
            hub.kill()
            await hub.start()
        for answer in await asyncio.gather(*started):
            assert answer.status_code in (201, 202, 400), answer.text  # 400: it was asked for before the hub was killed
        await until(lambda: ready(client, users), "all servers are ready", 300)
        pods = namespace.get("pods")["items"]
        assert sorted(pod["metadata"]["name"] for pod in pods) == sorted(f"jupyter-{user}" for user in users)
        assert there(namespace, "pvc") == sorted(f"claim-{user}" for user in users)
        assert there(namespace, "secrets") == sorted(f"jupyter-{user}" for user in users)
        assert "Traceback" not in hub.text(), hub.text()
        assert all(pod["metadata"]["labels"]["nbhub/generation"] == "1" for pod in pods), json.dumps(pods)[:2000]

        for user in users[:3]:
            await ask(client, "DELETE", f"/users/{user}/server")
        hub.kill()
        await hub.start()
        left = sorted(f"jupyter-{user}" for user in users[3:])
        await until(lambda: there(namespace, "pods") == left, "the pods of stopped servers are gone", 300)
        await until(lambda: there(namespace, "secrets") == left, "and their Secrets", 300)
