"""Roles, services, and who has which role. Offered through `grants`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import BigInteger, Boolean, Table, Text, bindparam, delete, not_, select

from nbhub.core.model import Role, Service
from nbhub.errors import NotFound
from nbhub.store import records
from nbhub.store.columns import ROLE, SERVICE
from nbhub.store.statements import AnyOf, Statement
from nbhub.store.tables import group_roles, groups, roles, service_roles, services, user_roles, users
from nbhub.store.transaction import Reading, Writing

Kind = Literal["user", "group", "service"]

_r = roles.c
_role_id = bindparam("role_id", type_=BigInteger)


def _put_role(insert: Any) -> Any:
    statement = insert(roles).values(
        name=bindparam("new_name"), description=bindparam("new_description"), scopes=bindparam("new_scopes")
    )
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["name"],
        set_={"description": new.description, "scopes": new.scopes},
        where=(_r.description != new.description) | (_r.scopes != new.scopes),
    ).returning(_r.id)


def _put_service(insert: Any) -> Any:
    statement = insert(services).values(
        name=bindparam("new_name"), admin=bindparam("is_admin", type_=Boolean), url=bindparam("new_url")
    )
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["name"], set_={"admin": new.admin, "url": new.url}
    ).returning(*SERVICE)


def _give(owners: Table, held: Table, column: str) -> Statement:
    having = select(owners.c.id, _role_id).where(AnyOf(owners.c.name, "names", Text))
    return Statement(lambda insert: insert(held).from_select([column, "role_id"], having).on_conflict_do_nothing())


def _take(owners: Table, held: Table, column: str, *, others: bool) -> Statement:
    named = held.c[column].in_(select(owners.c.id).where(AnyOf(owners.c.name, "names", Text)))
    return Statement(delete(held).where(held.c.role_id == _role_id, not_(named) if others else named))


_PUT_ROLE = Statement(_put_role)
_PUT_SERVICE = Statement(_put_service)
_GET_ROLE = Statement(select(*ROLE).where(_r.name == bindparam("name")))
_LIST_ROLES = Statement(select(*ROLE).order_by(_r.id))
_DELETE_ROLE = Statement(delete(roles).where(_r.name == bindparam("name")))
_GET_SERVICE = Statement(select(*SERVICE).where(services.c.name == bindparam("name")))
_LIST_SERVICES = Statement(select(*SERVICE).order_by(services.c.name))
_DELETE_SERVICE = Statement(delete(services).where(services.c.id == bindparam("service_id", type_=BigInteger)))

_HELD: dict[Kind, tuple[Table, Table, str]] = {
    "user": (users, user_roles, "user_id"),
    "group": (groups, group_roles, "group_id"),
    "service": (services, service_roles, "service_id"),
}
_GIVE = {kind: _give(*tables) for kind, tables in _HELD.items()}
_TAKE = {kind: _take(*tables, others=False) for kind, tables in _HELD.items()}
_TAKE_OTHERS = {kind: _take(*tables, others=True) for kind, tables in _HELD.items()}


async def put_role(tx: Writing, name: str, *, description: str = "", scopes: Iterable[str] = ()) -> None:
    """Make the role what is given, in place of any older one of that name."""
    scopes_text = records.dumps(list(scopes))
    if await tx.fetch(_PUT_ROLE, new_name=name, new_description=description, new_scopes=scopes_text):
        tx.ring("grants:all")


async def get_role(tx: Reading, name: str) -> Role | None:
    """Return the role."""
    row = await tx.fetchone(_GET_ROLE, name=name)
    return None if row is None else records.role(row)


async def list_roles(tx: Reading) -> list[Role]:
    """Return all roles."""
    return [records.role(row) for row in await tx.fetch(_LIST_ROLES)]


async def delete_role(tx: Writing, name: str) -> None:
    """Delete the role; whoever had it has it no longer."""
    if await tx.execute(_DELETE_ROLE, name=name):
        tx.ring("grants:all")


async def give_role(tx: Writing, name: str, kind: Kind, owners: Iterable[str]) -> None:
    """Give the role to users, groups or services, by name; names that nobody has are ignored."""
    await tx.execute(_GIVE[kind], role_id=await _id_of(tx, name), names=list(owners))
    tx.ring("grants:all")


async def take_role(tx: Writing, name: str, kind: Kind, owners: Iterable[str]) -> None:
    """Take the role from users, groups or services, by name."""
    await tx.execute(_TAKE[kind], role_id=await _id_of(tx, name), names=list(owners))
    tx.ring("grants:all")


async def set_holders(tx: Writing, name: str, kind: Kind, owners: Iterable[str]) -> None:
    """Let the role be held by just these users, groups or services, by name; names that nobody has are ignored."""
    role_id, names = await _id_of(tx, name), list(owners)
    await tx.execute(_TAKE_OTHERS[kind], role_id=role_id, names=names)
    await tx.execute(_GIVE[kind], role_id=role_id, names=names)
    tx.ring("grants:all")


async def put_service(tx: Writing, name: str, *, admin: bool = False, url: str | None = None) -> Service:
    """Make the service what is given, in place of any older one of that name; the role `admin` follows."""
    row = await tx.fetchone(_PUT_SERVICE, new_name=name, is_admin=admin, new_url=url)
    assert row is not None
    await (give_role if admin else take_role)(tx, "admin", "service", [name])
    return records.service(row)


async def get_service(tx: Reading, name: str) -> Service | None:
    """Return the service."""
    row = await tx.fetchone(_GET_SERVICE, name=name)
    return None if row is None else records.service(row)


async def list_services(tx: Reading) -> list[Service]:
    """Return all services, by name."""
    return [records.service(row) for row in await tx.fetch(_LIST_SERVICES)]


async def delete_service(tx: Writing, service_id: int) -> None:
    """Delete the service, its tokens, and its OAuth client with all that it issued."""
    if await tx.execute(_DELETE_SERVICE, service_id=service_id):
        tx.ring("grants:all")


async def _id_of(tx: Reading, name: str) -> int:
    role = await get_role(tx, name)
    if role is None:
        raise NotFound(f"There is no role {name}.")
    return role.id
