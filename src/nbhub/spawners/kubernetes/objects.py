"""All objects of one start, as the dicts that the Kubernetes API takes. Pure: the same launch gives the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbhub.core.launch import Launch
from nbhub.spawners.kubernetes import environment
from nbhub.spawners.kubernetes.names import Names
from nbhub.spawners.kubernetes.namespace import namespace
from nbhub.spawners.kubernetes.naming import names_of
from nbhub.spawners.kubernetes.pod import pod
from nbhub.spawners.kubernetes.secret import secret
from nbhub.spawners.kubernetes.service import service
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.kubernetes.spelling import Plain
from nbhub.spawners.kubernetes.volume import claim


@dataclass(frozen=True, slots=True)
class Objects:
    """What one start consists of. The pod is as before modify_pod_hook."""

    names: Names
    pod: Plain
    namespace: Plain | None = None
    pvc: Plain | None = None
    secret: Plain | None = None
    service: Plain | None = None


def build(settings: KubeSettings, launch: Launch, volume: str | None = None) -> Objects:
    """Return the objects of a launch; `volume` is the claim that was chosen for it (see volume.choose).

    Raises ConfigError or SpawnError, in words, for names and texts that cannot be.
    """
    names = names_of(settings, launch, volume)
    bound = launch.bound_to(settings.setting(launch, "ip"), settings.setting(launch, "port"))
    variables = environment.variables(settings, bound, names)

    def on(name: str) -> bool:
        return bool(settings.setting(launch, name))

    return Objects(
        names=names,
        pod=pod(settings, bound, names, variables.listed),
        namespace=namespace(settings, launch, names) if on("enable_user_namespaces") else None,
        pvc=claim(settings, launch, names) if on("storage_pvc_ensure") else None,
        secret=secret(settings, launch, names, variables.hidden) if variables.hidden else None,
        service=service(settings, launch, names) if on("services_enabled") else None,
    )


def owned(owned_object: Plain, pod_made: Mapping[str, Any]) -> Plain:
    """Return an object that Kubernetes deletes together with a pod that has been made."""
    meta = pod_made["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    return {**owned_object, "metadata": {**owned_object["metadata"], "ownerReferences": [owner]}}
