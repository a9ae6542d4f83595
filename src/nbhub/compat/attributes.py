"""Classes of a configuration file that set a setting in their body: `client_id = "hub"` is its default there."""

from __future__ import annotations

import copy
from typing import Any

from traitlets import HasTraits, TraitType

from nbhub.compat import verdicts


def become_defaults(cls: type[HasTraits]) -> None:
    """Let plain values in the body of a class be defaults of the settings of these names, also of their older names.

    Such a value would hide the setting, so that neither its type nor what the file says of it counted. Called while the
    class is made (`__init_subclass__`), before the framework looks at it.
    """
    for given, value in list(vars(cls).items()):
        name = _ours(cls, given)
        known = name in cls.class_traits()
        if not known or isinstance(value, TraitType | property | classmethod | staticmethod) or callable(value):
            continue
        delattr(cls, given)
        setattr(cls, f"_{name}_default", _default(value))


def _ours(cls: type, given: str) -> str:
    """Return the name here of an attribute, which may be called as a setting of an older version."""
    verdict = None if given.startswith("_") else verdicts.of(cls.__mro__[1].__name__, given)
    return verdict.words.rpartition(".")[2] if verdict is not None and verdict.kind == "is" else given


def _default(value: Any) -> Any:
    def default(self: Any) -> Any:
        return copy.deepcopy(value)

    return default
