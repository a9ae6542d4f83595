"""Tests that must not run beside each other (a cluster, accounts of the machine) are kept in one worker."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("kept-together")
def test_groups_of_tests_have_an_effect(request: pytest.FixtureRequest) -> None:
    """pytest-xdist writes the group behind a test's name, and goes by it; versions of pytest exist that ignore that."""
    in_a_worker = hasattr(request.config, "workerinput")
    if in_a_worker and request.config.getoption("loadgroup"):
        assert request.node.nodeid.endswith("@kept-together"), "take a version of pytest that pytest-xdist works with"
