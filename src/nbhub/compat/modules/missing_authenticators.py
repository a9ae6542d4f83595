"""Stands for sources of identities that nbhub does not have: files that name them load, their start is refused."""

from __future__ import annotations

from functools import cache

from nbhub.authenticators.base import Authenticator
from nbhub.compat.modules.missing import Missing
from nbhub.errors import ConfigError


class MissingAuthenticator(Missing, Authenticator):
    """A source of identities that is known by its name only."""

    advice = (
        "Use c.JupyterHub.authenticator_class = 'generic-oauth' with the provider's addresses (issuer, or "
        "authorize_url, token_url and userdata_url). Others are in docs/authenticators.md."
    )

    async def check(self) -> None:
        """Refuse to start."""
        raise ConfigError(self.words())


@cache
def load(module: str, name: str) -> type | None:
    """Return a class of that name."""
    if not name[:1].isupper():
        return None
    return type(name, (MissingAuthenticator,), {"__module__": __name__, "__doc__": f"Stands for {module}.{name}."})
