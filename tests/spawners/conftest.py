"""The kinds of spawners that the conformance suite runs against, each with a real backend behind it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nbhub.spawners import processes
from nbhub.spawners.base import Spawner
from nbhub.spawners.fake import FakeSpawner
from nbhub.spawners.fake_backend import FakeBackend
from nbhub.spawners.fake_folder import FolderBackend
from nbhub.spawners.kubernetes.spawner import KubeSpawner
from nbhub.spawners.process import LocalProcessSpawner, SimpleLocalProcessSpawner
from servers.cluster_fixtures import Namespace, cluster, namespace, small_image
from spawners.launches import PATIENCE

__all__ = ["cluster", "namespace", "small_image"]

TINY_SERVER = Path(__file__).parent / "tiny_server.py"
# Of this process alone: other workers and other runs make accounts of their own.
SYSTEM_USER = f"nbhubtest{os.getpid()}"
SYSTEM_GROUP = f"nbhubtests{os.getpid()}"


@dataclass(frozen=True)
class Kind:
    """One backend under test: more spawners of it, all with the same servers, and how to look behind them."""

    name: str
    make: Callable[[], Spawner]
    user: str  # who may have servers
    dying: dict[str, object]  # options or arguments of a server that dies at once with code 3
    kill: Callable[[str], None]  # kills the server of an object name as from outside
    alive: Callable[[], int]  # servers that live, counted at the backend itself
    address: str = "http://127."  # what URLs of servers begin with
    patience: float = PATIENCE  # seconds until what happened outside is known


@pytest.fixture(scope="session")
def machine_folder() -> Iterator[Path]:
    """A folder that every system user may enter, with the tiny server in it."""
    folder = Path(f"/tmp/nbhub-spawners-{os.getpid()}")
    folder.mkdir(mode=0o755)
    shutil.copy(TINY_SERVER, folder / "tiny_server.py")
    (folder / "tiny_server.py").chmod(0o644)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def system_user() -> Iterator[str]:
    """A real account of this machine with a home and a supplementary group."""
    if os.geteuid() != 0:
        pytest.skip("making a system user needs root")
    if shutil.which("useradd") is None:
        pytest.skip("this machine has no useradd")
    _remove_system_user()
    subprocess.run(["groupadd", SYSTEM_GROUP], check=True)
    subprocess.run(
        ["useradd", "--create-home", "--groups", SYSTEM_GROUP, "--shell", "/bin/sh", SYSTEM_USER], check=True
    )
    yield SYSTEM_USER
    _remove_system_user()


def _remove_system_user() -> None:
    with contextlib.suppress(KeyError):
        pwd.getpwnam(SYSTEM_USER)
        subprocess.run(["userdel", "--force", "--remove", SYSTEM_USER], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["groupdel", SYSTEM_GROUP], check=False, stderr=subprocess.DEVNULL)


@pytest.fixture
def tiny(machine_folder: Path) -> list[str]:
    """The command of the tiny server."""
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable  # one that every system user may run
    return [python, str(machine_folder / "tiny_server.py")]


@pytest.fixture
def leave_nothing(tmp_path: Path) -> Iterator[Path]:
    """A data folder; whatever was started with it is gone after the test, and the test fails if it was not before."""
    yield tmp_path
    left = servers_of(tmp_path)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    assert not left, f"processes {left} outlived the test"


def servers_of(data_dir: Path) -> list[int]:
    """Return the leaders of all sessions on this machine that log below `data_dir`: the servers that really run."""
    logs = f"{data_dir}/"
    return [
        stat.pid
        for stat in processes.census().values()
        if stat.session == stat.pid and not stat.ended and _link(f"/proc/{stat.pid}/fd/1").startswith(logs)
    ]


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""


@pytest.fixture
async def spawners() -> AsyncIterator[Callable[[Spawner], Spawner]]:
    """Closes every spawner that is passed through it."""
    made: list[Spawner] = []

    def keep(spawner: Spawner) -> Spawner:
        made.append(spawner)
        return spawner

    yield keep
    for spawner in made:
        await spawner.close()


on_cluster = pytest.param("kubernetes", marks=[pytest.mark.xdist_group("cluster"), pytest.mark.timeout(900)])


@pytest.fixture(params=["fake", "fake-folder", "simple", "localprocess", on_cluster])
async def kind(request: pytest.FixtureRequest, spawners: Callable[[Spawner], Spawner]) -> AsyncIterator[Kind]:
    if request.param == "kubernetes":
        yield on_kubernetes(request, spawners)
        return
    if request.param.startswith("fake"):
        in_folder = request.param == "fake-folder"
        backend = FolderBackend(request.getfixturevalue("tmp_path")) if in_folder else FakeBackend()
        dying = {"fault": "dies", "exit_code": 3}
        yield Kind(
            "fake",
            lambda: spawners(FakeSpawner(backend=backend)),
            "alice",
            dying,
            backend.kill,
            lambda: backend.live,
        )
        backend.close()
        return
    data_dir: Path = request.getfixturevalue("leave_nothing")
    tiny: list[str] = request.getfixturevalue("tiny")
    user = request.getfixturevalue("system_user") if request.param == "localprocess" else "alice"
    cls = LocalProcessSpawner if request.param == "localprocess" else SimpleLocalProcessSpawner

    def make() -> Spawner:
        return spawners(
            cls(
                data_dir=str(data_dir),
                cmd=tiny,
                interrupt_timeout=2,
                term_timeout=2,
                kill_timeout=60,
                environment={},
            )
        )

    def kill(object_name: str) -> None:
        mark = f"NBHUB_SERVER={object_name}".encode()
        for pid in servers_of(data_dir):
            if processes.carries(pid, mark):
                os.kill(pid, 9)

    yield Kind(request.param, make, user, {"args": ["die=3"]}, kill, lambda: len(servers_of(data_dir)))


def on_kubernetes(request: pytest.FixtureRequest, spawners: Callable[[Spawner], Spawner]) -> Kind:
    """Servers as pods. They are not restarted in place here, so that an end is one."""
    place: Namespace = request.getfixturevalue("namespace")
    image: str = request.getfixturevalue("small_image")

    def make() -> Spawner:
        return spawners(
            KubeSpawner(
                namespace=place.name,
                kubeconfig=str(place.kubeconfig),
                image=image,
                cmd=["jupyterhub-singleuser"],
                extra_pod_config={"restartPolicy": "Never"},
                start_timeout=300,
            )
        )

    def kill(object_name: str) -> None:
        (pod,) = place.names("pods")
        # Who kills may be gone with the container before kubectl hears of it.
        place.kubectl("exec", pod, "--", "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)", check=False)

    def alive() -> int:
        pods = place.get("pods")["items"]
        return sum(
            pod["status"].get("phase") not in ("Succeeded", "Failed") and "deletionTimestamp" not in pod["metadata"]
            for pod in pods
        )

    return Kind("kubernetes", make, "alice", {"args": ["die=3"]}, kill, alive, address="http://")
