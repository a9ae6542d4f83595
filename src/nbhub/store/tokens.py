"""API tokens and OAuth access tokens, by their hashes. Offered through `grants`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import BigInteger, Double, and_, bindparam, delete, func, or_, select, update

from nbhub.core.model import OAuthClient, Server, Token
from nbhub.store import records
from nbhub.store.columns import CLIENT, TOKEN
from nbhub.store.statements import Statement
from nbhub.store.tables import oauth_clients, tokens
from nbhub.store.transaction import Reading, Writing

API_CLIENT = "jupyterhub"  # issues plain API tokens

_t, _c = tokens.c, oauth_clients.c
_now = bindparam("now", type_=Double)
_id = bindparam("token_id", type_=BigInteger)
_server_id = bindparam("server_id", type_=BigInteger)
_live = or_(_t.expires_at.is_(None), _t.expires_at > _now)
_owner = _t.user_id, _t.service_id


def _values(insert: Any) -> Any:
    return insert(tokens).values(
        hash=bindparam("hashed"),
        user_id=bindparam("owner_id", type_=BigInteger),
        service_id=bindparam("of_service", type_=BigInteger),
        client_id=bindparam("issuer"),
        session_id=bindparam("of_session"),
        scopes=bindparam("granted"),
        note=bindparam("text"),
        created=_now,
        expires_at=bindparam("until", type_=Double),
        server_id=bindparam("of_server", type_=BigInteger),
    )


def _upsert(insert: Any) -> Any:
    statement = _values(insert)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["hash"],
        set_={"scopes": new.scopes, "note": new.note, "client_id": new.client_id},
        where=_t.server_id == new.server_id,
    )


def _upsert_client(insert: Any) -> Any:
    fields = {column.name: bindparam(f"new_{column.name}", type_=column.type) for column in _c}
    statement = insert(oauth_clients).values(**fields)
    changed = {name: statement.excluded[name] for name in fields if name != "identifier"}
    return statement.on_conflict_do_update(index_elements=["identifier"], set_=changed)


_CREATE = Statement(lambda insert: _values(insert).returning(*TOKEN))
_UPSERT = Statement(_upsert)
_PUT_CLIENT = Statement(_upsert_client)
_LIST = Statement(
    select(*TOKEN, _c.description)
    .join_from(tokens, oauth_clients, _c.identifier == _t.client_id)
    .where(_t.user_id == bindparam("owner_id"), _live)
    .order_by(func.coalesce(_t.last_activity, _t.created).desc(), _t.id.desc())
)
_LIST_SERVICE = Statement(
    select(*TOKEN, _c.description)
    .join_from(tokens, oauth_clients, _c.identifier == _t.client_id)
    .where(_t.service_id == bindparam("owner_id"), _live)
    .order_by(func.coalesce(_t.last_activity, _t.created).desc(), _t.id.desc())
)
_GET = Statement(
    select(*TOKEN, _c.description)
    .join_from(tokens, oauth_clients, _c.identifier == _t.client_id)
    .where(_t.id == _id, _live)
)
_BY_HASH = Statement(select(*TOKEN).where(_t.hash == bindparam("hashed"), _live))
_LIVE_OF_CLIENT = Statement(
    select(*TOKEN).where(_t.user_id == bindparam("owner_id"), _t.client_id == bindparam("issuer"), _live)
)
_DELETE = Statement(delete(tokens).where(_t.id == _id).returning(*_owner))
_DELETE_OF_CLIENT = Statement(
    delete(tokens).where(_t.user_id == bindparam("owner_id"), _t.client_id == bindparam("issuer")).returning(*_owner)
)
_EXPIRED = Statement(delete(tokens).where(_t.expires_at.is_not(None), _t.expires_at <= _now))
_TOUCH = Statement(
    update(tokens)
    .where(_t.id == _id, or_(_t.last_activity.is_(None), _t.last_activity < bindparam("at", type_=Double)))
    .values(last_activity=bindparam("at", type_=Double))
)

_clients_of_server = select(_c.identifier).where(_c.server_id == _server_id)
_OLDER_OF_SERVER = Statement(
    delete(tokens)
    .where(
        or_(
            and_(_t.server_id == _server_id, _t.hash != bindparam("hashed")),
            # Somebody else's client of the same name: what it issued must not pass to the new one.
            and_(
                _t.client_id == bindparam("issuer"),
                select(_c.server_id).where(_c.identifier == bindparam("issuer")).scalar_subquery() != _server_id,
            ),
        )
    )
    .returning(*_owner)
)
_ALL_OF_SERVER = Statement(
    delete(tokens).where(or_(_t.server_id == _server_id, _t.client_id.in_(_clients_of_server))).returning(*_owner)
)
_DELETE_CLIENTS = Statement(delete(oauth_clients).where(_c.server_id == _server_id))


# -- tokens ------------------------------------------------------------------------------------------------------


async def create_token(
    tx: Writing,
    token_hash: str,
    *,
    user_id: int | None = None,
    service_id: int | None = None,
    client_id: str = API_CLIENT,
    session_id: str | None = None,
    scopes: Iterable[str],
    note: str = "",
    expires_at: float | None = None,
    now: float,
) -> Token:
    """Remember a token of a user or of a service by its hash. Conflict if the hash, owner or client is not right."""
    row = await tx.fetchone(
        _CREATE, hashed=token_hash, owner_id=user_id, of_service=service_id, issuer=client_id, of_session=session_id,
        granted=records.dumps(list(scopes)), text=note, now=now, until=expires_at, of_server=None,
    )  # fmt: skip
    assert row is not None
    return records.token(row)


async def get_token(tx: Reading, token_id: int, now: float) -> tuple[Token, str] | None:
    """Return the token and the description of the client that issued it; None if it is gone or has expired."""
    row = await tx.fetchone(_GET, token_id=token_id, now=now)
    return None if row is None else _described(row)


async def token_by_hash(tx: Reading, token_hash: str, now: float) -> Token | None:
    """Return the token with that hash; None if it is unknown or has expired."""
    row = await tx.fetchone(_BY_HASH, hashed=token_hash, now=now)
    return None if row is None else records.token(row)


async def list_tokens(
    tx: Reading, *, user_id: int | None = None, service_id: int | None = None, now: float
) -> list[tuple[Token, str]]:
    """Return the live tokens of a user or service, last used first, each with its client's description."""
    statement, owner = (_LIST_SERVICE, service_id) if user_id is None else (_LIST, user_id)
    return [_described(row) for row in await tx.fetch(statement, owner_id=owner, now=now)]


async def tokens_of_client(tx: Reading, user_id: int, client_id: str, now: float) -> list[Token]:
    """Return the live tokens that the user has from that client."""
    rows = await tx.fetch(_LIVE_OF_CLIENT, owner_id=user_id, issuer=client_id, now=now)
    return [records.token(row) for row in rows]


async def delete_token(tx: Writing, token_id: int) -> bool:
    """Revoke the token; False if it is gone already."""
    return _revoked(tx, await tx.fetch(_DELETE, token_id=token_id))


async def delete_tokens_of_client(tx: Writing, user_id: int, client_id: str) -> bool:
    """Revoke all tokens that the user has from that client; False if there were none."""
    return _revoked(tx, await tx.fetch(_DELETE_OF_CLIENT, owner_id=user_id, issuer=client_id))


async def delete_expired_tokens(tx: Writing, now: float) -> int:
    """Delete tokens that have expired; nobody accepts them anyway."""
    return await tx.execute(_EXPIRED, now=now)


async def touch_many(tx: Writing, seen: Mapping[int, float]) -> None:
    """Note the use of tokens (id to time); it only ever moves forward."""
    await tx.execute_many(_TOUCH, [{"token_id": token_id, "at": at} for token_id, at in sorted(seen.items())])


# -- what a server is given --------------------------------------------------------------------------------------


async def issue_server_grants(
    tx: Writing,
    server: Server,
    *,
    token_hash: str,
    scopes: Iterable[str],
    note: str,
    client: OAuthClient,
    now: float,
) -> None:
    """Make the server's token and OAuth client what is given, and void those of its earlier starts.

    Repeating it for the same start changes nothing: tokens that the client has issued meanwhile stay good.
    """
    older = await tx.fetch(_OLDER_OF_SERVER, server_id=server.id, hashed=token_hash, issuer=client.identifier)
    await put_client(tx, client)
    await tx.execute(
        _UPSERT, hashed=token_hash, owner_id=server.user_id, of_service=None, issuer=API_CLIENT, of_session=None,
        granted=records.dumps(list(scopes)), text=note, now=now, until=None, of_server=server.id,
    )  # fmt: skip
    _revoked(tx, older)


async def revoke_server_grants(tx: Writing, server_id: int) -> None:
    """Void the server's token, its OAuth client, and every token that the client issued, whosever it is."""
    _revoked(tx, await tx.fetch(_ALL_OF_SERVER, server_id=server_id))
    await tx.execute(_DELETE_CLIENTS, server_id=server_id)


async def put_client(tx: Writing, client: OAuthClient) -> None:
    """Remember an OAuth client in place of any older one of that identifier."""
    fields = {f"new_{column.name}": getattr(client, column.name) for column in CLIENT}
    fields["new_allowed_scopes"] = records.dumps(list(client.allowed_scopes))
    await tx.execute(_PUT_CLIENT, **fields)


def _revoked(tx: Writing, owners: Iterable[Any]) -> bool:
    found = set(map(tuple, owners))
    for user_id, service_id in found:
        tx.ring(f"grants:service:{service_id}" if user_id is None else f"grants:user:{user_id}")
    return bool(found)


def _described(row: Any) -> tuple[Token, str]:
    return records.token(row[:-1]), row[-1]
