"""What the native log-in remembers: password hashes, invitations, failed attempts. Offered through `users`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import BigInteger, Boolean, Double, bindparam, case, delete, select

from nbhub.store.statements import Statement
from nbhub.store.tables import invitations, login_failures, passwords
from nbhub.store.transaction import Reading, Writing

Purpose = Literal["signup", "reset", "approval"]  # the last is no link, but the mark of who waits to be let in
FailureKind = Literal["account", "address"]


@dataclass(frozen=True, slots=True)
class PasswordRecord:
    """The hash of a user's password."""

    user_id: int
    hash: str
    must_change: bool


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that may be used once: to sign up (as `name`, or any), or to set a new password for `name`."""

    id: int
    name: str | None
    admin: bool
    purpose: str
    created_by: str
    created: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class LoginFailures:
    """How often logging in failed, and when first and last."""

    count: int
    first: float
    last: float


_p, _i, _f = passwords.c, invitations.c, login_failures.c
_now = bindparam("now", type_=Double)
_INVITATION = tuple(column for column in _i if column.name != "token_hash")
_of_key = (_f.kind == bindparam("which")) & (_f.key == bindparam("what"))

_ANY_PASSWORD = Statement(select(_p.user_id).limit(1))
_GET_PASSWORD = Statement(select(*_p).where(_p.user_id == bindparam("owner_id")))


def _set_password(insert: Any) -> Any:
    statement = insert(passwords).values(
        user_id=bindparam("owner_id"), hash=bindparam("new_hash"), must_change=bindparam("is_due", type_=Boolean)
    )
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["user_id"], set_={"hash": new.hash, "must_change": new.must_change}
    )


def _note_failure(insert: Any) -> Any:
    forgotten = _f.last < bindparam("forgotten", type_=Double)
    statement = insert(login_failures).values(
        kind=bindparam("which"), key=bindparam("what"), count=1, first=_now, last=_now
    )
    return statement.on_conflict_do_update(
        index_elements=["kind", "key"],
        set_={
            "count": case((forgotten, 1), else_=_f.count + 1),
            "first": case((forgotten, _now), else_=_f.first),
            "last": _now,
        },
    ).returning(_f.count, _f.first, _f.last)


_SET_PASSWORD = Statement(_set_password)
_CREATE_INVITATION = Statement(
    lambda insert: (
        insert(invitations)
        .values(
            token_hash=bindparam("hashed"), name=bindparam("for_name"), admin=bindparam("is_admin", type_=Boolean),
            purpose=bindparam("what_for"), created_by=bindparam("by"), created=_now,
            expires_at=bindparam("until", type_=Double),
        )
        .returning(*_INVITATION)
    )
)  # fmt: skip
_valid = (_i.token_hash == bindparam("hashed")) & (_i.expires_at > _now)
_GET_INVITATION = Statement(select(*_INVITATION).where(_valid))
_TAKE_INVITATION = Statement(delete(invitations).where(_valid).returning(*_INVITATION))
_LIST_INVITATIONS = Statement(select(*_INVITATION).where(_i.expires_at > _now).order_by(_i.id))
_DELETE_INVITATION = Statement(delete(invitations).where(_i.id == bindparam("invitation_id", type_=BigInteger)))
_NOTE_FAILURE = Statement(_note_failure)
_GET_FAILURES = Statement(select(_f.count, _f.first, _f.last).where(_of_key))
_CLEAR_FAILURES = Statement(delete(login_failures).where(_of_key))
_OLD_FAILURES = Statement(delete(login_failures).where(_f.last < bindparam("before", type_=Double)))


async def set_password(tx: Writing, user_id: int, hash: str, *, must_change: bool = False) -> None:  # noqa: A002
    """Keep the hash of a user's password in place of any older one."""
    await tx.execute(_SET_PASSWORD, owner_id=user_id, new_hash=hash, is_due=must_change)


async def get_password(tx: Reading, user_id: int) -> PasswordRecord | None:
    """Return the hash of the user's password."""
    row = await tx.fetchone(_GET_PASSWORD, owner_id=user_id)
    return None if row is None else PasswordRecord(row[0], row[1], bool(row[2]))


async def has_passwords(tx: Reading) -> bool:
    """Say whether anybody has a password, so that somebody can log in with one."""
    return await tx.fetchone(_ANY_PASSWORD) is not None


async def create_invitation(
    tx: Writing,
    token_hash: str,
    *,
    name: str | None = None,
    admin: bool = False,
    expires_at: float,
    created_by: str,
    now: float,
    purpose: Purpose = "signup",
) -> Invitation:
    """Remember an invitation by the hash of the secret in its link."""
    row = await tx.fetchone(
        _CREATE_INVITATION, hashed=token_hash, for_name=name, is_admin=admin, what_for=purpose, by=created_by, now=now,
        until=expires_at,
    )  # fmt: skip
    assert row is not None
    return _invitation(row)


async def get_invitation(tx: Reading, token_hash: str, now: float) -> Invitation | None:
    """Return the invitation if it is valid; it stays so."""
    row = await tx.fetchone(_GET_INVITATION, hashed=token_hash, now=now)
    return None if row is None else _invitation(row)


async def take_invitation(tx: Writing, token_hash: str, now: float) -> Invitation | None:
    """Return the invitation if it is valid, and use it up: of two who take it at once, one gets it."""
    row = await tx.fetchone(_TAKE_INVITATION, hashed=token_hash, now=now)
    return None if row is None else _invitation(row)


async def list_invitations(tx: Reading, now: float) -> list[Invitation]:
    """Return all invitations that are still valid."""
    return [_invitation(row) for row in await tx.fetch(_LIST_INVITATIONS, now=now)]


async def delete_invitation(tx: Writing, invitation_id: int) -> bool:
    """Withdraw the invitation; False if it is gone already."""
    return bool(await tx.execute(_DELETE_INVITATION, invitation_id=invitation_id))


async def note_failure(tx: Writing, kind: FailureKind, key: str, now: float, *, window: float) -> LoginFailures:
    """Count a failed attempt; the count begins anew when there was none for `window` seconds."""
    row = await tx.fetchone(_NOTE_FAILURE, which=kind, what=_key(key), now=now, forgotten=now - window)
    assert row is not None
    return LoginFailures(*row)


async def get_failures(tx: Reading, kind: FailureKind, key: str) -> LoginFailures | None:
    """Return what is remembered of failed attempts."""
    row = await tx.fetchone(_GET_FAILURES, which=kind, what=_key(key))
    return None if row is None else LoginFailures(*row)


async def clear_failures(tx: Writing, kind: FailureKind, key: str) -> None:
    """Forget failed attempts."""
    await tx.execute(_CLEAR_FAILURES, which=kind, what=_key(key))


async def delete_old_failures(tx: Writing, before: float) -> None:
    """Forget all attempts whose last was before that time."""
    await tx.execute(_OLD_FAILURES, before=before)


def _key(key: str) -> str:
    """Strangers choose these: whatever they type takes a bounded, printable form."""
    if len(key) <= 64 and key.isascii() and key.isprintable():
        return key
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _invitation(row: Any) -> Invitation:
    number, name, admin, purpose, created_by, created, expires_at = row
    return Invitation(number, name, bool(admin), purpose, created_by, created, expires_at)
