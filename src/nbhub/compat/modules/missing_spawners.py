"""Stands for spawners that nbhub does not have (yet): files that name them load, their start is refused in words."""

from __future__ import annotations

from functools import cache

from nbhub.compat.modules.missing import Missing
from nbhub.errors import ConfigError
from nbhub.spawners.base import Spawner


class MissingSpawner(Missing, Spawner):
    """A spawner that is known by its name only."""

    advice = "Run servers on this machine: c.JupyterHub.spawner_class = 'simple'."

    async def check(self) -> None:
        """Refuse to start."""
        raise ConfigError(self.words())


@cache
def load(module: str, name: str) -> type | None:
    """Return a class of that name."""
    if not name[:1].isupper():
        return None
    return type(name, (MissingSpawner,), {"__module__": __name__, "__doc__": f"Stands for {module}.{name}."})
