"""What somebody who was given a namespace does to bring nbhub up in it: the commands of docs/deploy.md."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from servers.cluster import BASE, PIP_SETTINGS, ROOT, run_script

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass
class Steps:
    """How long each step took, to be printed."""

    took: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure one step."""
        begun = time.monotonic()
        yield
        self.took.append((name, time.monotonic() - begun))
        print(f"{name}: {self.took[-1][1]:.1f} s", flush=True)


@dataclass(frozen=True)
class Owner:
    """Somebody with rights in one namespace, and a folder to work in."""

    namespace: str
    kubeconfig: Path
    folder: Path

    def run(self, *command: str) -> str:
        """Run a command as they would type it, and return what it prints; fails with what it said."""
        settings = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(command, cwd=self.folder, env=settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace."""
        return self.run("kubectl", "-n", self.namespace, *arguments)

    def nbhub(self, *arguments: str) -> str:
        """Run nbhub on their own machine."""
        return self.run(sys.executable, "-m", "nbhub", *arguments)

    def left(self) -> list[str]:
        """What is in the namespace, besides what every namespace has."""
        kinds = "pods,deployments,services,jobs,pvc,configmaps,secrets,ingresses,networkpolicies,roles,pdb"
        names = self.kubectl("get", kinds, "-o", "name").split()
        return [name for name in names if not name.endswith(("/kube-root-ca.crt", "/owner"))]


@dataclass(frozen=True)
class Registry:
    """The registry of the test cluster, seen from this machine: plain HTTP."""

    address: str

    def has(self, reference: str) -> bool:
        """Say whether an image is there."""
        command = ["skopeo", "inspect", "--tls-verify=false", f"docker://{reference}"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def base(self) -> str:
        """Return the base image, put there if it is missing: images of the internet cannot be pulled in tests."""
        reference = f"{self.address}/base/{BASE.rpartition('/')[2]}"
        if not self.has(reference):
            push = ["buildah", "push", "-q", "--tls-verify=false", BASE, f"docker://{reference}"]
            subprocess.run(push, check=True, capture_output=True)
        return reference


def registry_of(script: Path) -> Registry:
    """Return the registry that the test cluster has."""
    found = re.search(r"export CLUSTER_REGISTRY=(\S+)", run_script(script, "env"))
    assert found is not None
    return Registry(found[1])


def prepare_build(owner: Owner, registry: Registry, builder: str) -> str:
    """Copy deploy/build, write its settings, pack the source; returns the image that will be made."""
    folder = owner.folder / "build"
    shutil.copytree(ROOT / "deploy" / "build", folder, ignore=shutil.ignore_patterns("source.tar.gz"))
    owner.run("sh", str(ROOT / "deploy" / "build" / "pack.sh"), str(folder / "source.tar.gz"))
    content = hashlib.sha256((folder / "source.tar.gz").read_bytes())
    content.update((folder / "build.sh").read_bytes())
    destination = f"{registry.address}/walkthrough/nbhub:{content.hexdigest()[:16]}"
    settings = {
        "DESTINATION": destination,
        "TARGET": "hub",
        "BASE": registry.base(),
        "TLS_VERIFY": "false",
        "VERSION": "0.1.0",
        "REVISION": "0123abc",
        "SOURCE": "https://example.org/nbhub",
        **{name: os.environ[name] for name in PIP_SETTINGS if name in os.environ and name != "PIP_CERT"},
    }
    (folder / "build.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    kustomization = folder / "kustomization.yaml"
    name, _, tag = builder.rpartition(":")
    text = re.sub(r"newName: .*", f"newName: {name}", kustomization.read_text())
    kustomization.write_text(re.sub(r"newTag: .*", f"newTag: {tag}", text) + _outward())
    return destination


def _outward() -> str:
    """A patch that lets the job's pod find PyPI: the test cluster's own name server knows nothing of the world."""
    servers = re.findall(r"^nameserver\s+(\S+)", Path("/etc/resolv.conf").read_text(), re.MULTILINE)
    return f"""
patches:
  - target: {{kind: Job}}
    patch: |
      - {{op: add, path: /spec/template/spec/dnsPolicy, value: None}}
      - {{op: add, path: /spec/template/spec/dnsConfig, value: {{nameservers: {json.dumps(servers)}}}}}
"""


def build(owner: Owner) -> None:
    """Build and push inside the cluster, and wait for it."""
    if CERTIFICATES.exists():
        owner.kubectl("create", "configmap", "certificates", f"--from-file=ca.crt={CERTIFICATES}")
    owner.kubectl("apply", "--server-side", "-k", "build")
    try:
        owner.kubectl("wait", "job/build-nbhub", "--for=condition=Complete", "--timeout=15m")
    except AssertionError as error:
        error.add_note(owner.kubectl("logs", "job/build-nbhub", "--tail=40"))
        raise


def labels(reference: str) -> Mapping[str, str]:
    """Return the labels of an image in the registry, by what follows org.opencontainers.image."""
    command = ["skopeo", "inspect", "--tls-verify=false", f"docker://{reference}"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["Labels"]
    return {name.rpartition(".")[2]: value for name, value in found.items() if ".opencontainers." in name}
