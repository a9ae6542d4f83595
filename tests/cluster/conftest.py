"""Tests on a real Kubernetes API with real pods; see tests/servers/cluster.py for which one."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers.cluster_fixtures import (
    cluster,
    empty_namespace,
    hub_image,
    in_one_group,
    kubectl,
    namespace,
    notebook_image,
    small_image,
)

__all__ = ["cluster", "empty_namespace", "hub_image", "kubectl", "namespace", "notebook_image", "small_image"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    in_one_group(items, Path(__file__).parent)
