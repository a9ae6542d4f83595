"""From a pod and its events, as the API server gives them, to one sentence for its user. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nbhub.spawners.kubernetes import ending, scheduling, waiting
from nbhub.spawners.kubernetes.seen import (
    MAIN,
    Container,
    Happening,
    Json,
    condition,
    containers,
    happenings,
    latest,
    seconds,
)
from nbhub.spawners.kubernetes.sight import Patience, Sight, Stage, with_details

LOST = ("NodeLost", "NodeNotReady")
_BACK_OFF = re.compile(r"back-off (?:(\d+)m)?(?:(\d+)s)? restarting")
_GIVEN_UP_SECONDS = 40  # a pause before the next run that long means four ends in a short time

__all__ = ["MAIN", "Patience", "Sight", "Stage", "look"]


def look(
    pod: Mapping[str, Any] | None,
    events: Sequence[Mapping[str, Any]],
    *,
    now: float,
    patience: Patience | None = None,
) -> Sight:
    """Say how far a pod is, and why it does not get further.

    `events` are those about the pod and about its volume claims; others are left out of account. `now` is in seconds
    since the epoch. For a server that runs, `ended` says that it does
    no longer; for one that starts, `fatal` that it will not.
    """
    patience = patience or Patience()
    happened = happenings(pod, events)
    if pod is None:
        return ending.vanished(happened)
    every = containers(pod)
    server = next((item for item in every if item.name == MAIN), None)
    if pod["metadata"].get("deletionTimestamp"):
        return ending.terminating(pod, server, now)
    status = pod.get("status") or {}
    if status.get("phase") in ("Failed", "Succeeded") or ending.is_over(pod, server):
        return ending.of_pod(pod, server)
    if status.get("phase") == "Unknown":
        return Sight(Stage.STARTING, "The server's node does not answer any more.", "NodeLost", ended=True)
    return _alive(pod, every, server, happened, now, patience)


def _alive(
    pod: Json,
    every: Sequence[Container],
    server: Container | None,
    happened: Sequence[Happening],
    now: float,
    patience: Patience,
) -> Sight:
    created = seconds(pod["metadata"].get("creationTimestamp")) or now
    node = str((pod.get("spec") or {}).get("nodeName") or "")
    if not node:
        return scheduling.look(pod, happened, now, max(0.0, now - created), patience)
    since = seconds(condition(pod, "PodScheduled").get("lastTransitionTime")) or created
    scene = waiting.Scene(happened, node, since, now, patience)
    running = server is not None and server.state == "running"
    for container in every:
        if (trouble := _trouble(container, scene)) is not None:
            # What goes wrong beside a server that runs does not end it.
            return trouble if running else replace(trouble, ended=_given_up(container, server))
    return _up(pod, every, server, scene)


def _trouble(container: Container, scene: waiting.Scene) -> Sight | None:
    """Return what keeps a container from being up; None when it is, or when its turn has not come."""
    if container.state == "waiting":
        if container.reason == "PodInitializing":
            return None
        return waiting.look(container, scene)
    if container.state == "terminated":
        done = container.init and not container.sidecar and container.detail.get("exitCode") == 0
        return None if done else waiting.crashed(container, scene)
    if container.init and not container.sidecar:
        return Sight(Stage.PREPARING, f"The server is being prepared ({container.name}).", "Initializing", again=10.0)
    return None


def _given_up(container: Container, server: Container | None) -> bool:
    """Say whether the server itself ends again and again, so that it counts as ended."""
    if container is not server or container.reason != "CrashLoopBackOff":
        return False
    pause = _BACK_OFF.search(container.words)
    seconds_long = int(pause.group(1) or 0) * 60 + int(pause.group(2) or 0) if pause else 0
    return seconds_long >= _GIVEN_UP_SECONDS


def _up(pod: Json, every: Sequence[Container], server: Container | None, scene: waiting.Scene) -> Sight:
    if server is None or server.state != "running":
        if server is not None:  # the turn of the containers after the init containers has come
            return waiting.look(server, scene)
        return Sight(Stage.CREATING, f"The container is being made on node {scene.node}.")
    if all(item.ready for item in every if not item.init):
        return Sight(Stage.READY, f"The container runs on node {scene.node}; the server is starting.", "Ready")
    if (lost := latest(scene.happened, "NodeNotReady")) and condition(pod, "Ready").get("status") == "False":
        message = with_details(f"Node {scene.node} does not answer at the moment.", lost.words)
        return Sight(Stage.STARTING, message, "NodeNotReady", again=10.0)
    unready = ", ".join(item.name for item in every if not item.init and not item.ready)
    unhealthy = latest(scene.happened, "Unhealthy", "ProbeWarning")
    sentence = f"The container runs on node {scene.node} and is not ready yet ({unready})."
    return Sight(Stage.STARTING, with_details(sentence, unhealthy.words if unhealthy else ""), "NotReady", again=10.0)
