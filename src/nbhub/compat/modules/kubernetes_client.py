"""Stands for the Kubernetes clients for Python where none is installed.

Their objects are there, for hooks that make parts of pods. What talks to the cluster is refused in words.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from nbhub.errors import ConfigError
from nbhub.spawners.kubernetes.models import Model

_POSITIONAL = {"V1EnvVar": ("name", "value", "value_from"), "V1LocalObjectReference": ("name",)}


class ApiException(Exception):
    """What calls of the real client raise; nothing here does."""

    status = 0
    reason = ""


@cache
def load(module: str, name: str) -> Any:
    """Return a class of objects called so, or what refuses to talk to the cluster."""
    package = module.partition(".")[0]
    if name[:1].isupper() and not name.endswith(("Api", "ApiClient", "Configuration")):
        names = {
            "__module__": __name__,
            "__doc__": f"Stands for {module}.{name}.",
            "POSITIONAL": _POSITIONAL.get(name, ()),
        }
        return type(name, (Model,), names)

    def refuse(*given: Any, **named: Any) -> Any:
        raise ConfigError(
            f"{module}.{name} needs the Python package {package}. Install it beside nbhub, or change the pod in "
            "c.KubeSpawner.modify_pod_hook, which needs none."
        )

    return refuse
