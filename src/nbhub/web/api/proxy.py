"""The routes of the proxy, as the database has them."""

from __future__ import annotations

from typing import Any

from nbhub.core.model import Route
from nbhub.store import servers, services
from nbhub.web.api import paging
from nbhub.web.api.endpoints import Call, Endpoints, Reply, empty, json, on_hub

endpoints = Endpoints()


@endpoints(on_hub("proxy"), "GET", "proxy")
async def get_routes(call: Call) -> Reply:
    """Show which address leads where, besides the hub's own."""
    page, base = paging.asked(call), call.desk.settings.base_url
    async with call.desk.store.scan() as tx:
        routes = [*await servers.routes(tx, base), *await services.routes(tx, base)]
    routes.sort(key=lambda route: route.prefix)
    shown = {route.prefix: _model(route) for route in routes[page.offset : page.offset + page.limit]}
    if not page.framed:
        return json(shown)
    return json({"items": shown, "_pagination": paging.frame(call, page, len(routes))})


@endpoints(on_hub("proxy"), "POST", "proxy")
async def check_routes(call: Call) -> Reply:
    """Have every proxy read its routes again."""
    async with call.desk.store.write() as tx:
        tx.ring("routes")
    return empty()


def _model(route: Route) -> dict[str, Any]:
    data = {"service": route.service} if route.service else {"user": route.user, "server_name": route.server}
    return {"routespec": route.prefix, "target": route.target, "data": data}
