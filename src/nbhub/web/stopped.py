"""Addresses of servers that the proxy knows no route for: they are not running, or run for so short that it will."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from nbhub.core import names
from nbhub.core.model import Phase, Server
from nbhub.errors import NbhubError, NotFound
from nbhub.store import servers
from nbhub.web import client, render
from nbhub.web.api.dispatch import authorize, prefers_json
from nbhub.web.api.endpoints import decode_name, on_server
from nbhub.web.api.render import pending
from nbhub.web.desk import Desk
from nbhub.web.errors import LoginNeeded
from nbhub.web.identity import identify
from nbhub.web.xsrf import SAFE

ACCESS = on_server("access:servers")
LAG_SECONDS = 0.2
LOOPS = 4  # redirects between hub and proxy after which the route is not coming


class RedirectLoop(NbhubError):
    """The proxy keeps sending requests for a running server to the hub."""

    code = "redirect_loop"
    status = 500


async def outside(request: Request) -> Response:
    """Answer what is not below /hub/: pages are led there, changes are refused since nobody is there to make them."""
    desk: Desk = request.scope["nbhub.desk"]
    base, path = desk.settings.base_url, request.scope["path"]
    uri = client.uri(request.scope)
    if path == f"{base}hub":
        return RedirectResponse(_with_slash(uri), 301)
    if path.startswith(f"{base}user/"):
        if _is_program(request) and (record := await _running(request, desk)) is not None:
            return await _same_again(request, desk, record)
        if request.method not in SAFE:
            return not_running(request, desk, _names(request, f"{base}user/")[0], "")
    if request.method not in SAFE:
        raise NotFound("There is nothing at this address.")
    if path.startswith((f"{base}user/", f"{base}services/")) and path.count("/") == base.count("/") + 1:
        return RedirectResponse(_with_slash(uri), 301)
    rest = uri.removeprefix(base) if uri.startswith(base) else uri.lstrip("/")
    return RedirectResponse(f"{desk.settings.public_origin}{desk.settings.hub_prefix}{rest}", 302)


async def inside(request: Request) -> Response:
    """Answer /hub/user/NAME/…: lead to the server if it runs, to its start if it is on the way, or offer one."""
    desk: Desk = request.scope["nbhub.desk"]
    asking = await identify(request)
    if asking is None:
        raise LoginNeeded
    user, rest = _names(request, f"{desk.settings.hub_prefix}user/")
    record = await _server(desk, user, rest[0] if rest else "")
    name = record.name if record is not None else ""
    await authorize(desk, asking, ACCESS, {"user": user, "server": name})
    if record is not None and record.is_ready and request.method in SAFE:
        return await _to_server(request, desk, record)
    if request.method not in SAFE or "api" in rest or prefers_json(request.scope):
        return not_running(request, desk, user, name)
    if record is not None and (pending(record) or record.phase is Phase.FAILED):
        return RedirectResponse(f"{_spawn_url(desk, 'spawn-pending', user, name)}?next={_here(request)}", 303)
    return await render.page(
        request,
        "not_running.html",
        status=_status(desk),
        user_name=user,
        server_name=name,
        spawn_url=f"{_spawn_url(desk, 'spawn', user, name)}?next={_here(request)}",
        implicit_spawn_seconds=desk.settings.implicit_spawn_seconds,
        own=asking.user is not None and asking.user.name == user,
    )


def _is_program(request: Request) -> bool:
    """Say whether something other than a person's browser asks for a page: it may not get through a log-in."""
    path = client.uri(request.scope).partition("?")[0]
    return (
        request.method not in SAFE
        or "api" in path.split("/")
        or "text/html" not in client.header(request.scope, b"accept")
    )


async def _running(request: Request, desk: Desk) -> Server | None:
    """Return the running server that an address outside the hub's own belongs to."""
    try:
        user, rest = _names(request, f"{desk.settings.base_url}user/")
        record = await _server(desk, user, rest[0] if rest else "")
    except NbhubError:
        return None
    return record if record is not None and record.is_ready and record.url else None


async def _same_again(request: Request, desk: Desk, record: Server) -> Response:
    """Have a program ask again, once the proxy leads to the server; it gets no page that it could not use."""
    await desk.store.reach.until_told()  # after a restart proxies that run apart need a moment to find this hub
    if desk.store.reach.leads_to(record):
        await asyncio.sleep(LAG_SECONDS)  # of a proxy that does not tell
    elif not await desk.store.reach.until_led_to(record, also_by_late_ones=True):
        message = f"The server {record.user_name}/{record.name} is running, but the proxy does not lead to it yet."
        body = msgspec.json.encode({"status": 503, "message": f"{message} Try again in a moment."})
        return Response(body, 503, {"Retry-After": "1"}, media_type="application/json")
    where = _address(request, f"{desk.settings.base_url}user/", desk, record)
    query = client.uri(request.scope).partition("?")
    return RedirectResponse(f"{desk.settings.public_origin}{where}{query[1]}{query[2]}", 307)


def not_running(request: Request, desk: Desk, user: str, name: str) -> Response:
    """Tell a program that the server it talks to is not there."""
    where = client.uri(request.scope)
    hub = desk.settings.hub_prefix
    where = desk.settings.base_url + where.removeprefix(hub) if where.startswith(hub) else where
    origin = desk.settings.public_origin or client.origin(request.scope)
    start = origin + _spawn_url(desk, "spawn", user, name)
    message = f"JupyterHub server no longer running at {where.partition('?')[0]}. Restart the server at {start}"
    return Response(msgspec.json.encode({"message": message}), _status(desk), media_type="application/json")


async def _to_server(request: Request, desk: Desk, record: Server) -> Response:
    """Lead back to a server that runs, once the proxy leads there too, or when each further round waited longer."""
    given = request.query_params.get("redirects", "0")
    rounds = int(given) if given.isdecimal() and len(given) < 4 else 0
    if rounds >= LOOPS:
        raise RedirectLoop(
            "Redirect loop detected: the server is running, but the proxy does not lead to it. "
            "Wait a moment and load the page again; if this stays, tell your administrator."
        )
    if rounds:
        await asyncio.sleep(min(2**rounds, 10))
    else:
        await desk.store.reach.until_led_to(record)
    url = request.url.include_query_params(redirects=rounds + 1)
    where = _address(request, f"{desk.settings.hub_prefix}user/", desk, record)
    return RedirectResponse(f"{where}?{url.query}", 302)


def _address(request: Request, prefix: str, desk: Desk, record: Server) -> str:
    """Return the path that was asked for, its beginning spelled as the proxy knows it."""
    segments = client.uri(request.scope).partition("?")[0].removeprefix(prefix).split("/")
    rest = segments[2 if record.name else 1 :]
    return names.server_prefix(desk.settings.base_url, record.user_name, record.name) + "/".join(rest)


async def _server(desk: Desk, user: str, first: str) -> Server | None:
    """Return the server that an address belongs to: the one named by its first segment, else the default one."""
    async with desk.store.read() as tx:
        if first and desk.settings.allow_named_servers:
            named = await servers.get(tx, user, first)
            if named is not None:
                return named
        return await servers.get(tx, user, "")


def _names(request: Request, prefix: str) -> tuple[str, list[str]]:
    """Return the user that a path names and the segments after it."""
    raw = client.uri(request.scope).partition("?")[0]
    segments = raw.removeprefix(prefix).split("/")
    first = decode_name("server", segments[1], "GET") if len(segments) > 1 and segments[1] else ""
    return decode_name("user", segments[0], "GET"), [first, *segments[2:]] if len(segments) > 1 else []


def _spawn_url(desk: Desk, page: str, user: str, name: str) -> str:
    url = f"{desk.settings.hub_prefix}{page}/{names.quote(user)}"
    return f"{url}/{names.quote(name)}" if name else url


def _here(request: Request) -> str:
    return quote(client.uri(request.scope), safe="")


def _status(desk: Desk) -> int:
    return 503 if desk.settings.use_legacy_stopped_server_status_code else 424


def _with_slash(uri: str) -> str:
    path, separator, query = uri.partition("?")
    return f"/{path.lstrip('/')}/{separator}{query}"
