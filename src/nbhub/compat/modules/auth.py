"""Stands for `jupyterhub.auth` and the packages of authenticators: nbhub's own, for direct use and as bases."""

from __future__ import annotations

from functools import cache

from nbhub.authenticators import local
from nbhub.authenticators.base import PasswordAuthenticator
from nbhub.compat import names
from nbhub.compat.modules import missing_authenticators
from nbhub.compat.modules.handlers import BaseHandler
from nbhub.compat.own_authenticator import FileAuthenticator, adapted
from nbhub.traits import import_path


class Authenticator(FileAuthenticator, PasswordAuthenticator):
    """A source of identities that a file writes itself, with `authenticate(handler, data)`."""

    label = "account"


class LocalAuthenticator(FileAuthenticator, local.LocalAuthenticator, PasswordAuthenticator):
    """A source that a file writes itself, or combines with another, for people with accounts on this machine."""

    label = "account of this machine"


@cache
def load(module: str, name: str) -> type | None:
    """Return our class of that name, made ready to be derived from; None where there is none."""
    if name.endswith(("Handler", "Mixin")):  # pages of the others, which files derive from
        return type(name, (BaseHandler,), {"__module__": __name__, "__doc__": f"Stands for {module}.{name}."})
    if name in names.OTHER_PROVIDERS:
        return missing_authenticators.load("oauthenticator", name)
    path = names.AUTHENTICATOR_CLASSES.get(name)
    return None if path is None else adapted(import_path(path))
