"""What pods and the metrics API say about where servers are and what they take. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from nbhub.spawners.details import Amount, Details

METRICS = "/apis/metrics.k8s.io/v1beta1"
_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)([eE][+-]?\d+|[KMGTPE]i|[numkMGTPE])?")
_UNITS = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Mapping[str, int] = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)}
_USUAL = ("cpu", "memory")


def quantity(text: Any) -> float | None:
    """Return the number that a quantity of Kubernetes is, such as 0.5 for "500m"; None if it is none."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        return None
    number, unit = found[1], found[2] or ""
    if unit in _BINARY:
        return float(number) * float(_BINARY[unit])
    return float(f"{number}e{_UNITS[unit]}") if unit in _UNITS else float(number + unit)


def amount(resources: Iterable[Mapping[str, Any]]) -> Amount:
    """Return the sum of resources such as {"cpu": "500m", "memory": "1Gi"}."""
    given = list(resources)
    cores = [value for each in given if (value := quantity(each.get("cpu"))) is not None]
    memory = [value for each in given if (value := quantity(each.get("memory"))) is not None]
    return Amount(sum(cores) if cores else None, int(sum(memory)) if memory else None)


def details(pod: Mapping[str, Any], use: Amount | None = None, container: str = "notebook") -> Details:
    """Return what a pod says of itself: the image of the notebook's container, the amounts of all containers."""
    spec = pod.get("spec") or {}
    containers = spec.get("containers") or []
    named = [each for each in containers if each.get("name") == container]
    main: Mapping[str, Any] = next(iter(named or containers), {})
    resources = [each.get("resources") or {} for each in containers]
    limits = [each.get("limits") or {} for each in resources]
    return Details(
        object=(pod.get("metadata") or {}).get("name") or "",
        node=spec.get("nodeName") or "",
        image=main.get("image") or "",
        requests=amount(each.get("requests") or {} for each in resources),
        limits=amount(limits),
        use=use or Amount(),
        extra={str(name): str(value) for each in limits for name, value in each.items() if name not in _USUAL},
    )


def uses(answer: Mapping[str, Any]) -> dict[tuple[str, str], Amount]:
    """Return what each pod takes right now, by namespace and name, of a PodMetricsList."""
    found = {}
    for item in answer.get("items") or []:
        metadata = item.get("metadata") or {}
        containers = item.get("containers") or []
        found[metadata.get("namespace") or "", metadata.get("name") or ""] = amount(
            each.get("usage") or {} for each in containers
        )
    return found
