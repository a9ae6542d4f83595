"""Parts of objects as configurations write them, as the plain camelCase dicts that the API wants. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Plain = dict[str, Any]


def camel(name: str) -> str:
    """Return `run_as_user` as `runAsUser`; names that are so already stay."""
    if "_" not in name:
        return name
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def snake(name: str) -> str:
    """Return `runAsUser` as `run_as_user`, in the way of the Kubernetes client for Python."""
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", parted).lower()


def plain(value: Any) -> Any:
    """Return a structure without objects of a Kubernetes client: they become dicts with the names of the API."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    attributes = getattr(value, "attribute_map", None)
    if isinstance(attributes, Mapping):  # kubernetes, kubernetes_asyncio
        found = ((key, getattr(value, name, None)) for name, key in attributes.items())
        return {key: plain(item) for key, item in found if item is not None}
    if hasattr(value, "to_dict"):  # lightkube, and what keeps the names of the API by itself
        return plain(value.to_dict())
    return value


def top(value: Mapping[str, Any]) -> Plain:
    """Return a structure whose own keys are in camelCase; what is below them stays as it is."""
    return {camel(str(key)): plain(item) for key, item in value.items()}


def deep(value: Any) -> Any:
    """Return a structure with all keys in camelCase; for parts without keys that users choose."""
    if isinstance(value, Mapping):
        return {camel(str(key)): deep(item) for key, item in value.items()}
    if isinstance(value, list):
        return [deep(item) for item in value]
    return value


def listed(value: Any) -> list[Any]:
    """Return the items of a list, or those of a dict in the order of its keys."""
    items = [value[key] for key in sorted(value)] if isinstance(value, Mapping) else list(value or ())
    return [top(item) if isinstance(item, Mapping) else plain(item) for item in items if item is not None]


def without_nothing(**fields: Any) -> Plain:
    """Return the fields that say something: not None, and not an empty text, list or dict."""
    return {key: value for key, value in fields.items() if value is not None and value not in ("", [], {})}
