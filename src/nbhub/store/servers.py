"""Servers: what is wanted of them, and what is known of them. Status is written through `leases`, offered here too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, Double, Text, bindparam, false, func, or_, select, true, update

from nbhub.core import names
from nbhub.core.model import Route, Server, User
from nbhub.errors import Conflict, NotFound
from nbhub.store import records
from nbhub.store.columns import ACTIVE, ASKED_TO_START, OWNER, SERVER
from nbhub.store.leases import claim, delete, is_others, next_due, record, release, renew
from nbhub.store.statements import AnyOf, Statement, word
from nbhub.store.tables import servers, users
from nbhub.store.transaction import Reading, Writing

__all__ = [
    "KEEP", "ask_start", "ask_stop", "ask_stop_all", "ask_stop_idle", "by_id", "claim", "count_active",
    "count_named", "count_starting", "create", "delete", "everybodys", "get", "hold", "is_others", "next_due", "nudge",
    "nudge_named", "of_users", "record", "release", "renew", "routes", "starting", "touch_many", "update_spec",
]  # fmt: skip


class Keep(Enum):
    """The type of KEEP."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP  # leave as it is, where None is a value of its own

_s = servers.c
_id = bindparam("server_id", type_=BigInteger)
_now = bindparam("now", type_=Double)
_by_user = _s.user_id == select(users.c.id).where(users.c.name == bindparam("user_name")).scalar_subquery()

_GET = Statement(select(*SERVER).where(_by_user, _s.name == bindparam("server_name")))
_BY_ID = Statement(select(*SERVER).where(_s.id == _id))
_HOLD = Statement(select(_s.id).where(_s.id == _id).with_for_update())
_OF_USERS = Statement(select(*SERVER).where(AnyOf(_s.user_id, "user_ids")).order_by(_s.user_id, _s.name))
_ACTIVE_OF_USERS = Statement(select(*SERVER).where(AnyOf(_s.user_id, "user_ids"), ACTIVE).order_by(_s.user_id, _s.name))
_ALL = Statement(select(*SERVER).order_by(OWNER, _s.name))
_ALL_ACTIVE = Statement(select(*SERVER).where(ACTIVE).order_by(OWNER, _s.name))
_CREATE = Statement(
    lambda insert: (
        insert(servers)
        .values(
            user_id=bindparam("owner_id"), name=bindparam("new_name"), display_name=bindparam("shown"),
            wanted=false(), generation=0, removing=false(), phase="stopped", observed_generation=0, launched=false(),
            start_generation=0, state="{}", message="", log_tail="", events="[]", lease_token=0,
        )
        .on_conflict_do_nothing()
        .returning(*(bindparam("owner_name", type_=Text) if column is OWNER else column for column in SERVER))
    )
)  # fmt: skip


def _ask(wanted: bool, **values: Any) -> Any:
    return (
        update(servers)
        .where(_s.id == _id)
        .values(wanted=true() if wanted else false(), generation=_s.generation + 1, due=_now, **values)
    )


_START_FRESH: dict[str, Any] = {"removing": false(), "message": "", "log_tail": "", "events": "[]"}
_ASK_START = Statement(_ask(True, **_START_FRESH).returning(*SERVER))
_ASK_START_WITH = Statement(_ask(True, **_START_FRESH, options=bindparam("chosen", type_=Text)).returning(*SERVER))
_ASK_STOP = Statement(_ask(False).returning(*SERVER))
_ASK_REMOVE = Statement(_ask(False, removing=true()).returning(*SERVER))
_stop_many = update(servers).values(wanted=false(), generation=_s.generation + 1, due=_now)
_last_sign = func.coalesce(_s.last_activity, _s.ready, _s.started)
_STOP_IDLE = Statement(
    _stop_many.where(_s.phase == word("running"), _s.wanted, _last_sign < bindparam("cutoff", type_=Double)).returning(
        _s.id, OWNER, _s.name
    )
)
_STOP_ALL = Statement(_stop_many.where(ACTIVE).returning(_s.id))
_NUDGE = Statement(update(servers).where(AnyOf(_s.id, "ids"), or_(_s.due.is_(None), _s.due > _now)).values(due=_now))
_TOUCH = Statement(
    update(servers)
    .where(_s.id == _id, or_(_s.last_activity.is_(None), _s.last_activity < bindparam("at", type_=Double)))
    .values(last_activity=bindparam("at", type_=Double))
)
_COUNT_ACTIVE = Statement(select(func.count()).select_from(servers).where(ACTIVE))
_STARTING = or_(_s.phase == word("starting"), ASKED_TO_START)
_COUNT_STARTING = Statement(select(func.count()).select_from(servers).where(ACTIVE, _STARTING))
_BEING_STARTED = Statement(select(*SERVER).where(ACTIVE, _s.phase == word("starting")))
_COUNT_NAMED = Statement(
    select(func.count()).select_from(servers).where(_s.user_id == bindparam("owner_id"), _s.name != word(""))
)
_ROUTES = Statement(
    select(users.c.name, _s.name, _s.url)
    .join_from(servers, users, users.c.id == _s.user_id)
    .where(_s.url.is_not(None), _s.phase == word("running"))
)
_SPEC: dict[str, Any] = {
    "display_name": _s.display_name,
    "options": _s.options,
    "name": _s.name,
}


# -- reading -----------------------------------------------------------------------------------------------------


async def get(tx: Reading, user_name: str, server_name: str) -> Server | None:
    """Return the server of that user and name ("" is the default server)."""
    row = await tx.fetchone(_GET, user_name=user_name, server_name=server_name)
    return None if row is None else records.server(row)


async def by_id(tx: Reading, server_id: int) -> Server | None:
    """Return the server with that id."""
    row = await tx.fetchone(_BY_ID, server_id=server_id)
    return None if row is None else records.server(row)


async def of_users(tx: Reading, user_ids: Iterable[int], *, include_stopped: bool = False) -> dict[int, list[Server]]:
    """Return the servers of each user, by name: those that are active, or all. Every id asked for is a key."""
    found: dict[int, list[Server]] = {user_id: [] for user_id in user_ids}
    rows = await tx.fetch(_OF_USERS if include_stopped else _ACTIVE_OF_USERS, user_ids=list(found))
    for server in records.servers(rows):
        found[server.user_id].append(server)
    return found


async def everybodys(tx: Reading, *, include_stopped: bool = False) -> list[Server]:
    """Return the servers of all users, by user and name: those that are active, or all."""
    return records.servers(await tx.fetch(_ALL if include_stopped else _ALL_ACTIVE))


async def routes(tx: Reading, base_url: str) -> list[Route]:
    """Return the way to every running server."""
    return [_route(base_url, user, name, target) for user, name, target in await tx.fetch(_ROUTES)]


@lru_cache(32_768)  # every reading brings nearly all of them again, and some are kept for long
def _route(base_url: str, user: str, name: str, target: str) -> Route:
    return Route(names.server_prefix(base_url, user, name), target, user, name)


async def count_active(tx: Reading) -> int:
    """Return how many servers are active; in a write transaction it stays true until that ends."""
    await _hold_still(tx)
    return int(await tx.value(_COUNT_ACTIVE))


async def count_starting(tx: Reading) -> int:
    """Return how many servers are starting or asked to; in a write transaction it stays true until that ends."""
    await _hold_still(tx)
    return int(await tx.value(_COUNT_STARTING))


async def starting(tx: Reading) -> list[Server]:
    """Return the servers whose start has begun and not ended."""
    return [records.server(row) for row in await tx.fetch(_BEING_STARTED)]


async def count_named(tx: Reading, user_id: int) -> int:
    """Return how many named servers the user has, running or not."""
    return int(await tx.value(_COUNT_NAMED, owner_id=user_id))


async def _hold_still(tx: Reading) -> None:
    """Who counts in order to keep a limit counts alone, or two hubs would both find room for the last one."""
    if isinstance(tx, Writing):
        await tx.lock("limits")


async def hold(tx: Writing, server_id: int) -> Server | None:
    """Return the server as it is; no other hub changes anything about it until this transaction ends."""
    await tx.fetchone(_HOLD, server_id=server_id)
    return await by_id(tx, server_id)


# -- what is wanted ----------------------------------------------------------------------------------------------


async def create(tx: Writing, user: User, name: str, *, display_name: str = "", now: float) -> Server:
    """Make a server that is not started; Conflict if the user has one of that name."""
    row = await tx.fetchone(_CREATE, owner_id=user.id, owner_name=user.name, new_name=name, shown=display_name)
    if row is None:
        raise Conflict(f"User {user.name} has a server {name!r} already.")
    tx.ring(f"user:{user.id}")
    return records.server(row)


async def ask_start(
    tx: Writing, server_id: int, *, options: Mapping[str, Any] | Keep | None = KEEP, now: float
) -> Server:
    """Want the server to run, from a fresh start; what was told about the last one is forgotten."""
    if options is KEEP:
        row = await tx.fetchone(_ASK_START, server_id=server_id, now=now)
    else:
        chosen = None if options is None else records.dumps(options)
        row = await tx.fetchone(_ASK_START_WITH, server_id=server_id, now=now, chosen=chosen)
    return _asked(tx, row)


async def ask_stop(tx: Writing, server_id: int, *, remove: bool = False, now: float) -> Server:
    """Want the server to be down and, with `remove`, gone."""
    row = await tx.fetchone(_ASK_REMOVE if remove else _ASK_STOP, server_id=server_id, now=now)
    return _asked(tx, row)


async def ask_stop_idle(tx: Writing, cutoff: float, now: float) -> list[tuple[int, str, str]]:
    """Want every running server down that showed no activity since `cutoff`; return id, user and name of each."""
    rows = await tx.fetch(_STOP_IDLE, cutoff=cutoff, now=now)
    _ring_all(tx, [row[0] for row in rows])
    return [(server_id, user, name) for server_id, user, name in rows]


async def ask_stop_all(tx: Writing, now: float) -> list[int]:
    """Want every server down that is active; return their ids. Those that failed keep their reason."""
    ids = [row[0] for row in await tx.fetch(_STOP_ALL, now=now)]
    _ring_all(tx, ids)
    return ids


async def nudge(tx: Writing, ids: Sequence[int], now: float) -> None:
    """Have these servers looked at now."""
    if await tx.execute(_NUDGE, ids=list(ids), now=now):
        tx.ring("servers")


async def nudge_named(tx: Writing, named: Iterable[tuple[str, str]], now: float) -> int:
    """Have servers looked at now, by user and name; return how many of them there are."""
    found = [await get(tx, user, name) for user, name in named]
    ids = [server.id for server in found if server is not None]
    if ids:
        await nudge(tx, ids, now)
    return len(ids)


async def update_spec(
    tx: Writing,
    server_id: int,
    *,
    display_name: str | Keep = KEEP,
    options: Mapping[str, Any] | Keep | None = KEEP,
    name: str | Keep = KEEP,
) -> Server:
    """Change what is given; Conflict if the user has another server of that name."""
    changes: dict[str, Any] = {"display_name": display_name, "name": name}
    changes["options"] = records.dumps(options) if isinstance(options, Mapping) else options
    changes = {key: value for key, value in changes.items() if value is not KEEP}
    server = await by_id(tx, server_id)
    if server is None:
        raise NotFound("The server is gone.")
    if not changes:
        return server
    taken = None if isinstance(name, Keep) else await get(tx, server.user_name, name)
    if taken is not None and taken.id != server_id:
        raise Conflict(f"User {server.user_name} has a server {name!r} already.")
    await tx.execute(_UPDATES[frozenset(changes)], server_id=server_id, **{f"new_{k}": v for k, v in changes.items()})
    tx.ring(f"server:{server_id}", f"user:{server.user_id}")
    changed = await by_id(tx, server_id)
    assert changed is not None
    return changed


async def touch_many(tx: Writing, seen: Mapping[int, float]) -> None:
    """Note activity (server id to time); it only ever moves forward."""
    await tx.execute_many(_TOUCH, [{"server_id": server_id, "at": at} for server_id, at in sorted(seen.items())])


# -- shared ------------------------------------------------------------------------------------------------------


def _update_spec(keys: Iterable[str]) -> Statement:
    values: dict[str, Any] = {key: bindparam(f"new_{key}", type_=Text) for key in keys}
    return Statement(update(servers).where(_s.id == _id).values(**values))


_UPDATES = {
    frozenset(keys): _update_spec(keys)
    for keys in (
        ["display_name"], ["options"], ["name"], ["display_name", "options"], ["display_name", "name"],
        ["options", "name"], ["display_name", "options", "name"],
    )
}  # fmt: skip


def _asked(tx: Writing, row: Any) -> Server:
    if row is None:
        raise NotFound("The server is gone.")
    server = records.server(row)
    tx.ring("servers", f"server:{server.id}")
    return server


def _ring_all(tx: Writing, ids: Sequence[int]) -> None:
    if ids:
        tx.ring("servers", *(f"server:{server_id}" for server_id in ids))
