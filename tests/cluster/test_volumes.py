"""Whose a volume is, on a real cluster: what KubeSpawner made is found, and nobody gets what is somebody else's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nbhub.spawners.base import Handle
from nbhub.spawners.kubernetes.spawner import KubeSpawner
from servers.cluster_fixtures import Namespace
from spawners.kubernetes.starts import prepared_launch
from spawners.launches import until

USER = "hub.jupyter.org/username"


@pytest.fixture
async def spawner(namespace: Namespace) -> AsyncIterator[KubeSpawner]:
    made = KubeSpawner(
        namespace=namespace.name,
        kubeconfig=str(namespace.kubeconfig),
        storage_pvc_ensure=True,
        storage_capacity="1Mi",
    )
    yield made
    await made.close()


async def claim_of(spawner: KubeSpawner, user: str, server: str = "", **more: Any) -> dict[str, Any]:
    """Start a server as far as its volume claim, and return what is recorded then."""
    launch = await prepared_launch(spawner, user, server, **more)
    async for checkpoint in spawner.start(launch):
        if "pvc_name" in checkpoint.state and checkpoint.message.startswith("Preparing"):
            return dict(checkpoint.state)
    raise AssertionError("the start ended before its claim was known")


def existing(namespace: Namespace, name: str, user: str | None = None, label: str | None = None) -> None:
    """Make a claim as versions of KubeSpawner did; without annotations as the oldest did."""
    labels = {"app": "jupyterhub", "heritage": "jupyterhub", "component": "singleuser-storage"}
    meta = {
        "name": name,
        "labels": labels | ({USER: label} if label else {}),
        "annotations": {USER: user} if user else {},
    }
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    obj = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}
    namespace.kubectl("create", "-f", "-", text=json.dumps(obj))


async def test_volumes_of_an_existing_hub_are_found(namespace: Namespace, spawner: KubeSpawner) -> None:
    existing(namespace, "claim-ada", "ada", "ada")
    existing(namespace, "claim-bob-2esmith", "bob.smith", "bob-2esmith")
    existing(namespace, "claim-carol-5fx")
    existing(namespace, "home-17", "dan", "dan")
    before = namespace.names("pvc")
    users = {"ada": "claim-ada", "bob.smith": "claim-bob-2esmith", "carol_x": "claim-carol-5fx", "dan": "home-17"}
    for user, name in users.items():
        assert (await claim_of(spawner, user))["pvc_name"] == name
    assert namespace.names("pvc") == before
    assert (await claim_of(spawner, "ada", "gpu"))["pvc_name"] == "claim-ada--gpu"
    assert len(namespace.names("pvc")) == len(before) + 1


async def test_nobody_gets_what_is_somebody_elses(namespace: Namespace, spawner: KubeSpawner) -> None:
    existing(namespace, "claim-ada", "somebody", "somebody")
    state = await claim_of(spawner, "ada")
    assert state["pvc_name"].startswith("claim-ada---")
    assert await claim_of(spawner, "ada", state=state) == state
    assert len(namespace.names("pvc")) == 2


async def test_a_renamed_user_and_the_next_of_that_name(namespace: Namespace, spawner: KubeSpawner) -> None:
    state = await claim_of(spawner, "ada")
    handle = Handle(server_id=12, object_name="ada", user_name="ada", generation=3, state=state)
    await spawner.rename(handle, "eve")
    await spawner.rename(handle, "eve")
    assert namespace.get("pvc", "claim-ada")["metadata"]["annotations"][USER] == "eve"

    newcomer = await claim_of(spawner, "ada")
    assert newcomer["pvc_name"].startswith("claim-ada---")
    later = await claim_of(spawner, "eve", state=state, generation=4)
    assert (later["pvc_name"], later["pod_name"], later["pvc_user"]) == ("claim-ada", "jupyter-eve", "eve")

    await spawner.forget(Handle(server_id=12, object_name="eve", user_name="eve", generation=3, state=state))
    await until(lambda: namespace.names("pvc") == [newcomer["pvc_name"]])


async def test_a_start_without_its_volume_makes_it_again(namespace: Namespace, spawner: KubeSpawner) -> None:
    state = await claim_of(spawner, "ada")
    namespace.kubectl("delete", "pvc", "claim-ada")
    assert (await claim_of(spawner, "ada", state=state, generation=4))["pvc_name"] == "claim-ada"
    assert namespace.names("pvc") == ["claim-ada"]
