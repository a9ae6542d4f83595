"""The life of pods: started, looked at, ended by many hands, stopped; on a real cluster."""

from __future__ import annotations

import pytest

from nbhub.core.lifecycle import Observation
from nbhub.spawners.kubernetes.spawner import KubeSpawner
from spawners.launches import GRACE, a_handle, a_launch, bring_up, until, until_answering, url_of


@pytest.fixture
async def make(namespace, small_image):
    made = []

    def make(**settings):
        spawner = KubeSpawner(
            **{
                "namespace": namespace.name,
                "kubeconfig": str(namespace.kubeconfig),
                "image": small_image,
                "image_pull_policy": "Never",
                "cmd": ["jupyterhub-singleuser"],
                "start_timeout": 120,
                **settings,
            }
        )
        made.append(spawner)
        return spawner

    yield make
    for spawner in made:
        await spawner.close()


HOME = {
    "storage_pvc_ensure": True,
    "storage_capacity": "1Mi",
    "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}],
    "volume_mounts": [{"name": "home", "mountPath": "/home/jovyan"}],
}


async def test_a_day_of_a_server(make, namespace):
    spawner = make(**HOME)
    launch = a_launch(spawner)
    checkpoints = await bring_up(spawner, launch)
    assert any("container" in checkpoint.message for checkpoint in checkpoints)
    await until_answering(url_of(checkpoints))
    handle = a_handle(launch, checkpoints[-1].state)
    assert (await spawner.poll([handle]))[0] == Observation(alive=True, url=url_of(checkpoints))
    assert calls_of(spawner) <= 6

    await spawner.stop(handle, grace=GRACE)
    assert namespace.names("pods") == namespace.names("secrets") == []
    assert namespace.names("pvc") == ["claim-alice"]
    seen = (await spawner.poll([handle]))[0]
    assert not seen.alive
    await spawner.forget(handle)
    await until(lambda: namespace.names("pvc") == [])


def calls_of(spawner):
    """Return how many calls were made that are not the watches' own."""
    watches = {("watch", "Pod"), ("watch", "Event"), ("list", "Pod"), ("list", "Event")}
    return sum(count for call, count in spawner.backend.api.calls.items() if call not in watches)
