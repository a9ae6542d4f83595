"""The folder `replicas` of the manifests: two hubs and two proxies on PostgreSQL, any of which may go."""

from __future__ import annotations

import json

import httpx
import pytest

from cluster import walk
from servers import cluster_fixtures
from servers.cluster import ROOT
from servers.forwarding import forwarded
from servers.hub import until

pytestmark = pytest.mark.timeout(1500)

FOLDER = ROOT / "tests" / "servers" / "postgresql_image"
AWAY = (502, 503, 504)
DATABASE = "postgresql://nbhub:nbhub@postgresql/nbhub"


@pytest.fixture(scope="session")
def postgresql_image(cluster) -> str:
    """A PostgreSQL to run in a pod."""
    return cluster_fixtures.image(cluster, "postgresql", FOLDER / "Containerfile", FOLDER, [FOLDER / "setup.sql"])


def database(image: str) -> dict:
    """A pod with PostgreSQL and its Service."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "postgresql", "labels": {"app": "postgresql"}},
        "spec": {"containers": [{"name": "postgresql", "image": image, "ports": [{"containerPort": 5432}]}]},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "postgresql"},
        "spec": {"selector": {"app": "postgresql"}, "ports": [{"port": 5432}]},
    }
    return {"apiVersion": "v1", "kind": "List", "items": [pod, service]}


async def test_two_hubs_and_two_proxies(empty_namespace, hub_image, small_image, postgresql_image, tmp_path):
    owner = walk.Owner(empty_namespace.name, empty_namespace.kubeconfig, tmp_path)
    empty_namespace.kubectl("apply", "-f", "-", text=json.dumps(database(postgresql_image)))
    images = [f"--image={hub_image}", f"--notebook-image={small_image}"]
    owner.nbhub(
        "kubernetes", "init", "hub", "--yes", f"--namespace={owner.namespace}", f"--database={DATABASE}", *images
    )
    owner.kubectl("apply", "-f", "hub/secret.yaml")
    owner.kubectl("apply", "-k", "hub/replicas")
    for name in ("hub", "proxy"):
        owner.kubectl("rollout", "status", f"deployment/{name}", "--timeout=10m")
    token = owner.kubectl(
        *("exec", "deployment/hub", "--", "nbhub", "token", "admin", "--admin", "-f", "/etc/nbhub/nbhub_config.py")
    ).split()[-1]

    proxies, hubs = (pods_of(empty_namespace, part) for part in ("proxy", "hub"))
    assert len(proxies) == len(hubs) == 2
    with (
        forwarded(owner.kubeconfig, owner.namespace, f"pod/{proxies[0]}", 8000) as one,
        forwarded(owner.kubeconfig, owner.namespace, f"pod/{proxies[1]}", 8000) as other,
    ):
        headers = {"Authorization": f"token {token}"}
        async with httpx.AsyncClient(headers=headers, timeout=300) as client:
            await start(client, one, "ada")
            await reachable(client, (one, other), "ada")

            owner.kubectl("delete", "pod", hubs[0], "--grace-period=0", "--force")
            await start(client, other, "bob")
            await reachable(client, (one, other), "ada", "bob")
    owner.kubectl("rollout", "status", "deployment/hub", "--timeout=10m")
    assert sorted(empty_namespace.names("pods", "-l", "component=singleuser-server")) == ["jupyter-ada", "jupyter-bob"]


async def start(client: httpx.AsyncClient, address: str, user: str) -> None:
    """Make a user and bring their server up."""

    async def asked(path: str, *right: int) -> bool:
        """Ask again while one of the hubs is ending, which may have done it before it could answer."""
        answer = await client.post(f"{address}/hub/api/users/{path}")
        assert answer.status_code in (*right, *AWAY), answer.text
        return answer.status_code in right

    async def ready() -> bool:
        answer = await client.get(f"{address}/hub/api/users/{user}")
        assert answer.status_code in (200, *AWAY), answer.text
        return answer.status_code == 200 and bool(answer.json()["servers"].get("", {}).get("ready"))

    await until(lambda: asked(user, 201, 409), f"there is {user}", 300)
    await until(lambda: asked(f"{user}/server", 201, 202, 400), f"the server of {user} was asked for", 300)

    await until(ready, f"the server of {user} is ready", 300)


async def reachable(client: httpx.AsyncClient, addresses: tuple[str, ...], *users: str) -> None:
    """See every server answer through every proxy."""
    for address in addresses:
        for user in users:

            async def answers(url: str = f"{address}/user/{user}/api") -> bool:
                return (await client.get(url)).status_code == 200

            await until(answers, f"{user} is reachable at {address}", 300)


def pods_of(namespace, part: str) -> list[str]:
    """The pods of the hub's deployment or the proxy's that run."""
    running = "--field-selector=status.phase=Running"
    return namespace.names("pods", "-l", f"app.kubernetes.io/component={part},app.kubernetes.io/name=nbhub", running)
