"""Users, and the groups and roles of each. Groups themselves are in `groups`, passwords and invitations in `logins`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal

from sqlalchemy import BigInteger, Boolean, Double, Text, bindparam, exists, func, not_, or_, select, update
from sqlalchemy import delete as delete_from

from nbhub.core.model import Role, User
from nbhub.core.principal import UserFilter
from nbhub.errors import BadRequest, Conflict, NotFound
from nbhub.store import records
from nbhub.store.columns import ACTIVE, READY, ROLE, USER
from nbhub.store.groups import (
    add,
    create_group,
    delete_group,
    get_group,
    list_groups,
    members_of,
    remove,
    set_properties,
)
from nbhub.store.logins import (
    Invitation,
    LoginFailures,
    PasswordRecord,
    clear_failures,
    create_invitation,
    delete_invitation,
    delete_old_failures,
    get_failures,
    get_invitation,
    get_password,
    has_passwords,
    list_invitations,
    note_failure,
    set_password,
    take_invitation,
)
from nbhub.store.statements import AnyOf, Statement, word
from nbhub.store.tables import groups, invitations, roles, servers, user_groups, user_roles, users
from nbhub.store.transaction import Reading, Writing

__all__ = [
    "Invitation", "LoginFailures", "PasswordRecord", "State", "add", "by_id", "clear_failures", "count", "count_active",
    "create",
    "create_group", "create_invitation", "delete", "delete_abandoned", "delete_group", "delete_invitation",
    "delete_old_failures", "get", "get_failures", "get_group", "get_invitation", "get_password", "groups_of",
    "has_passwords", "hold",
    "list_groups", "list_invitations", "list_page", "members_of", "note_failure", "remove", "rename", "roles_of",
    "set_admin", "set_password", "set_properties", "take_invitation", "touch_many",
]  # fmt: skip

State = Literal["active", "ready", "inactive"]
Sort = Literal["id", "name", "last_activity"]

_u = users.c
_id = bindparam("user_id", type_=BigInteger)

_GET = Statement(select(*USER).where(_u.name == bindparam("name")))
_BY_ID = Statement(select(*USER).where(_u.id == _id))
_CREATE = Statement(
    lambda insert: (
        insert(users)
        .values(
            name=bindparam("new_name"),
            admin=bindparam("is_admin", type_=Boolean),
            created=bindparam("now", type_=Double),
            temporary=bindparam("is_temporary", type_=Boolean),
        )
        .on_conflict_do_nothing()
        .returning(*USER)
    )
)
_GIVE_ROLES = Statement(
    lambda insert: (
        insert(user_roles)
        .from_select(["user_id", "role_id"], select(_id, roles.c.id).where(AnyOf(roles.c.name, "names", Text)))
        .on_conflict_do_nothing()
    )
)
_TAKE_ROLE = Statement(
    delete_from(user_roles).where(
        user_roles.c.user_id == _id,
        user_roles.c.role_id == select(roles.c.id).where(roles.c.name == bindparam("name")).scalar_subquery(),
    )
)
_RENAME = Statement(update(users).where(_u.id == _id).values(name=bindparam("new_name")).returning(*USER))
_SET_ADMIN = Statement(
    update(users).where(_u.id == _id).values(admin=bindparam("is_admin", type_=Boolean)).returning(*USER)
)
_DELETE = Statement(delete_from(users).where(_u.id == _id).returning(_u.name))
_FORGET_RESETS = Statement(
    delete_from(invitations).where(invitations.c.name == bindparam("name"), invitations.c.purpose == word("reset"))
)
_at_work = exists().where(
    servers.c.user_id == _u.id, or_(ACTIVE, servers.c.wanted, servers.c.lease_expires.is_not(None))
)
_ABANDONED = Statement(
    select(_u.id).where(_u.temporary, _u.created < bindparam("cutoff", type_=Double), not_(_at_work))
)
_HOLD_SERVERS = Statement(select(servers.c.id).where(AnyOf(servers.c.user_id, "user_ids")).with_for_update())
_HOLD_USERS = Statement(select(_u.id).where(AnyOf(_u.id, "user_ids")).with_for_update())
_DELETE_ABANDONED = Statement(
    delete_from(users).where(AnyOf(_u.id, "user_ids"), not_(_at_work)).returning(_u.id, _u.name)
)
_COUNT = Statement(select(func.count()).select_from(users))
_COUNT_ACTIVE = Statement(
    select(func.count()).select_from(users).where(_u.last_activity >= bindparam("since", type_=Double))
)
_TOUCH = Statement(
    update(users)
    .where(_u.id == _id, or_(_u.last_activity.is_(None), _u.last_activity < bindparam("at", type_=Double)))
    .values(last_activity=bindparam("at", type_=Double))
)
_GROUPS_OF = Statement(
    select(user_groups.c.user_id, groups.c.name)
    .join_from(user_groups, groups)
    .where(AnyOf(user_groups.c.user_id, "user_ids"))
    .order_by(groups.c.name)
)
_ROLES_OF = Statement(
    select(user_roles.c.user_id, user_roles.c.role_id)
    .where(AnyOf(user_roles.c.user_id, "user_ids"))
    .order_by(user_roles.c.role_id)
)
_ALL_ROLES = Statement(select(*ROLE))


# -- reading -----------------------------------------------------------------------------------------------------


async def get(tx: Reading, name: str) -> User | None:
    """Return the user of that name."""
    row = await tx.fetchone(_GET, name=name)
    return None if row is None else records.user(row)


async def by_id(tx: Reading, user_id: int) -> User | None:
    """Return the user with that id."""
    row = await tx.fetchone(_BY_ID, user_id=user_id)
    return None if row is None else records.user(row)


async def count(tx: Reading) -> int:
    """Return how many users there are."""
    return int(await tx.value(_COUNT))


async def count_active(tx: Reading, since: float) -> int:
    """Return how many users were active at some time since then (seconds since the epoch)."""
    return int(await tx.value(_COUNT_ACTIVE, since=since))


async def groups_of(tx: Reading, user_ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """Return the names of the groups of each user. Every id asked for is a key."""
    found: dict[int, list[str]] = {user_id: [] for user_id in user_ids}
    for user_id, name in await tx.fetch(_GROUPS_OF, user_ids=list(found)):
        found[user_id].append(name)
    return {user_id: tuple(names) for user_id, names in found.items()}


async def roles_of(tx: Reading, user_ids: Iterable[int]) -> dict[int, tuple[Role, ...]]:
    """Return the roles that each user has directly. Every id asked for is a key."""
    found: dict[int, list[Role]] = {user_id: [] for user_id in user_ids}
    known = {row[0]: records.role(row) for row in await tx.fetch(_ALL_ROLES)}  # few, and most users share them
    for user_id, role_id in await tx.fetch(_ROLES_OF, user_ids=list(found)):
        if role_id in known:
            found[user_id].append(known[role_id])
    return {user_id: tuple(given) for user_id, given in found.items()}


async def list_page(
    tx: Reading,
    *,
    offset: int = 0,
    limit: int = 50,
    sort: Sort = "id",
    descending: bool = False,
    name_filter: str = "",
    state: State | None = None,
    only: Literal["all"] | UserFilter = "all",
) -> tuple[list[User], int]:
    """Return one page of users and how many there are on all pages.

    `name_filter` is a part of the name in any case; `only` leaves all but its users and the members of its groups
    away. Raises BadRequest for a sort or state that does not exist.
    """
    if sort not in ("id", "name", "last_activity"):
        raise BadRequest(f"Users cannot be sorted by {str(sort)[:40]!r}; sort by id, name or last_activity.")
    if state not in (None, "active", "ready", "inactive"):
        raise BadRequest(f"There is no state {str(state)[:40]!r}; ask for active, ready or inactive.")
    page, total = _page(sort, descending, bool(name_filter), state, only != "all")
    params: dict[str, Any] = {}
    if name_filter:
        params["pattern"] = _pattern(name_filter)
    if only != "all":
        params |= {"only_users": list(only.users), "only_groups": list(only.groups)}
    rows = await tx.fetch(page, limit=limit, offset=offset, **params)
    if len(rows) < limit and (rows or not offset):
        return [records.user(row) for row in rows], offset + len(rows)
    return [records.user(row) for row in rows], int(await tx.value(total, **params))


@cache
def _page(sort: str, descending: bool, named: bool, state: State | None, limited: bool) -> tuple[Statement, Statement]:
    conditions: list[Any] = []
    if named:
        conditions.append(func.lower(_u.name).like(bindparam("pattern", type_=Text), escape="\\"))
    if state is not None:
        which = exists().where(servers.c.user_id == _u.id, READY if state == "ready" else ACTIVE)
        conditions.append(not_(which) if state == "inactive" else which)
    if limited:
        members = select(user_groups.c.user_id).join_from(user_groups, groups)
        members = members.where(AnyOf(groups.c.name, "only_groups", Text))
        conditions.append(or_(AnyOf(_u.name, "only_users", Text), _u.id.in_(members)))
    order: list[Any] = [_u.id.desc() if descending else _u.id]
    if sort != "id":
        column = _u[sort]
        first = column.desc().nulls_last() if descending else column.asc().nulls_first()
        order = [first if sort == "last_activity" else (column.desc() if descending else column), *order]
    page = select(*USER).where(*conditions).order_by(*order)
    page = page.limit(bindparam("limit", type_=BigInteger)).offset(bindparam("offset", type_=BigInteger))
    return Statement(page), Statement(select(func.count()).select_from(users).where(*conditions))


def _pattern(part: str) -> str:
    for special in ("\\", "%", "_"):
        part = part.replace(special, "\\" + special)
    return f"%{part.lower()}%"


# -- writing -----------------------------------------------------------------------------------------------------


async def create(tx: Writing, name: str, *, admin: bool = False, temporary: bool = False, now: float) -> User:
    """Make a user with the role `user`, and `admin` if so; Conflict if the name is taken."""
    row = await tx.fetchone(_CREATE, new_name=name, is_admin=admin, now=now, is_temporary=temporary)
    if row is None:
        raise Conflict(f"There is a user {name} already.")
    user = records.user(row)
    await tx.execute(_GIVE_ROLES, user_id=user.id, names=["user", "admin"] if admin else ["user"])
    return user


async def rename(tx: Writing, user_id: int, name: str) -> User:
    """Give the user another name; Conflict if it is taken. Password resets that name the old one are void."""
    old = await by_id(tx, user_id)
    if old is None:
        raise NotFound("The user is gone.")
    taken = await get(tx, name)
    if taken is not None and taken.id != user_id:
        raise Conflict(f"There is a user {name} already.")
    await tx.execute(_FORGET_RESETS, name=old.name)
    row = await tx.fetchone(_RENAME, user_id=user_id, new_name=name)
    # Access to this user's servers is granted to others by name.
    tx.ring("grants:all", f"user:{user_id}", "routes")
    return _user(row)


async def set_admin(tx: Writing, user_id: int, admin: bool) -> User:
    """Make the user an administrator, or no longer one; the role `admin` follows."""
    user = _user(await tx.fetchone(_SET_ADMIN, user_id=user_id, is_admin=admin))
    if admin:
        await tx.execute(_GIVE_ROLES, user_id=user_id, names=["admin"])
    else:
        await tx.execute(_TAKE_ROLE, user_id=user_id, name="admin")
    tx.ring(f"grants:user:{user_id}", f"user:{user_id}")
    return user


async def hold(tx: Writing, *user_ids: int) -> None:
    """Let no other hub make servers of these users, or ask for one, until this transaction ends.

    What is read afterwards stays true. Servers come first: reconcilers take them in this order too.
    """
    await tx.fetch(_HOLD_SERVERS, user_ids=list(user_ids))
    await tx.fetch(_HOLD_USERS, user_ids=list(user_ids))


async def delete(tx: Writing, user_id: int) -> None:
    """Delete the user and all that is theirs: servers, tokens, sessions, password. Stop the servers first."""
    row = await tx.fetchone(_DELETE, user_id=user_id)
    if row is not None:
        await _gone(tx, user_id, row[0])


async def delete_abandoned(tx: Writing, cutoff: float) -> list[str]:
    """Delete temporary users made before `cutoff` whose servers are all at rest and unwanted; return their names."""
    found = [row[0] for row in await tx.fetch(_ABANDONED, cutoff=cutoff)]
    if not found:
        return []
    await hold(tx, *found)
    rows = await tx.fetch(_DELETE_ABANDONED, user_ids=found)
    for user_id, name in rows:
        await _gone(tx, user_id, name)
    return [row[1] for row in rows]


async def touch_many(tx: Writing, seen: Mapping[int, float]) -> None:
    """Note activity (user id to time); it only ever moves forward."""
    await tx.execute_many(_TOUCH, [{"user_id": user_id, "at": at} for user_id, at in sorted(seen.items())])


async def _gone(tx: Writing, user_id: int, name: str) -> None:
    await tx.execute(_FORGET_RESETS, name=name)
    # Others may hold tokens of this user's servers.
    tx.ring("grants:all", f"user:{user_id}", "routes", "servers")


def _user(row: Any) -> User:
    if row is None:
        raise NotFound("The user is gone.")
    return records.user(row)
