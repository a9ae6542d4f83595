"""Pages about one server: its options and start, the wait, the failure, its stop."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from nbhub.core.model import Phase, Server, User
from nbhub.core.principal import Principal
from nbhub.errors import BadRequest, Forbidden, NbhubError, NotFound, TooManyRequests, Unavailable
from nbhub.store import servers, users
from nbhub.web import asking_again, choosing, client, forms, identity, next_url, places, render, xsrf
from nbhub.web.api import servers as asks
from nbhub.web.api.dispatch import authorize
from nbhub.web.api.endpoints import Access, on_server
from nbhub.web.api.render import pending, progress_url
from nbhub.web.desk import Desk

START = on_server("start:servers")
STOP = on_server("delete:servers")
READ = on_server("read:servers")
_RESERVED = ("next", "display_name", "_xsrf", "redirects")


def routes(_: Desk) -> list[Route]:
    """Return the addresses below the hub's prefix."""
    found = [
        Route("/spawn", show_spawn),
        Route("/spawn", take_spawn, methods=["POST"]),
        Route("/new-server", take_new, methods=["POST"]),
    ]
    for where in ("/{user}", "/{user}/{server}"):
        found += [
            Route(f"/spawn{where}", show_spawn),
            Route(f"/spawn{where}", take_spawn, methods=["POST"]),
            Route(f"/spawn-pending{where}", show_pending),
            Route(f"/stop{where}", take_stop, methods=["POST"]),
            Route(f"/restart{where}", take_restart, methods=["POST"]),
        ]
    return found


# -- starting --------------------------------------------------------------------------------------------------------


async def show_spawn(request: Request) -> Response:
    """Start the server, or ask for its options first; a server that is there already is gone to."""
    asking, owner, name = await _target(request, START)
    desk = places.desk(request)
    record = await _record(desk, owner.name, name)
    if record is not None and record.active:
        return await _to_active(request, record)
    given = _options_in_query(request)
    form = "" if given else await desk.spawner.form(await choosing.subject(desk, owner, name))
    if form:
        return await _options_page(request, asking, owner, name, form)
    return await _start(request, asking, owner, name, given)


async def take_spawn(request: Request) -> Response:
    """Start the server with the options that were chosen."""
    asking, owner, name = await _target(request, START)
    return await _start(request, asking, owner, name, (await forms.read(request)).others())


async def take_new(request: Request) -> Response:
    """Lead to the start of a named server of one's own; the start itself is what makes it."""
    asking = await identity.require_login(request)
    name = (await forms.read(request)).text("name").strip()
    asks.check_server_name(name)
    where = places.page_url(places.desk(request), "spawn", asking.name, name)
    return RedirectResponse(where, 303)


async def take_restart(request: Request) -> Response:
    """Ask for a fresh start of a running server with the options that it has."""
    _, owner, name = await _target(request, START)
    desk = places.desk(request)
    await asking_again.before_start(desk, owner)
    async with desk.store.write() as tx:
        record = await servers.get(tx, owner.name, name)
        if record is None:
            raise NotFound("There is no such server.")
        if record.is_ready:
            await servers.ask_start(tx, record.id, now=desk.clock())
    where = "spawn-pending" if record.active else "spawn"
    return RedirectResponse(places.page_url(desk, where, owner.name, name), 303)


async def _start(request: Request, asking: Principal, owner: User, name: str, given: dict[str, list[str]]) -> Response:
    desk = places.desk(request)
    options: Any = servers.KEEP
    try:
        if given:
            options = await desk.spawner.read_form(await choosing.subject(desk, owner, name), given)
        options = await choosing.checked(desk, owner, name, options)
        record = await asks.ask_start(desk, owner, name, options=options)
    except (BadRequest, Forbidden, TooManyRequests, Unavailable) as error:
        if (current := await _record(desk, owner.name, name)) is not None and current.active:
            return await _to_active(request, current)  # somebody else was faster, or this was sent twice
        return await _not_started(request, asking, owner, name, error, None if options is servers.KEEP else options)
    return RedirectResponse(_pending_url(request, record), 303 if request.method == "POST" else 302)


async def _not_started(
    request: Request, asking: Principal, owner: User, name: str, error: NbhubError, options: dict[str, Any] | None
) -> Response:
    """Show the options again with what is wrong, or the reason alone where there are none."""
    desk = places.desk(request)
    form = await desk.spawner.form(await choosing.subject(desk, owner, name, options))
    if form and isinstance(error, BadRequest):
        return await _options_page(request, asking, owner, name, form, error)
    response = await render.page(
        request,
        "failed.html",
        error.status,
        asking=asking,
        owner=owner.name,
        server=name,
        heading="was not started",
        message=error.message,
        log_tail="",
        retry=client.uri(request.scope) if request.method == "GET" else _spawn_url(request, owner.name, name),
    )
    if isinstance(error, NbhubError) and error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


async def _options_page(
    request: Request, asking: Principal, owner: User, name: str, form: str, error: NbhubError | None = None
) -> Response:
    return await render.page(
        request,
        "options.html",
        200 if error is None else error.status,
        asking=asking,
        owner=owner.name,
        server=name,
        form=form,
        action=_spawn_url(request, owner.name, name),
        problem="" if error is None else error.message,
    )


def _options_in_query(request: Request) -> dict[str, list[str]]:
    """Return options that an address carries: those that begin with `opt-`, or else all that are not ours."""
    found: dict[str, list[str]] = {}
    for key, value in request.query_params.multi_items():
        if key not in _RESERVED:
            found.setdefault(key, []).append(value)
    marked = {key[4:]: values for key, values in found.items() if key.startswith("opt-")}
    return marked or found


# -- waiting ---------------------------------------------------------------------------------------------------------


async def show_pending(request: Request) -> Response:
    """Show how far the server is; lead to it when it is ready, say why when it is not going to be."""
    asking, owner, name = await _target(request, READ)
    desk = places.desk(request)
    record = await _record(desk, owner.name, name)
    if record is not None and record.is_ready:
        return await _to_active(request, record)
    if record is not None and (doing := pending(record)) is not None:
        template = "pending.html" if doing == "spawn" else "stopping.html"
        return await _waiting_page(request, asking, record, template)
    if record is not None and record.phase is Phase.FAILED and record.wanted:
        return await _failure_page(request, asking, record)
    return await render.page(
        request,
        "not_running.html",
        asking=asking,
        user_name=owner.name,
        server_name=name,
        spawn_url=_spawn_url(request, owner.name, name),
        implicit_spawn_seconds=desk.settings.implicit_spawn_seconds,
        own=asking.name == owner.name,
    )


async def _waiting_page(request: Request, asking: Principal, record: Server, template: str) -> Response:
    desk = places.desk(request)
    progress = progress_url(desk.settings.base_url, record.user_name, record.name)
    return await render.page(
        request,
        template,
        asking=asking,
        record=record,
        progress=f"{progress}?{urlencode({'_xsrf': xsrf.token(request)})}",
        destination=_destination(request, record),
    )


async def _failure_page(request: Request, asking: Principal, record: Server) -> Response:
    return await render.page(
        request,
        "failed.html",
        500,
        asking=asking,
        owner=record.user_name,
        server=record.name,
        heading="has ended" if _was_ready(record) else "could not be started",
        message=record.message or "The server ended.",
        log_tail=record.log_tail,
        retry=_spawn_url(request, record.user_name, record.name),
    )


def _was_ready(record: Server) -> bool:
    """Say whether the last start of the server went well."""
    return record.ready is not None and record.ready >= (record.started or 0.0)


# -- stopping --------------------------------------------------------------------------------------------------------


async def take_stop(request: Request) -> Response:
    """Ask the server to stop, and for a named one with `remove` to be gone; lead back to where it was asked."""
    asking, owner, name = await _target(request, STOP)
    form = await forms.read(request)
    desk = places.desk(request)
    remove = form.flag("remove") and bool(name)
    record = await asks.ask_stop(desk, owner.name, name, asking=asking, remove=remove)
    done = record is None or await asks.await_stop(desk, record, min(0.3, desk.settings.slow_stop_timeout))
    back = next_url.safe(form.text("next"), client.own_origins(request.scope, desk.settings))
    said = ("removed" if done else "removing") if remove else ("stopped" if done else "stopping")
    return RedirectResponse(back or f"{desk.settings.hub_prefix}home?said={said}", 303)


# -- shared ----------------------------------------------------------------------------------------------------------


async def _target(request: Request, access: Access) -> tuple[Principal, User, str]:
    """Return who asks, and the owner and name of the server that the path means; raises what `authorize` does."""
    desk = places.desk(request)
    asking = await identity.require_login(request)
    name, server = places.of_path(request)
    if not name:
        name, server = asking.name, desk.settings.default_server_name
    await authorize(desk, asking, access, {"user": name, "server": server})
    async with desk.store.read() as tx:
        owner = await users.get(tx, name)
    if owner is None:
        raise NotFound(f"There is no user {name}.")
    return asking, owner, server


async def _record(desk: Desk, user: str, name: str) -> Server | None:
    async with desk.store.read() as tx:
        return await servers.get(tx, user, name)


async def _to_active(request: Request, record: Server) -> Response:
    if record.is_ready:
        await places.desk(request).store.reach.until_led_to(record)
    where = _destination(request, record) if record.is_ready else _pending_url(request, record)
    return RedirectResponse(where, 303 if request.method == "POST" else 302)


def _destination(request: Request, record: Server) -> str:
    """Return where to go once the server runs; the hub's address that stands in for one of the server leads there."""
    desk = places.desk(request)
    wanted, stand_in = places.wanted(request), f"{desk.settings.hub_prefix}user/"
    if wanted.startswith(stand_in):
        return f"{desk.settings.base_url}user/{wanted.removeprefix(stand_in)}"
    return wanted or places.server_url(desk, record)


def _pending_url(request: Request, record: Server) -> str:
    desk = places.desk(request)
    return places.page_url(desk, "spawn-pending", record.user_name, record.name, next=places.wanted(request))


def _spawn_url(request: Request, owner: str, name: str) -> str:
    return places.page_url(places.desk(request), "spawn", owner, name, next=places.wanted(request))
