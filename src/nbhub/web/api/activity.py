"""Activity: when users and their servers were last in use, as servers report it."""

from __future__ import annotations

from datetime import UTC, datetime

from nbhub.errors import BadRequest
from nbhub.store import Reading, servers
from nbhub.web.api import bodies
from nbhub.web.api.endpoints import Call, Endpoints, Reply, empty, on_user
from nbhub.web.api.users import existing

endpoints = Endpoints()

FUTURE_SECONDS = 59 * 60  # clocks of servers may be wrong, but not by a time zone


@endpoints(on_user("users:activity"), "POST", "users/{user}/activity")
async def post_activity(call: Call) -> Reply:
    """Note what a server reports; written a moment later, together with what others report."""
    body = await call.body(bodies.ActivityReport)
    if body.last_activity is None and not body.servers:
        raise BadRequest("The report is empty: give last_activity, or servers with theirs.")
    latest = call.desk.clock() + FUTURE_SECONDS
    asking = call.principal.user
    owner_id = asking.id if asking is not None and asking.name == call.user_name else None
    at = None if body.last_activity is None else parse(body.last_activity, latest)
    if owner_id is None or body.servers:
        async with call.desk.store.read() as tx:
            if owner_id is None:
                owner_id = (await existing(tx, call.user_name)).id
            await _note_servers(call, tx, body, latest)
    if at is not None:
        call.activity.note_user(owner_id, at)
    return empty()


async def _note_servers(call: Call, tx: Reading, body: bodies.ActivityReport, latest: float) -> None:
    noted: list[tuple[int, float]] = []
    for name, report in (body.servers or {}).items():
        record = await servers.get(tx, call.user_name, name)
        if record is None:
            raise BadRequest(f"There is no server {call.user_name}/{name[:64]}.")
        if report.last_activity is not None:
            noted.append((record.id, parse(report.last_activity, latest)))
    for server_id, at in noted:
        call.activity.note_server(server_id, at)


def parse(text: str, latest: float) -> float:
    """Return an ISO 8601 time as seconds since the epoch; without a zone it is UTC. Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(text)
        at = moment.timestamp() if moment.tzinfo else moment.replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(f"{text[:64]!r} is not a time in ISO 8601, such as 2026-01-31T12:00:00Z.") from None
    if at > latest:
        raise BadRequest(f"{text[:64]} is in the future. Set the clock of the machine that reports it.")
    return at
