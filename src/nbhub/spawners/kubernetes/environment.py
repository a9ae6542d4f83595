"""The variables of a server's container, and those of them that a Secret holds. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from nbhub.core.launch import Launch
from nbhub.spawners.kubernetes.names import Names, expand
from nbhub.spawners.kubernetes.plain import fields
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.kubernetes.spelling import Plain

_REFERENCE = re.compile(r"(?<!\$)\$\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Variables:
    """`listed` is what the container's `env` says; `hidden` the values that stand in the Secret instead."""

    listed: tuple[Plain, ...]
    hidden: Mapping[str, str]


def variables(settings: KubeSettings, launch: Launch, names: Names) -> Variables:
    """Return the variables of a launch, those first that others refer to as $(NAME)."""
    patterns = settings.setting(launch, "secret_environment")
    values = {**_kept(settings, launch), **_images(settings, launch), **dict(_values(launch, names))}
    hidden = {name: value for name, value in values.items() if _is_secret(name, value, values, launch, patterns)}
    entries: dict[str, Plain] = {name: {"name": name, "value": value} for name, value in values.items()}
    entries |= {name: _from_secret(name, names.secret) for name in hidden}
    entries |= {name: {"name": name, **fields(value)} for name, value in launch.template.sources.items()}
    return Variables(tuple(entries[name] for name in _in_order(entries)), hidden)


def _kept(settings: KubeSettings, launch: Launch) -> dict[str, str]:
    own = settings.hub_environment
    return {name: own[name] for name in settings.setting(launch, "env_keep") if name in own}


def _images(settings: KubeSettings, launch: Launch) -> dict[str, str]:
    image = settings.setting(launch, "image")
    return {"JUPYTER_IMAGE": image, "JUPYTER_IMAGE_SPEC": image}


def _values(launch: Launch, names: Names) -> Iterator[tuple[str, str]]:
    configured = launch.template.environment
    for name, value in launch.environment.items():
        # Only what the configuration says has fields and references: names of users are never read as such.
        yield name, expand(value, names.fields) if configured.get(name) == value else value.replace("$(", "$$(")


def _is_secret(name: str, value: str, values: Mapping[str, str], launch: Launch, patterns: Sequence[str]) -> bool:
    """Say whether a value belongs into the Secret: it holds the token, or its name is one of those for secrets.

    Kubernetes fills in $(NAME) only in values that stand in the pod, so those that refer to others stay there: what
    they refer to is in the Secret by itself.
    """
    if launch.api_token and launch.api_token in value:
        return True
    refers = any(found in values for found in _REFERENCE.findall(value))
    return bool(value) and not refers and any(fnmatchcase(name.upper(), pattern) for pattern in patterns)


def _from_secret(name: str, secret: str) -> Plain:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}}


def _in_order(entries: Mapping[str, Plain]) -> list[str]:
    """Return the names in alphabetical order, but each after those that it refers to."""
    ordered: dict[str, None] = {}

    def visit(name: str, above: frozenset[str]) -> None:
        if name in ordered or name in above:
            return
        for needed in sorted(set(_REFERENCE.findall(_text(entries[name].get("value"))))):
            if needed in entries:
                visit(needed, above | {name})
        ordered[name] = None

    for name in sorted(entries):
        visit(name, frozenset())
    return list(ordered)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
