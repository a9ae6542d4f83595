"""The hub itself: version, health, numbers, what browsers report."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from starlette.types import Scope

import nbhub
from nbhub import metrics
from nbhub.errors import DatabaseUnavailable, Unavailable
from nbhub.store import servers, users
from nbhub.web import client
from nbhub.web.api.endpoints import OPEN, Access, Call, Endpoints, Reply, empty, json, on_hub

log = logging.getLogger("nbhub.web")

endpoints = Endpoints()

METRICS = Access("scoped", ("read:metrics",), open_if=lambda settings: not settings.authenticate_prometheus)
_VERSION = b'{"version":"%s"}' % nbhub.PROTOCOL_VERSION.encode()
_VERSION_HEADERS = ((b"content-type", b"application/json"), (b"access-control-allow-origin", b"*"))
_TEXT = (b"content-type", b"text/html; charset=utf-8")
_DAY = 86400.0
_PERIODS = {"24h": _DAY, "7d": 7 * _DAY, "30d": 30 * _DAY}


@endpoints(OPEN, "GET", "")
async def get_version(call: Call) -> Reply:
    """Say which protocol is spoken; servers ask this first when they start."""
    return Reply(200, _VERSION, _VERSION_HEADERS)


@endpoints(OPEN, "GET", "health")
async def get_health(call: Call) -> Reply:
    """Say that this process answers; with `check=ready`, that its database and its own proxy do (503 if not).

    With `check=way`, say how the request arrived: what stands before the hub may have changed it on its way.
    """
    if call.query("check") == "ready":
        if not call.desk.is_open:
            raise Unavailable("The hub is starting: its proxy does not listen yet. Ask again in a moment.")
        begun = time.perf_counter()
        async with call.desk.store.read() as tx:
            await users.get(tx, "")
        return json({"status": "ready", "database": {"seconds": round(time.perf_counter() - begun, 6)}})
    if call.query("check") == "way":
        return Reply(200, b"", (_TEXT, (b"x-nbhub-arrived", _arrived(call.request.scope))))
    return Reply(200, b"", (_TEXT,))


def _arrived(scope: Scope) -> bytes:
    """Return the address that was asked for as it looks from here, and whether the request is still for a websocket.

    A header, since proxies throw the body away when a websocket is refused.
    """
    kind = "websocket" if client.header(scope, b"upgrade").lower() == "websocket" else "plain"
    return f"{client.origin(scope)[:300]} {kind}".encode("latin-1", "replace")


@endpoints(on_hub("read:hub"), "GET", "info")
async def get_info(call: Call) -> Reply:
    """Say what the hub is made of."""
    return json(
        {
            "version": nbhub.PROTOCOL_VERSION,
            "python": sys.version,
            "sys_executable": sys.executable,
            "spawner": _made_of(call.desk.spawner),
            "authenticator": _made_of(call.desk.authenticator),
            "nbhub_version": nbhub.__version__,
        }
    )


@endpoints(METRICS, "GET", "metrics")
async def get_metrics(call: Call) -> Reply:
    """Give all meters to Prometheus; what the whole hub shares is counted now, unless the database is away."""
    meters, now = call.desk.metrics, call.desk.clock()
    try:
        async with call.desk.store.scan() as tx:
            meters.total_users.set(await users.count(tx))
            meters.running_servers.set(await servers.count_active(tx))
            for period, seconds in _PERIODS.items():
                meters.active_users.labels(period).set(await users.count_active(tx, now - seconds))
        meters.database_up.set(1)
    except DatabaseUnavailable:
        meters.database_up.set(0)
    return Reply(200, meters.text(), ((b"content-type", metrics.CONTENT_TYPE.encode()),))


@endpoints(OPEN, "POST", "security/csp-report")
async def post_csp_report(call: Call) -> Reply:
    """Count what a browser refused to do on one of our pages. Anybody can send this, so it is worth one short line."""
    body = await call.request.body()
    call.desk.metrics.csp_reports.inc()
    log.info("a browser reported a policy violation: %s", ascii(body[:500].decode(errors="replace")))
    return empty()


def _made_of(part: Any) -> dict[str, str]:
    kind = type(part)
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "version": nbhub.__version__}
