"""Roles, and who has which. Offered through `grants`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import BigInteger, Boolean, Table, Text, bindparam, delete, not_, or_, select

from nbhub.core.model import Role
from nbhub.errors import NotFound
from nbhub.store import records
from nbhub.store.columns import ROLE
from nbhub.store.statements import AnyOf, Statement
from nbhub.store.tables import group_roles, groups, roles, service_roles, services, user_roles, users
from nbhub.store.transaction import Reading, Writing

Kind = Literal["user", "group", "service"]

_r = roles.c
_KEPT = ("description", "scopes", "from_config", "from_source")
_role_id = bindparam("role_id", type_=BigInteger)


def _put_role(insert: Any) -> Any:
    statement = insert(roles).values(
        name=bindparam("new_name"),
        description=bindparam("new_description"),
        scopes=bindparam("new_scopes"),
        from_config=bindparam("is_declared", type_=Boolean),
        from_source=bindparam("is_of_source", type_=Boolean),
    )
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["name"],
        set_={column: new[column] for column in _KEPT},
        where=or_(*(_r[column] != new[column] for column in _KEPT)),
    ).returning(_r.id)


def _give(owners: Table, held: Table, column: str) -> Statement:
    having = select(owners.c.id, _role_id).where(AnyOf(owners.c.name, "names", Text))
    return Statement(lambda insert: insert(held).from_select([column, "role_id"], having).on_conflict_do_nothing())


def _take(owners: Table, held: Table, column: str, *, others: bool) -> Statement:
    named = held.c[column].in_(select(owners.c.id).where(AnyOf(owners.c.name, "names", Text)))
    return Statement(delete(held).where(held.c.role_id == _role_id, not_(named) if others else named))


_PUT_ROLE = Statement(_put_role)
_GET_ROLE = Statement(select(*ROLE).where(_r.name == bindparam("name")))
_LIST_ROLES = Statement(select(*ROLE).order_by(_r.id))
_DELETE_OTHERS = Statement(delete(roles).where(_r.from_config, not_(AnyOf(_r.name, "names", Text))).returning(_r.name))
_OF_SOURCE = Statement(select(_r.name).where(_r.from_source).order_by(_r.id))
_DELETE_ROLE = Statement(delete(roles).where(_r.name == bindparam("name")))

_HELD: dict[Kind, tuple[Table, Table, str]] = {
    "user": (users, user_roles, "user_id"),
    "group": (groups, group_roles, "group_id"),
    "service": (services, service_roles, "service_id"),
}
_HELD_BY = {
    kind: Statement(
        select(held.c[column], _r.name)
        .join_from(held, roles)
        .where(AnyOf(held.c[column], "owner_ids"))
        .order_by(held.c[column], _r.id)
    )
    for kind, (_, held, column) in _HELD.items()
}
_HOLDING = {
    kind: Statement(
        select(owners.c.name).join_from(held, owners).where(held.c.role_id == _role_id).order_by(owners.c.name)
    )
    for kind, (owners, held, _) in _HELD.items()
}
_GIVE = {kind: _give(*tables) for kind, tables in _HELD.items()}
_TAKE = {kind: _take(*tables, others=False) for kind, tables in _HELD.items()}
_TAKE_OTHERS = {kind: _take(*tables, others=True) for kind, tables in _HELD.items()}


async def put_role(
    tx: Writing,
    name: str,
    *,
    description: str = "",
    scopes: Iterable[str] = (),
    from_config: bool = False,
    from_source: bool = False,
) -> None:
    """Make the role what is given, in place of any older one of that name.

    `from_config`: the configuration says so; `from_source`: the source of identities does.
    """
    if await tx.fetch(
        _PUT_ROLE,
        new_name=name,
        new_description=description,
        new_scopes=records.dumps(list(scopes)),
        is_declared=from_config,
        is_of_source=from_source,
    ):
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


async def delete_roles_gone(tx: Writing, declared: Iterable[str]) -> list[str]:
    """Delete the roles that the configuration once made and does no longer; return their names."""
    gone = [row[0] for row in await tx.fetch(_DELETE_OTHERS, names=list(declared))]
    if gone:
        tx.ring("grants:all")
    return gone


async def roles_of_source(tx: Reading) -> list[str]:
    """Return the names of the roles that came from the source of identities."""
    return [row[0] for row in await tx.fetch(_OF_SOURCE)]


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


async def names_holding(tx: Reading, name: str, kind: Kind) -> list[str]:
    """Return who has the role."""
    return [row[0] for row in await tx.fetch(_HOLDING[kind], role_id=await _id_of(tx, name))]


async def held_by(tx: Reading, kind: Kind, owner_ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """Return the names of the roles that each user, group or service has itself. Every id asked for is a key."""
    found: dict[int, list[str]] = {owner_id: [] for owner_id in owner_ids}
    for owner_id, name in await tx.fetch(_HELD_BY[kind], owner_ids=list(found)):
        found[owner_id].append(name)
    return {owner_id: tuple(held) for owner_id, held in found.items()}


async def _id_of(tx: Reading, name: str) -> int:
    role = await get_role(tx, name)
    if role is None:
        raise NotFound(f"There is no role {name}.")
    return role.id
