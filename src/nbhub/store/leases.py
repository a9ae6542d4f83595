"""The queue is the table: reconcilers claim servers that are due, and write status under the lease's token.

A claimed row has no `due`; one that appears while it is claimed comes from an ask or a nudge and outlives the release.
The token grows with every claim and every release, so whoever lost the lease, or gave it back, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Double, Text, and_, bindparam, case, cast, func, null, select, union_all, update
from sqlalchemy import delete as delete_from

from nbhub.core.model import Server
from nbhub.store import records
from nbhub.store.columns import SERVER
from nbhub.store.statements import AnyOf, Statement, least, word
from nbhub.store.tables import servers
from nbhub.store.transaction import Reading, Writing

NEAR_SECONDS = 1.0  # a reconciler that sleeps has to be told of anything due sooner

_JSON = frozenset({"state", "events"})
_PLAIN = frozenset(
    {
        "phase", "observed_generation", "start_generation", "launched", "url", "message", "log_tail",
        "started", "ready", "stopped", "deadline", "last_activity",
    }
)  # fmt: skip

_s = servers.c
_ours = and_(_s.id == bindparam("server_id", type_=BigInteger), _s.lease_token == bindparam("token", type_=BigInteger))
_route = case((_s.phase == word("running"), _s.url), else_=null())
_now = bindparam("now", type_=Double)
_limit = bindparam("limit", type_=BigInteger)
_lease = bindparam("lease", type_=Double)

_due_ones = (
    select(_s.id)
    .where(_s.due <= _now, _s.due.is_not(None), _s.lease_expires.is_(None))
    .order_by(_s.due)
    .limit(_limit)
    .with_for_update(skip_locked=True)
    .cte("due_ones")
    .prefix_with("MATERIALIZED")
)
_lost_ones = (
    select(_s.id)
    .where(_s.lease_expires <= _now, _s.lease_expires.is_not(None))
    .order_by(_s.lease_expires)
    .limit(_limit)
    .with_for_update(skip_locked=True)
    .cte("lost_ones")
    .prefix_with("MATERIALIZED")
)
_free = union_all(select(_lost_ones.c.id), select(_due_ones.c.id)).limit(_limit).subquery()
_CLAIM = Statement(
    update(servers)
    .where(_s.id.in_(select(_free.c.id)))
    .values(
        due=null(),
        lease_token=_s.lease_token + 1,
        lease_expires=_now + _lease,
        lease_holder=bindparam("holder"),
    )
    .returning(*SERVER)
)
_RENEW = Statement(
    update(servers)
    .where(
        AnyOf(_s.id, "ids"),
        AnyOf(cast(_s.id, Text) + word(":") + cast(_s.lease_token, Text), "held", Text),
    )
    .values(lease_expires=_now + _lease)
    .returning(_s.id, _s.generation)
)
_asked = _s.generation > bindparam("seen_generation", type_=BigInteger)
_RELEASE = Statement(
    update(servers)
    .where(_ours)
    .values(
        due=case((_asked, func.coalesce(_s.due, 0.0)), else_=least(_s.due, bindparam("look_again", type_=Double))),
        lease_token=_s.lease_token + 1,
        lease_expires=null(),
        lease_holder=null(),
    )
    .returning(_s.due)
)
_CLEAR_URL = Statement(
    update(servers)
    .where(_s.url == bindparam("address"), _s.id != bindparam("server_id"))
    .values(url=null(), due=least(_s.due, _now))  # it is gone, or has to be told from the one that is there now
    .returning(_s.id)
)
_HAS_ADDRESS = Statement(select(_s.id).where(_s.url == bindparam("address"), _s.id != bindparam("server_id")))
_NEXT_DUE = Statement(
    select(
        select(func.min(_s.due)).where(_s.due.is_not(None), _s.lease_expires.is_(None)).scalar_subquery(),
        select(func.min(_s.lease_expires)).where(_s.lease_expires.is_not(None)).scalar_subquery(),
    )
)
_END_ALL = Statement(update(servers).where(_s.lease_expires > _now).values(lease_expires=_now))
_DELETE = Statement(
    delete_from(servers)
    .where(_ours, _s.generation <= bindparam("seen_generation", type_=BigInteger))
    .returning(_s.id, _s.user_id)
)


async def claim(tx: Writing, *, holder: str, now: float, lease: float, limit: int) -> list[Server]:
    """Take the lease of up to `limit` servers that are due, or whose lease ran out, for `lease` seconds."""
    return records.servers(await tx.fetch(_CLAIM, holder=holder, now=now, lease=lease, limit=limit))


async def renew(tx: Writing, held: Mapping[int, int], *, now: float, lease: float) -> dict[int, int]:
    """Prolong leases (`held`: server id to token); return the current generation of each that is still ours."""
    pairs = [f"{server_id}:{token}" for server_id, token in held.items()]
    rows = await tx.fetch(_RENEW, ids=list(held), held=pairs, now=now, lease=lease)
    return {row[0]: row[1] for row in rows}


async def record(tx: Writing, server_id: int, token: int, **status: Any) -> bool:
    """Write status; False, and nothing is changed, if the lease is no longer ours.

    An address that is set here is taken from every other server in the same transaction, so that no old route ever
    leads to it.
    """
    for name in _JSON & status.keys():
        status[name] = records.dumps(status[name])
    row = await tx.fetchone(_record(tuple(sorted(status))), server_id=server_id, token=token, **_prefixed(status))
    if row is None:
        return False
    tx.ring(f"server:{server_id}")
    moved = row[0] != row[1]
    if status.get("url"):
        for (other,) in await tx.fetch(_CLEAR_URL, address=status["url"], server_id=server_id, now=tx.clock()):
            tx.ring("servers", f"server:{other}")
            moved = True
    if moved:
        tx.ring("routes")
    return True


async def is_others(tx: Reading, url: str, server_id: int) -> bool:
    """Say whether an address is recorded as that of another server."""
    return await tx.fetchone(_HAS_ADDRESS, address=url, server_id=server_id) is not None


async def release(tx: Writing, server_id: int, token: int, *, due: float | None, seen_generation: int) -> bool:
    """Give the lease back and have the server looked at again at `due`, or at once if it was asked for meanwhile.

    None: not before somebody asks. False, and nothing is changed, if the lease is no longer ours.
    """
    row = await tx.fetchone(_RELEASE, server_id=server_id, token=token, look_again=due, seen_generation=seen_generation)
    if row is None:
        return False
    if row[0] is not None and row[0] < tx.clock() + NEAR_SECONDS:
        tx.ring("servers")
    return True


async def end_all(tx: Writing, now: float) -> None:
    """Let every lease run out: for a hub that knows that no other works on this database any more."""
    await tx.execute(_END_ALL, now=now)


async def next_due(tx: Reading, now: float) -> float | None:
    """Return when the next server is due or the next lease runs out: not after `now` if one can be claimed now."""
    row = await tx.fetchone(_NEXT_DUE)
    times = [time for time in row or () if time is not None]
    return min(times, default=None)


async def delete(tx: Writing, server_id: int, token: int, *, seen_generation: int) -> bool:
    """Delete the server, and with it its token, its OAuth client and all that was issued to that.

    False, and nothing is changed, if the lease is no longer ours, or somebody has asked for something else since.
    """
    row = await tx.fetchone(_DELETE, server_id=server_id, token=token, seen_generation=seen_generation)
    if row is None:
        return False
    tx.ring("servers", f"server:{server_id}", f"user:{row[1]}", "routes", "grants:all")
    return True


@cache
def _record(keys: tuple[str, ...]) -> Statement:
    unknown = set(keys) - _JSON - _PLAIN
    if unknown or not keys:
        raise TypeError(f"status has no {', '.join(sorted(unknown)) or 'nothing to record'}")
    values: dict[str, Any] = {key: bindparam(f"new_{key}", type_=_s[key].type) for key in keys}
    statement = update(servers).where(_ours).values(former_route=_route, **values)
    return Statement(statement.returning(_s.former_route, _route))


def _prefixed(status: Mapping[str, Any]) -> dict[str, Any]:
    return {f"new_{key}": value for key, value in status.items()}
