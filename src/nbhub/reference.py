"""The reference of all settings, taken from the code, so that it is never out of date."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from traitlets import HasTraits, TraitType
from traitlets.config import Application, Configurable, LoggingConfigurable

from nbhub.config import FLAGS, OPTIONS

# What the framework brings along and nobody configures.
_FRAMEWORK = (Application, Configurable, LoggingConfigurable)

_INTRODUCTION = """# Settings

Written by `make docs` from the code. Put settings into `nbhub_config.py` in the folder where nbhub is started (or name
the file with `-f`), as in `c.Hub.port = 9000`, or give them on the command line, which wins: `--Hub.port=9000`.
A section holds for its class and for those that derive from it: `c.Spawner.cmd` reaches every spawner.
Existing files may say `c.JupyterHub` for `c.Hub`. Unknown names and values of the wrong type stop the start with a
message that names the line.
"""


def own_settings(cls: type[Configurable]) -> dict[str, TraitType[Any, Any]]:
    """Return the settings that `cls` itself declares, in its order, or that its parts do; not what it inherits."""
    declaring = [cls, *_parts(cls)]
    names = [name for declared in declaring for name in vars(declared) if name in cls.class_traits(config=True)]
    return {name: cls.class_traits(config=True)[name] for name in names}


def sections(classes: Iterable[type[Configurable]]) -> list[type[Configurable]]:
    """Return every class that declares settings among `classes` and their bases, bases first, each once."""
    found: dict[type[Configurable], None] = {}
    for cls in classes:
        for base in reversed(cls.__mro__):
            if issubclass(base, Configurable) and base not in _FRAMEWORK and not _is_part(base) and own_settings(base):
                found.setdefault(base)
    return list(found)


def _parts(cls: type) -> list[type]:
    """Return the bases that only hold a part of a class's settings, in files of their own."""
    parts = [base for base in cls.__bases__ if _is_part(base)]
    return [found for part in parts for found in (part, *_parts(part))]


def _is_part(cls: type) -> bool:
    return cls.__name__.endswith("Settings") and issubclass(cls, HasTraits)


def markdown(classes: Iterable[type[Configurable]]) -> str:
    """Return the whole reference."""
    return "\n".join([_INTRODUCTION, *_short_options(), *(line for cls in sections(classes) for line in _section(cls))])


def text(classes: Iterable[type[Configurable]]) -> str:
    """Return the settings for a terminal: name, default, help."""
    lines = []
    for cls in sections(classes):
        for name, trait in own_settings(cls).items():
            lines.append(f"c.{cls.__name__}.{name} = {_default(trait)}\n    {_help(trait)}")
    return "\n".join(lines)


def _short_options() -> Iterator[str]:
    yield from ("## Short options", "", "| option | setting |", "|---|---|")
    yield "| `-f FILE`, `--config=FILE` | the configuration file |"
    settings: Mapping[str, str] = {option: f"`{path}`" for option, path in OPTIONS.items()}
    for option, path in settings.items():
        yield f"| `--{option}=…` | {path} |"
    for flag, (path, value) in FLAGS.items():
        yield f"| `--{flag}` | `{path}={value}` |"
    yield ""


def _section(cls: type[Configurable]) -> Iterator[str]:
    yield f"## {cls.__name__}"
    yield ""
    yield " ".join((cls.__doc__ or "").split("\n\n")[0].split())
    bases = [base.__name__ for base in cls.__mro__[1:] if base in sections([cls])]
    if bases:
        yield f"Takes also the settings of {', '.join(bases)}."
    yield from ("", "| setting | default | meaning |", "|---|---|---|")
    for name, trait in own_settings(cls).items():
        yield f"| `{name}` | `{_default(trait)}` | {_help(trait)} |".replace("…|", "… |")
    yield ""


def _default(trait: TraitType[Any, Any]) -> str:
    value = trait.default()
    # Sets have no order of their own; the reference has to be the same every time.
    shown = "{" + ", ".join(sorted(map(repr, value))) + "}" if isinstance(value, set) and value else repr(value)
    return re.sub(r"\s+", " ", shown).replace("|", "\\|")


def _help(trait: TraitType[Any, Any]) -> str:
    return " ".join((trait.help or "").split()).replace("|", "\\|")
