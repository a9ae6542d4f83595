"""Mistakes in a deployment, made for real: each is named where an operator looks, with its remedy."""

from __future__ import annotations

import json

import pytest

from cluster import walk
from servers.hub import until

pytestmark = pytest.mark.timeout(1500)

LABELS = "app.kubernetes.io/component=hub,app.kubernetes.io/name=nbhub"


@pytest.fixture
def owner(empty_namespace, hub_image, tmp_path) -> walk.Owner:
    """Somebody who has the manifests of one hub, and has not applied them yet."""
    owner = walk.Owner(empty_namespace.name, empty_namespace.kubeconfig, tmp_path)
    owner.nbhub("kubernetes", "init", "hub", "--yes", f"--namespace={owner.namespace}", f"--image={hub_image}")
    return owner


async def test_a_missing_secret_is_named_and_can_be_made_up_for(owner):
    owner.kubectl("apply", "-k", "hub/single")
    state = await until(lambda: waiting(owner), "the pod says what it waits for", 300)
    assert state["reason"] == "CreateContainerConfigError"
    assert 'secret "nbhub" not found' in state["message"]
    owner.kubectl("apply", "-f", "hub/secret.yaml")
    owner.kubectl("rollout", "status", "deployment/hub", "--timeout=10m")


async def test_two_hubs_on_one_sqlite_volume_and_a_volume_that_is_read_only(owner):
    owner.kubectl("apply", "-f", "hub/secret.yaml")
    owner.kubectl("apply", "-k", "hub/single")
    owner.kubectl("rollout", "status", "deployment/hub", "--timeout=10m")
    [first] = pods(owner)

    owner.kubectl("scale", "deployment/hub", "--replicas=2")
    said = await until(lambda: last_words(owner, without=first), "the second hub has ended", 300)
    assert f"Another hub (process 1 on {first}) uses the database" in said
    assert "/data/nbhub.sqlite" in said
    assert "PostgreSQL" in said, "the remedy"
    assert ready(owner) == [first], "the first one goes on"

    owner.kubectl("scale", "deployment/hub", "--replicas=1")
    await until(lambda: len(pods(owner)) == 1, "the second pod is gone", 300)
    [first] = pods(owner)
    patch = {"name": "data", "persistentVolumeClaim": {"claimName": "hub", "readOnly": True}}
    owner.kubectl("patch", "deployment/hub", "-p", json.dumps({"spec": {"template": {"spec": {"volumes": [patch]}}}}))
    said = await until(lambda: last_words(owner, without=first), "the hub on the read-only volume has ended", 300)
    assert "/data" in said
    assert "Read-only file system" in said
    assert "a data directory that it may write to" in said, "the remedy"


def pods(owner: walk.Owner) -> list[str]:
    """The hub's pods."""
    return [pod["metadata"]["name"] for pod in listed(owner)]


def ready(owner: walk.Owner) -> list[str]:
    """Those of them that are ready."""
    return [
        pod["metadata"]["name"]
        for pod in listed(owner)
        if any(each["ready"] for each in pod["status"].get("containerStatuses", []))
    ]


def waiting(owner: walk.Owner) -> dict[str, str] | None:
    """What the container of the one pod waits for, if it says why."""
    for pod in listed(owner):
        for container in pod["status"].get("containerStatuses", []):
            state = container["state"].get("waiting", {})
            if "message" in state:
                return state
    return None


def last_words(owner: walk.Owner, without: str) -> str:
    """What the hub in the pod that is not `without` said when it ended, with status 2; empty until then."""
    for pod in listed(owner):
        for container in pod["status"].get("containerStatuses", []):
            states = (container["state"], container.get("lastState", {}))
            ended = [state["terminated"] for state in states if "terminated" in state]
            if pod["metadata"]["name"] != without and any(end["exitCode"] == 2 for end in ended):
                return owner.kubectl("logs", pod["metadata"]["name"])
    return ""


def listed(owner: walk.Owner) -> list[dict]:
    return json.loads(owner.kubectl("get", "pods", "-l", LABELS, "-o", "json"))["items"]
