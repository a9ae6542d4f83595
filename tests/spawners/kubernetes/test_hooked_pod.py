"""What functions of the configuration do to a pod, in every form in which existing files do it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from lightkube.models.core_v1 import Container, EnvVar, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

from nbhub.errors import SpawnError
from nbhub.spawners.kubernetes import hooked_pod, objects
from nbhub.spawners.kubernetes.models import Model, model_of, plain_of
from nbhub.spawners.kubernetes.settings import KubeSettings
from spawners.kubernetes.starts import prepared_launch


class V1EnvVar(Model):
    """As the Kubernetes client calls it."""


class V1Toleration:
    """As a class of the real client is made."""

    attribute_map = {"key": "key", "toleration_seconds": "tolerationSeconds", "effect": "effect"}  # noqa: RUF012

    def __init__(self, **values: Any) -> None:
        self.effect = None
        vars(self).update(values)


async def pod_after(hook: Any, **more: Any) -> dict[str, Any]:
    settings = KubeSettings(modify_pod_hook=hook, namespace="hub", **more)
    launch = await prepared_launch(settings, "ada", "gpu")
    built = objects.build(settings, launch)
    before = copy.deepcopy(built)
    found = await hooked_pod.modified(settings, launch, built)
    assert built == before
    return found.pod


async def test_a_pod_changed_in_place_as_files_for_the_python_client_do() -> None:
    def hook(spawner: Any, pod: Any) -> Any:
        notebook = pod.spec.containers[0]
        notebook.env.append(V1EnvVar(name="COLOUR", value="green"))
        notebook.env.append({"name": "SIZE", "value": "3"})
        notebook.volume_mounts.append({"name": "shared", "mountPath": "/shared"})
        pod.spec.volumes = [{"name": "shared", "emptyDir": {}}]
        pod.spec.tolerations.append(V1Toleration(key="gpu", toleration_seconds=30))
        pod.metadata.labels["course"] = spawner.user.name
        pod.metadata.annotations.update({"a_b/c": "d"})
        pod.spec.dns_policy = "Default"
        notebook.resources.limits["nvidia.com/gpu"] = "1"
        pod["spec"].setdefault("nodeSelector", {})["zone"] = "a"
        pod.spec["containers"][0].security_context.run_as_user = 5
        assert pod.spec.affinity is None and not pod.spec.init_containers
        assert notebook.image == pod.spec.containers[0]["image"]
        return pod

    pod = await pod_after(hook)
    notebook = pod["spec"]["containers"][0]
    assert notebook["env"][-2:] == [{"name": "COLOUR", "value": "green"}, {"name": "SIZE", "value": "3"}]
    assert notebook["volumeMounts"] == [{"name": "shared", "mountPath": "/shared"}]
    assert pod["spec"]["volumes"] == [{"name": "shared", "emptyDir": {}}]
    assert pod["spec"]["tolerations"] == [{"key": "gpu", "tolerationSeconds": 30}]
    assert pod["metadata"]["labels"]["course"] == "ada"
    assert pod["metadata"]["annotations"]["a_b/c"] == "d"
    assert (pod["spec"]["dnsPolicy"], pod["spec"]["nodeSelector"]) == ("Default", {"zone": "a"})
    assert notebook["resources"] == {"limits": {"nvidia.com/gpu": "1"}}
    assert notebook["securityContext"]["runAsUser"] == 5
    assert "initContainers" not in pod["spec"] and "affinity" not in pod["spec"]


async def test_looking_at_a_pod_changes_nothing() -> None:
    def hook(spawner: Any, pod: Any) -> None:
        assert [container.name for container in pod.spec.containers] == ["notebook"]
        assert not pod.spec.volumes and not pod.spec.node_selector and pod.spec.host_network is None

    settings = KubeSettings(namespace="hub")
    launch = await prepared_launch(settings, "ada", "gpu")
    assert await pod_after(hook) == objects.build(settings, launch).pod


async def returns_dict(spawner: Any, pod: Any) -> Any:
    found = pod.to_dict()
    found["spec"]["host_network"] = True
    return found


async def returns_api_dict(spawner: Any, pod: Any) -> Any:
    return {**plain_of(pod), "spec": {**plain_of(pod)["spec"], "hostNetwork": True}}


async def returns_lightkube(spawner: Any, pod: Any) -> Any:
    container = Container(name="notebook", image="other", env=[EnvVar(name="A", value="1")])
    return Pod(metadata=ObjectMeta(labels={"x_y": "z"}), spec=PodSpec(containers=[container], hostNetwork=True))


@pytest.mark.parametrize("hook", [returns_dict, returns_api_dict, returns_lightkube])
async def test_a_pod_may_be_returned_in_every_form(hook: Any) -> None:
    pod = await pod_after(hook)
    assert pod["spec"]["hostNetwork"] is True
    assert pod["metadata"]["name"] == "jupyter-ada--gpu"
    assert pod["metadata"]["labels"]["nbhub/server-id"] == "12"
    assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")
    if hook is returns_lightkube:
        assert pod["metadata"]["labels"]["x_y"] == "z"
        assert pod["spec"]["containers"] == [
            {"name": "notebook", "image": "other", "env": [{"name": "A", "value": "1"}]}
        ]


async def test_what_the_pod_is_found_by_stays() -> None:
    def hook(spawner: Any, pod: Any) -> None:
        pod.metadata.labels = {"nbhub/generation": "99", "own": "1"}
        pod.metadata.annotations = None

    pod = await pod_after(hook)
    assert pod["metadata"]["labels"] == {
        "own": "1",
        "hub.jupyter.org/username": "ada",
        "hub.jupyter.org/servername": "gpu",
        "component": "singleuser-server",
        "nbhub/server-id": "12",
        "nbhub/generation": "3",
    }
    assert pod["metadata"]["annotations"]["nbhub/server"] == "ada/gpu"


def renames(spawner: Any, pod: Any) -> None:
    pod.metadata.name = "other"


def moves(spawner: Any, pod: Any) -> None:
    pod.metadata.namespace = "kube-system"


def empties(spawner: Any, pod: Any) -> None:
    pod.spec.containers = []


def fails(spawner: Any, pod: Any) -> None:
    pod.spec.affinity.node_affinity = {}


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (renames, "changes the name of the pod jupyter-ada--gpu"),
        (moves, "changes the namespace of the pod"),
        (empties, "takes the container notebook away"),
        (fails, r"The setting modify_pod_hook of this hub failed \(AttributeError\)"),
        (lambda spawner, pod: "pod", "returned str instead of a pod"),
    ],
)
async def test_what_a_hook_must_not_do(hook: Any, words: str) -> None:
    with pytest.raises(SpawnError, match=words):
        await pod_after(hook)


async def test_the_hooks_of_one_start_share_what_they_put_on_the_spawner() -> None:
    def before(spawner: Any) -> None:
        spawner.remembered = "from pre_spawn_hook"
        spawner.pvc_name = f"home-{spawner.user.name}"

    def hook(spawner: Any, pod: Any) -> None:
        pod.metadata.annotations["seen"] = spawner.remembered
        pod.metadata.annotations["claim"] = spawner.pvc_name
        pod.metadata.annotations["pod"] = spawner.pod_name

    pod = await pod_after(hook, pre_spawn_hook=before, volumes=[{"name": "v", "claim": "{pvc_name}"}])
    notes = pod["metadata"]["annotations"]
    assert (notes["seen"], notes["claim"], notes["pod"]) == ("from pre_spawn_hook", "home-ada", "jupyter-ada--gpu")
    assert pod["spec"]["volumes"] == [{"name": "v", "claim": "home-ada"}]


async def test_the_pod_that_was_made_and_its_address() -> None:
    seen: list[str] = []

    async def made(spawner: Any, pod: Any) -> None:
        seen.append(f"{spawner.user.name} {pod.metadata.uid} {pod.status.pod_ip}")

    def address(spawner: Any, pod: Any) -> str:
        return f"http://{pod.status.pod_ip}:9999/"

    settings = KubeSettings(after_pod_created_hook=made, get_pod_url=address)
    launch = await prepared_launch(settings)
    pod = {"metadata": {"uid": "u1"}, "status": {"podIP": "10.0.0.9"}}
    await hooked_pod.created(settings, launch, pod)
    assert seen == ["ada u1 10.0.0.9"]
    assert await hooked_pod.url(settings, launch, pod) == "http://10.0.0.9:9999"
    nothing = KubeSettings()
    assert await hooked_pod.url(nothing, await prepared_launch(nothing), pod) is None
    wrong = KubeSettings(get_pod_url=lambda spawner, pod: None)
    with pytest.raises(SpawnError, match="get_pod_url of this hub gave no URL"):
        await hooked_pod.url(wrong, await prepared_launch(wrong), pod)


def test_models_are_what_they_are_called() -> None:
    model = V1EnvVar(name="A", value_from={"secretKeyRef": {"name": "s"}})
    assert plain_of(model) == {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}
    assert model.to_dict() == {"name": "A", "value_from": {"secret_key_ref": {"name": "s"}}}
    assert copy.deepcopy(model) == model == plain_of(model)
    assert model_of({"status": {"podIPs": [{"ip": "::1"}]}}).status.pod_i_ps[0].ip == "::1"
    assert model.get("nothing", 3) == 3 and "valueFrom" in model and "value_from" in model
    with pytest.raises(KeyError):
        _ = model["nothing"]
    assert "secret" not in repr(V1EnvVar(name="A", value="secret"))
