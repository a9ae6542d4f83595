"""Parts of objects as configurations write them, as the plain camelCase dicts that the API wants. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbhub.spawners.kubernetes.models import plain_of
from nbhub.spawners.kubernetes.spelling import Plain, camel


def fields(value: Any) -> Plain:
    """Return a part of an object, from a dict in either spelling or a model of any Kubernetes client."""
    found: Mapping[str, Any] = value if isinstance(value, Mapping) else plain_of(value)
    # Each by itself, so that what is empty on purpose stays.
    return {camel(str(key)): plain_of(item, camel(str(key))) for key, item in found.items() if item is not None}


def listed(value: Any) -> list[Any]:
    """Return the items of a list, or those of a dict in the order of its keys."""
    items = [value[key] for key in sorted(value)] if isinstance(value, Mapping) else list(value or ())
    return [plain_of(item) for item in items if item is not None]


def without_nothing(**fields: Any) -> Plain:
    """Return the fields that say something: not None, and not an empty text, list or dict."""
    return {key: value for key, value in fields.items() if value is not None and value not in ("", [], {})}
