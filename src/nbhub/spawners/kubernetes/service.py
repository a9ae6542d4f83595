"""The Service of a server, where each has one, and the address that the proxy reaches a server at. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbhub.core.launch import Launch
from nbhub.spawners.kubernetes import labels
from nbhub.spawners.kubernetes.names import Names, host
from nbhub.spawners.kubernetes.pod import PORT
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.kubernetes.spelling import Plain


def service(settings: KubeSettings, launch: Launch, names: Names) -> Plain:
    """Return the Service of a launch; it selects this start's pod alone."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": labels.metadata(
            names.service, names, labels.of_server(settings, launch, names), labels.notes(launch, {}, names)
        ),
        "spec": {
            "type": "ClusterIP",
            "ports": [
                {"name": "http", "protocol": "TCP", "port": settings.setting(launch, "port"), "targetPort": PORT}
            ],
            "selector": labels.selector(launch),
        },
    }


def url(settings: KubeSettings, launch: Launch, names: Names, pod: Mapping[str, Any]) -> str:
    """Return where a server answers; empty while its pod has no address that could be told."""
    address = (pod.get("status") or {}).get("podIP") or ""
    if settings.setting(launch, "pod_connect_ip"):
        address = host(settings.setting(launch, "pod_connect_ip"), names.fields)
    elif settings.setting(launch, "services_enabled"):
        address = names.dns
    if not address:
        return ""
    return f"http://{f'[{address}]' if ':' in address else address}:{settings.setting(launch, 'port')}"
