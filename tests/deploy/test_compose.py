"""The compose file: of the form that compose takes, true to the image and to the configuration beside it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
HUB: dict[str, Any] = COMPOSE["services"]["hub"]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name, text in (("hub", "ab" * 32), ("database", "p@ss/word:%")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def test_what_is_named_is_there() -> None:
    for service in COMPOSE["services"].values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (FOLDER / source).exists(), volume
        assert service["healthcheck"]["test"][0] == "CMD" and service["restart"] == "unless-stopped"
    assert HUB["depends_on"]["database"] == {"condition": "service_healthy"}
    ignored = (FOLDER / ".gitignore").read_text().split()
    assert all(secret["file"].removeprefix("./").startswith(tuple(ignored)) for secret in COMPOSE["secrets"].values())


def test_the_hub_is_as_the_image_has_it() -> None:
    image = (ROOT / "Containerfile").read_text()
    assert (FOLDER / HUB["build"]["context"] / HUB["build"]["dockerfile"]).resolve() == ROOT / "Containerfile"
    assert f"CMD {HUB['command']}".replace("'", '"') in image
    python = HUB["healthcheck"]["test"][1]
    assert python in image and HUB["user"].endswith(":0") and "USER 1000:0" in image
    ports = re.search(r"EXPOSE (\d+) (\d+)", image)
    assert ports is not None
    assert HUB["ports"][0].endswith(f":{ports[1]}") and f":{ports[2]}/" in HUB["healthcheck"]["test"][3]
    targets = [volume.split(":")[1] for volume in HUB["volumes"]]
    assert "/data" in targets and 'c.Hub.data_dir = "/data"' in (FOLDER / "nbhub_config.py").read_text()


def test_the_configuration_is_one_that_a_hub_starts_with(secrets: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbhub", "config", "show", "-f", str(FOLDER / "nbhub_config.py")],
        env={"PYTHONPATH": str(ROOT / "src"), "SECRETS": str(secrets), "PATH": "/usr/bin:/bin"},
        cwd=secrets,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "p@ss" not in done.stdout and "@database/nbhub" in done.stdout


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_compose_takes_it(tmp_path: Path) -> None:
    done = subprocess.run(
        ["docker-compose", "--file", str(FOLDER / "compose.yaml"), "config"],
        env={"PATH": "/usr/bin:/bin", "HUB_UID": "4711", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hub = yaml.safe_load(done.stdout)["services"]["hub"]
    assert hub["user"] == "4711:0" and hub["image"] == "localhost/nbhub:latest"
