"""nbhub doctor on a real cluster: all well, and each mistake that a deployment can have, made for real."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from nbhub.core.findings import State
from nbhub.spawners.kubernetes import examination, trial
from nbhub.spawners.kubernetes.access import Access
from nbhub.spawners.kubernetes.api import Api
from servers.cluster_fixtures import RULES, Namespace
from servers.hub import HubProcess, running_hub, until

SETTINGS = """
c.Hub.spawner_class = "kubernetes"
c.Hub.hub_ip = "0.0.0.0"
c.Hub.authenticator_class = "dummy"
c.KubeSpawner.namespace = {namespace!r}
c.KubeSpawner.kubeconfig = {kubeconfig!r}
c.KubeSpawner.image = {image!r}
c.KubeSpawner.image_pull_policy = "Never"
c.KubeSpawner.missing_object_timeout = 1
c.KubeSpawner.start_timeout = 300
c.KubeSpawner.fs_gid = 100
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "1Mi"
c.KubeSpawner.volumes = [{{"name": "home", "persistentVolumeClaim": {{"claimName": "{{pvc_name}}"}}}}]
c.KubeSpawner.volume_mounts = [{{"name": "home", "mountPath": "/home/jovyan"}}]
"""
Findings = Mapping[str, Mapping[str, Any]]


@pytest.fixture
def make(namespace: Namespace, small_image: str, tmp_path: Path) -> Any:
    def make(more: str = "", kubeconfig: Path = namespace.kubeconfig) -> HubProcess:
        known = {"namespace": namespace.name, "kubeconfig": str(kubeconfig), "image": small_image}
        return HubProcess(tmp_path / "hub", SETTINGS.format(**known) + more)

    return make


def examine(hub: HubProcess, *words: str) -> Findings:
    """Run the doctor and return its findings by what they are about."""
    status, text = hub.call("doctor", "--json", f"--port={hub.port}", f"--Hub.hub_port={hub.hub_port}", *words)
    findings = json.loads(text)["findings"]
    assert status == int(any(item["state"] == "failed" for item in findings)), text
    return {item["about"]: item for item in findings}


def failed(findings: Findings) -> list[str]:
    """Return what has failed."""
    return [about for about, item in findings.items() if item["state"] == "failed"]


def left_behind(namespace: Namespace) -> list[str]:
    """Return what an examination has left; a claim is there until the cluster knows that no pod has it any more."""
    return [name for kind in ("pods", "pvc", "secrets") for name in namespace.names(kind)]


def address_for(server: str) -> str:
    """Return the address of this machine that a cluster sees."""
    place = urlsplit(server)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.connect((place.hostname or "", place.port or 443))
        return str(there.getsockname()[0])


async def test_a_deployment_that_is_well(namespace: Namespace, make: Any) -> None:
    hub = make(f"c.Hub.hub_connect_ip = {address_for(namespace.cluster.server)!r}\n")
    async with running_hub(hub.folder, (hub.folder / "nbhub_config.py").read_text()) as running:
        told = examine(running)
    assert failed(told) == [], told
    assert told["from servers to the hub"]["state"] == "ok"
    assert told["volume"]["said"] == "made, mounted and written to"
    assert told["clock of the cluster"]["state"] == "ok"
    assert told["right to list, watch events"]["state"] == "ok"
    # Whether these are kept apart depends on the cluster's network; that they were tried does not.
    assert {f"from servers to {name}" for name in ("the Kubernetes API", "other servers")} <= told.keys()
    await until(lambda: not left_behind(namespace), "all of the trial is gone")


async def test_what_a_killed_doctor_left_is_taken_away(namespace: Namespace) -> None:
    labelled = {"name": "claim-left", "labels": {trial.MARK: "true"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": labelled, "spec": spec}
    namespace.kubectl("create", "-f", "-", text=json.dumps(claim))
    api = Api(Access(kubeconfig=str(namespace.kubeconfig)))
    kinds, now = ["Pod", "PersistentVolumeClaim"], time.time()
    assert await trial.remove_old(api, namespace.name, kinds, now) == 0  # it may be in use
    assert await trial.remove_old(api, namespace.name, kinds, now + 1000) == 1
    await api.close()


async def test_a_name_that_is_no_service(make: Any) -> None:
    told = examine(make("c.Hub.hub_connect_ip = 'no-such-hub'\n"))
    assert failed(told) == ["from servers to the hub"]
    assert "the name no-such-hub of http://no-such-hub:" in told["from servers to the hub"]["said"]
    assert "kubectl get services" in told["from servers to the hub"]["remedy"]


async def test_missing_rights_come_with_their_rules(namespace: Namespace, make: Any, tmp_path: Path) -> None:
    rules = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb not in ("delete", "watch")]} for rule in RULES]
    told = examine(make(kubeconfig=namespace.identity(tmp_path, "weak", rules)))
    assert set(failed(told)) == {
        "right to get, list, create, delete pods",
        "right to get, create, patch, delete secrets",
        "right to delete persistentvolumeclaims",
    }
    assert told["right to get, list, create, delete pods"]["remedy"] == (
        f"Add to the hub's Role in namespace {namespace.name}:\n"
        '- apiGroups: [""]\n  resources: ["pods"]\n  verbs: [delete]'
    )
    assert told["right to watch pods"]["state"] == "warning"
    assert "trial pod" not in told  # what it cannot take away it does not make


@pytest.mark.parametrize(
    ("more", "about", "words"),
    [
        (
            'c.KubeSpawner.environment = {"A": {"valueFrom": {"secretKeyRef": {"name": "nothing", "key": "k"}}}}\n',
            "trial pod",
            "The Secret nothing that the server needs does not exist",
        ),
        ('c.KubeSpawner.storage_class = "nothing"\n', "trial pod", "there is no storage class nothing"),
        ('c.KubeSpawner.image = "localhost/nothing:1"\n', "trial pod", "The image localhost/nothing:1 is not on node"),
        (
            'c.KubeSpawner.profile_list = [{"display_name": "A", "kubespawner_override": '
            '{"image": "localhost/none:1"}}]\n',
            "trial pod",
            "The image localhost/none:1 is not on node",
        ),
        ('c.KubeSpawner.namespace = "nbhub-nowhere"\n', "namespace nbhub-nowhere", ""),
        ('c.KubeSpawner.priority_class_name = "nothing"\n', "namespace", "there is no priority class nothing"),
    ],
    ids=["Secret", "storage class", "image", "image of a profile", "namespace", "priority class"],
)
async def test_mistakes_are_named(namespace: Namespace, make: Any, more: str, about: str, words: str) -> None:
    told = examine(make(more))
    about = f"namespace {namespace.name}" if about == "namespace" else about
    assert told[about]["state"] == "failed"
    assert words in told[about]["said"]
    await until(lambda: not left_behind(namespace), "all of the trial is gone")


async def test_quick_makes_nothing_and_reads_rules(namespace: Namespace, make: Any) -> None:
    namespace.cluster.kubectl("label", "ns", namespace.name, "pod-security.kubernetes.io/enforce=baseline")
    told = examine(make("c.KubeSpawner.privileged = True\n"), "--quick")
    assert failed(told) == [f"namespace {namespace.name}"]
    assert "breaks the Pod Security rules" in told[f"namespace {namespace.name}"]["said"]
    assert "trial pod" not in told


async def test_quotas_and_limit_ranges(namespace: Namespace, make: Any, tmp_path: Path) -> None:
    limits = {"limits": [{"type": "Container", "default": {"memory": "300Mi"}}]}
    hard = {"hard": {"pods": "5", "limits.memory": "700Mi", "requests.storage": "1Gi"}}
    objects = [
        {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "usual"}, "spec": limits},
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": hard},
    ]
    namespace.kubectl("create", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    namespace.kubectl("wait", "quota/team", "--for=jsonpath={.status.hard.pods}=5", "--timeout=120s")
    told = examine(make(), "--quick")
    assert "quota team" not in told, "the hub may not see it, and its own Role need not let it"
    assert "limits memory 300Mi, since the settings name none" in told["limit range"]["said"]

    seeing = [*RULES, {"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["list"]}]
    told = examine(make(kubeconfig=namespace.identity(tmp_path, "seeing", seeing)), "--quick")
    assert told["quota team"]["said"].startswith("room for 2 more servers (limits.memory: 0 of 700Mi in use")

    told = examine(make("c.KubeSpawner.storage_capacity = '2Gi'\n"), "--quick")  # without a look at the quota
    assert failed(told) == [f"namespace {namespace.name}"]
    refused = told[f"namespace {namespace.name}"]
    assert "does not fit into the quota team" in refused["said"] and "requests.storage" in refused["remedy"]


async def test_namespaces_of_users_are_looked_at(namespace: Namespace, make: Any) -> None:
    everywhere = namespace.cluster.kubeconfig
    own = f"c.KubeSpawner.enable_user_namespaces = True\nc.KubeSpawner.user_namespace_template = '{namespace.name}-"
    told = examine(make(own + "{username}'\n", kubeconfig=everywhere))
    assert failed(told) == []
    assert told["namespaces of users"]["said"].startswith(f"one such as {namespace.name}-nbhub-doctor-")
    assert told["storage class"]["state"] == "ok"
    wrong = own + "{username}'\nc.KubeSpawner.user_namespace_labels = {'team': 'not a label!'}\n"
    told = examine(make(wrong, kubeconfig=everywhere))
    assert failed(told) == ["namespaces of users"]
    found = told["namespaces of users"]
    assert "not a label!" in found["said"] + found["remedy"]
    told = examine(make(own + "{username}'\n"), "--quick")
    assert "namespaces of users" in failed(told), "the Role of one namespace lets none be made"


async def test_an_api_that_is_not_there(make: Any, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    config = {
        "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "a", "user": {"token": "t"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    nowhere.write_text(json.dumps(config))
    told = examine(make(kubeconfig=nowhere))
    assert failed(told) == ["Kubernetes API"]
    assert "https://127.0.0.1:1 does not answer" in told["Kubernetes API"]["said"]


def test_storage_classes_are_read_as_they_are(cluster: Any) -> None:
    classes = json.loads(cluster.kubectl("get", "storageclass", "-o", "json"))["items"]
    default = examination.storage_class(classes, None)
    assert default.state is State.OK
    assert "(the default) makes volumes" in default.said
    missing = examination.storage_class(classes, "nothing")
    assert missing.state is State.FAILED
    assert classes[0]["metadata"]["name"] in missing.remedy
