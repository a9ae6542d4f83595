"""OAuth clients and one-time codes. Offered through `grants`."""

from __future__ import annotations

from sqlalchemy import Double, bindparam, delete, insert, select

from nbhub.core.model import OAuthClient, OAuthCode
from nbhub.store import records
from nbhub.store.columns import CLIENT
from nbhub.store.statements import Statement
from nbhub.store.tables import oauth_clients, oauth_codes
from nbhub.store.transaction import Reading, Writing

_o = oauth_codes.c
_now = bindparam("now", type_=Double)

_GET_CLIENT = Statement(select(*CLIENT).where(oauth_clients.c.identifier == bindparam("issuer")))
_DELETE_CLIENT = Statement(delete(oauth_clients).where(oauth_clients.c.identifier == bindparam("issuer")))
_CREATE_CODE = Statement(
    insert(oauth_codes).values({column.name: bindparam(f"new_{column.name}", type_=column.type) for column in _o})
)
_TAKE_CODE = Statement(delete(oauth_codes).where(_o.code_hash == bindparam("hashed")).returning(*_o))
_EXPIRED = Statement(delete(oauth_codes).where(_o.expires_at <= _now))


async def get_client(tx: Reading, identifier: str) -> OAuthClient | None:
    """Return the client."""
    row = await tx.fetchone(_GET_CLIENT, issuer=identifier)
    return None if row is None else records.client(row)


async def delete_client(tx: Writing, identifier: str) -> None:
    """Delete the client and every token and code that it issued."""
    if await tx.execute(_DELETE_CLIENT, issuer=identifier):
        tx.ring("grants:all")


async def create_code(tx: Writing, code: OAuthCode) -> None:
    """Remember a code by its hash."""
    fields = {f"new_{column.name}": getattr(code, column.name) for column in _o}
    fields["new_scopes"] = records.dumps(list(code.scopes))
    await tx.execute(_CREATE_CODE, **fields)


async def take_code(tx: Writing, code_hash: str, now: float) -> OAuthCode | None:
    """Return the code and use it up, so that it works once; None if it is unknown, used or expired."""
    row = await tx.fetchone(_TAKE_CODE, hashed=code_hash)
    if row is None:
        return None
    code_hash, client_id, user_id, redirect_uri, scopes, session_id, challenge, method, expires_at = row
    if expires_at <= now:
        return None
    return OAuthCode(
        code_hash, client_id, user_id, redirect_uri, records.words(scopes), session_id, challenge, method, expires_at
    )


async def delete_expired_codes(tx: Writing, now: float) -> int:
    """Delete codes that nobody used in time."""
    return await tx.execute(_EXPIRED, now=now)
