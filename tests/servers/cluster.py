"""A real Kubernetes for tests: which one, and images for it.

KUBECONFIG names any cluster, such as one that `kind create cluster` made. Without it, the script that makes a cluster
on this machine is used where it stands beside the repository (../shared/cluster/cluster).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT.parent / "shared" / "cluster" / "cluster"
BASE = "localhost/debian:12"
LOCK = Path(tempfile.gettempdir()) / "nbhub-test-cluster.lock"
HOW_TO_GET_ONE = (
    "No Kubernetes to test on: name one by KUBECONFIG (for example: kind create cluster; then put images into it with "
    "kind load, and name them by NBHUB_TEST_SMALL_IMAGE and NBHUB_TEST_NOTEBOOK_IMAGE)."
)
PIP_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_CERT", "PIP_DEFAULT_TIMEOUT")


class NoImage(Exception):
    """An image cannot be built for this cluster; the message says how to provide it."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that answers, seen as its administrator."""

    kubeconfig: Path
    script: Path | None = None  # what made it, if images can be loaded by it

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        """Run kubectl as administrator and return what it prints; raises CalledProcessError with what it said."""
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            error = subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
            error.add_note(done.stderr.strip())
            raise error
        return done.stdout

    @property
    def server(self) -> str:
        """The address of the API server."""
        return self.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")

    def image(self, name: str, containerfile: Path, *, context: Path, depends: Iterator[Path] | list[Path]) -> str:
        """Return the reference of an image that pods can run, built and loaded if its content is new.

        NBHUB_TEST_{NAME}_IMAGE names one that the cluster has already. `depends` is what its content comes from.
        """
        given = os.environ.get(f"NBHUB_TEST_{name.upper()}_IMAGE")
        if given:
            return given
        if self.script is None:
            raise NoImage(f"The image {name} is needed. {HOW_TO_GET_ONE}")
        reference = f"localhost/nbhub-{name}:{_digest([containerfile, *depends])}"
        with locked():
            if reference not in self._images():
                run_script(self.script, "base")
                build(reference, containerfile, context, {"BASE": BASE})
                self._load(reference)
        return reference

    def _load(self, reference: str) -> None:
        """Put an image of buildah's into the node.

        Not by the script's `load`: there the archive's index and the image in it have one name, and whether the index
        is still there when it is unpacked depends on when containerd collects its garbage.
        """
        with tempfile.TemporaryDirectory(prefix="nbhub-image-") as folder:
            archive = f"{folder}/image.tar"
            for command in (
                ["buildah", "push", "-q", reference, f"docker-archive:{archive}:{reference}"],
                [*self._containerd(), "images", "import", archive],
            ):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise RuntimeError(f"loading {reference} into the node failed:\n{done.stdout}{done.stderr}")

    def _images(self) -> list[str]:
        listed = subprocess.run([*self._containerd(), "images", "ls", "-q"], capture_output=True, text=True, check=True)
        return listed.stdout.split()

    def _containerd(self) -> list[str]:
        return ["ctr", "-a", str(self.kubeconfig.parent / "run" / "containerd.sock"), "-n", "k8s.io"]


def find() -> Cluster | None:
    """Return the cluster to test on, started if it is ours to start; None where there is none."""
    named = os.environ.get("KUBECONFIG")
    script = SCRIPT if os.access(SCRIPT, os.X_OK) and os.geteuid() == 0 else None
    if not named and script is None:
        return None
    ours = _kubeconfig_of(script) if script else None
    if named and Path(named) != ours:
        return Cluster(Path(named))
    assert script is not None and ours is not None
    if not named:
        subprocess.run([str(ROOT / "scripts" / "test-cluster")], check=True, capture_output=True)
    return Cluster(ours, script)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the right to start the cluster and to build and load images, against all other processes."""
    with LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_script(script: Path, *arguments: str) -> str:
    """Run the script that makes the cluster; raises RuntimeError with the end of what it said."""
    done = subprocess.run([str(script), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script.name} {' '.join(arguments)} failed:\n{done.stderr[-4000:]}")
    return done.stdout


def _kubeconfig_of(script: Path) -> Path:
    found = re.search(r"export KUBECONFIG=(\S+)", run_script(script, "env"))
    assert found is not None
    return Path(found[1])


def _digest(paths: list[Path]) -> str:
    """Return a short hash of files' contents."""
    content = hashlib.sha256()
    for path in paths:
        content.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return content.hexdigest()[:16]


def build(reference: str, containerfile: Path, context: Path, arguments: Mapping[str, str], target: str = "") -> None:
    """Build an image with buildah; raises RuntimeError with the end of what it said."""
    settings: Mapping[str, str] = {name: os.environ[name] for name in PIP_SETTINGS if name in os.environ}
    # Layers are kept, so that a change of our code installs no package anew.
    command = ["buildah", "build", "--layers", "--isolation", "chroot", "-t", reference]
    if target:
        command += ["--target", target]
    for name, value in {**settings, **arguments}.items():
        command += ["--build-arg", f"{name}={value}"]
    for path in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf"):
        if Path(path).exists():
            command += ["-v", f"{path}:{path}:ro"]
    done = subprocess.run(
        [*command, "-f", str(containerfile), str(context)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"building {reference} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
