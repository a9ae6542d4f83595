"""How the start of a server goes on, as a stream of events."""

from __future__ import annotations

from starlette.responses import Response

from nbhub.core.model import Phase
from nbhub.errors import BadRequest
from nbhub.web import progress
from nbhub.web.api.endpoints import Call, Endpoints, on_server
from nbhub.web.api.servers import existing

endpoints = Endpoints()


@endpoints(on_server("read:servers"), "GET", "users/{user}/server/progress", "users/{user}/servers/{server}/progress")
async def get_progress(call: Call) -> Response:
    """Stream the events of the current start, or the outcome of the last one."""
    async with call.desk.store.read() as tx:
        record = await existing(tx, call.user_name, call.server_name)
    if not record.active and record.phase is not Phase.FAILED:
        raise BadRequest(f"The server {record.user_name}/{record.name} is not starting.")
    return progress.stream(call.desk, record, call.request.scope["nbhub.closing"])
