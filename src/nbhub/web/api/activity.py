"""Activity: when users and their servers were last in use, as servers report it."""

from __future__ import annotations

from datetime import UTC, datetime

from nbhub.errors import BadRequest, NotFound
from nbhub.web.api import bodies
from nbhub.web.api.endpoints import Call, Endpoints, Reply, empty, on_user
from nbhub.web.recent import Seen

endpoints = Endpoints()

FUTURE_SECONDS = 59 * 60  # clocks of servers may be wrong, but not by a time zone


@endpoints(on_user("users:activity"), "POST", "users/{user}/activity")
async def post_activity(call: Call) -> Reply:
    """Note what a server reports; written a moment later, together with what others report."""
    body = await call.body(bodies.ActivityReport)
    if body.last_activity is None and not body.servers:
        raise BadRequest("The report is empty: give last_activity, or servers with theirs.")
    latest = call.desk.clock() + FUTURE_SECONDS
    at = None if body.last_activity is None else parse(body.last_activity, latest)
    seen = await call.recent.of(call.user_name)
    if seen is None:
        raise NotFound(f"There is no user {call.user_name}.")
    for server_id, server_at in _of_servers(seen, body, latest):
        call.activity.note_server(server_id, server_at)
    if at is not None:
        call.activity.note_user(seen.user.id, at)
    return empty()


def _of_servers(seen: Seen, body: bodies.ActivityReport, latest: float) -> list[tuple[int, float]]:
    """Return ids and times of the servers that are reported on; raises BadRequest for one that is not there."""
    ids = {server.name: server.id for server in seen.servers}
    noted: list[tuple[int, float]] = []
    for name, report in (body.servers or {}).items():
        if name not in ids:
            raise BadRequest(f"There is no server {seen.user.name}/{name[:64]}.")
        if report.last_activity is not None:
            noted.append((ids[name], parse(report.last_activity, latest)))
    return noted


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
