"""Labels and annotations: KubeSpawner's, which policies and tools select by, and nbhub's own. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from nbhub.core.launch import Launch
from nbhub.spawners.kubernetes import records, slugs
from nbhub.spawners.kubernetes.names import Names, expand_all
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.kubernetes.spelling import Plain

USER, SERVER = records.USER, records.SERVER  # as annotations they hold names as they are
MANAGED_BY = "app.kubernetes.io/managed-by"
COMPONENT, NEW_COMPONENT = "component", "app.kubernetes.io/component"
STORAGE = "singleuser-storage"
HUB = ("release", "app.kubernetes.io/instance")  # what charts tell hubs of one namespace apart by

# nbhub's own, on everything that lives as long as one start.
SERVER_ID = records.SERVER_ID  # label: the server's number in the hub's database
GENERATION = records.GENERATION  # label: which start of the server
LAUNCH = "nbhub/launch"  # annotation: see launch_mark
FULL_NAME = "nbhub/server"  # annotation: "alice/gpu"


def launch_mark(launch: Launch) -> str:
    """Return a mark of one start of one server of one hub: no other start and no other hub comes to the same.

    Ids begin again from 1 with a new database, and another hub of the namespace has the same ones.
    """
    return hashlib.sha256(f"nbhub launch {launch.api_token}".encode()).hexdigest()[:16]


def is_of_launch(metadata: Mapping[str, Any], launch: Launch) -> bool:
    """Say whether an object was made for this very start."""
    return (metadata.get("annotations") or {}).get(LAUNCH) == launch_mark(launch)


def of_server(settings: KubeSettings, launch: Launch, names: Names) -> dict[str, str]:
    """Return the labels of the Secret and the Service of a server."""
    return {
        MANAGED_BY: "nbhub",
        USER: slugs.label_value(launch.user.name),
        **_texts(expand_all(settings.setting(launch, "extra_labels"), names.fields)),
        **_texts(settings.setting(launch, "common_labels")),
        **_own(launch),
    }


def of_pod(settings: KubeSettings, launch: Launch, names: Names) -> dict[str, str]:
    """Return the labels of a server's pod."""
    component = settings.setting(launch, "component_label")
    return {
        **of_server(settings, launch, names),
        NEW_COMPONENT: component,
        COMPONENT: component,
        SERVER: slugs.label_value(launch.server_name),
    }


def of_volume(settings: KubeSettings, launch: Launch, names: Names) -> dict[str, str]:
    """Return the labels of a volume claim, which outlives all starts."""
    return {
        MANAGED_BY: "nbhub",
        USER: slugs.label_value(launch.user.name),
        SERVER: slugs.label_value(launch.server_name),
        **_texts(expand_all(settings.setting(launch, "storage_extra_labels"), names.fields)),
        **_texts(settings.setting(launch, "common_labels")),
        NEW_COMPONENT: "singleuser-server",
        COMPONENT: STORAGE,
    }


def notes(launch: Launch, extra: Mapping[str, Any], names: Names) -> dict[str, str]:
    """Return the annotations of a pod, Secret or Service: who it is for, and which start."""
    return {
        **_texts(expand_all(extra, names.fields)),
        **whose(launch),
        FULL_NAME: f"{launch.user.name}/{launch.server_name}",
        LAUNCH: launch_mark(launch),
    }


def whose(launch: Launch) -> dict[str, str]:
    """Return the annotations that say in plain letters who something belongs to."""
    found = {USER: launch.user.name}
    return found | {SERVER: launch.server_name} if launch.server_name else found


def selector(launch: Launch) -> dict[str, str]:
    """Return labels that select exactly the pod of a server."""
    return {USER: slugs.label_value(launch.user.name), **_own(launch)}


def metadata(name: str, names: Names, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Plain:
    """Return the metadata of an object in the server's namespace."""
    return {"name": name, "namespace": names.namespace, "labels": dict(labels), "annotations": dict(annotations)}


def _own(launch: Launch) -> dict[str, str]:
    return {SERVER_ID: str(launch.server_id), GENERATION: str(launch.generation)}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in values.items() if value is not None}
