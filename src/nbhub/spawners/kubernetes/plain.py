"""Parts of objects as configurations write them, as the plain camelCase dicts that the API wants. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbhub.spawners.kubernetes.models import is_model, plain_of
from nbhub.spawners.kubernetes.spelling import Plain, camel


def plain(value: Any) -> Any:
    """Return a structure without objects of a Kubernetes client: they become dicts with the names of the API."""
    if is_model(value):
        return plain_of(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple | set) else value


def top(value: Any) -> Plain:
    """Return a structure whose own keys are in camelCase; what is below them stays as it is."""
    return {camel(key): item for key, item in plain(value).items()}


def deep(value: Any) -> Any:
    """Return a structure with all keys in camelCase; for parts without keys that users choose."""
    if isinstance(value, Mapping):
        return {camel(str(key)): deep(item) for key, item in value.items()}
    return [deep(item) for item in value] if isinstance(value, list) else value


def listed(value: Any) -> list[Any]:
    """Return the items of a list, or those of a dict in the order of its keys."""
    items = [value[key] for key in sorted(value)] if isinstance(value, Mapping) else list(value or ())
    found = [plain(item) for item in items if item is not None]
    return [top(item) if isinstance(item, dict) else item for item in found]


def without_nothing(**fields: Any) -> Plain:
    """Return the fields that say something: not None, and not an empty text, list or dict."""
    return {key: value for key, value in fields.items() if value is not None and value not in ("", [], {})}
