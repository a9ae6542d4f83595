"""Files written for KubeSpawner: its imports, classes and values, and what comes out of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nbhub import config
from nbhub.app import Hub
from nbhub.errors import ConfigError
from nbhub.spawners.kubernetes import hooked_pod, objects
from nbhub.spawners.kubernetes.objects import Objects
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.kubernetes.spawner import KubeSpawner
from spawners.kubernetes.starts import prepared_launch

CONFIGS = Path(__file__).parent / "configs"


def spawner_of(path: Path, *argv: str) -> KubeSettings:
    hub = config.build(Hub, config.load(["-f", str(path), *argv]).config)
    made = config.build(hub.spawner_class, hub.config, parent=hub)
    assert isinstance(made, KubeSpawner)
    return made


def from_text(folder: Path, text: str) -> KubeSettings:
    (folder / "jupyterhub_config.py").write_text(text)
    return spawner_of(folder / "jupyterhub_config.py")


async def started(spawner: KubeSettings, user: str = "ada", server: str = "", **more: Any) -> Objects:
    launch = await prepared_launch(spawner, user, server, **more)
    return await hooked_pod.modified(spawner, launch, objects.build(spawner, launch))


async def test_a_file_as_a_chart_makes_it() -> None:
    spawner = spawner_of(CONFIGS / "chart_kubernetes.py")
    made = await started(spawner)
    meta, spec = made.pod["metadata"], made.pod["spec"]
    assert {**meta["labels"], "app": "jupyterhub", "chart": "jupyterhub-4.2.0", "release": "hub"} == meta["labels"]
    assert meta["labels"]["hub.jupyter.org/network-access-hub"] == "true"
    assert spec["imagePullSecrets"] == [{"name": "image-pull-secret"}]
    assert [item["key"] for item in spec["tolerations"]] == ["hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated"]
    preferred = spec["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred[0]["preference"]["matchExpressions"][0]["values"] == ["user"]
    assert spec["initContainers"][0]["securityContext"]["runAsUser"] == 0
    assert [item["name"] for item in spec["containers"]] == ["notebook", "sidecar"]
    assert spec["volumes"][1] == {"name": "shared", "emptyDir": {}}
    notebook = spec["containers"][0]
    assert notebook["args"] == ["jupyterhub-singleuser"]
    assert notebook["image"] == "quay.io/jupyterhub/k8s-singleuser-sample:4.2.0"
    assert notebook["volumeMounts"] == [
        {"mountPath": "/home/jovyan", "name": "volume-ada"},
        {"name": "shared", "mountPath": "/shared"},
    ]
    assert {"name": "PREFIX", "value": "/hubs/ada"} in notebook["env"]
    assert {"name": "JUPYTERHUB_DEFAULT_URL", "value": "/lab"} in notebook["env"]
    assert made.pvc is not None and made.pvc["spec"]["resources"] == {"requests": {"storage": "10Gi"}}


async def test_profiles_of_that_file() -> None:
    spawner = spawner_of(CONFIGS / "chart_kubernetes.py")
    made = await started(spawner, options={"profile": "gpu"})
    notebook = made.pod["spec"]["containers"][0]
    assert (notebook["image"], notebook["resources"]["limits"]) == ("gpu:1", {"nvidia.com/gpu": "1"})
    assert made.pod["spec"]["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    labels = made.pod["metadata"]["labels"]
    assert labels["kind"] == "gpu" and "chart" not in labels


@pytest.mark.parametrize(
    "text",
    [
        "c.JupyterHub.spawner_class = 'kubespawner'",
        "c.JupyterHub.spawner_class = 'kubernetes'",
        "c.JupyterHub.spawner_class = 'kubespawner.KubeSpawner'",
        "c.JupyterHub.spawner_class = 'kubespawner.spawner.KubeSpawner'",
        "import kubespawner\nc.JupyterHub.spawner_class = kubespawner.KubeSpawner",
        "from kubespawner import KubeSpawner as K\nc.JupyterHub.spawner_class = K",
        "from kubespawner.spawner import KubeSpawner\n"
        "class Mine(KubeSpawner):\n    pass\n"
        "c.JupyterHub.spawner_class = Mine\nc.Mine.working_dir = '/w'",
    ],
)
def test_every_way_to_name_it(tmp_path: Path, text: str) -> None:
    spawner = from_text(tmp_path, f"{text}\nc.KubeSpawner.image = 'one'\nc.Spawner.cpu_limit = 2\n")
    assert (spawner.image, spawner.cpu_limit) == ("one", 2.0)
    assert spawner.working_dir == ("/w" if "Mine" in text else None)


def test_older_names_in_a_file(tmp_path: Path) -> None:
    text = (
        "c.JupyterHub.spawner_class = 'kubespawner'\n"
        "c.KubeSpawner.image_spec = 'old:1'\n"
        "c.KubeSpawner.singleuser_extra_labels = {'a': 'b'}\n"
        "c.KubeSpawner.user_storage_capacity = '7Gi'\n"
        "c.KubeSpawner.singleuser_uid = 5\n"
        "c.KubeSpawner.uid = 6\n"
        "c.KubeSpawner.hub_connect_ip = 'hub.example.org'\n"
    )
    spawner = from_text(tmp_path, text)
    assert (spawner.image, spawner.extra_labels, spawner.storage_capacity) == ("old:1", {"a": "b"}, "7Gi")
    assert spawner.uid == 6
    assert spawner.parent.hub_connect_ip == "hub.example.org"


async def test_methods_of_a_class_and_what_hooks_read(tmp_path: Path) -> None:
    spawner = from_text(
        tmp_path,
        """
from kubespawner import KubeSpawner
from kubespawner.slugs import safe_slug
from kubespawner.utils import get_k8s_model
from kubernetes.client.models import V1Toleration

class Mine(KubeSpawner):
    def get_env(self):
        return {**super().get_env(), "SLUG": safe_slug(self.user.name), "POD": self.pod_name, "CLAIM": self.pvc_name}

    def get_args(self):
        return [*super().get_args(), self._expand_user_properties("--for={username}")]

def before(spawner):
    spawner.tolerations = [get_k8s_model(V1Toleration, {"key": "k", "toleration_seconds": 5})]
    spawner.volumes = spawner._expand_all([{"name": "{username}"}])

c.JupyterHub.spawner_class = Mine
c.KubeSpawner.cmd = "start"
c.KubeSpawner.pre_spawn_hook = before
""",
    )
    made = await started(spawner, "Bob.Smith", "gpu")
    notebook = made.pod["spec"]["containers"][0]
    values = {entry["name"]: entry.get("value") for entry in notebook["env"]}
    assert (values["SLUG"], values["POD"]) == ("bob-smith---274c9d19", "jupyter-bob-smith---274c9d19--gpu")
    assert values["CLAIM"] == "claim-bob-smith---274c9d19--gpu"
    assert notebook["args"] == ["start", "--for=bob-smith---274c9d19"]
    assert made.pod["spec"]["tolerations"] == [{"key": "k", "tolerationSeconds": 5}]
    assert made.pod["spec"]["volumes"] == [{"name": "bob-smith---274c9d19"}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("    def get_pod_manifest(self): pass", "instead of get_pod_manifest: set c.KubeSpawner.modify_pod_hook"),
        ("    async def start(self): pass", "instead of start: do it in c.Spawner.pre_spawn_hook"),
        ("    def _expand_user_properties(self, t): pass", "instead of _expand_user_properties: set the templates"),
    ],
)
def test_methods_that_are_never_called_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_text(tmp_path, f"from kubespawner import KubeSpawner\nclass Mine(KubeSpawner):\n{text}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("from kubernetes_asyncio import client\nclient.CoreV1Api()", "needs the Python package kubernetes_asyncio"),
        ("from kubernetes import config\nconfig.load_incluster_config()", "needs the Python package kubernetes"),
        ("from kubespawner.clients import shared_client\nshared_client('CoreV1Api')", "has no counterpart in nbhub"),
        ("import kubespawner.reflector", "nbhub has nothing that stands for kubespawner.reflector"),
    ],
)
def test_what_talks_to_the_cluster_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_text(tmp_path, text)


def test_a_real_client_stands_for_itself(tmp_path: Path) -> None:
    (tmp_path / "kubernetes").mkdir()
    (tmp_path / "kubernetes" / "__init__.py").write_text("")
    (tmp_path / "kubernetes" / "client.py").write_text("class V1Volume:\n    real = True\n")
    (tmp_path / "jupyterhub_config.py").write_text("from kubernetes.client import V1Volume\nassert V1Volume.real\n")
    program = f"from nbhub import config; config.load(['-f', {str(tmp_path / 'jupyterhub_config.py')!r}])"
    environment = {"PYTHONPATH": f"{CONFIGS.parents[2] / 'src'}:{tmp_path}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_a_file_adds_is_added_once(tmp_path: Path) -> None:
    text = (
        "from kubespawner import KubeSpawner\n"
        "from tmpauthenticator import TmpAuthenticator\n"
        "c.JupyterHub.spawner_class = KubeSpawner\n"
        "c.JupyterHub.authenticator_class = TmpAuthenticator\n"
        "c.KubeSpawner.tolerations.append({'key': 'a'})\n"
        "c.KubeSpawner.secret_environment.extend(['A', 'B'])\n"
    )
    spawner = from_text(tmp_path, text)
    assert spawner.tolerations == [{"key": "a"}]
    assert spawner.secret_environment[-3:] == ["*PRIVATE_KEY*", "A", "B"]
