"""What an operator does to accounts outside the web: invitations, password resets, tokens; also beside a running hub.

All of it is rows of the database, so that it works whether or not a hub is running.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nbhub.app import AUTHENTICATORS, Hub
from nbhub.authenticators.base import check_name
from nbhub.core import names, roles, secrets
from nbhub.core.model import User
from nbhub.errors import ConfigError, Conflict, NotFound
from nbhub.store import Store, Writing, grants, users
from nbhub.store.base import sqlite_path
from nbhub.traits import import_path

INVITATION_SECONDS = 7 * 86400.0
RESET_SECONDS = 86400.0
FIRST_SECONDS = 86400.0

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


async def first_link(hub: Hub, store: Store, now: float) -> Link | None:
    """Return the link with which the first administrator chooses name and password; None once there is a user.

    A link of an earlier start ceases to work.
    """
    if not takes_invitations(hub):
        return None
    async with store.write() as tx:
        if await users.count(tx):
            return None
        for invitation in await users.list_invitations(tx, now):
            if invitation.created_by == _FIRST:
                await users.delete_invitation(tx, invitation.id)
        return await _invite(hub, tx, None, admin=True, by=_FIRST, now=now, seconds=FIRST_SECONDS)


async def invitation(hub: Hub, name: str | None, *, admin: bool, clock: Callable[[], float] = time.time) -> Link:
    """Return a link with which somebody makes an account, as `name` or any; Conflict if the name is taken."""
    _require_native(hub)
    if name is not None:
        name = name.lower()
        check_name(name)
    async with _database(hub) as store, store.write() as tx:
        if name is not None and await users.get(tx, name) is not None:
            raise Conflict(f"There is a user {name!r} already. For a new password: nbhub reset-password {name}")
        return await _invite(hub, tx, name, admin=admin, by=_COMMAND_LINE, now=clock(), seconds=INVITATION_SECONDS)


async def password_reset(hub: Hub, name: str, *, clock: Callable[[], float] = time.time) -> Link:
    """Return a link with which the user sets a new password; NotFound if there is no such user."""
    _require_native(hub)
    code, now = secrets.new_code(), clock()
    async with _database(hub) as store, store.write() as tx:
        user = await _user(tx, name)
        await users.create_invitation(
            tx,
            secrets.hash_token(code),
            name=user.name,
            expires_at=now + RESET_SECONDS,
            created_by=_COMMAND_LINE,
            now=now,
            purpose="reset",
        )
    return Link(f"{hub.address}hub/reset-password?code={code}", now + RESET_SECONDS)


async def new_token(hub: Hub, name: str, *, admin: bool = False, clock: Callable[[], float] = time.time) -> str:
    """Return a new API token with all rights of the user; NotFound if there is no such user.

    With `admin`, the user is made an administrator, and made at all if need be: the way in for programs.
    """
    token = secrets.new_token()
    async with _database(hub) as store, store.write() as tx:
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


def takes_invitations(hub: Hub) -> bool:
    """Say whether names and passwords are kept here, so that links to choose them make sense."""
    return issubclass(hub.authenticator_class, import_path(AUTHENTICATORS["native"]))


def _require_native(hub: Hub) -> None:
    if not takes_invitations(hub):
        raise ConfigError(
            f"This hub uses {hub.authenticator_class.__name__}, which keeps no passwords here, so there is nothing to "
            "invite to or to reset. Links are for the native authenticator (--Hub.authenticator_class=native)."
        )


async def _invite(hub: Hub, tx: Writing, name: str | None, *, admin: bool, by: str, now: float, seconds: float) -> Link:
    code = secrets.new_code()
    await users.create_invitation(
        tx,
        secrets.hash_token(code),
        name=name,
        admin=admin,
        expires_at=now + seconds,
        created_by=by,
        now=now,
        purpose="signup",
    )
    return Link(f"{hub.address}hub/signup?code={code}", now + seconds)


async def _user(tx: Writing, name: str) -> User:
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
async def _database(hub: Hub) -> AsyncIterator[Store]:
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
