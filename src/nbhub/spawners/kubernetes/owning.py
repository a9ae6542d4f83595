"""Whose a pod or a Secret is: of this start, of an earlier one of the same server, or of somebody else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from nbhub.core.launch import Launch
from nbhub.errors import SpawnError
from nbhub.spawners.base import Handle
from nbhub.spawners.kubernetes import labels, records, seen
from nbhub.spawners.kubernetes.records import Metadata, Pod

FORMER_DATABASE_SECONDS = 3600.0


class Standing(Enum):
    """What an object that has the name of ours is to a start."""

    OURS = "ours"
    OLDER = "older"


def standing(found: Metadata, launch: Launch, what: str, now: float) -> Standing:
    """Say what an object is to a start; raises SpawnError if it is a later start's, or not this server's at all."""
    notes = found.annotations or {}
    if notes.get(labels.LAUNCH) == labels.launch_mark(launch):
        return Standing.OURS
    same = notes.get(records.USER) == launch.user.name and notes.get(records.SERVER, "") == launch.server_name
    if not same and not (found.server_id == launch.server_id and notes.get(records.USER) is None):
        raise SpawnError(
            f"There is a {what} named {found.name} in namespace {found.namespace} already, and nbhub did not make it "
            f"for server {launch.user.name}/{launch.server_name}. Ask your administrator to rename or delete it, or to "
            "give servers other names (c.KubeSpawner.pod_name_template)."
        )
    if found.server_id == launch.server_id and found.generation > launch.generation and not _of_former(found, now):
        raise SpawnError(
            f"This start of server {launch.user.name}/{launch.server_name} was overtaken by a later one, which has "
            f"made the {what} {found.name} meanwhile."
        )
    return Standing.OLDER


def belongs(found: Metadata, handle: Handle) -> bool:
    """Say whether a pod is of a server, of whichever of its starts."""
    state, notes = handle.state, found.annotations or {}
    if found.uid and found.uid == state.get("pod_uid"):
        return True
    users = {handle.user_name, state.get("pvc_user")} - {None}
    if found.server_id is not None:
        return found.server_id == handle.server_id and notes.get(records.USER, handle.user_name) in users
    return notes.get(records.USER) in users and found.name == state.get("pod_name")


def latest(pods: Iterable[Pod], handle: Handle) -> Pod | None:
    """Return the pod of a server that counts: the one of the latest start."""
    own = [pod for pod in pods if belongs(pod.metadata, handle)]
    return max(own, key=lambda pod: (pod.metadata.generation, not pod.deleting), default=None)


def owner_reference(pod: Pod) -> Mapping[str, Any]:
    """Return what makes an object go when the pod goes."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": pod.metadata.name,
        "uid": pod.uid,
        "controller": False,
        "blockOwnerDeletion": False,
    }


def _of_former(found: Metadata, now: float) -> bool:
    """Say whether a number is so high because it comes from another database; ids begin again with a new one.

    A start that was overtaken notices within minutes.
    """
    created = seen.seconds(found.creation_timestamp)
    return created is not None and now - created > FORMER_DATABASE_SECONDS
