"""The local notebook environment: made once, by a real pip from a folder of our own, and redone when interrupted."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nbhub import notebooks
from nbhub.errors import ConfigError

# Making an environment takes seconds, and many of them when the machine is busy.
pytestmark = pytest.mark.timeout(900)

SOURCE = str(Path(notebooks.__file__).parents[1])
SCRIPT = "#!python\nprint('a notebook server')\n"


def make_wheel(folder: Path, version: str = "1.0") -> Path:
    """Write a package `stand-in` that brings a command jupyterhub-singleuser."""
    folder.mkdir(exist_ok=True)
    info = f"stand_in-{version}.dist-info"
    path = folder / f"stand_in-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("stand_in.py", "")
        script = zipfile.ZipInfo(f"stand_in-{version}.data/scripts/jupyterhub-singleuser")
        script.external_attr = 0o100755 << 16
        wheel.writestr(script, SCRIPT)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: stand-in\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def make_lock(path: Path, wheel: Path, version: str = "1.0") -> Path:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    path.write_text(f"stand-in=={version} \\\n    --hash=sha256:{digest}\n")
    return path


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only place where pip looks."""
    folder = tmp_path / "wheels"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_needed_only_for_the_usual_command_when_it_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert notebooks.needed(["jupyterhub-singleuser"])
    assert not notebooks.needed(["/opt/jupyter/bin/jupyterhub-singleuser"])
    assert not notebooks.needed([])
    command = tmp_path / "jupyterhub-singleuser"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    assert not notebooks.needed(["jupyterhub-singleuser"])


def test_the_life_of_an_environment(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = make_lock(tmp_path / "lock", make_wheel(wheels))
    data = tmp_path / "data"
    said: list[str] = []

    folder = notebooks.ensure(data, said.append, lock_file=lock)
    assert (folder / "jupyterhub-singleuser").exists()
    assert said[0].startswith("Installing JupyterLab for notebooks into")
    assert said[-1] == "The notebook environment is ready."

    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    notebooks.provide(["jupyterhub-singleuser"], data, said.append, lock_file=lock)
    assert shutil.which("jupyterhub-singleuser") == str(folder / "jupyterhub-singleuser")

    said.clear()  # a second start costs nothing and says nothing
    before = (folder / "python").lstat().st_mtime_ns
    assert notebooks.ensure(data, said.append, lock_file=lock) == folder
    assert said == []

    (data / "notebook-env" / "nbhub-complete").unlink()  # as after an interruption: begun again
    (folder / "jupyterhub-singleuser").unlink()
    notebooks.ensure(data, said.append, lock_file=lock)
    assert (folder / "jupyterhub-singleuser").exists()
    assert (folder / "python").lstat().st_mtime_ns != before

    said.clear()  # another version of nbhub: brought up to date in place, for servers that run from it
    before = (folder / "python").lstat().st_mtime_ns
    make_lock(lock, make_wheel(wheels, "2.0"), "2.0")
    notebooks.ensure(data, said.append, lock_file=lock)
    assert said[0].startswith("Bringing the notebook environment up to date")
    assert (folder / "python").lstat().st_mtime_ns == before
    assert list(data.glob("notebook-env/lib/python3*/site-packages/stand_in-2.0.dist-info"))


def test_what_a_killed_hub_left_installing_is_waited_for(tmp_path: Path, wheels: Path) -> None:
    lock, data = make_lock(tmp_path / "lock", make_wheel(wheels)), tmp_path / "data"
    python, marks = tmp_path / "python", tmp_path / "marks"
    marks.mkdir()
    python.write_text(f"#!/bin/sh\ntouch {marks}/begun\nwhile [ ! -e {marks}/go ]; do sleep 0.05; done\n")
    python.chmod(0o755)
    install = "import sys; from pathlib import Path; from nbhub import notebooks\n"
    install += "notebooks.ensure(Path(sys.argv[1]), print, lock_file=Path(sys.argv[2]), python=sys.argv[3])"
    hub = subprocess.Popen(
        [sys.executable, "-c", install, data, lock, python], env={**os.environ, "PYTHONPATH": SOURCE}
    )
    wait_for((marks / "begun").exists)
    hub.kill()
    hub.wait()
    said: list[str] = []
    next_one = threading.Thread(target=notebooks.ensure, args=(data, said.append), kwargs={"lock_file": lock})
    next_one.start()
    wait_for(lambda: "Another nbhub is installing the notebook environment; waiting for it." in said)
    assert len(said) == 1
    (marks / "go").touch()
    next_one.join()
    assert (data / "notebook-env" / "bin" / "jupyterhub-singleuser").exists()


def test_an_installation_is_interrupted(tmp_path: Path, wheels: Path) -> None:
    lock, data = make_lock(tmp_path / "lock", make_wheel(wheels)), tmp_path / "data"
    python, begun = tmp_path / "python", tmp_path / "begun"
    python.write_text(f"#!/bin/sh\ntouch {begun}\nsleep 600\n")
    python.chmod(0o755)
    said: list[str] = []
    outcomes: list[str] = []

    def install(interrupt: notebooks.Interrupt) -> None:
        try:
            notebooks.ensure(data, said.append, lock_file=lock, python=str(python), interrupt=interrupt)
        except notebooks.Interrupted as interrupted:
            outcomes.append(interrupted.message)

    interrupts = notebooks.Interrupt(), notebooks.Interrupt()
    works, waits = (threading.Thread(target=install, args=(interrupt,)) for interrupt in interrupts)
    works.start()
    wait_for(begun.exists)
    waits.start()
    wait_for(lambda: "Another nbhub is installing the notebook environment; waiting for it." in said)
    for interrupt, thread in zip(reversed(interrupts), (waits, works), strict=True):
        interrupt.ask()
        thread.join()
    assert len(outcomes) == 2 and "the next start begins it again" in outcomes[0]
    notebooks.ensure(data, said.append, lock_file=lock)
    assert (data / "notebook-env" / "bin" / "jupyterhub-singleuser").exists()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    lock = make_lock(tmp_path / "lock", make_wheel(tmp_path / "elsewhere"))
    with pytest.raises(ConfigError) as raised:
        notebooks.ensure(tmp_path / "data", print, lock_file=lock)
    assert "cannot be downloaded" in raised.value.message
    assert "--Spawner.cmd" in raised.value.message
    assert not (tmp_path / "data" / "notebook-env" / "nbhub-complete").exists()


def test_a_package_that_is_not_what_it_was(tmp_path: Path, wheels: Path) -> None:
    lock = make_lock(tmp_path / "lock", make_wheel(wheels))
    lock.write_text(lock.read_text().replace("sha256:", "sha256:0")[:-2] + "\n")
    with pytest.raises(ConfigError, match="could not be installed"):
        notebooks.ensure(tmp_path / "data", print, lock_file=lock)


def test_a_python_that_cannot_make_environments(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\necho 'The virtual environment was not created because ensurepip is not available.'\nexit 1\n"
    )
    python.chmod(0o755)
    with pytest.raises(ConfigError, match="apt-get install python3-venv"):
        notebooks.ensure(tmp_path / "data", print, python=str(python))


def test_a_data_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file is in the way")
    with pytest.raises(ConfigError, match="--data-dir"):
        notebooks.ensure(tmp_path / "data", print)


def test_a_lock_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="install nbhub again"):
        notebooks.ensure(tmp_path, print, lock_file=tmp_path / "none")


def test_the_shipped_lock_has_hashes_and_what_is_needed() -> None:
    text = notebooks.LOCK_FILE.read_text()
    for package in ("jupyterhub", "jupyterlab", "ipykernel"):
        assert f"\n{package}==" in text
    assert text.count("==") <= text.count("--hash=sha256:")


def test_what_leads_pip_astray_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheels: Path) -> None:
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "astray"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "astray"))
    lock = make_lock(tmp_path / "lock", make_wheel(wheels))
    folder = notebooks.ensure(tmp_path / "data", print, lock_file=lock, python=sys.executable)
    assert (folder / "jupyterhub-singleuser").exists()
    assert not (tmp_path / "astray").exists()
