"""Templates and the logo of the configuration, which go before our own."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta

from nbhub.core.model import User
from nbhub.errors import NotFound
from nbhub.spawners.one_server import Owner, Subject
from nbhub.web import assets

log = logging.getLogger("nbhub.web")


def loader(folders: tuple[str, ...]) -> jinja2.BaseLoader:
    """Return where templates come from; ours are reached as templates/NAME from those that stand before them."""
    own = jinja2.PackageLoader("nbhub.web", "templates")
    if not folders:
        return own
    chosen = {name: path for folder in reversed(folders) for name, path in _fitting(Path(folder), own)}

    def find(name: str) -> str | None:
        return chosen[name].read_text("utf-8") if name in chosen else None

    return jinja2.ChoiceLoader([jinja2.FunctionLoader(find), jinja2.PrefixLoader({"templates": own}), own])


def _fitting(folder: Path, own: jinja2.BaseLoader) -> Iterator[tuple[str, Path]]:
    """Yield the templates of a folder that can stand beside ours: those that build on what is there."""
    present = set(own.list_templates()) | {path.name for path in folder.glob("*.html")}
    for path in sorted(folder.glob("*.html")):
        try:
            tree = jinja2.Environment(autoescape=True).parse(path.read_text("utf-8"))
        except (jinja2.TemplateSyntaxError, OSError, UnicodeDecodeError) as error:
            log.warning("template=%s left out: %s", path, error)
            continue
        needed = {str(name).removeprefix("templates/") for name in meta.find_referenced_templates(tree)}
        if needed <= present:
            yield path.name, path
        else:
            log.warning("template=%s left out: it needs %s, which nbhub does not have", path, sorted(needed - present))


def variables(configured: Mapping[str, Any], user: User | None) -> dict[str, Any]:
    """Return the configuration's variables for templates; functions among them are called with the user."""
    owner = None if user is None else Owner(Subject(user))
    return {name: value(owner) if callable(value) else value for name, value in configured.items()}


@functools.cache
def logo(file: str) -> tuple[dict[str, assets.Asset], str]:
    """Return files and a name among them: the configured picture. Raises NotFound."""
    path = Path(file).expanduser()
    try:
        return {path.name: assets.read(path)}, path.name
    except OSError as error:
        raise NotFound(f"The logo {path.name} cannot be read. Correct the setting logo_file.") from error
