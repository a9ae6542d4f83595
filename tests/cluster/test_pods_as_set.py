"""What settings make of a pod, seen from inside of it, on a real cluster."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nbhub.spawners.kubernetes.models import Model
from nbhub.spawners.kubernetes.spawner import KubeSpawner
from servers.cluster_fixtures import Namespace
from spawners.kubernetes.starts import prepared_launch
from spawners.launches import GRACE, a_handle, bring_up, until, until_answering, url_of

Make = Callable[..., KubeSpawner]


@pytest.fixture
async def make(small_image: str) -> AsyncIterator[Make]:
    made = []

    def make(namespace: Namespace, **settings: Any) -> KubeSpawner:
        usual = {
            "namespace": namespace.name,
            "kubeconfig": str(namespace.kubeconfig),
            "image": small_image,
            "image_pull_policy": "Never",
            "cmd": ["jupyterhub-singleuser"],
            "args": ["report"],
            "start_timeout": 120,
            "uid": 1000,
            "fs_gid": 100,
        }
        made.append(KubeSpawner(**{**usual, **settings}))
        return made[-1]

    yield make
    for spawner in made:
        await spawner.close()


def inside(namespace: Namespace, pod: str, place: str = "/home/jovyan") -> Any:
    """Return what the server in a pod has found around it."""
    return json.loads(namespace.kubectl("exec", pod, "-c", "notebook", "--", "cat", f"{place}/report.json"))


async def test_a_pod_from_inside(make: Make, namespace: Namespace) -> None:
    seen: list[str] = []

    def before(spawner: Any) -> None:
        spawner.environment["FROM_HOOK"] = spawner.user.name

    def modify(spawner: Any, pod: Any) -> Any:
        pod.spec.volumes.append(Model(name="scratch", empty_dir={}))
        pod.spec.containers[0].volume_mounts.append(Model(name="scratch", mount_path="/scratch"))
        pod.metadata.labels["course"] = "maths"
        return pod

    async def after(spawner: Any, pod: Any) -> None:
        seen.append(f"{pod.metadata.name} {bool(pod.metadata.uid)}")

    spawner = make(
        namespace,
        environment={
            "WHO": "{username}",
            "DB_PASSWORD": "hunter2",
            "URL": "db://$(DB_PASSWORD)@$(NODE)",
            "NODE": {"valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        },
        pre_spawn_hook=before,
        modify_pod_hook=modify,
        after_pod_created_hook=after,
        storage_pvc_ensure=True,
        storage_capacity="1Mi",
        volumes=[{"name": "volume-{username}", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}],
        volume_mounts=[{"name": "volume-{username}", "mountPath": "/home/{username}"}],
        working_dir="/home/{username}",
        services_enabled=True,
        supplemental_gids=[2000],
    )
    launch = await prepared_launch(spawner, "ada")
    checkpoints = await bring_up(spawner, launch)
    found = inside(namespace, "jupyter-ada", "/home/ada")
    environ = found["environ"]
    assert (environ["WHO"], environ["FROM_HOOK"], environ["DB_PASSWORD"]) == ("ada", "ada", "hunter2")
    assert environ["URL"] == f"db://hunter2@{namespace.name}"
    assert environ["JUPYTERHUB_API_TOKEN"] == environ["JPY_API_TOKEN"] == launch.api_token
    assert environ["JUPYTERHUB_SERVICE_URL"] == "http://0.0.0.0:8888/user/ada/"
    assert (found["uid"][0], found["cwd"]) == (1000, "/home/ada")
    assert {100, 2000} <= set(found["groups"])
    assert seen == ["jupyter-ada True"]

    pod = namespace.get("pod", "jupyter-ada")
    assert pod["metadata"]["labels"]["course"] == "maths"
    text = json.dumps(pod)
    assert "hunter2" not in text and launch.api_token not in text
    assert url_of(checkpoints) == f"http://jupyter-ada.{namespace.name}.svc.cluster.local:8888"
    service = namespace.get("service", "jupyter-ada")["spec"]["clusterIP"]
    await until_answering(f"http://{f'[{service}]' if ':' in service else service}:8888")

    await spawner.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)
    await until(lambda: namespace.names("secrets") == namespace.names("services") == [])
    assert namespace.names("pvc") == ["claim-ada"]


async def test_a_namespace_for_every_user(make: Make, namespace: Namespace) -> None:
    own = f"{namespace.name}-ada"
    spawner = make(
        namespace,
        kubeconfig=str(namespace.cluster.kubeconfig),
        enable_user_namespaces=True,
        user_namespace_template=f"{namespace.name}-{{username}}",
        user_namespace_labels={"kind": "user"},
        storage_pvc_ensure=True,
        storage_capacity="1Mi",
    )
    try:
        launch = await prepared_launch(spawner, "ada")
        checkpoints = await bring_up(spawner, launch)
        await until_answering(url_of(checkpoints))
        handle = a_handle(launch, checkpoints[-1].state)
        assert (await spawner.poll([handle]))[0].alive
        there = Namespace(own, namespace.cluster, namespace.cluster.kubeconfig)
        assert (there.names("pods"), there.names("pvc")) == (["jupyter-ada"], ["claim-ada"])
        assert namespace.get("namespace", own)["metadata"]["labels"]["kind"] == "user"
        assert namespace.names("pods") == []
        await spawner.stop(handle, grace=GRACE)
        assert there.names("pods") == []
        await spawner.forget(handle)
        await until(lambda: there.names("pvc") == [])
    finally:
        namespace.cluster.kubectl("delete", "namespace", own, "--wait=false", "--ignore-not-found")
