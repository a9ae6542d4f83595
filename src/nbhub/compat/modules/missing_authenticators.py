"""Stands for sources of identities that nbhub does not have: files that name them load, their start is refused."""

from __future__ import annotations

from functools import cache

from nbhub.authenticators.base import Authenticator
from nbhub.compat.modules.missing import Missing
from nbhub.errors import ConfigError


class MissingAuthenticator(Missing, Authenticator):
    """A source of identities that is known by its name only."""

    advice = "See docs/migrate.md for the sources of identities that there are."

    async def check(self) -> None:
        """Refuse to start."""
        raise ConfigError(self.words())


@cache
def load(module: str, name: str) -> type | None:
    """Return a class of that name."""
    if not name[:1].isupper():
        return None
    return type(name, (MissingAuthenticator,), {"__module__": __name__, "__doc__": f"Stands for {module}.{name}."})
