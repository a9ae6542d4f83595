"""One call of a command: its words, its own options, and the hub that the other options describe."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from traitlets import TraitError
from traitlets.config import Configurable

from nbhub import config, log
from nbhub.app import AUTHENTICATORS, SPAWNERS, Hub
from nbhub.errors import ConfigError
from nbhub.proxy import Proxy
from nbhub.traits import import_path


@dataclass(frozen=True, slots=True)
class Call:
    """One call: plain words, the flags and values of the command's own, and the options of the hub."""

    words: Sequence[str] = ()
    flags: frozenset[str] = frozenset()
    values: Mapping[str, str] = field(default_factory=dict)  # {"--file": "x"} of `--file=x` or `--file x`
    options: Sequence[str] = ()

    def hub(self) -> Hub:
        """Read the settings, check them all, and begin to log as they say. Raises ConfigError."""
        hub, warnings = built(config.load(self.options))
        log.configure(str(hub.log_level), as_json=hub.log_json)
        for warning in warnings:
            if hub.log_json:
                log.tell(warning, "warning")
            else:
                print(f"nbhub: {warning}", file=sys.stderr)
        return hub


def say(text: str) -> None:
    """Tell the person at the terminal, at once, also through a pipe."""
    print(text, flush=True)


def built(loaded: config.Loaded) -> tuple[Hub, list[str]]:
    """Return the hub of the settings, and what is to be said about them. Raises ConfigError."""
    loaded.check_values([Hub])
    hub = config.build(Hub, loaded.config)
    return hub, loaded.check(_classes(hub, loaded))


def all_classes() -> list[type[Configurable]]:
    """Return every class of ours that has settings."""
    return [Hub, *(import_path(path) for path in (*SPAWNERS.values(), *AUTHENTICATORS.values())), Proxy]


def installed_classes() -> list[type[Configurable]]:
    """Return the same without those that need packages which are not installed; says which, and how to have them."""
    found: list[type[Configurable]] = []
    left_out: dict[str, str] = {}
    for path in (*SPAWNERS.values(), *AUTHENTICATORS.values()):
        try:
            found.append(import_path(path))
        except (TraitError, ConfigError) as error:
            left_out[path.rpartition(".")[2]] = str(error)
    if left_out:
        remedies = sorted({word for why in left_out.values() for word in re.findall(r"pip install '[^']+'", why)})
        first, *others = left_out
        names = f"{first} and {len(others)} more are" if others else f"{first} is"
        print(
            f"nbhub: {names} left out, since what they need is not installed: {'; '.join(remedies)}.", file=sys.stderr
        )
    return [Hub, *found, Proxy]


def _classes(hub: Hub, loaded: config.Loaded) -> list[type[Configurable]]:
    """Return the classes in use, and those that the settings mention though they are not: loading all takes time."""
    known = [*SPAWNERS.values(), *AUTHENTICATORS.values()]
    mentioned = [import_path(path) for path in known if path.rpartition(".")[2] in loaded.config]
    return [Hub, hub.spawner_class, hub.authenticator_class, Proxy, *mentioned]
