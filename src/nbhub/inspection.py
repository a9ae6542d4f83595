"""The commands `nbhub config check|show|generate`: a configuration looked at, or written, without starting a hub."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from traitlets import TraitType, Undefined
from traitlets.config import Config, Configurable

from nbhub import config, reference, reload
from nbhub.app import Hub
from nbhub.compat.modules.missing import Missing
from nbhub.errors import ConfigError, NotFound

Say = Callable[[str], None]

_HEAD = """# Configuration of nbhub. Take the # away from a setting to change it; `nbhub config check` says if it fits.
# A section holds for its class and those that derive from it: c.Spawner.cmd reaches every kind of spawner.

# Where the hub listens: 127.0.0.1 is this machine alone, 0.0.0.0 everybody who reaches it.
c.Hub.ip = "127.0.0.1"
c.Hub.port = 8000

# Who may come in: "native" keeps names and passwords here; the first start prints a link for the first account.
c.Hub.authenticator_class = "native"

# How servers run: "simple" as the hub's own user, "localprocess" as the system user who logged in (needs root).
c.Hub.spawner_class = "simple"
"""
_OPEN = {("Hub", "ip"), ("Hub", "port"), ("Hub", "authenticator_class"), ("Hub", "spawner_class")}


def report(hub: Hub, loaded: config.Loaded, warnings: Sequence[str], say: Say, *, values: bool) -> int:
    """Say what the settings become and what does not fit. Returns 0 when a hub can start, 1 when this version cannot.

    Raises ConfigError for a mistake.
    """
    for line in _lines(loaded, values):
        say(line)
    for warning in warnings:
        say(f"note: {warning}")
    missing = [cls.words() for cls in (hub.authenticator_class, hub.spawner_class) if issubclass(cls, Missing)]
    for words in missing:
        say(f"cannot start: {words}")
    if missing:
        return 1
    config.build(hub.spawner_class, hub.config, parent=hub).check_settings()
    source = config.build(hub.authenticator_class, hub.config, parent=hub)
    source.check_settings()
    hub.declared()
    if words := source.warning():
        say(f"note: {words}")
    where = ", ".join(str(path) for path in loaded.files) or "no configuration file"
    say(f"{where}: fine. The hub would be at {hub.address}")
    return 0


def generate(classes: Sequence[type[Configurable]], file: str, say: Say) -> int:
    """Print a configuration that explains every setting, or write it to a file that is not there yet."""
    text = "\n".join([_HEAD, *_settings(classes)]).rstrip() + "\n"
    if not file:
        say(text.rstrip())
        return 0
    path = Path(file).expanduser()
    try:
        with path.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already; it is not overwritten. Name another file.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
    say(f"Written: {path}. Check it with: nbhub config check -f {path}")
    return 0


def ask_to_reload(folder: Path) -> str:
    """Signal the hub that keeps its data in `folder`; raises NotFound when none runs."""
    pid = reload.signal_hub(folder)
    if pid is None:
        raise NotFound(f"No hub runs with the data folder {folder}. Start one, or name its folder with --data-dir.")
    return f"The hub (process {pid}) reads its configuration again; its log says what changed."


def _lines(loaded: config.Loaded, values: bool) -> Iterator[str]:
    """Yield one line for each setting that was made: where, its name in the file, its name here."""
    for section, settings in sorted(loaded.config.items()):
        for name, value in sorted(settings.items()) if isinstance(settings, Config) else ():
            ours, origin = (section, name), loaded.origins.get((section, name), (section, name))
            place = loaded.places.get(ours) or ("default" if ours not in loaded.origins else "file")
            line = f"{place}: c.{'.'.join(origin)}"
            if origin != ours:
                line += f" → c.{section}.{name}"
            yield f"{line} = {shown(name, value)}" if values else line


def shown(name: str, value: Any) -> str:
    """Return a value for the terminal, without secrets."""
    text = repr(_masked(name, value))
    return text if len(text) <= 200 else f"{text[:197]}..."


def _masked(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        if name == "password_groups":  # here the keys are what nobody should see
            return [["(hidden)", groups] for groups in value.values()]
        return {key: _masked(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_masked(name, item) for item in value]
    if config.SECRET.search(name) and isinstance(value, str | bytes) and value:
        return "(hidden)"
    return config.without_passwords(str(value)) if isinstance(value, str) else value


def _settings(classes: Sequence[type[Configurable]]) -> Iterator[str]:
    for cls in reference.sections(classes):
        yield f"\n# -- {cls.__name__}: {' '.join((cls.__doc__ or '').split())}"[:118]
        for name, trait in reference.own_settings(cls).items():
            if (cls.__name__, name) not in _OPEN:
                yield from _setting(cls.__name__, name, trait)


def _setting(section: str, name: str, trait: TraitType[Any, Any]) -> Iterator[str]:
    yield ""
    yield from textwrap.wrap(" ".join(trait.help.split()), 110, initial_indent="# ", subsequent_indent="# ")
    yield f"# c.{section}.{name} = {_literal(trait.default())}"


def _literal(default: Any) -> str:
    """Return a default as Python; sets in an order that stays."""
    if default is Undefined:
        return "[]"  # made by the class when it is used
    return "{" + ", ".join(sorted(map(repr, default))) + "}" if isinstance(default, set) and default else repr(default)
