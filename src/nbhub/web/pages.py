"""The pages: where each is, and the general ones. What is about servers, tokens or administration has its own file."""

from __future__ import annotations

import logging
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from nbhub.core.model import Server, User
from nbhub.core.principal import Principal
from nbhub.errors import Forbidden, SpawnError
from nbhub.store import servers
from nbhub.web import (
    assets,
    choosing,
    client,
    identity,
    own_looks,
    pages_admin,
    pages_entry,
    pages_groups,
    pages_server,
    pages_tokens,
    places,
    render,
    visit,
)
from nbhub.web.api import servers as asks
from nbhub.web.desk import Desk

log = logging.getLogger("nbhub.web")

REPORT_BYTES = 2000


def routes(desk: Desk) -> list[Route]:
    """Return the addresses below the hub's prefix."""
    return [
        Route("/", index),
        Route("/home", home),
        Route("/user-redirect", user_redirect),
        Route("/user-redirect/{path:path}", user_redirect),
        Route("/error/{status:int}", error),
        Route("/logo", logo),
        Route("/static/{name}", static),
        Route("/security/csp-report", policy_report, methods=["POST"]),
        *pages_server.routes(desk),
        *pages_tokens.routes(desk),
        *pages_entry.routes(desk),
        *pages_groups.routes(desk),
        *pages_admin.routes(desk),
    ]


async def index(request: Request) -> Response:
    """Lead to where a visit begins."""
    desk = places.desk(request)
    asking = await identity.identify(request)
    if destination := await places.default_url(desk, asking.user if asking is not None else None):
        return RedirectResponse(destination, 302)
    if asking is None:
        return RedirectResponse(f"{desk.settings.hub_prefix}login?next={quote(desk.settings.hub_prefix, safe='')}", 302)
    if asking.user is None:
        raise Forbidden("This page is for users, not for services.")
    return RedirectResponse(await places.start(desk, asking.user), 302)


async def home(request: Request) -> Response:
    """Show one's own servers, and what can be done with them."""
    desk = places.desk(request)
    asking = await identity.require_login(request)
    if asking.user is None:
        raise Forbidden("This page is for users, not for services.")
    default, named = await _own_servers(desk, asking.user)
    return await render.page(
        request,
        "home.html",
        asking=asking,
        default=default,
        named=named,
        named_limit=await asks.named_limit(desk, asking.user) if desk.settings.allow_named_servers else 0,
        changing=any(render.state(record) in ("starting", "stopping") for record in (default, *named)),
        has_options=await _has_options(desk, asking.user),
        may_start=_may(asking, "start:servers"),
        said=places.said(request),
    )


async def _has_options(desk: Desk, user: User) -> bool:
    """Say whether a start asks for options first; where that fails, the page that asks is the one to say so."""
    if not desk.spawner.asks_options:
        return False
    try:
        return bool(await desk.spawner.form(await choosing.subject(desk, user, "")))
    except SpawnError:
        return True


async def user_redirect(request: Request) -> Response:
    """Lead from an address that holds for everybody to the same place of one's own server, starting it if need be."""
    asking = await identity.require_login(request)
    if asking.user is None:
        raise Forbidden("This page is for users, not for services.")
    desk = places.desk(request)
    rest = client.uri(request.scope).removeprefix(f"{desk.settings.hub_prefix}user-redirect").lstrip("/")
    if (hook := desk.settings.user_redirect_hook) is not None:
        user = visit.Visit(desk, asking.user).current_user
        found = await visit.ask(hook, rest, request, user, desk.settings.base_url)
        if found:
            return RedirectResponse(str(found), 302)
    name = desk.settings.default_server_name
    destination = places.own_prefix(desk, asking.user, name) + rest
    return RedirectResponse(places.page_url(desk, "spawn", asking.user.name, name, next=destination), 302)


async def error(request: Request) -> Response:
    """Explain what went wrong, to the proxy on behalf of a browser; the answer itself is 200, as proxies expect."""
    status = request.path_params["status"]
    status = status if 400 <= status < 600 else 500
    response = await render.error(request, status, MESSAGES.get(status, MESSAGES[500]))
    response.status_code = 200
    return response


MESSAGES = {
    403: "You do not have access to this server.",
    404: "Nothing answers at this address.",
    405: "This address does not take what was sent to it.",
    413: "What was sent is larger than the hub or the server takes.",
    429: "More requests came at once than are taken.",
    500: "An error happened on the way to the server.",
    502: "The server could not be reached.",
    503: "The server is not running, or does not answer.",
    504: "The server did not answer in time.",
}


async def logo(request: Request) -> Response:
    """Return the picture that notebook servers show as a link back to the hub."""
    file = places.desk(request).settings.logo_file
    if file:
        return assets.respond(request, *own_looks.logo(file))
    return assets.respond(request, render.FILES, assets.LOGO)


async def static(request: Request) -> Response:
    """Return one of the files that pages refer to."""
    return assets.respond(request, render.FILES, request.path_params["name"])


async def policy_report(request: Request) -> Response:
    """Count a violation of the content security policy that a browser tells of."""
    report = b""
    async for chunk in request.stream():
        report += chunk[: REPORT_BYTES - len(report)]
    places.desk(request).metrics.csp_reports.inc()
    log.debug("content security policy violated: %s", ascii(report.decode("latin-1"))[1:-1])
    return Response(status_code=200)


async def _own_servers(desk: Desk, user: User) -> tuple[Server | None, list[Server]]:
    """Return the default server, if there ever was one, and the named ones."""
    async with desk.store.read() as tx:
        found = (await servers.of_users(tx, [user.id], include_stopped=True))[user.id]
    default = next((record for record in found if not record.name), None)
    return default, [record for record in found if record.name]


def _may(asking: Principal, scope: str) -> bool:
    return asking.holds(scope, user=asking.name, server="")
