"""Every setting of JupyterHub has a verdict, and what a verdict promises is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from traitlets.config import Configurable

from nbhub.commands.call import all_classes
from nbhub.compat import imports, verdicts
from nbhub.traits import import_path

NAMES = [line.split() for line in Path(__file__).with_name("reference_names.txt").read_text().splitlines()]


def takers(section: str) -> list[type[Configurable]]:
    name = "Hub" if section == "JupyterHub" else section
    return [cls for cls in all_classes() if any(base.__name__ == name for base in cls.__mro__)]


def test_no_name_of_the_reference_is_missing() -> None:
    missing = [
        f"{section}.{name} ({use})"
        for section, name, use in NAMES
        if verdicts.of_section(section) is None and verdicts.of(section, name) is None
    ]
    assert missing == []
    assert len(NAMES) > 250


def test_every_verdict_is_of_a_known_kind_and_says_something() -> None:
    for section, name in verdicts.names():
        verdict = verdicts.of(section, name)
        assert verdict is not None
        assert verdict.kind in ("ours", "is", "takes", *verdicts.KINDS), f"{section}.{name}"
        assert verdict.kind == "ours" or len(verdict.words) > 5, f"{section}.{name}"
        assert verdict.taken or verdict.words.endswith("."), f"{section}.{name}"


def test_what_is_ours_is_there() -> None:
    missing = []
    for section, name in verdicts.names():
        verdict = verdicts.of(section, name)
        assert verdict is not None
        if verdict.kind == "ours":
            found = takers(section)
            if not found or not any(name in cls.class_trait_names(config=True) for cls in found):
                missing.append(f"{section}.{name}")
        elif verdict.kind == "is":
            where, _, other = verdict.words.partition(".")
            if not any(other in cls.class_trait_names(config=True) for cls in takers(where)):
                missing.append(f"{section}.{name} → {verdict.words}")
    assert missing == []


def test_what_is_not_taken_is_not_there() -> None:
    there = []
    for section, name in verdicts.names():
        verdict = verdicts.of(section, name)
        assert verdict is not None
        if section == "Application":
            continue  # a hub has these of its framework, and does without them
        if not verdict.taken and any(name in cls.class_trait_names(config=True) for cls in takers(section)):
            there.append(f"{section}.{name}")
    assert there == []


@pytest.mark.parametrize("name", sorted(set(imports.MODULES.values())))
def test_every_module_that_stands_for_another_is_there(name: str) -> None:
    import_path(f"nbhub.compat.modules.{name}.__doc__")
