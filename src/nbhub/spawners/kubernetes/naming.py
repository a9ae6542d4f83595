"""The names of one server's objects for one start: templates, what an earlier start left behind, what hooks assign.

The state that a start records holds the names, so that they stay as they are when templates change: the pod's for as
long as this start lives, the volume's and the namespace's for good.
"""

from __future__ import annotations

import functools
from typing import Any

from nbhub.core.launch import Launch
from nbhub.spawners.kubernetes.names import Names, Who, resolve
from nbhub.spawners.kubernetes.one_pod import ASSIGNABLE, recorded, texts
from nbhub.spawners.kubernetes.place_settings import templates
from nbhub.spawners.kubernetes.settings import KubeSettings


def who_of(launch: Launch) -> Who:
    """Return which server of whom a launch is for."""
    return Who(launch.user.name, launch.server_name, launch.user.id)


def names_of(settings: KubeSettings, launch: Launch, volume: str | None = None) -> Names:
    """Return the names of the objects of a launch; `volume` is the claim that was chosen for it (see volume.choose).

    Raises ConfigError or SpawnError as names.resolve does.
    """
    kept = kept_names(settings, launch)
    if volume is not None:
        kept["volume"] = volume
    take = functools.partial(settings.setting, launch)
    return resolve(templates(take, settings.hub_namespace), who_of(launch), kept)


def kept_names(settings: KubeSettings, launch: Launch) -> dict[str, str]:
    """Return the names that do not come from templates: assigned by a hook, or recorded by an earlier start."""
    take = functools.partial(settings.setting, launch)
    kept = recorded(take, launch.state)
    if launch.state.get("generation") == launch.generation:
        # A start that is repeated finds its own pod, even if the hub has got other settings in between.
        kept |= texts(launch.state, {"pod": "pod_name", "dns": "dns_name", "namespace": "namespace"})
    return kept | texts(launch.settings, ASSIGNABLE)


def state_of(names: Names, launch: Launch) -> dict[str, Any]:
    """Return what a start records: the names under KubeSpawner's keys, the start, and whose the volume is."""
    return {
        "pod_name": names.pod,
        "namespace": names.namespace,
        "dns_name": names.dns,
        "pvc_name": names.volume,
        "pvc_user": launch.user.name,
        "generation": launch.generation,
    }
