"""Services: what is kept of them, their tokens and OAuth clients, and which hub keeps a managed one running."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import BigInteger, Boolean, Double, Text, and_, bindparam, delete, null, or_, select, update

from nbhub.core import names
from nbhub.core.model import OAuthClient, Role, Route, ServiceEntry
from nbhub.errors import Conflict
from nbhub.store import oauth, records, tokens
from nbhub.store.columns import CLIENT, ROLE, SERVICE_ENTRY
from nbhub.store.roles import give_role, take_role
from nbhub.store.statements import AnyOf, Statement
from nbhub.store.tables import oauth_clients, roles, service_roles, services
from nbhub.store.tables import tokens as token_table
from nbhub.store.transaction import Reading, Writing

_s, _c, _t = services.c, oauth_clients.c, token_table.c
_id = bindparam("service_id", type_=BigInteger)
_now = bindparam("now", type_=Double)
_holder = bindparam("holder", type_=Text)


def _put(insert: Any) -> Any:
    statement = insert(services).values(
        name=bindparam("new_name"),
        admin=bindparam("is_admin", type_=Boolean),
        url=bindparam("new_url"),
        info=bindparam("new_info"),
        display=bindparam("is_shown", type_=Boolean),
        command=bindparam("new_command"),
        oauth_no_confirm=bindparam("no_confirm", type_=Boolean),
        from_config=bindparam("is_declared", type_=Boolean),
    )
    kept = ("admin", "url", "info", "display", "command", "oauth_no_confirm", "from_config")
    changed = {name: statement.excluded[name] for name in kept}
    return statement.on_conflict_do_update(index_elements=["name"], set_=changed).returning(*SERVICE_ENTRY)


_PUT = Statement(_put)
_GET = Statement(select(*SERVICE_ENTRY).where(_s.name == bindparam("name")))
_BY_ID = Statement(select(*SERVICE_ENTRY).where(_s.id == _id))
_LIST = Statement(select(*SERVICE_ENTRY).order_by(_s.name))
_DELETE = Statement(delete(services).where(_s.id == _id))
_ROUTES = Statement(select(_s.name, _s.url).where(_s.url.is_not(None)).order_by(_s.name))
_ROLES = Statement(
    select(service_roles.c.service_id, *ROLE)
    .join_from(service_roles, roles)
    .where(AnyOf(service_roles.c.service_id, "service_ids"))
    .order_by(roles.c.id)
)
_DROP_TOKENS = Statement(
    delete(token_table).where(_t.service_id == _id, _t.hash != bindparam("kept", type_=Text)).returning(_t.id)
)
_OWNER_OF_TOKEN = Statement(select(_t.service_id).where(_t.hash == bindparam("hashed", type_=Text)))
_CLIENTS = Statement(select(*CLIENT).where(_c.service_id == _id))
_SET_SECRET = Statement(
    update(oauth_clients).where(_c.service_id == _id).values(secret_hash=bindparam("hashed", type_=Text))
)
_free = or_(_s.lease_expires.is_(None), _s.lease_expires <= _now, _s.lease_holder == _holder)
_TAKE = Statement(
    update(services)
    .where(and_(_s.id == _id, _free))
    .values(lease_holder=_holder, lease_expires=_now + bindparam("lease", type_=Double))
    .returning(*SERVICE_ENTRY)
)
_LET_GO = Statement(
    update(services).where(_s.id == _id, _s.lease_holder == _holder).values(lease_holder=null(), lease_expires=null())
)
_NOTE_PROCESS = Statement(
    update(services).where(_s.id == _id, _s.lease_holder == _holder).values(process=bindparam("new_process"))
)
_END_ALL = Statement(update(services).where(_s.lease_expires > _now).values(lease_expires=_now))


async def put(
    tx: Writing,
    name: str,
    *,
    admin: bool = False,
    url: str | None = None,
    info: Mapping[str, Any] | None = None,
    display: bool = True,
    command: Iterable[str] = (),
    oauth_no_confirm: bool = False,
    from_config: bool = False,
) -> ServiceEntry:
    """Make the service what is given, in place of any older one of that name; the role `admin` follows."""
    row = await tx.fetchone(
        _PUT, new_name=name, is_admin=admin, new_url=url, new_info=records.dumps(info or {}), is_shown=display,
        new_command=records.dumps(list(command)), no_confirm=oauth_no_confirm, is_declared=from_config,
    )  # fmt: skip
    assert row is not None
    await (give_role if admin else take_role)(tx, "admin", "service", [name])
    tx.ring("routes")
    return records.service_entry(row)


async def get(tx: Reading, name: str) -> ServiceEntry | None:
    """Return the service of that name."""
    row = await tx.fetchone(_GET, name=name)
    return None if row is None else records.service_entry(row)


async def by_id(tx: Reading, service_id: int) -> ServiceEntry | None:
    """Return the service with that id."""
    row = await tx.fetchone(_BY_ID, service_id=service_id)
    return None if row is None else records.service_entry(row)


async def list_all(tx: Reading) -> list[ServiceEntry]:
    """Return all services, by name."""
    return [records.service_entry(row) for row in await tx.fetch(_LIST)]


async def roles_of(tx: Reading, service_ids: Iterable[int]) -> dict[int, tuple[Role, ...]]:
    """Return the roles that each service has. Every id asked for is a key."""
    found: dict[int, list[Role]] = {service_id: [] for service_id in service_ids}
    for row in await tx.fetch(_ROLES, service_ids=list(found)):
        found[row[0]].append(records.role(row[1:]))
    return {service_id: tuple(held) for service_id, held in found.items()}


async def delete_service(tx: Writing, service_id: int) -> None:
    """Delete the service, its tokens, and its OAuth client with all that it issued."""
    if await tx.execute(_DELETE, service_id=service_id):
        tx.ring("grants:all", "routes")


async def routes(tx: Reading, base_url: str) -> list[Route]:
    """Return the way to every service that has an address."""
    return [
        Route(names.service_prefix(base_url, name), origin(url), service=name) for name, url in await tx.fetch(_ROUTES)
    ]


def origin(url: str) -> str:
    """Return http://host:port of the address of a service; the path is the public one, so its own does not count."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.port else f"{parts.scheme}://{parts.netloc}:80"


# -- what a service shows to be itself ---------------------------------------------------------------------------


async def set_token(tx: Writing, service_id: int, token_hash: str, *, note: str, now: float) -> None:
    """Let the service have just this token, by its hash, which is its OAuth client's secret too.

    Raises Conflict when somebody else has that token.
    """
    await drop_tokens(tx, service_id, but=token_hash)
    row = await tx.fetchone(_OWNER_OF_TOKEN, hashed=token_hash)
    if row is None:
        await tokens.create_token(tx, token_hash, service_id=service_id, scopes=("inherit",), note=note, now=now)
    elif row[0] != service_id:
        raise Conflict("This token belongs to somebody else already.")
    await tx.execute(_SET_SECRET, service_id=service_id, hashed=token_hash)


async def drop_tokens(tx: Writing, service_id: int, *, but: str = "") -> None:
    """Revoke the service's tokens, except for the one with the hash `but`."""
    if await tx.fetch(_DROP_TOKENS, service_id=service_id, kept=but):
        tx.ring(f"grants:service:{service_id}")


async def set_client(tx: Writing, service_id: int, client: OAuthClient | None) -> None:
    """Let the service have just this OAuth client, or none. One without a secret keeps that of the older one."""
    older = [records.client(row) for row in await tx.fetch(_CLIENTS, service_id=service_id)]
    for other in older:
        if client is None or other.identifier != client.identifier:
            await oauth.delete_client(tx, other.identifier)
    if client is None:
        return
    taken = await oauth.get_client(tx, client.identifier)
    if taken is not None and taken.service_id != service_id:
        raise Conflict(f"The OAuth client {client.identifier} belongs to somebody else already.")
    if not client.secret_hash and taken is not None:
        client = replace(client, secret_hash=taken.secret_hash)
    await tokens.put_client(tx, client)


# -- which hub runs it -------------------------------------------------------------------------------------------


async def take(tx: Writing, service_id: int, *, holder: str, now: float, lease: float) -> ServiceEntry | None:
    """Become, or stay, the hub that keeps the service running, for `lease` seconds; None while another one is."""
    row = await tx.fetchone(_TAKE, service_id=service_id, holder=holder, now=now, lease=lease)
    return None if row is None else records.service_entry(row)


async def let_go(tx: Writing, service_id: int, *, holder: str) -> None:
    """Leave the service to any hub."""
    if await tx.execute(_LET_GO, service_id=service_id, holder=holder):
        tx.ring("services")


async def note_process(tx: Writing, service_id: int, *, holder: str, process: Mapping[str, Any]) -> bool:
    """Write down what was launched; False, and nothing is changed, if another hub keeps the service running now."""
    return bool(
        await tx.execute(_NOTE_PROCESS, service_id=service_id, holder=holder, new_process=records.dumps(process))
    )


async def end_all(tx: Writing, now: float) -> None:
    """Let every lease run out: for a hub that knows that no other works on this database any more."""
    await tx.execute(_END_ALL, now=now)
