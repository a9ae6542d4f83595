"""Groups and who is in them. Offered through `users`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import BigInteger, Text, bindparam, delete, func, select, update

from nbhub.core.model import Group
from nbhub.errors import BadRequest, Conflict, NotFound
from nbhub.store import records
from nbhub.store.statements import AnyOf, Statement
from nbhub.store.tables import groups, user_groups, users
from nbhub.store.transaction import Reading, Writing

_g = groups.c
_id = bindparam("group_id", type_=BigInteger)

_GET = Statement(select(*groups.c).where(_g.name == bindparam("name")))
_LIST = Statement(
    select(*groups.c)
    .order_by(_g.id)
    .limit(bindparam("limit", type_=BigInteger))
    .offset(bindparam("offset", type_=BigInteger))
)
_LIST_SOME = Statement(select(*groups.c).where(AnyOf(_g.name, "only", Text)).order_by(_g.id))
_COUNT = Statement(select(func.count()).select_from(groups))
_CREATE = Statement(
    lambda insert: (
        insert(groups)
        .values(name=bindparam("new_name"), properties=bindparam("new_properties"))
        .on_conflict_do_nothing()
        .returning(*groups.c)
    )
)
_DELETE = Statement(delete(groups).where(_g.id == _id).returning(_g.id))
_SET_PROPERTIES = Statement(
    update(groups).where(_g.id == _id).values(properties=bindparam("new_properties")).returning(*groups.c)
)
_KNOWN = Statement(select(users.c.name).where(AnyOf(users.c.name, "names", Text)))
_ADD = Statement(
    lambda insert: (
        insert(user_groups)
        .from_select(["user_id", "group_id"], select(users.c.id, _id).where(AnyOf(users.c.name, "names", Text)))
        .on_conflict_do_nothing()
        .returning(user_groups.c.user_id)
    )
)
_REMOVE = Statement(
    delete(user_groups)
    .where(
        user_groups.c.group_id == _id,
        user_groups.c.user_id.in_(select(users.c.id).where(AnyOf(users.c.name, "names", Text))),
    )
    .returning(user_groups.c.user_id)
)
_MEMBERS = Statement(
    select(user_groups.c.group_id, users.c.name)
    .join_from(user_groups, users)
    .where(AnyOf(user_groups.c.group_id, "group_ids"))
    .order_by(users.c.name)
)


async def get_group(tx: Reading, name: str) -> Group | None:
    """Return the group of that name."""
    row = await tx.fetchone(_GET, name=name)
    return None if row is None else _group(row)


async def list_groups(
    tx: Reading, *, offset: int = 0, limit: int = 200, only: Iterable[str] | None = None
) -> tuple[list[Group], int]:
    """Return a page of groups and how many there are; with `only`, of those names."""
    if only is not None:
        some = [_group(row) for row in await tx.fetch(_LIST_SOME, only=list(only))]
        return some[offset : offset + limit], len(some)
    rows = await tx.fetch(_LIST, limit=limit, offset=offset)
    return [_group(row) for row in rows], int(await tx.value(_COUNT))


async def members_of(tx: Reading, group_ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """Return the names of the users in each group. Every id asked for is a key."""
    found: dict[int, list[str]] = {group_id: [] for group_id in group_ids}
    for group_id, name in await tx.fetch(_MEMBERS, group_ids=list(found)):
        found[group_id].append(name)
    return {group_id: tuple(names) for group_id, names in found.items()}


async def create_group(tx: Writing, name: str, properties: Mapping[str, Any] | None = None) -> Group:
    """Make an empty group; Conflict if there is one of that name."""
    row = await tx.fetchone(_CREATE, new_name=name, new_properties=records.dumps(properties or {}))
    if row is None:
        raise Conflict(f"There is a group {name} already.")
    return _group(row)


async def delete_group(tx: Writing, group_id: int) -> None:
    """Delete the group; its members stay."""
    if await tx.fetch(_DELETE, group_id=group_id):
        tx.ring("grants:all")


async def set_properties(tx: Writing, group_id: int, properties: Mapping[str, Any]) -> Group:
    """Replace the properties of the group."""
    row = await tx.fetchone(_SET_PROPERTIES, group_id=group_id, new_properties=records.dumps(properties))
    if row is None:
        raise NotFound("The group is gone.")
    return _group(row)


async def add(tx: Writing, group_id: int, names: Iterable[str]) -> None:
    """Put users into the group; BadRequest, and nobody is added, if one of them does not exist."""
    wanted = list(dict.fromkeys(names))
    known = {row[0] for row in await tx.fetch(_KNOWN, names=wanted)}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise BadRequest(f"There is no user {missing[0][:64]!r}.")
    _ring(tx, await tx.fetch(_ADD, group_id=group_id, names=wanted))


async def remove(tx: Writing, group_id: int, names: Iterable[str]) -> None:
    """Take users out of the group; those who are not in it are ignored."""
    _ring(tx, await tx.fetch(_REMOVE, group_id=group_id, names=list(names)))


def _ring(tx: Writing, rows: Iterable[Any]) -> None:
    for (user_id,) in rows:
        tx.ring(f"grants:user:{user_id}", f"user:{user_id}")


def _group(row: Any) -> Group:
    return Group(row[0], row[1], records.loads(row[2]))
