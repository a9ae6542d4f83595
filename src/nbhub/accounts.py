"""What an operator does to accounts outside the web: invitations, password resets, tokens; also beside a running hub.

All of it is rows of the database, so that it works whether or not a hub is running.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nbhub import config
from nbhub.app import Hub
from nbhub.authenticators.base import Authenticator, check_name
from nbhub.authenticators.native import NativeAuthenticator, Offer, native_of
from nbhub.core import names, roles, secrets
from nbhub.core.model import User
from nbhub.errors import ConfigError, NotFound
from nbhub.store import Reading, Store, Writing, grants, users
from nbhub.store.base import sqlite_path

_FIRST = "first start"
_COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link, and until when it works (seconds since the epoch)."""

    url: str
    expires_at: float

    @property
    def expiry(self) -> str:
        """The end of its life, for people."""
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.expires_at))


async def first_link(hub: Hub, store: Store, source: Authenticator, now: float) -> Link | None:
    """Return the link with which the first administrator chooses name and password; None once somebody has one.

    A link of an earlier start ceases to work.
    """
    native = native_of(source)
    if native is None:
        return None
    async with store.write() as tx:
        if await users.has_passwords(tx):
            return None
        for invitation in await users.list_invitations(tx, now):
            if invitation.created_by == _FIRST:
                await users.delete_invitation(tx, invitation.id)
    return _signup(hub, await native.invite(admin=True, by=_FIRST))


async def invitation(hub: Hub, name: str | None, *, admin: bool, clock: Callable[[], float] = time.time) -> Link:
    """Return a link with which somebody makes an account, as `name` or any; Conflict if the name is taken."""
    async with opened(hub) as store:
        source = _native(hub, store, clock)
        return _signup(hub, await source.invite(name, admin=admin, by=_COMMAND_LINE))


async def password_reset(hub: Hub, name: str, *, clock: Callable[[], float] = time.time) -> Link:
    """Return a link with which the user sets a new password; NotFound if there is no such user."""
    async with opened(hub) as store:
        source = _native(hub, store, clock)
        async with store.read() as tx:
            user = await _user(tx, name)
        offer = await source.offer_reset(user, by=_COMMAND_LINE)
        return Link(f"{hub.address}hub/reset-password?code={offer.code}", offer.expires_at)


async def new_token(hub: Hub, name: str, *, admin: bool = False, clock: Callable[[], float] = time.time) -> str:
    """Return a new API token with all rights of the user; NotFound if there is no such user.

    With `admin`, the user is made an administrator, and made at all if need be: the way in for programs.
    """
    token = secrets.new_token()
    async with opened(hub) as store, store.write() as tx:
        user = await _administrator(tx, name, clock()) if admin else await _user(tx, name)
        await grants.create_token(
            tx,
            secrets.hash_token(token),
            user_id=user.id,
            scopes=roles.BUILT_IN[roles.TOKEN].scopes,
            note=f"made on the {_COMMAND_LINE}",
            now=clock(),
        )
    return token


def _native(hub: Hub, store: Store, clock: Callable[[], float]) -> NativeAuthenticator:
    source: Authenticator = config.build(hub.authenticator_class, hub.config, parent=hub)
    source.attach(store, clock)
    native = native_of(source)
    if native is None:
        raise ConfigError(
            f"This hub uses {hub.authenticator_class.__name__}, which keeps no passwords here, so there is nothing to "
            "invite to or to reset. Links are for the native authenticator (--Hub.authenticator_class=native)."
        )
    return native


def _signup(hub: Hub, offer: Offer) -> Link:
    return Link(f"{hub.address}hub/signup?code={offer.code}", offer.expires_at)


async def _user(tx: Reading, name: str) -> User:
    user = await users.get(tx, name) or await users.get(tx, name.lower())
    if user is None:
        raise NotFound(f"There is no user {name[:64]!r}. Invite one: nbhub invite {names.quote(name[:64])}")
    return user


async def _administrator(tx: Writing, name: str, now: float) -> User:
    user = await users.get(tx, name) or await users.get(tx, name.lower())
    if user is None:
        check_name(name.lower())
        return await users.create(tx, name.lower(), admin=True, now=now)
    return user if user.admin else await users.set_admin(tx, user.id, True)


@asynccontextmanager
async def opened(hub: Hub) -> AsyncIterator[Store]:
    """Open the hub's database, also while a hub has it open."""
    store = await Store.open(hub.database, beside_hub=_is_there(hub.database))
    try:
        yield store
    finally:
        await store.close()


def _is_there(database: str) -> bool:
    """Say whether the database is an SQLite file that a hub has made."""
    scheme, separator, rest = database.partition("://")
    if separator and not scheme.startswith("sqlite"):
        return False
    return Path(sqlite_path(rest) if separator else database).expanduser().is_file()
