"""What the source of identities knows of a user: whose account it is there, and its state, encrypted."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import BigInteger, Double, Text, bindparam, delete, select, update

from nbhub.store.statements import Statement
from nbhub.store.tables import identities
from nbhub.store.transaction import Reading, Writing

_i = identities.c
_user = bindparam("user", type_=BigInteger)

_GET = Statement(select(_i.origin, _i.subject, _i.auth_state, _i.confirmed).where(_i.user_id == _user))
_PUT = Statement(
    lambda insert: (
        insert(identities)
        .values(
            user_id=_user,
            origin=bindparam("from_origin"),
            subject=bindparam("of_subject"),
            auth_state=bindparam("state", type_=Text),
            confirmed=bindparam("now", type_=Double),
        )
        .on_conflict_do_update(
            index_elements=["user_id"],
            set_={
                "origin": bindparam("from_origin"),
                "subject": bindparam("of_subject"),
                "auth_state": bindparam("state", type_=Text),
                "confirmed": bindparam("now", type_=Double),
            },
        )
    )
)
_CONFIRM = Statement(update(identities).where(_i.user_id == _user).values(confirmed=bindparam("now", type_=Double)))
_STATES = Statement(select(_i.user_id, _i.auth_state).where(_i.auth_state.is_not(None)).order_by(_i.user_id))
_RESEAL = Statement(
    update(identities)
    .where(_i.user_id == _user, _i.auth_state == bindparam("before", type_=Text))
    .values(auth_state=bindparam("after", type_=Text))
)
_DELETE = Statement(delete(identities).where(_i.user_id == _user))


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """`origin` names the source, `subject` the account there, "" where names are all it has."""

    origin: str
    subject: str
    auth_state: str | None = field(repr=False)  # encrypted
    confirmed: float  # when the source was asked last, seconds since the epoch


async def get(tx: Reading, user_id: int) -> IdentityRecord | None:
    """Return what is known of the user; None for one who never logged in."""
    row = await tx.fetchone(_GET, user=user_id)
    return None if row is None else IdentityRecord(*row)


async def all_states(tx: Reading) -> list[tuple[int, str]]:
    """Return the user and the encrypted state of everybody of whom one is kept."""
    return [(user_id, state) for user_id, state in await tx.fetch(_STATES)]


async def reseal(tx: Writing, user_id: int, before: str, after: str) -> bool:
    """Replace an encrypted state by another encryption of it; False if it has changed meanwhile."""
    return bool(await tx.execute(_RESEAL, user=user_id, before=before, after=after))


async def put(tx: Writing, user_id: int, record: IdentityRecord) -> None:
    """Remember this of the user, and nothing else."""
    await tx.execute(
        _PUT,
        user=user_id,
        from_origin=record.origin,
        of_subject=record.subject,
        state=record.auth_state,
        now=record.confirmed,
    )


async def confirm(tx: Writing, user_id: int, now: float) -> None:
    """Note that the source was asked and nothing has changed."""
    await tx.execute(_CONFIRM, user=user_id, now=now)


async def forget(tx: Writing, user_id: int) -> None:
    """Let the name go: the next account of the source that leads to it gets it."""
    await tx.execute(_DELETE, user=user_id)
