"""Kinds of settings of our own: memory sizes, durations, commands, URL prefixes and plugin classes."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.metadata import entry_points
from typing import Any

from traitlets import TraitError, TraitType

from nbhub.compat import imports

_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGT])")
_MEMORY_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")
_DURATION_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class MemorySize(TraitType[Any, Any]):
    """Bytes as an int; a text is a number with K, M, G or T (powers of 1024), such as "1.5G"."""

    info_text = 'a number of bytes, or a text such as "512M" or "1.5G" (K, M, G or T)'

    def validate(self, obj: Any, value: Any) -> int:
        """Return bytes; raises TraitError."""
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return int(value)
        match = _MEMORY.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            self.error(obj, value)
        return int(float(match[1]) * _MEMORY_UNITS[match[2]])

    def from_string(self, s: str) -> Any:
        """Take a bare number on the command line as bytes."""
        if self.allow_none and s == "None":
            return None
        return int(s) if s.isdecimal() else s


class Duration(TraitType[Any, Any]):
    """Seconds as a float; a text is a number with s, m, h, d or w, such as "90s" or "1.5h"."""

    info_text = 'a number of seconds, or a text such as "90s", "10m", "1.5h" or "2d"'

    def validate(self, obj: Any, value: Any) -> float:
        """Return seconds; raises TraitError."""
        if isinstance(value, timedelta):
            value = value.total_seconds()
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
            return float(value)
        match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            self.error(obj, value)
        return float(match[1]) * _DURATION_UNITS[match[2]]

    def from_string(self, s: str) -> Any:
        """Take the text as it is; `validate` understands it."""
        return None if self.allow_none and s == "None" else s


class Command(TraitType[Any, Any]):
    """A command as a list of its words; a single text is a command without arguments."""

    info_text = 'a command: a list such as ["jupyter", "labhub"], or the text of one word'

    def validate(self, obj: Any, value: Any) -> list[str]:
        """Return the words; raises TraitError."""
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            self.error(obj, value)
        return list(words)

    def make_dynamic_default(self) -> Any:
        """Give every object a list of its own."""
        return [] if self.default_value is None else self.default_value

    def from_string(self, s: str) -> Any:
        """Take the command line's text as one word."""
        return s

    def from_string_list(self, s_list: list[str]) -> Any:
        """Take an option that is given several times as one word each."""
        return s_list


class URLPrefix(TraitType[Any, Any]):
    """A path with a slash at both ends; missing ones are added."""

    default_value = "/"
    info_text = 'a URL path such as "/" or "/jupyter/"'

    def validate(self, obj: Any, value: Any) -> str:
        """Return the path with its slashes; raises TraitError."""
        if not isinstance(value, str) or re.search(r"[\s?#\\]|//|:|%2[fF]|(^|/)\.\.?(/|$)", value):
            self.error(obj, value)
        return f"/{value.strip('/')}/" if value.strip("/") else "/"

    def from_string(self, s: str) -> Any:
        """Take the text as it is."""
        return s


class Plugin(TraitType[Any, Any]):
    """A class: given itself, by the name under which it is known, or by its dotted path.

    `known` maps names to dotted paths; classes that installed packages register under `group` are known too.
    `base` is the dotted path of the class that it has to derive from.
    """

    def __init__(self, default: str, *, base: str, group: str, known: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(default, **kwargs)
        self.base = base
        self.group = group
        self.known = dict(known)

    def info(self) -> str:
        """Say what is expected."""
        return f"one of {', '.join(sorted(self.known))}, a dotted path such as package.module.Class, or a class"

    def validate(self, obj: Any, value: Any) -> type:
        """Return the class; raises TraitError with the reason."""
        found = self.find(value) if isinstance(value, str) else value
        base = import_path(self.base)
        if not isinstance(found, type) or not issubclass(found, base):
            raise TraitError(f"{value!r} is not a {base.__name__}; expected {self.info()}")
        return found

    def find(self, name: str) -> Any:
        """Return what `name` stands for; raises TraitError with a suggestion when nothing does."""
        if name in self.known:
            return import_path(self.known[name])
        registered = {point.name: point for point in entry_points(group=self.group)}
        if name in registered:
            return _tell_failure(registered[name].value, registered[name].load)
        if "." in name or ":" in name:
            with imports.pretending():  # JupyterHub's classes mean ours, also inside modules that import them
                return import_path(name)
        names = [*self.known, *registered]
        raise TraitError(f"there is none named {name!r}{did_you_mean(name, names)} Expected {self.info()}")

    def from_string(self, s: str) -> Any:
        """Take the text as it is."""
        return s


_KUBERNETES = "nbhub.spawners.kubernetes."


def import_path(path: str) -> Any:
    """Import `package.module.Name` or `package.module:Name`; raises TraitError that says what is missing."""
    module, _, name = path.replace(":", ".").rpartition(".")
    if not module or not name:
        raise TraitError(f"{path!r} is not a dotted path such as package.module.Class")
    return _tell_failure(path, lambda: getattr(importlib.import_module(module), name))


def did_you_mean(word: str, choices: Sequence[str]) -> str:
    """Return " Did you mean …?" with the nearest choice, led by the full stop that ends the sentence before it."""
    lowered = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return f". Did you mean {lowered[near[0]]}?" if near else "."


def _tell_failure(path: str, load: Any) -> Any:
    try:
        return load()
    except ModuleNotFoundError as error:
        if path.startswith(_KUBERNETES):
            raise TraitError(
                f"{path.rpartition('.')[2]} needs packages that are not installed: pip install 'nbhub[kubernetes]'"
            ) from error
        raise TraitError(
            f"{path} cannot be loaded: there is no Python package {error.name!r}; install it beside nbhub"
        ) from error
    except (ImportError, AttributeError, SyntaxError) as error:
        raise TraitError(f"{path} cannot be loaded: {error}") from error
