"""Any name, with one password for all or none: for trials."""

from __future__ import annotations

from traitlets import Unicode, default

from nbhub.authenticators.base import Identity, PasswordAuthenticator
from nbhub.core import secrets


class DummyAuthenticator(PasswordAuthenticator):
    """Believes every name. With `password`, only together with that."""

    label = "name"

    password = Unicode(
        help="One password for everybody; empty asks for none. For trials only: whoever knows it can be anybody."
    ).tag(config=True)

    @default("allow_all")
    def _everybody_unless_some_are_named(self) -> bool:
        return not self.allowed_users

    @property
    def asks_password(self) -> bool:
        """See PasswordAuthenticator."""
        return bool(self.password)

    async def authenticate(self, username: str, password: str, *, address: str) -> Identity | None:
        """See PasswordAuthenticator."""
        name = self.normalize(username)
        if self.password and not secrets.equal(self.password, password):
            return None
        return Identity(name)

    def warning(self) -> str:
        """See Authenticator."""
        who = "with one shared password" if self.password else "WITHOUT ANY PASSWORD"
        return (
            f"THIS HUB IS FOR TRIALS ONLY: the dummy authenticator lets everybody in under any name, {who}, "
            "also as an administrator. Use another one as soon as somebody else can reach it "
            "(--Hub.authenticator_class=native)."
        )
