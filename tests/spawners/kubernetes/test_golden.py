"""The objects of a few starts, whole, as they were looked through; NBHUB_GOLDEN=write writes them anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from spawners.kubernetes.golden_starts import STARTS, objects_of

GOLDEN = Path(__file__).with_name("golden")


@pytest.mark.parametrize("name", STARTS)
async def test_objects_are_as_they_were_looked_through(name: str) -> None:
    path, made = GOLDEN / f"{name}.json", await objects_of(name)
    if os.environ.get("NBHUB_GOLDEN") == "write":
        path.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert made == json.loads(path.read_text(encoding="utf-8"))


def test_nothing_else_is_kept() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(STARTS)
