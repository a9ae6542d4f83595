"""Stands for spawners that nbhub does not have (yet): files that name them load, their start is refused in words."""

from __future__ import annotations

from functools import cache

from nbhub.compat import verdicts
from nbhub.errors import ConfigError
from nbhub.spawners.base import Spawner

_BATCH = ("SlurmSpawner", "TorqueSpawner", "PBSSpawner", "LsfSpawner", "GridengineSpawner", "CondorSpawner")


class MissingSpawner(Spawner):
    """A spawner that is known by its name only."""

    async def check(self) -> None:
        """Refuse to start."""
        raise ConfigError(self.words())

    @classmethod
    def words(cls) -> str:
        """Say why there is no such spawner, and what to do."""
        for base in cls.__mro__:
            verdict = verdicts.of_section("BatchSpawner" if base.__name__ in _BATCH else base.__name__)
            if verdict is not None:
                return f"{base.__name__} is {verdict}"
        return f"nbhub has no {cls.__name__}. Run servers on this machine: c.JupyterHub.spawner_class = 'simple'."


@cache
def load(module: str, name: str) -> type | None:
    """Return a class of that name."""
    if not name[:1].isupper():
        return None
    return type(name, (MissingSpawner,), {"__module__": __name__, "__doc__": f"Stands for {module}.{name}."})
