"""One password for everybody, and one for administrators: for courses and workshops."""

from __future__ import annotations

from traitlets import Dict, List, Unicode

from nbhub.authenticators.base import Identity, PasswordAuthenticator, check_password
from nbhub.core import secrets
from nbhub.errors import ConfigError

SHORTEST_USER = 8
SHORTEST_ADMIN = 32


class SharedPasswordAuthenticator(PasswordAuthenticator):
    """Believes a name together with the one password; names in `admin_users` need the administrators'."""

    label = "shared password"

    user_password = Unicode(
        None,
        allow_none=True,
        help="The password of everybody who is not in admin_users, at least 8 characters; without one they cannot log "
        "in. Whoever knows it can be any of them.",
    ).tag(config=True)
    admin_password = Unicode(
        None,
        allow_none=True,
        help="The password of those in admin_users, at least 32 characters and another one than user_password.",
    ).tag(config=True)
    password_groups = Dict(
        key_trait=Unicode(),
        value_trait=List(Unicode()),
        help="Further passwords, and the groups that each makes a member of; needs manage_groups.",
    ).tag(config=True)

    def check_settings(self) -> None:
        """See Authenticator."""
        user, admin = self.user_password or "", self.admin_password or ""
        for name, password, shortest in (
            ("user_password", user, SHORTEST_USER),
            ("admin_password", admin, SHORTEST_ADMIN),
            *(("password_groups", password, SHORTEST_USER) for password in self.password_groups),
        ):
            if (password or name == "password_groups") and len(password) < shortest:
                raise ConfigError(f"{self._setting(name)} needs at least {shortest} characters.")
        if admin and (admin == user or admin in self.password_groups):
            raise ConfigError(f"{self._setting('admin_password')} has to differ from what ordinary users know.")
        if self.admin_users and not admin:
            raise ConfigError(
                f"{self._setting('admin_users')} names administrators; they log in with "
                f"{self._setting('admin_password')}, which is not set."
            )
        if self.password_groups and not self.manage_groups:
            raise ConfigError(f"{self._setting('password_groups')} needs {self._setting('manage_groups')} = True.")
        if not (user or admin or self.password_groups):
            raise ConfigError(f"{self._setting('user_password')} is not set, so nobody can log in.")

    async def authenticate(self, username: str, password: str, *, address: str) -> Identity | None:
        """See PasswordAuthenticator."""
        name = self.normalize(username)
        check_password(password)
        found = self._match(name, password)

        async def verdict() -> bool:
            return found is not None

        return found if await self.throttled(name, address, verdict) else None

    def _match(self, name: str, password: str) -> Identity | None:
        if name in self.admin_users:
            right = bool(self.admin_password) and secrets.equal(self.admin_password or "", password)
            return Identity(name, admin=True) if right else None
        matching = [groups for known, groups in self.password_groups.items() if secrets.equal(known, password)]
        if matching:
            return Identity(name, groups=tuple(matching[0]))
        if self.user_password and secrets.equal(self.user_password, password):
            return Identity(name, groups=() if self.password_groups else None)
        return None

    def _setting(self, name: str) -> str:
        return f"c.{type(self).__name__}.{name}"
