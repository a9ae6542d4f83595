"""Whose credential it is: a token or a login cookie, with all that decides what its owner may do, in one query."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Double, Select, and_, bindparam, or_, select, union_all

from nbhub.core.model import Service, Session, Token, User
from nbhub.store import records
from nbhub.store.columns import SERVICE, TOKEN, USER
from nbhub.store.statements import Statement, json_list
from nbhub.store.tables import (
    group_roles,
    groups,
    oauth_clients,
    roles,
    servers,
    service_roles,
    services,
    sessions,
    tokens,
    user_groups,
    user_roles,
    users,
)
from nbhub.store.transaction import Reading


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """A credential and its owner; what `core.principal.build` needs.

    `role_scopes` is what all roles of the owner and of the owner's groups say, as written. `server` ("USER/SERVER")
    is the server that the token was made for, or whose OAuth client issued it; `access_scopes` is the right to reach
    what belongs to that client. Either `user` or `service` is set, either `token` or `session`.
    """

    user: User | None
    service: Service | None
    groups: tuple[str, ...]
    role_scopes: tuple[str, ...]
    token: Token | None = None
    session: Session | None = None
    server: str | None = None
    access_scopes: tuple[str, ...] = ()

    @property
    def owner(self) -> User | Service:
        """The one of `user` and `service` that is set."""
        owner = self.user or self.service
        assert owner is not None
        return owner

    @property
    def expires_at(self) -> float | None:
        """Until when the credential is good."""
        return self.token.expires_at if self.token is not None else self.session.expires_at if self.session else None


_now = bindparam("now", type_=Double)


def _as_list(inner: Select[Any]) -> Any:
    """The column that `inner` selects, as a JSON list."""
    found = inner.subquery()
    return select(json_list(next(iter(found.c)))).scalar_subquery()


_group_names = _as_list(
    select(groups.c.name)
    .join_from(user_groups, groups)
    .where(user_groups.c.user_id == users.c.id)
    .order_by(groups.c.name)
    .correlate(users)
)
_user_scopes = _as_list(
    select(roles.c.scopes)
    .where(
        roles.c.id.in_(
            union_all(
                select(user_roles.c.role_id).where(user_roles.c.user_id == users.c.id).correlate(users),
                select(group_roles.c.role_id)
                .join_from(group_roles, user_groups, group_roles.c.group_id == user_groups.c.group_id)
                .where(user_groups.c.user_id == users.c.id)
                .correlate(users),
            )
        )
    )
    .correlate(users)
)
_service_scopes = _as_list(
    select(roles.c.scopes)
    .join_from(service_roles, roles)
    .where(service_roles.c.service_id == services.c.id)
    .correlate(services)
)
_client_server = (
    select(users.c.name + "/" + servers.c.name)
    .join_from(servers, users)
    .where(servers.c.id == oauth_clients.c.server_id)
    .correlate(oauth_clients)
    .scalar_subquery()
)
_token_server = (
    select(users.c.name + "/" + servers.c.name)
    .join_from(servers, users)
    .where(servers.c.id == tokens.c.server_id)
    .correlate(tokens)
    .scalar_subquery()
)
_client_service = (
    select(services.c.name)
    .where(services.c.id == oauth_clients.c.service_id)
    .correlate(oauth_clients)
    .scalar_subquery()
)
_valid = or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > _now)
_FIND_TOKEN = Statement(
    select(
        *TOKEN,
        *USER,
        *SERVICE,
        _group_names,
        _user_scopes,
        _service_scopes,
        _token_server,
        _client_server,
        _client_service,
    )
    .select_from(
        tokens.join(oauth_clients, oauth_clients.c.identifier == tokens.c.client_id)
        .outerjoin(users, users.c.id == tokens.c.user_id)
        .outerjoin(services, services.c.id == tokens.c.service_id)
    )
    .where(tokens.c.hash == bindparam("hashed"), _valid)
)
_FIND_SESSION = Statement(
    select(
        sessions.c.id,
        sessions.c.user_id,
        sessions.c.session_id,
        sessions.c.created,
        sessions.c.expires_at,
        *USER,
        _group_names,
        _user_scopes,
    )
    .join_from(sessions, users)
    .where(and_(sessions.c.cookie_hash == bindparam("hashed"), sessions.c.expires_at > _now))
)
_GRANTED = Statement(select(_group_names, _user_scopes).select_from(users).where(users.c.id == bindparam("owner_id")))
_T, _U, _S = len(TOKEN), len(TOKEN) + len(USER), len(TOKEN) + len(USER) + len(SERVICE)


async def find_token(tx: Reading, token_hash: str, now: float) -> TokenOwner | None:
    """Return whose token this is; None if it is unknown or has expired."""
    row = await tx.fetchone(_FIND_TOKEN, hashed=token_hash, now=now)
    if row is None:
        return None
    token = records.token(row[:_T])
    by_user = token.user_id is not None
    group_names, user_scopes, service_scopes, own_server, client_server, client_service = row[_S:]
    return TokenOwner(
        user=records.user(row[_T:_U]) if by_user else None,
        service=None if by_user else records.service(row[_U:_S]),
        groups=records.words(group_names) if by_user else (),
        role_scopes=_flat(user_scopes if by_user else service_scopes),
        token=token,
        server=own_server or client_server,
        access_scopes=_access(client_server, client_service),
    )


async def find_session(tx: Reading, cookie_hash: str, now: float) -> TokenOwner | None:
    """Return whose login cookie this is; None if it is unknown or has expired."""
    row = await tx.fetchone(_FIND_SESSION, hashed=cookie_hash, now=now)
    if row is None:
        return None
    number, user_id, session_id, created, expires_at, *rest = row
    return TokenOwner(
        user=records.user(rest[:-2]),
        service=None,
        groups=records.words(rest[-2]),
        role_scopes=_flat(rest[-1]),
        session=Session(number, user_id, session_id, created, expires_at),
    )


async def granted_to(tx: Reading, user_id: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the groups of a user, and what all roles of the user and of these groups say, as written."""
    row = await tx.fetchone(_GRANTED, owner_id=user_id)
    return ((), ()) if row is None else (records.words(row[0]), _flat(row[1]))


def _access(server: str | None, service: str | None) -> tuple[str, ...]:
    if server is not None:
        return (f"access:servers!server={server}",)
    return () if service is None else (f"access:services!service={service}",)


@lru_cache(maxsize=1024)
def _flat(lists: str) -> tuple[str, ...]:
    """A JSON list of JSON lists, without repetition."""
    return tuple(dict.fromkeys(scope for text in records.words(lists) for scope in records.words(text)))
