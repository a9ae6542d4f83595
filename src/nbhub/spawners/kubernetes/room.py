"""Whether the quotas of a namespace leave room for one more server, and what its limit ranges make of servers. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nbhub.core import findings
from nbhub.core.findings import Finding
from nbhub.spawners.kubernetes.pod_details import quantity
from nbhub.spawners.kubernetes.spelling import Plain

Amounts = dict[str, float]
_CLASS_STORAGE = ".storageclass.storage.k8s.io/requests.storage"
_CLASS_CLAIMS = ".storageclass.storage.k8s.io/persistentvolumeclaims"


def of_quotas(quotas: Sequence[Mapping[str, Any]], needed: Amounts) -> Iterator[Finding]:
    """Say for each ResourceQuota how many more servers that need so much it leaves room for."""
    for quota in quotas:
        spec, status = quota.get("spec") or {}, quota.get("status") or {}
        if spec.get("scopes") or spec.get("scopeSelector"):
            continue  # it may count other pods only
        limits, used = status.get("hard") or spec.get("hard") or {}, status.get("used") or {}
        found = [
            (math.floor(max(0.0, limit - (quantity(used.get(name)) or 0.0)) / needed[name] + 1e-9), name)
            for name in limits
            if needed.get(name) and (limit := quantity(limits[name])) is not None
        ]
        if found:
            yield _quota(quota["metadata"]["name"], limits, used, needed, *min(found))


def _quota(
    name: str, limits: Mapping[str, Any], used: Mapping[str, Any], needed: Amounts, count: int, scarce: str
) -> Finding:
    about = f"quota {name}"
    words = f"{scarce}: {used.get(scarce, '0')} of {limits[scarce]} in use, a server takes {_shown(scarce, needed)}"
    if count:
        return findings.ok(about, f"room for {count} more server{'' if count == 1 else 's'} ({words})")
    return findings.warning(
        about,
        f"leaves no room for one more server ({words}).",
        "Ask for a larger ResourceQuota, let servers take less (c.KubeSpawner.mem_guarantee, mem_limit, cpu_guarantee, "
        "storage_capacity), or let idle ones end sooner (c.Hub.idle_timeout).",
    )


def _shown(name: str, needed: Amounts) -> str:
    """Return an amount as people read it: memory and storage in Mi, all else as a number."""
    value = needed[name]
    in_bytes = name.endswith(("memory", "storage")) and value >= 2**20
    return f"{value / 2**20:.0f}Mi" if in_bytes else f"{value:g}"


def needed(pod: Plain, claim: Plain | None, *, secret: bool, service: bool) -> Amounts:
    """Return what one server adds to each resource that quotas count; the pod is as the API server makes it."""
    objects = {"pods": 1, "persistentvolumeclaims": int(claim is not None), "secrets": int(secret)}
    objects["services"] = int(service)
    found: Amounts = {name: float(count) for name, count in objects.items() if count}
    found |= {f"count/{name}": count for name, count in found.items()}
    for kind in ("requests", "limits"):
        for name, amount in _resources(pod["spec"], kind).items():
            found[f"{kind}.{name}"] = amount
            if kind == "requests" and name in ("cpu", "memory", "ephemeral-storage"):
                found[name] = amount
    return found | (_storage(claim) if claim else {})


def _storage(claim: Plain) -> Amounts:
    spec = claim["spec"]
    size = quantity(spec.get("resources", {}).get("requests", {}).get("storage")) or 0.0
    found = {"requests.storage": size}
    if name := spec.get("storageClassName"):
        found |= {f"{name}{_CLASS_STORAGE}": size, f"{name}{_CLASS_CLAIMS}": 1.0}
    return found


def _resources(spec: Plain, kind: str) -> Amounts:
    """Return what a pod takes as Kubernetes counts it: all containers, or the largest that runs before them."""
    total: Amounts = {}
    for container in spec["containers"]:
        for name, amount in _amounts(container, kind).items():
            total[name] = total.get(name, 0.0) + amount
    for container in spec.get("initContainers", ()):
        for name, amount in _amounts(container, kind).items():
            total[name] = max(total.get(name, 0.0), amount)
    return total


def _amounts(container: Plain, kind: str) -> Amounts:
    given = (container.get("resources") or {}).get(kind) or {}
    return {name: value for name, text in given.items() if (value := quantity(text)) is not None}


def of_defaults(asked: Plain, made: Plain) -> Iterator[Finding]:
    """Say what a LimitRange gives servers whose settings name no amount of their own."""
    before, after = ((pod["spec"]["containers"][0].get("resources") or {}) for pod in (asked, made))
    given = [
        f"{kind} {name} {text}"
        for kind in ("requests", "limits")
        for name, text in (after.get(kind) or {}).items()
        if name not in (before.get(kind) or {})
        and (kind == "limits" or name not in (before.get("limits") or {}))  # else it is the limit that they name
    ]
    if given:
        yield findings.ok(
            "limit range",
            f"gives servers {', '.join(given)}, since the settings name none (c.KubeSpawner.mem_limit and its like)",
        )
