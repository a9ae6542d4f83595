"""Stands for `kubespawner` and its modules: nbhub's own spawner of pods, for direct use and as a base."""

from __future__ import annotations

from typing import Any

from traitlets import Callable

from nbhub.compat.modules.spawner import FileSpawner
from nbhub.errors import ConfigError
from nbhub.spawners.kubernetes import slugs, spawner
from nbhub.spawners.kubernetes.models import Model, plain_of
from nbhub.traits import Command

__all__ = ["Callable", "Command", "KubeSpawner"]

__version__ = "7.1.0"  # whose settings and names these are
version_info = (7, 1, 0)


class KubeSpawner(FileSpawner, spawner.KubeSpawner):
    """Servers run as pods of a Kubernetes cluster, each with a volume for its user's files."""


def safe_slug(name: str) -> str:
    """Return a name in the scheme `safe`."""
    return slugs.safe(name)


def multi_slug(names: list[str]) -> str:
    """Return one slug for a user and a server."""
    return slugs.safe_pair(names[0], names[1] if len(names) > 1 else "")


def escape_slug(name: str) -> str:
    """Return a name in the scheme `escape`."""
    return slugs.escape(name)


def get_k8s_model(model_type: type, model_dict: Any) -> Any:
    """Return an object of a class of the Kubernetes client, from one or from its fields."""
    return model_dict if isinstance(model_dict, model_type) else model_type(**plain_of(model_dict))


def update_k8s_model(target: Any, changes: Any, **ignored: Any) -> Any:
    """Set fields of an object, and return it."""
    for name, value in (changes.to_dict() if isinstance(changes, Model) else dict(changes)).items():
        setattr(target, name, value)
    return target


def shared_client(ClientType: str, *given: Any, **named: Any) -> Any:  # noqa: N803 - as it is called
    """Refuse: there is no client of that kind here."""
    raise ConfigError(
        f"kubespawner.clients.shared_client({ClientType!r}) has no counterpart in nbhub. Change the pod in "
        "c.KubeSpawner.modify_pod_hook; for other calls make a client of your own (lightkube.AsyncClient is installed "
        "with nbhub[kubernetes])."
    )
