"""From an identity to a user: made or brought up to date, with groups, rights and the state of the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
from cryptography.fernet import InvalidToken

from nbhub import hooks
from nbhub.authenticators import managed_roles
from nbhub.authenticators.base import Authenticator, Identity, to_model
from nbhub.core.model import User
from nbhub.core.secrets import Keys
from nbhub.errors import BadRequest, ConfigError, Forbidden
from nbhub.store import Reading, Store, Writing, grants, identities, users
from nbhub.store.identities import IdentityRecord


async def make_named_users(source: Authenticator, store: Store, now: float) -> None:
    """Make the users whom the settings name; administrators become such. Raises ConfigError for what is no name."""
    names = {_name(source, "allowed_users", name): False for name in source.allowed_users}
    names |= {_name(source, "admin_users", name): True for name in source.admin_users}
    async with store.write() as tx:
        for name, admin in sorted(names.items()):
            user = await users.get(tx, name)
            if user is None:
                await users.create(tx, name, admin=admin, now=now)
            elif admin and not user.admin:
                await users.set_admin(tx, user.id, True)


def _name(source: Authenticator, setting: str, name: str) -> str:
    try:
        return source.normalize(name)
    except BadRequest as error:
        raise ConfigError(f"c.{type(source).__name__}.{setting}: {error.message}") from error


class Admission:
    """Lets people in. `keys` encrypt what is kept of the source's state."""

    def __init__(self, source: Authenticator, store: Store, keys: Keys, clock: Callable[[], float]) -> None:
        self._source = source
        self._store = store
        self._box = keys.auth_state_box()
        self._clock = clock

    async def admit(self, found: Identity, handler: Any = None) -> User:
        """Return the user that an identity is. Raises Forbidden for one who may not enter."""
        found = await self._completed(await self._source.admit(found, handler))
        async with self._store.read() as tx:
            user = await users.get(tx, found.name)
            changed = user is None or await self._changes(tx, user, found)
        if user is not None and not changed:
            return user
        async with self._store.write() as tx:
            return await self._keep(tx, found)

    async def refresh(self, user: User, *, now_at_all_events: bool = False) -> bool:
        """Ask the source again about a user, if that is due or has to be; False when their logins are ended.

        Raises Unavailable when the source does not answer.
        """
        source, now = self._source, self._clock()
        async with self._store.read() as tx:
            known = await identities.get(tx, user.id)
        if known is None or not (now_at_all_events or now - known.confirmed >= source.auth_refresh_age):
            return True
        answer = await source.refresh_from(known.origin, user.name, self.opened(known.auth_state))
        if isinstance(answer, Identity):
            answer = await self._admitted(answer, user)
        async with self._store.write() as tx:
            if answer is True:
                await identities.confirm(tx, user.id, now)
            elif isinstance(answer, Identity) and self._is_same(known, answer):
                await self._keep(tx, answer)
            else:
                await grants.delete_sessions_of(tx, user.id)
                return False
        return True

    async def _admitted(self, answer: Identity, user: User) -> Identity | bool:
        try:
            answer = await self._completed(await self._source.admit(answer))
        except Forbidden:
            return False
        return answer if answer.name == user.name else False

    async def state_of(self, user: User) -> Mapping[str, Any] | None:
        """Return what is kept of the source's state."""
        async with self._store.read() as tx:
            known = await identities.get(tx, user.id)
        return None if known is None else self.opened(known.auth_state)

    async def farewell(self, user: User, back: str) -> str:
        """Return where a browser goes that was logged out, to be logged out at the source too; "" for nowhere."""
        async with self._store.read() as tx:
            known = await identities.get(tx, user.id)
        if known is None:
            return await self._source.logout_from("", None, back)
        return await self._source.logout_from(known.origin, self.opened(known.auth_state), back)

    def opened(self, sealed: str | None) -> dict[str, Any] | None:
        """Return a state that was kept; None when there is none, or it was kept by a hub with another secret."""
        if sealed is None:
            return None
        try:
            return msgspec.json.decode(self._box.decrypt(sealed), type=dict[str, Any])
        except (InvalidToken, msgspec.DecodeError):
            return None

    def _sealed(self, found: Identity) -> str | None:
        if not self._source.enable_auth_state or found.auth_state is None:
            return None
        return self._box.encrypt(msgspec.json.encode(dict(found.auth_state))).decode()

    async def _changes(self, tx: Reading, user: User, found: Identity) -> bool:
        """Say whether something has to be written down."""
        known = await identities.get(tx, user.id)
        self._check_owner(user, known, found)
        if found.auth_state is not None or self._source.is_followed_up or found.admin not in (None, user.admin):
            return True
        if found.roles is not None:
            return True
        if self._source.manage_groups and found.groups is not None:
            return True
        return known is None if found.origin else False

    async def _keep(self, tx: Writing, found: Identity) -> User:
        now = self._clock()
        user = await users.get(tx, found.name)
        if user is None:
            user = await users.create(tx, found.name, admin=bool(found.admin), temporary=found.temporary, now=now)
        elif found.admin not in (None, user.admin):
            user = await users.set_admin(tx, user.id, bool(found.admin))
        if self._source.manage_groups and found.groups is not None:
            await _join(tx, user, found.groups)
        if found.roles is not None:
            await managed_roles.follow(tx, user, found.roles)
        if found.origin or found.auth_state is not None or self._source.is_followed_up:
            self._check_owner(user, await identities.get(tx, user.id), found)
            record = IdentityRecord(found.origin, found.subject, self._sealed(found), now)
            await identities.put(tx, user.id, record)
        return user

    async def _completed(self, found: Identity) -> Identity:
        """Return an admitted identity with what its roles mean, and with the state that is to be kept."""
        roles = found.roles if self._source.manage_roles else None
        found = replace(found, roles=roles)
        found = replace(found, admin=managed_roles.makes_admin(found))
        if self._source.reconcile_auth_state_hook is None:
            return found
        async with self._store.read() as tx:
            user = await users.get(tx, found.name)
            known = await identities.get(tx, user.id) if user is not None else None
        old = None if known is None else self.opened(known.auth_state)
        state = await hooks.call(self._source.reconcile_auth_state_hook, self._source, to_model(found), old)
        if state is not None and not isinstance(state, Mapping):
            raise ConfigError("reconcile_auth_state_hook has to return the auth_state to keep: a dict, or None.")
        return replace(found, auth_state=state)

    def _check_owner(self, user: User, known: IdentityRecord | None, found: Identity) -> None:
        """Raise Forbidden when the name is that of another account."""
        if known is None or self._is_same(known, found):
            return
        raise Forbidden(
            f"The name {user.name} belongs to another account than the one that you logged in with. "
            "Use that one, or ask your administrator."
        )

    def _is_same(self, known: IdentityRecord, found: Identity) -> bool:
        if known.origin == found.origin:
            return not (known.subject and found.subject) or known.subject == found.subject
        return known.origin not in self._source.origins()  # a source that nobody can use any more


async def _join(tx: Writing, user: User, wanted: tuple[str, ...]) -> None:
    """Make the user a member of exactly these groups, which are made when missing."""
    held = (await users.groups_of(tx, [user.id])).get(user.id, ())
    for name in set(held) - set(wanted):
        group = await users.get_group(tx, name)
        if group is not None:
            await users.remove(tx, group.id, [user.name])
    for name in set(wanted) - set(held):
        group = await users.get_group(tx, name) or await users.create_group(tx, name)
        await users.add(tx, group.id, [user.name])
