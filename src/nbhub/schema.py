"""The settings as a JSON Schema (2020-12), for editors and programs that write configurations: `nbhub config schema`.

Sections are properties, `{"Hub": {"port": 8000}}`. What only Python can say (functions, classes of a file) has no form.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import traitlets
from traitlets import TraitType
from traitlets.config import Configurable

from nbhub import reference
from nbhub.traits import Command, Duration, MemorySize, Plugin, URLPrefix

_Form = Mapping[str, Any]
_TEXT: _Form = {"type": "string"}


def document(classes: Iterable[type[Configurable]]) -> str:
    """Return the schema of all sections and settings of the classes."""
    sections = {cls.__name__: _section(cls) for cls in reference.sections(classes)}
    known = {name: {"$ref": f"#/$defs/{name}"} for name in sections}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of nbhub",
        "type": "object",
        "properties": known,
        "additionalProperties": False,
        "$defs": sections,
    }
    return json.dumps(whole, indent=2, ensure_ascii=False)


def _section(cls: type[Configurable]) -> _Form:
    """Return the form of one section, which takes the settings of its bases as well."""
    traits = cls.class_traits(config=True)
    return {
        "type": "object",
        "description": " ".join((cls.__doc__ or "").split("\n\n")[0].split()),
        "properties": {name: _setting(trait) for name, trait in sorted(traits.items()) if not _is_only_python(trait)},
        "additionalProperties": False,
    }


def _setting(trait: TraitType[Any, Any]) -> _Form:
    form = dict(_form(trait))
    form["description"] = " ".join((trait.help or "").split())
    default = trait.default()
    if isinstance(default, str | int | float | bool | list | dict) and "$ref" not in form:
        form["default"] = default
    if isinstance(default, set):
        form["default"] = sorted(map(str, default))
    return form


def _form(trait: TraitType[Any, Any]) -> _Form:
    """Return what a setting takes, and null where it may be left open."""
    form = next((make(trait) for kind, make in _FORMS if isinstance(trait, kind)), {})
    if trait.allow_none and form and "enum" not in form:
        return {"anyOf": [form, {"type": "null"}]}
    return form


def _number(kind: str) -> Callable[[Any], _Form]:
    def form(trait: Any) -> _Form:
        limits = {"minimum": trait.min, "maximum": trait.max}
        return {"type": kind} | {name: value for name, value in limits.items() if value is not None}

    return form


def _array(trait: Any) -> _Form:
    inner = trait._trait
    return {"type": "array"} | ({"items": _form(inner)} if inner is not None else {})


def _object(trait: Any) -> _Form:
    inner = trait._value_trait
    return {"type": "object"} | ({"additionalProperties": _form(inner)} if inner is not None else {})


def _choice(trait: Any) -> _Form:
    values = [value for value in trait.values if value is not None]
    return {"enum": [*values, None] if trait.allow_none else values}


def _either(trait: Any) -> _Form:
    forms = [_form(part) for part in trait.trait_types if not _is_only_python(part)]
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _plugin(trait: Any) -> _Form:
    return {"anyOf": [{"enum": sorted(trait.known)}, {"type": "string", "pattern": r"^[\w.]+[.:]\w+$"}]}


_FORMS: tuple[tuple[type, Callable[[Any], _Form]], ...] = (
    (traitlets.Bool, lambda _: {"type": "boolean"}),
    (traitlets.Int, _number("integer")),
    (traitlets.Float, _number("number")),
    (traitlets.Enum, _choice),
    (traitlets.Set, lambda trait: {**_array(trait), "uniqueItems": True}),
    (traitlets.List, _array),
    (traitlets.Dict, _object),
    (traitlets.Union, _either),
    (traitlets.Unicode, lambda _: _TEXT),
    (URLPrefix, lambda _: _TEXT),
    (Plugin, _plugin),
    (MemorySize, lambda _: {"anyOf": [{"type": "integer", "minimum": 0}, _TEXT]}),
    (Duration, lambda _: {"anyOf": [{"type": "number", "minimum": 0}, _TEXT]}),
    (Command, lambda _: {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}),
)


def _is_only_python(trait: TraitType[Any, Any]) -> bool:
    """Functions and bytes cannot be written in JSON; settings of any type mostly are functions."""
    if isinstance(trait, traitlets.Union):
        return all(map(_is_only_python, trait.trait_types))
    return type(trait) is traitlets.Any or isinstance(trait, traitlets.Callable | traitlets.Bytes)
