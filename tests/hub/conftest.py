"""Folders for whole hubs; what was started from one is gone after the test, and counted on the machine itself."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.hub import PATIENT, SMALL_SERVER
from servers.machine import processes_of


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for hubs and their data. The test fails if any process of it is left at its end."""
    path = Path(tempfile.mkdtemp(prefix=f"nbhub-test-{os.getpid()}-"))
    yield path
    left = processes_of(path)
    for process in left:
        process.kill()
    shutil.rmtree(path, ignore_errors=True)
    assert not left, f"processes outlived the test: {left}"


@pytest.fixture
def journal(folder: Path) -> Path:
    """Where the small servers write that they started."""
    return folder / "starts.log"


@pytest.fixture
def small_servers(journal: Path) -> str:
    """Settings for real processes that start fast, in place of notebook servers; anybody may log in."""
    command = [sys.executable, "-I", "-S", str(SMALL_SERVER), str(journal)]
    return (
        f"{PATIENT}"
        "c.Hub.authenticator_class = 'dummy'\n"
        "c.Hub.spawner_class = 'simple'\n"
        f"c.Spawner.cmd = {command!r}\n"
        "c.Spawner.poll_interval = 2\n"
        "c.ProcessSpawner.interrupt_timeout = 5\n"
        "c.ProcessSpawner.term_timeout = 5\n"
    )
