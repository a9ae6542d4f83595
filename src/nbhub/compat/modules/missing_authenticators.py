"""Stands for sources of identities that nbhub does not have: files that name them load, and their start is refused."""

from __future__ import annotations

from functools import cache

from nbhub.authenticators.base import Authenticator
from nbhub.compat import verdicts
from nbhub.errors import ConfigError


class MissingAuthenticator(Authenticator):
    """A source of identities that is known by its name only."""

    async def check(self) -> None:
        """Refuse to start."""
        raise ConfigError(self.words())

    @classmethod
    def words(cls) -> str:
        """Say why there is no such source, and what to do."""
        for base in cls.__mro__:
            if (verdict := verdicts.of_section(base.__name__)) is not None:
                return f"{base.__name__} is {verdict}"
        return f"nbhub has no {cls.__name__}. See docs/migrate.md for the sources of identities that there are."


@cache
def load(module: str, name: str) -> type | None:
    """Return a class of that name."""
    if not name[:1].isupper():
        return None
    return type(name, (MissingAuthenticator,), {"__module__": __name__, "__doc__": f"Stands for {module}.{name}."})
