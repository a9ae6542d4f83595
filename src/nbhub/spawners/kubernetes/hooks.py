"""The configuration's functions that have to do with a pod, called for one start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbhub.core.launch import Launch
from nbhub.spawners.kubernetes import objects
from nbhub.spawners.kubernetes.objects import Objects
from nbhub.spawners.kubernetes.settings import KubeSettings


async def built(settings: KubeSettings, launch: Launch, claim: str) -> Objects:
    """Return the objects of a launch, after modify_pod_hook."""
    return objects.build(settings, launch, claim)


async def pod_created(settings: KubeSettings, launch: Launch, raw: bytes) -> None:
    """Call after_pod_created_hook."""


async def pod_url(settings: KubeSettings, launch: Launch, pod: Mapping[str, Any]) -> str | None:
    """Return what get_pod_url says; None without one."""
    return None
