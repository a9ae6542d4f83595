"""Fixtures of tests that need a real Kubernetes; `conftest.py` files import them by name."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nbhub.spawners.kubernetes import rights
from nbhub.spawners.kubernetes.settings import KubeSettings
from servers import cluster as clusters
from servers.cluster import ROOT, Cluster

__all__ = ["cluster", "empty_namespace", "hub_image", "kubectl", "namespace", "notebook_image", "small_image"]

# What a hub may do in its namespace, whatever its settings are, and nothing beyond.
EVERYTHING = KubeSettings(events_enabled=True, storage_pvc_ensure=True, delete_pvc=True, services_enabled=True)
RULES: list[dict[str, Any]] = rights.rules(EVERYTHING)
SMALL_IMAGE = Path(__file__).parent / "small_image"


@dataclass(frozen=True)
class Namespace:
    """A namespace of one test; `kubeconfig` is that of a hub with the rights of RULES in it and none elsewhere."""

    name: str
    cluster: Cluster
    kubeconfig: Path

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        """Run kubectl as the cluster's administrator in this namespace and return what it prints."""
        return self.cluster.kubectl("-n", self.name, *arguments, text=text, check=check)

    def get(self, *arguments: str) -> Any:
        """Return what `kubectl get -o json` prints, read; None for an object that is not there."""
        everything = len(arguments) == 1
        text = self.kubectl("get", "-o", "json", *arguments, *([] if everything else ["--ignore-not-found"]))
        return json.loads(text) if text else None

    def names(self, kind: str, *arguments: str) -> list[str]:
        """Return the names of all objects of a kind."""
        listed = self.kubectl("get", kind, "-o", "jsonpath={.items[*].metadata.name}", *arguments)
        return listed.split()

    def identity(self, folder: Path, name: str, rules: list[dict[str, Any]]) -> Path:
        """Make a service account with a Role of these rules (none: no Role), and return a kubeconfig for it."""
        return _identity(self.cluster, self.name, folder, name, rules)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster to test on; where there is none the test is skipped and says how to get one."""
    found = clusters.find()
    if found is not None:
        return found
    if os.environ.get("CI") and clusters.SCRIPT.exists():
        pytest.fail(f"{clusters.SCRIPT} is there and was not used: run the tests as root")
    pytest.skip(clusters.HOW_TO_GET_ONE)


@pytest.fixture
def namespace(cluster: Cluster, tmp_path: Path) -> Iterator[Namespace]:
    """A fresh namespace with a hub's identity in it; deleted after the test."""
    name = f"nbhub-test-{uuid.uuid4().hex[:8]}"
    _make(cluster, name)
    try:
        yield Namespace(name, cluster, _identity(cluster, name, tmp_path, "hub", RULES))
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def empty_namespace(cluster: Cluster, tmp_path: Path) -> Iterator[Namespace]:
    """A fresh namespace as somebody is given one: `kubeconfig` is that of its owner, who may nothing elsewhere."""
    name = f"nbhub-test-{uuid.uuid4().hex[:8]}"
    _make(cluster, name)
    try:
        yield Namespace(name, cluster, _owner(cluster, name, tmp_path))
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def kubectl(namespace: Namespace) -> Callable[..., str]:
    """Runs kubectl as administrator in the test's namespace."""
    return namespace.kubectl


@pytest.fixture(scope="session")
def small_image(cluster: Cluster) -> str:
    """An image whose server (tests/spawners/tiny_server.py) answers within a second and misbehaves on demand."""
    tiny = ROOT / "tests" / "spawners" / "tiny_server.py"
    return image(cluster, "small", SMALL_IMAGE / "Containerfile", tiny.parent, [tiny])


@pytest.fixture(scope="session")
def notebook_image(cluster: Cluster) -> str:
    """The image that deploy/images/notebook builds: JupyterLab, jupyterhub-singleuser and a kernel."""
    containerfile = ROOT / "deploy" / "images" / "notebook" / "Containerfile"
    if not containerfile.exists():
        pytest.fail(f"{containerfile} is not there")
    return image(cluster, "notebook", containerfile, ROOT, [ROOT / "src/nbhub/notebook-requirements.lock"])


@pytest.fixture(scope="session")
def hub_image(cluster: Cluster) -> str:
    """The image that the Containerfile builds: the hub of this checkout, and Envoy."""
    sources = [path for path in (ROOT / "src" / "nbhub").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    images = [path for path in (ROOT / "deploy" / "images" / "hub").iterdir() if path.is_file()]
    locks = [ROOT / "requirements" / name for name in ("build.lock", "image.lock", "envoy.lock")]
    depends = [ROOT / "pyproject.toml", *locks, *sorted(images), *sorted(sources)]
    return image(cluster, "hub", ROOT / "Containerfile", ROOT, depends)


def image(cluster: Cluster, name: str, containerfile: Path, context: Path, depends: list[Path]) -> str:
    """Return an image that pods can run; where it cannot be built the test is skipped and says how to provide it."""
    try:
        return cluster.image(name, containerfile, context=context, depends=depends)
    except clusters.NoImage as error:
        pytest.skip(str(error))


def _make(cluster: Cluster, name: str) -> None:
    """Create a namespace, and wait until the cluster has put into it what every pod needs."""
    cluster.kubectl("create", "namespace", name)
    for _ in range(600):
        if cluster.kubectl("-n", name, "get", "serviceaccounts", "-o", "name").strip():
            return
        time.sleep(0.1)
    pytest.fail(f"namespace {name} got no service account within a minute; is the controller manager running?")


def _owner(cluster: Cluster, namespace: str, folder: Path) -> Path:
    """Make a service account with the ClusterRole admin in this namespace, and return a kubeconfig for it."""
    path = _identity(cluster, namespace, folder, "owner", [])
    binding = ["rolebinding", "owner-is-admin", "--clusterrole=admin", f"--serviceaccount={namespace}:owner"]
    cluster.kubectl("-n", namespace, "create", *binding)
    return path


def _identity(cluster: Cluster, namespace: str, folder: Path, name: str, rules: list[dict[str, Any]]) -> Path:
    objects = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        },
    ]
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.kubectl("-n", namespace, "apply", "-f", "-", text=bundle)
    token = cluster.kubectl("-n", namespace, "create", "token", name, "--duration=24h").strip()
    view = json.loads(cluster.kubectl("config", "view", "--minify", "--raw", "--flatten", "-o", "json"))
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": view["clusters"][0]["cluster"]}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
    }
    path = folder / f"{name}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path


def in_one_group(items: list[pytest.Item], folder: Path) -> None:
    """Let one worker run all tests below `folder`: they share a cluster, which is slower with two of them."""
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("cluster"))
            if os.environ.get("PYTEST_TIMEOUT") is None and item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(900))
