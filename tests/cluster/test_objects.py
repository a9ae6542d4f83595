"""The API server takes the objects that are built, with unknown fields refused and nothing made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from servers.cluster_fixtures import Namespace
from spawners.kubernetes.golden_starts import STARTS, objects_of

# What golden files name and a cluster may not have.
THERE: dict[str, Any] = {"priority_class_name": ""}


def tried(namespace: Namespace, obj: dict[str, Any]) -> Any:
    """Let the API server look at an object as if it were made, and return what it would have made."""
    return json.loads(
        namespace.kubectl(
            *("create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-"), text=json.dumps(obj)
        )
    )


@pytest.mark.parametrize("name", STARTS)
async def test_the_api_server_takes_all_objects(namespace: Namespace, name: str) -> None:
    made = await objects_of(name, namespace=namespace.name, **THERE)
    account = made["Pod"]["spec"].get("serviceAccountName")
    if account:
        namespace.kubectl("create", "serviceaccount", account)
    if "Namespace" in made:
        tried(namespace, made.pop("Namespace"))
        for obj in made.values():
            obj["metadata"]["namespace"] = namespace.name
    for kind, obj in made.items():
        answer = tried(namespace, obj)
        assert (answer["kind"], answer["metadata"]["name"]) == (kind, obj["metadata"]["name"])
        assert answer["metadata"]["labels"] == obj["metadata"]["labels"]


async def test_pods_keep_to_the_restricted_standard(namespace: Namespace) -> None:
    namespace.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
    made = await objects_of("default", namespace=namespace.name, uid=1000)
    tried(namespace, made["Pod"])
    rooted = await objects_of("privileged", namespace=namespace.name)
    with pytest.raises(Exception, match="violates PodSecurity"):
        tried(namespace, rooted["Pod"])
