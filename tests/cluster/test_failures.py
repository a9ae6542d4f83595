"""Every way in which a pod can fail that this cluster can produce, and what its user is told."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nbhub.errors import SpawnError
from nbhub.spawners.kubernetes.spawner import KubeSpawner
from servers.cluster_fixtures import RULES, Namespace
from spawners.launches import GRACE, a_handle, a_launch, bring_up, until, until_dead

Make = Callable[..., KubeSpawner]

HOME = {
    "storage_pvc_ensure": True,
    "storage_capacity": "1Mi",
    "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}],
    "volume_mounts": [{"name": "home", "mountPath": "/home/jovyan"}],
}
RUNS = ["jupyterhub-singleuser"]


def variable(source: dict[str, Any]) -> dict[str, Any]:
    return {"environment": {"GIVEN": {"valueFrom": source}}}


def mounted(volume: dict[str, Any]) -> dict[str, Any]:
    return {
        "volumes": [{"name": "home", **volume}],
        "volume_mounts": [{"name": "home", "mountPath": "/home/jovyan"}],
    }


def beside(command: str) -> dict[str, Any]:
    return {"name": "beside", "image": "{image}", "imagePullPolicy": "Never", "command": ["sh", "-c", command]}


# What is set, and what the message of the failed start has to say.
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "image not there": (
        {"image": "localhost/nothing:1"},
        ["The image localhost/nothing:1 is not on node", "image_pull_policy"],
    ),
    "image not to be had": (
        {"image": "127.0.0.1:9/nothing:1", "image_pull_policy": "Always", "trouble_timeout": 0},
        ["The image 127.0.0.1:9/nothing:1 cannot be fetched: its registry does not answer", "connection refused"],
    ),
    "image without a name": ({"image": "Not A Name"}, ["The image 'Not A Name' is no valid name"]),
    "command not there": ({"cmd": ["jupyter-nothing"]}, ["exited with code 127"]),
    "command without tini": (
        {"extra_container_config": {"command": ["jupyter-nothing"]}},
        ["the command jupyter-nothing is not there in it", "executable file not found"],
    ),
    "Secret": (
        variable({"secretKeyRef": {"name": "nothing", "key": "k"}}),
        ["The Secret nothing that the server needs does not exist"],
    ),
    "ConfigMap": (
        variable({"configMapKeyRef": {"name": "nothing", "key": "k"}}),
        ["The ConfigMap nothing that the server needs does not exist"],
    ),
    "key": (
        variable({"configMapKeyRef": {"name": "kube-root-ca.crt", "key": "nothing"}}),
        ["The ConfigMap kube-root-ca.crt has no key nothing"],
    ),
    "Secret to mount": (
        mounted({"secret": {"secretName": "nothing"}}),
        ["The Secret nothing, which is to be mounted, does not exist"],
    ),
    "volume that cannot be mounted": (
        {**mounted({"hostPath": {"path": "/nothing", "type": "Directory"}}), "trouble_timeout": 0},
        ["The volume home cannot be mounted on node", "/nothing is not a directory"],
    ),
    "claim": (
        mounted({"persistentVolumeClaim": {"claimName": "nothing"}}),
        ["The volume claim nothing does not exist", "storage_pvc_ensure"],
    ),
    "storage class": ({**HOME, "storage_class": "nothing"}, ["there is no storage class nothing"]),
    "no storage class": ({**HOME, "storage_class": ""}, ["no storage class is set"]),
    "root": (
        {"uid": 0, "extra_container_config": {"securityContext": {"runAsUser": 0, "runAsNonRoot": True}}},
        ["would run as root, which is not allowed"],
    ),
    "crash": ({"args": ["die=3"]}, ["The server exited with code 3. It was tried N times."]),
    "memory": (
        {
            "mem_limit": "30M",
            "extra_container_config": {"command": ["python3", "-c", "x = bytearray(500_000_000)"], "args": None},
        },
        # The runtime may miss why the kernel killed a process; then it is said to be likely.
        ["The server", "used more memory than its limit of 30Mi"],
    ),
    "init container": (
        {"init_containers": [beside("echo no way; exit 5")]},
        ["The container beside exited with code 5. It was tried N times."],
    ),
    "container beside": (
        {"extra_containers": [beside("echo no way; exit 4")]},
        ["The container beside exited with code 4. It was tried N times."],
    ),
    "invalid pod": (
        {"mem_guarantee": "2G", "mem_limit": "1G"},
        ["The pod jupyter-user-", "is not valid", "spec.containers[0].resources.requests: Invalid value"],
    ),
    "priority class": ({"priority_class_name": "nothing"}, ["there is no priority class nothing"]),
    "service account": ({"service_account": "nothing"}, ["there is no service account nothing"]),
}
LOGS = {"crash": "something is wrong with this server", "init container": "no way", "container beside": "no way"}


@pytest.fixture
async def make(namespace: Namespace, small_image: str) -> AsyncIterator[Make]:
    made = []

    def make(**settings: Any) -> KubeSpawner:
        usual = {
            "namespace": namespace.name,
            "kubeconfig": str(namespace.kubeconfig),
            "image": small_image,
            "image_pull_policy": "Never",
            "cmd": RUNS,
            "missing_object_timeout": 0,
            "start_timeout": 300,
        }
        given = json.loads(json.dumps(settings).replace("{image}", small_image))
        spawner = KubeSpawner(**{**usual, **given})
        made.append(spawner)
        return spawner

    yield make
    for spawner in made:
        await spawner.close()


async def failed(spawner: KubeSpawner, number: int = 1) -> SpawnError:
    """Run a start that fails, and return how; its remains are taken away."""
    launch = a_launch(spawner, f"user-{number}", server_id=number)
    handle = a_handle(launch)
    try:
        # A server may have been up for a moment before it ends.
        handle = a_handle(launch, (await bring_up(spawner, launch))[-1].state)
        async with asyncio.timeout(300):
            while not (seen := (await spawner.poll([handle]))[0]).failing and seen.alive:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        error = SpawnError(seen.message, await spawner.log_tail(handle))
    except SpawnError as raised:
        error = raised
    await spawner.stop(handle, grace=GRACE)
    return error


async def test_starts_that_cannot_succeed_say_why_at_once(make: Make) -> None:
    few = asyncio.Semaphore(8)
    wrong: dict[str, str] = {}

    async def fail(number: int, case: str) -> None:
        settings, words = CASES[case]
        async with few:
            error = await failed(make(**settings), number)
        message = re.sub(r"tried ([2-9]|\d\d+) times", "tried N times", error.message)  # who is slow sees it later
        if not all(word in message for word in words) or LOGS.get(case, "") not in error.log_tail:
            wrong[case] = f"{error.message}\n{error.log_tail}"

    await asyncio.gather(*(fail(number, case) for number, case in enumerate(CASES, 1)))
    assert not wrong


async def test_a_quota_is_named(make: Make, namespace: Namespace) -> None:
    namespace.kubectl("create", "quota", "small", "--hard=pods=0")
    spawner = make()

    def counted() -> bool:
        return "0" in str(namespace.get("quota", "small").get("status", {}).get("used", {}).get("pods", ""))

    await until(counted)
    error = await failed(spawner)
    assert "does not fit into the quota small" in error.message
    assert error.message.endswith("pods: 1 asked for, 0 of 0 in use")


async def test_pod_security_is_told_in_its_own_words(make: Make, namespace: Namespace) -> None:
    namespace.cluster.kubectl("label", "ns", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
    assert "Pod Security" not in await _outcome(make(uid=1000, args=["die=3"]))
    message = await _outcome(make(privileged=True))
    assert "breaks the Pod Security rules (restricted:latest)" in message
    assert "privileged" in message


async def _outcome(spawner: KubeSpawner) -> str:
    return (await failed(spawner)).message


async def test_a_missing_right_comes_with_its_rule(make: Make, namespace: Namespace, tmp_path: Any) -> None:
    rules = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != "create"]} for rule in RULES]
    kubeconfig = namespace.identity(tmp_path, "weak", rules)
    error = await failed(make(kubeconfig=str(kubeconfig)))
    words, rule = error.message.split("\n\n")
    assert "The hub is not allowed to create secrets in namespace" in words
    assert rule == '- apiGroups: [""]\n  resources: ["secrets"]\n  verbs: [create]'


async def test_a_namespace_that_is_not_there_is_named(make: Make, cluster: Any) -> None:
    error = await failed(make(namespace="nbhub-nowhere", kubeconfig=str(cluster.kubeconfig)))
    assert error.message.startswith("The namespace nbhub-nowhere does not exist.")


async def test_a_start_that_waits_says_for_what(make: Make) -> None:
    spawner = make(mem_guarantee="500G")
    launch = a_launch(spawner)
    async with asyncio.timeout(300):
        async for checkpoint in spawner.start(launch):
            if "short of memory (500Gi asked for)" in checkpoint.message:
                break
    await spawner.stop(a_handle(launch), grace=GRACE)


# -- servers that ran ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["delete", "pod", "--grace-period=0", "--force"], "The pod was deleted."),
        (["exec", "pod", "--", "sh", "-c", "kill -9 -1"], "was killed by SIGKILL"),
    ],
    ids=["deleted by hand", "killed"],
)
async def test_a_server_that_ended_says_how(make: Make, namespace: Namespace, command: list[str], words: str) -> None:
    spawner = make(extra_pod_config={"restartPolicy": "Never"})
    launch = a_launch(spawner)
    handle = a_handle(launch, (await bring_up(spawner, launch))[-1].state)
    assert (await spawner.poll([handle]))[0].alive
    (pod,) = namespace.names("pods")
    namespace.kubectl(
        *(pod if word == "pod" and command[0] == "exec" else word for word in command),
        *([pod] if command[0] == "delete" else []),
        check=False,
    )
    seen = await until_dead(spawner, handle)
    assert words in seen.message
    await spawner.stop(handle, grace=GRACE)


async def test_an_eviction_is_told_apart(make: Make, namespace: Namespace) -> None:
    spawner = make()
    launch = a_launch(spawner)
    handle = a_handle(launch, (await bring_up(spawner, launch))[-1].state)
    (pod,) = namespace.names("pods")
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": namespace.name},
    }
    path = f"/api/v1/namespaces/{namespace.name}/pods/{pod}/eviction"
    namespace.cluster.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(eviction))
    seen = await until_dead(spawner, handle)
    assert "node was emptied by an administrator or by the cluster" in seen.message
    await spawner.stop(handle, grace=GRACE)


async def test_a_pod_that_something_holds_back_names_it(make: Make, namespace: Namespace) -> None:
    spawner = make(stop_timeout=5)
    launch = a_launch(spawner)
    handle = a_handle(launch, (await bring_up(spawner, launch))[-1].state)
    (pod,) = namespace.names("pods")
    namespace.kubectl("patch", "pod", pod, "-p", '{"metadata": {"finalizers": ["example.org/held"]}}')
    try:
        namespace.kubectl("delete", "pod", pod, "--wait=false")
        seen = await until_dead(spawner, handle)
        assert "kept from going away by example.org/held" in seen.message
    finally:
        namespace.kubectl("patch", "pod", pod, "-p", '{"metadata": {"finalizers": null}}', check=False)
    await make().stop(handle, grace=GRACE)
