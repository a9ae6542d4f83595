"""What a namespace's quotas leave for servers, and what its limit ranges make of them."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.core.findings import State
from nbhub.spawners.kubernetes import room

Json = dict[str, Any]


def pod(*resources: Json, before: Json | None = None) -> Json:
    containers = [{"name": f"c{number}", "resources": one} for number, one in enumerate(resources)]
    return {"spec": {"containers": containers, "initContainers": [{"name": "i", "resources": before or {}}]}}


def quota(hard: Json, used: Json, **spec: Any) -> Json:
    return {"metadata": {"name": "team"}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used}}


CLAIM = {"spec": {"resources": {"requests": {"storage": "10Gi"}}, "storageClassName": "fast"}}
NOTEBOOK = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi", "nvidia.com/gpu": "1"}}
NEEDED = room.needed(pod(NOTEBOOK), CLAIM, secret=True, service=False)


def test_a_server_takes_what_quotas_count() -> None:
    assert NEEDED == {
        "pods": 1,
        "count/pods": 1,
        "secrets": 1,
        "count/secrets": 1,
        "persistentvolumeclaims": 1,
        "count/persistentvolumeclaims": 1,
        "cpu": 0.1,
        "requests.cpu": 0.1,
        "memory": 2**29,
        "requests.memory": 2**29,
        "limits.memory": 2**31,
        "limits.nvidia.com/gpu": 1,
        "requests.storage": 10 * 2**30,
        "fast.storageclass.storage.k8s.io/requests.storage": 10 * 2**30,
        "fast.storageclass.storage.k8s.io/persistentvolumeclaims": 1,
    }


def test_containers_add_up_and_those_before_them_count_where_they_are_larger() -> None:
    one = {"requests": {"cpu": "1", "memory": "1Gi"}}
    taken = room.needed(pod(one, one, before={"requests": {"cpu": "3"}}), None, secret=False, service=True)
    assert taken["requests.cpu"] == 3
    assert taken["requests.memory"] == 2 * 2**30
    assert taken["services"] == 1
    assert "secrets" not in taken and "persistentvolumeclaims" not in taken


@pytest.mark.parametrize(
    ("hard", "used", "state", "words"),
    [
        ({"pods": "10"}, {"pods": "4"}, State.OK, "room for 6 more servers (pods: 4 of 10 in use, a server takes 1)"),
        ({"requests.cpu": "1"}, {"requests.cpu": "900m"}, State.OK, "room for 1 more server (requests.cpu: 900m of 1"),
        ({"limits.memory": "8Gi", "pods": "9"}, {"limits.memory": "7Gi"}, State.WARNING, "7Gi of 8Gi in use, a server"),
        ({"requests.storage": "5Gi"}, {}, State.WARNING, "no room for one more server (requests.storage: 0 of 5Gi"),
        ({"pods": "1"}, {"pods": "3"}, State.WARNING, "pods: 3 of 1 in use"),
    ],
)
def test_the_scarcest_resource_says_how_many_more_there_may_be(
    hard: Json, used: Json, state: State, words: str
) -> None:
    [finding] = room.of_quotas([quota(hard, used)], NEEDED)
    assert (finding.about, finding.state) == ("quota team", state)
    assert words in finding.said
    assert bool(finding.remedy) == (state is State.WARNING)


def test_quotas_of_other_things_say_nothing() -> None:
    others = [quota({"configmaps": "1"}, {"configmaps": "1"}), quota({"pods": "0"}, {}, scopes=["BestEffort"])]
    assert list(room.of_quotas(others, NEEDED)) == []


def test_what_a_limit_range_adds_is_told() -> None:
    asked = pod({"requests": {"cpu": "100m"}, "limits": {"memory": "2Gi"}})
    made = pod({"requests": {"cpu": "100m", "memory": "2Gi"}, "limits": {"memory": "2Gi", "cpu": "500m"}})
    [finding] = room.of_defaults(asked, made)
    assert finding.said.startswith("gives servers limits cpu 500m, since the settings name none")
    assert list(room.of_defaults(asked, asked)) == []
