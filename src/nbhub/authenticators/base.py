"""The contract between the login page and a source of identities: capabilities, not stubs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from traitlets import Bool, Set, Unicode
from traitlets.config import LoggingConfigurable

from nbhub.errors import BadRequest

if TYPE_CHECKING:
    from nbhub.store import Store


@dataclass(frozen=True, slots=True)
class Identity:
    """The result of every login. None for `groups` or `admin` means: leave as it is."""

    name: str
    groups: tuple[str, ...] | None = None
    admin: bool | None = None
    auth_state: Mapping[str, Any] | None = field(default=None, repr=False)
    temporary: bool = False  # the user is deleted once its servers are gone


class Authenticator(LoggingConfigurable):
    """What all sources have in common: names and who of the identified may enter."""

    label: ClassVar[str] = "account"  # shown on the login page: "Sign in with your {label}"
    keeps_passwords: ClassVar[bool] = False  # people can choose and change theirs here

    admin_users = Set(Unicode(), help="Names that are administrators.").tag(config=True)
    allowed_users = Set(Unicode(), help="Names that may enter.").tag(config=True)
    allow_all = Bool(False, help="Everybody whom the source identifies may enter.").tag(config=True)
    blocked_users = Set(Unicode(), help="Names that are refused even if allowed.").tag(config=True)
    username_pattern = Unicode(help="Regular expression that the whole name has to match.").tag(config=True)

    def attach(self, store: Store, clock: Callable[[], float]) -> None:
        """Take what is needed to remember something; called once, before anybody logs in."""

    def normalize(self, name: str) -> str:
        """Return the hub's form of a name; raises BadRequest for a name that cannot be one."""
        name = name.lower()
        check_name(name)
        if self.username_pattern and not re.fullmatch(self.username_pattern, name):
            raise BadRequest(f"The user name {name[:64]!r} is not of the form that this hub takes.")
        return name

    async def allows(self, identity: Identity) -> bool:
        """Say whether an identified person may enter: denied unless a setting allows."""
        if identity.name in self.blocked_users:
            return False
        return self.allow_all or identity.name in self.allowed_users or identity.name in self.admin_users

    def warning(self) -> str:
        """Return what the operator should be told at every start, loudly; usually nothing."""
        if self.allow_all or self.allowed_users or self.admin_users:
            return ""
        name = type(self).__name__
        return (
            f"Nobody may enter this hub. Name who may: c.{name}.allowed_users = {{'alice'}}, or let everybody in whom "
            f"the source identifies: c.{name}.allow_all = True."
        )


class PasswordAuthenticator(Authenticator):
    """A source that takes a name and a password from the login page."""

    @property
    def asks_password(self) -> bool:
        """The name alone is not enough."""
        return True

    async def authenticate(self, username: str, password: str, *, address: str) -> Identity | None:
        """Return who this is, or None if the two do not belong together.

        `address` is the client's, for throttling. Raises TooManyRequests when guessing has to wait, BadRequest for a
        name that cannot be one.
        """
        raise NotImplementedError


class VisitAuthenticator(Authenticator):
    """A source that needs no input: every visit is somebody."""

    async def visit(self) -> Identity:
        """Return a fresh identity."""
        raise NotImplementedError


def check_name(name: str) -> None:
    """Raise BadRequest unless `name` can be a user name: printable, up to 255 characters, no `/`, not only dots."""
    if not name or len(name) > 255:
        raise BadRequest("A user name has 1 to 255 characters.")
    if name != name.strip() or not name.isprintable():
        raise BadRequest(f"The user name {name[:64]!r} has spaces around it or unprintable characters.")
    if (
        "/" in name
        or "\\" in name
        or "%2f" in name.lower()
        or not name.replace("%2e", ".").replace("%2E", ".").strip(".")
    ):
        raise BadRequest(f"The user name {name[:64]!r} may not contain a slash or consist of dots only.")
