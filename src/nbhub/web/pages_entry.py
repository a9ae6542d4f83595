"""The page that asks an administrator who may make accounts here: shown after the first log-in, and whenever wanted."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from nbhub.authenticators.native import NativeAuthenticator, native_of
from nbhub.core.model import User
from nbhub.core.principal import Principal
from nbhub.errors import BadRequest, Forbidden, NotFound
from nbhub.web import client, forms, identity, places, render
from nbhub.web.desk import Desk

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def routes(desk: Desk) -> list[Route]:
    """Return the addresses below the hub's prefix; none where the hub keeps no passwords."""
    if native_of(desk.authenticator) is None:
        return []
    return [Route("/admin/who", show), Route("/admin/who", take, methods=["POST"])]


async def show(request: Request) -> Response:
    """Ask who may come in."""
    asking = await _administrator(request)
    return await _page(request, asking)


async def take(request: Request) -> Response:
    """Remember who may come in, and lead to what comes next: links for people, or the address to hand out."""
    asking = await _administrator(request)
    rule = (await forms.read(request)).text("signup")
    try:
        await _native(request).choose_signup(rule)
    except BadRequest as error:
        return await _page(request, asking, error.message)
    hub = places.desk(request).settings.hub_prefix
    return RedirectResponse(f"{hub}admin?said=closed" if rule == "closed" else f"{hub}admin/who?said={rule}", 303)


async def first(request: Request, user: User) -> str:
    """Return this page's address for an administrator while nobody has decided; "" otherwise."""
    source = native_of(places.desk(request).authenticator)
    if source is None or not user.admin or not await source.signup_is_undecided():
        return ""
    return f"{places.desk(request).settings.hub_prefix}admin/who"


async def _administrator(request: Request) -> Principal:
    asking = await identity.require_administration(request)
    if asking.user is None or not asking.user.admin:
        raise Forbidden("Only administrators decide who may come in.")
    return asking


def _native(request: Request) -> NativeAuthenticator:
    source = native_of(places.desk(request).authenticator)
    if source is None:
        raise NotFound("There is no such page.")
    return source


async def _page(request: Request, asking: Principal, problem: str = "") -> Response:
    source, settings = _native(request), places.desk(request).settings
    origin = settings.public_origin or client.origin(request.scope)
    return await render.page(
        request,
        "who.html",
        400 if problem else 200,
        asking=asking,
        rule=await source.signup_rule(),
        undecided=await source.signup_is_undecided(),
        setting="" if source.signup is None else f"c.{type(source).__name__}.signup = {source.signup!r}",
        address=f"{origin}{settings.hub_prefix}signup",
        is_here_only=urlsplit(origin).hostname in LOOPBACK,
        said=places.said(request),
        problem=problem,
    )
