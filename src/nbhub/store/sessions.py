"""Browsers that logged in, by the hashes of their cookies. Offered through `grants`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Double, Text, bindparam, delete, insert, select

from nbhub.core.model import Session
from nbhub.store.statements import AnyOf, Statement
from nbhub.store.tables import oauth_codes, sessions, tokens
from nbhub.store.transaction import Reading, Writing

_s = sessions.c
_SESSION = (_s.id, _s.user_id, _s.session_id, _s.created, _s.expires_at)
_owner = bindparam("owner_id", type_=BigInteger)

_CREATE = Statement(
    insert(sessions)
    .values(
        user_id=_owner,
        cookie_hash=bindparam("hashed"),
        session_id=bindparam("public"),
        created=bindparam("now", type_=Double),
        expires_at=bindparam("until", type_=Double),
    )
    .returning(*_SESSION)
)
_LIST = Statement(
    select(*_SESSION).where(_s.user_id == _owner, _s.expires_at > bindparam("now", type_=Double)).order_by(_s.id)
)
_LIVES = Statement(
    select(_s.id).where(_s.session_id == bindparam("public"), _s.expires_at > bindparam("now", type_=Double))
)
_DELETE = Statement(delete(sessions).where(_s.cookie_hash == bindparam("hashed")).returning(*_SESSION))
_DELETE_ALL = Statement(delete(sessions).where(_s.user_id == _owner).returning(*_SESSION))
_EXPIRED = Statement(delete(sessions).where(_s.expires_at <= bindparam("now", type_=Double)))
_TOKENS = Statement(delete(tokens).where(AnyOf(tokens.c.session_id, "session_ids", Text)).returning(tokens.c.user_id))
_CODES = Statement(delete(oauth_codes).where(AnyOf(oauth_codes.c.session_id, "session_ids", Text)))


async def create_session(
    tx: Writing, user_id: int, *, cookie_hash: str, session_id: str, now: float, expires_at: float
) -> Session:
    """Remember a login. `session_id` is its public half, which goes on every OAuth token that it leads to."""
    row = await tx.fetchone(_CREATE, owner_id=user_id, hashed=cookie_hash, public=session_id, now=now, until=expires_at)
    assert row is not None
    return Session(*row)


async def list_sessions(tx: Reading, user_id: int, now: float) -> list[Session]:
    """Return the live sessions of the user."""
    return [Session(*row) for row in await tx.fetch(_LIST, owner_id=user_id, now=now)]


async def session_lives(tx: Reading, session_id: str, now: float) -> bool:
    """Say whether the login with this public half has neither ended nor expired."""
    return await tx.fetchone(_LIVES, public=session_id, now=now) is not None


async def delete_session(tx: Writing, cookie_hash: str) -> Session | None:
    """End the session that has this cookie, and void the tokens that it led to; return it, if there was one."""
    ended = [Session(*row) for row in await tx.fetch(_DELETE, hashed=cookie_hash)]
    await _void(tx, ended)
    return ended[0] if ended else None


async def delete_sessions_of(tx: Writing, user_id: int) -> int:
    """End all sessions of the user, and void the tokens that they led to; return how many there were."""
    ended = [Session(*row) for row in await tx.fetch(_DELETE_ALL, owner_id=user_id)]
    await _void(tx, ended)
    return len(ended)


async def delete_expired_sessions(tx: Writing, now: float) -> int:
    """Delete sessions that have expired; nobody accepts them anyway."""
    return await tx.execute(_EXPIRED, now=now)


async def _void(tx: Writing, ended: list[Session]) -> None:
    if not ended:
        return
    session_ids = [session.session_id for session in ended]
    rows = await tx.fetch(_TOKENS, session_ids=session_ids)
    await tx.execute(_CODES, session_ids=session_ids)
    for user_id in {row[0] for row in rows} | {session.user_id for session in ended}:
        tx.ring(f"grants:user:{user_id}")
