"""Names of fields as the Kubernetes API spells them (runAsUser) and as Python does (run_as_user). Pure."""

from __future__ import annotations

import re
from typing import Any

Plain = dict[str, Any]


def snake(name: str) -> str:
    """Return `runAsUser` as `run_as_user`, in the way of the Kubernetes client for Python."""
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", parted).lower()


# Fields with more than one capital in a row.
_CAPITALS = {
    snake(name): name
    for name in (
        *("hostIP", "hostIPs", "podIP", "podIPs", "hostIPC", "hostPID", "setHostnameAsFQDN", "containerID", "imageID"),
        *("clusterIP", "clusterIPs", "externalIPs", "loadBalancerIP", "volumeID", "diskURI", "storagePolicyID"),
        *("targetWWNs", "datasetUUID", "bootID", "machineID", "systemUUID", "fieldsV1"),
    )
}


def camel(name: str) -> str:
    """Return `run_as_user` as `runAsUser`; names that are so already stay."""
    if "_" not in name:
        return name
    if name in _CAPITALS:
        return _CAPITALS[name]
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)
