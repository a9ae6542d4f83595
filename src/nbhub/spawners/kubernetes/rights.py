"""What the hub has to be allowed in its namespace, and why: as little as its settings need. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nbhub.spawners.kubernetes.refusals import rule_yaml


class Settings(Protocol):
    """The settings that make a difference to the rights."""

    events_enabled: bool
    storage_pvc_ensure: bool
    delete_pvc: bool
    services_enabled: bool
    enable_user_namespaces: bool


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on one resource. Without an `optional` one the hub does its work, and does `why` no more."""

    resource: str  # as in a Role: pods, pods/log
    verbs: Sequence[str]
    why: str
    group: str = ""
    optional: bool = False
    cluster: bool = False  # asked for in the whole cluster, not in one namespace

    @property
    def yaml(self) -> str:
        """The rule that grants it."""
        return rule_yaml(self.group, self.resource, self.verbs)


def needed(settings: Settings) -> list[Right]:
    """Return what a hub with these settings has to be allowed, and what makes it better."""
    everywhere = settings.enable_user_namespaces
    found = [
        Right("pods", ("get", "list", "create", "delete"), "starts, sees and stops servers", cluster=everywhere),
        Right("pods", ("watch",), "sees changes at once instead of asking every few seconds", "", True, everywhere),
        Right("pods/log", ("get",), "shows the last lines of a server that failed", "", True, everywhere),
        Right("secrets", ("get", "create", "patch", "delete"), "gives each server its token", cluster=everywhere),
    ]
    if settings.storage_pvc_ensure or settings.delete_pvc:
        verbs = ("get", "list", "create") if settings.storage_pvc_ensure else ("get", "list")
        found.append(Right("persistentvolumeclaims", verbs, "makes and finds users' volumes", cluster=everywhere))
    if settings.storage_pvc_ensure:
        why = "writes a user's new name on the volume"
        found.append(Right("persistentvolumeclaims", ("patch",), why, optional=True, cluster=everywhere))
    if settings.delete_pvc:
        why = "deletes the volumes of removed servers"
        found.append(Right("persistentvolumeclaims", ("delete",), why, cluster=everywhere))
    if settings.services_enabled:
        verbs = ("get", "create", "delete")
        found.append(Right("services", verbs, "gives each server a Service", cluster=everywhere))
    if settings.events_enabled:
        why = "says what a start waits for and why it failed"
        found.append(Right("events", ("list", "watch"), why, optional=True, cluster=everywhere))
    found.append(Right("events", ("create",), "notes on the pod who stopped it and why", "", True, everywhere))
    found.append(
        Right("pods", ("get", "list"), "shows what servers use", "metrics.k8s.io", optional=True, cluster=everywhere)
    )
    if everywhere:
        found.append(Right("namespaces", ("get", "create"), "gives each user a namespace", cluster=True))
    return found


def rules(settings: Settings) -> list[dict[str, Any]]:
    """Return the rules of the hub's Role (ClusterRole with user namespaces), one for each resource."""
    joined: dict[tuple[str, str], list[str]] = {}
    for right in needed(settings):
        verbs = joined.setdefault((right.group, right.resource), [])
        verbs += [verb for verb in right.verbs if verb not in verbs]
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": verbs} for (group, resource), verbs in joined.items()
    ]
