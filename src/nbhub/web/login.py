"""Coming in and going out: the login page, links to choose a password, sign-up, logging out."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from nbhub.authenticators.admission import Admission
from nbhub.authenticators.base import (
    Authenticator,
    Identity,
    RedirectAuthenticator,
    VisitAuthenticator,
    takes_passwords,
)
from nbhub.authenticators.native import NativeAuthenticator, native_of
from nbhub.core.model import User
from nbhub.core.principal import Principal
from nbhub.errors import BadRequest, Conflict, Forbidden, NbhubError, NotFound, TooManyRequests, Unavailable
from nbhub.store import servers
from nbhub.web import client, forms, identity, noting, pages_entry, places, redirect, render, xsrf
from nbhub.web.desk import Desk

log = logging.getLogger("nbhub.login")

WRONG = "Name and password do not belong together."
WRONG_CODE = "Name, password and code do not belong together."


def routes(desk: Desk) -> list[Route]:
    """Return the addresses below the hub's prefix."""
    found = [
        Route("/login", show_login),
        Route("/login", take_login, methods=["POST"]),
        Route("/logout", log_out, methods=["GET", "POST"]),
    ]
    if any(isinstance(source, RedirectAuthenticator) for source in desk.authenticator.sources_by_name().values()):
        found += [Route("/oauth_login", leave), Route("/oauth_callback", come_back)]
    if native_of(desk.authenticator) is not None:
        found += [
            Route("/signup", show_signup),
            Route("/signup", take_signup, methods=["POST"]),
            Route("/reset-password", show_reset),
            Route("/reset-password", take_reset, methods=["POST"]),
            Route("/password", show_password),
            Route("/password", take_password, methods=["POST"]),
        ]
    return found


# -- logging in ------------------------------------------------------------------------------------------------------


async def show_login(request: Request) -> Response:
    """Ask who is there; whoever is logged in already goes on."""
    asking = await identity.identify(request)
    if asking is not None and asking.user is not None:
        return await _go_on(request, asking.user)
    source = places.desk(request).authenticator
    if source.auto_login and isinstance(source, RedirectAuthenticator) and not places.said(request):
        return await leave(request)
    return await _login_page(request)


async def take_login(request: Request) -> Response:
    """Let somebody in, or show the page again and say why not."""
    desk = places.desk(request)
    begun = desk.clock()
    try:
        await xsrf.check(request)
        form = await forms.read(request)
        found = await _identify(_chosen(desk, form.text("source")), request, form)
        found = desk.authenticator.from_source(form.text("source"), found)
        user = await admit(desk, found)
    except (BadRequest, Forbidden, TooManyRequests, Conflict, Unavailable) as error:
        desk.metrics.logins.labels("failure").observe(desk.clock() - begun)
        return await _refused(request, error)
    desk.metrics.logins.labels("success").observe(desk.clock() - begun)
    return await _enter(request, user)


async def leave(request: Request) -> Response:
    """Send the browser to the provider that was chosen."""
    desk, name = places.desk(request), request.query_params.get("source", "")
    source = _chosen(desk, name)
    if not isinstance(source, RedirectAuthenticator):
        raise NotFound("There is no such way to log in.")
    try:
        return await redirect.depart(request, name, source)
    except Unavailable as error:
        return await _login_page(request, error.status, error.message)


async def come_back(request: Request) -> Response:
    """Let in whom the provider sent back, or say why not."""
    desk = places.desk(request)
    begun = desk.clock()
    try:
        journey = redirect.arrived(request)
        source = _chosen(desk, journey.source)
        assert isinstance(source, RedirectAuthenticator)
        found = await redirect.identify(request, source, journey)
        user = await admit(desk, desk.authenticator.from_source(journey.source, found))
    except (BadRequest, Forbidden, Unavailable) as error:
        desk.metrics.logins.labels("failure").observe(desk.clock() - begun)
        log.warning("from=%s not logged in: %s", client.address(request.scope), ascii(error.message)[1:-1])
        response = await _login_page(request, error.status, error.message)
    else:
        desk.metrics.logins.labels("success").observe(desk.clock() - begun)
        response = await _enter(request, user, journey.destination)
    response.raw_headers.append(redirect.forget(request))
    return response


def _chosen(desk: Desk, name: str) -> Authenticator:
    """Return the source that was chosen on the login page."""
    try:
        return desk.authenticator.sources_by_name()[name]
    except KeyError:
        raise BadRequest("Choose how to log in.") from None


async def admit(desk: Desk, found: Identity) -> User:
    """Return the user that an identity is, made or brought up to date. Raises Forbidden for one who may not enter."""
    return await _admission(desk).admit(found)


def _admission(desk: Desk) -> Admission:
    return Admission(desk.authenticator, desk.store, desk.keys, desk.clock)


async def _identify(source: Authenticator, request: Request, form: forms.Form) -> Identity:
    if isinstance(source, VisitAuthenticator):
        return await source.visit()
    if not takes_passwords(source):
        raise NotFound("This hub has no log-in page of its own.")
    name = form.text("username").strip()
    if not name:
        raise BadRequest("Enter your name.")
    address = client.address(request.scope)
    found = await source.log_in(name, form.text("password"), form.text("otp").strip(), address=address)
    if found is None:
        log.warning("user=%s from=%s wrong password", ascii(name[:64]), address)
        raise Forbidden(WRONG_CODE if source.request_otp else WRONG)
    return found


async def _enter(request: Request, user: User, destination: str = "") -> Response:
    """Log the browser in and send it on."""
    response = await _go_on(request, user, destination)
    await identity.login(request, response, user)
    log.info("user=%s logged in from=%s", ascii(user.name)[1:-1], client.address(request.scope))
    return response


async def _go_on(request: Request, user: User, destination: str = "") -> Response:
    destination = places.wanted(request) or destination or await places.start(places.desk(request), user)
    return RedirectResponse(destination, 303 if request.method == "POST" else 302)


async def _login_page(request: Request, status: int = 200, problem: str = "", username: str = "") -> Response:
    desk = places.desk(request)
    source = desk.authenticator
    ways, native = source.sources_by_name(), native_of(source)
    return await render.page(
        request,
        "login.html",
        status,
        problem=problem,
        username=username,
        by_visit=isinstance(source, VisitAuthenticator),
        by_name=any(takes_passwords(one) for one in ways.values()),
        asks_password=any(takes_passwords(one) and one.asks_password for one in ways.values()),
        otp_prompt=next((_prompt(one) for one in ways.values() if one.request_otp), ""),
        otp_source=next((name for name, one in ways.items() if one.request_otp), ""),
        ways=ways,
        providers={name: one for name, one in ways.items() if isinstance(one, RedirectAuthenticator)},
        open_to_strangers=native is not None and await native.signup_rule() != "closed",
        next=places.wanted(request),
        said=places.said(request),
    )


def _prompt(source: Authenticator) -> str:
    """Return what stands over the field for one-time passwords; our labels have no colon."""
    return str(source.otp_prompt or "").strip().rstrip(":").rstrip() or "One-time password"


async def _refused(request: Request, error: NbhubError) -> Response:
    # A wrong password is 403, as programs that log in by this page expect.
    username = (await forms.read(request)).text("username").strip()
    response = await _login_page(request, error.status, error.message, username[:255])
    if isinstance(error, NbhubError) and error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


# -- logging out -----------------------------------------------------------------------------------------------------


async def log_out(request: Request) -> Response:
    """End this browser's login or, with `everywhere`, all of the user's; a link is enough for this browser's."""
    desk = places.desk(request)
    begun = desk.clock()
    asking = await identity.identify(request)
    by_button = request.method == "POST"
    everywhere = by_button and bool((await forms.read(request)).text("everywhere"))
    said = "?said=out" if by_button or desk.authenticator.auto_login else ""
    response = RedirectResponse(f"{desk.settings.hub_prefix}login{said}", 303 if by_button else 302)
    if asking is None or asking.user is None or asking.via != "cookie":
        await identity.logout(request, response)
        return response
    if everywhere:
        await identity.logout_everywhere(request, response, asking.user)
    else:
        await identity.logout(request, response)
    response.headers["location"] = await _farewell(request, asking.user) or response.headers["location"]
    if desk.settings.shutdown_on_logout or asking.user.temporary:
        await _stop_servers(desk, asking.user, asking)
    desk.metrics.logouts.observe(desk.clock() - begun)
    return response


async def _farewell(request: Request, user: User) -> str:
    """Return where the browser goes to be logged out at the provider too; "" when there is nothing to do there."""
    desk = places.desk(request)
    back = redirect.callback_url(request).removesuffix("oauth_callback") + "login?said=out"
    try:
        return await _admission(desk).farewell(user, back)
    except Unavailable as error:
        log.warning("user=%s is not logged out at the provider: %s", ascii(user.name)[1:-1], error.message)
        return ""


async def _stop_servers(desk: Desk, user: User, asking: Principal) -> None:
    async with desk.store.write() as tx:
        wanted = [record for record in (await servers.of_users(tx, [user.id]))[user.id] if record.wanted]
        for record in wanted:
            await servers.ask_stop(tx, record.id, now=desk.clock())
    for record in wanted:
        noting.stop_asked(desk, record, asking)


# -- choosing a password ---------------------------------------------------------------------------------------------


async def show_signup(request: Request) -> Response:
    """Ask for name and password of a new account: of one who was invited, or of a stranger where that is open."""
    return await _signup_page(request, request.query_params.get("code", ""))


async def take_signup(request: Request) -> Response:
    """Make the account and let its owner in."""
    await xsrf.check(request)
    form, source = await forms.read(request), _native(request)
    code, name, password = form.text("code"), form.text("username").strip(), form.text("password")
    address = client.address(request.scope)
    try:
        _check_repeated(form)
        if code:
            found: Identity | None = await source.accept(code, name, password, address=address)
        else:
            found = await source.sign_up(name, password, address=address)
        if found is None:
            return RedirectResponse(f"{places.desk(request).settings.hub_prefix}login?said=waiting", 303)
        user = await admit(places.desk(request), _known_here(request, found))
    except (BadRequest, Conflict, Forbidden, TooManyRequests) as error:
        return await _signup_page(request, code, error, name[:255])
    home = f"{places.desk(request).settings.hub_prefix}home"
    return await _enter(request, user, await pages_entry.first(request, user) or home)


async def _signup_page(request: Request, code: str, error: NbhubError | None = None, username: str = "") -> Response:
    source = _native(request)
    rule = await source.signup_rule()
    if not code and rule == "closed":
        raise Forbidden("Accounts of this hub are by invitation. Ask your administrator for a link.")
    invitation = await source.invited(code, "signup") if code else None
    return await render.page(
        request,
        "signup.html",
        200 if error is None else error.status,
        code=code,
        invitation=invitation,
        needs_approval=not code and rule == "approval",
        username=username,
        problem="" if error is None else error.message,
    )


async def show_reset(request: Request) -> Response:
    """Ask for the new password of one who has a link for it."""
    return await _reset_page(request, request.query_params.get("code", ""))


async def take_reset(request: Request) -> Response:
    """Set the new password and let its owner in."""
    await xsrf.check(request)
    form = await forms.read(request)
    code = form.text("code")
    try:
        _check_repeated(form)
        address = client.address(request.scope)
        found = await _native(request).reset(code, form.text("password"), address=address)
        user = await admit(places.desk(request), _known_here(request, found))
    except (BadRequest, Forbidden, TooManyRequests) as error:
        return await _reset_page(request, code, error)
    return await _enter(request, user, f"{places.desk(request).settings.hub_prefix}home")


async def _reset_page(request: Request, code: str, error: NbhubError | None = None) -> Response:
    invitation = await _native(request).invited(code, "reset")
    problem, status = ("", 200) if error is None else (error.message, error.status)
    return await render.page(request, "reset.html", status, code=code, username=invitation.name, problem=problem)


async def show_password(request: Request) -> Response:
    """Ask for the old and the new password."""
    asking = await places.own_browser(request)
    return await render.page(request, "password.html", asking=asking, problem="")


async def take_password(request: Request) -> Response:
    """Change the password; other browsers are logged out, this one stays."""
    asking = await places.own_browser(request)
    assert asking.user is not None
    form = await forms.read(request)
    try:
        _check_repeated(form)
        address = client.address(request.scope)
        await _native(request).change(asking.user, form.text("current"), form.text("password"), address=address)
    except (BadRequest, Forbidden, TooManyRequests) as error:
        return await render.page(request, "password.html", error.status, asking=asking, problem=error.message)
    home = RedirectResponse(f"{places.desk(request).settings.hub_prefix}home?said=password", 303)
    await identity.login(request, home, asking.user)
    return home


def _check_repeated(form: forms.Form) -> None:
    if form.text("password") != form.text("again"):
        raise BadRequest("The two passwords are not the same. Enter them once more.")


def _native(request: Request) -> NativeAuthenticator:
    source = native_of(places.desk(request).authenticator)
    assert source is not None
    return source


def _known_here(request: Request, found: Identity) -> Identity:
    """Return whom the native authenticator identified as somebody of this hub, where it is one of several."""
    source = places.desk(request).authenticator
    name = next(name for name, way in source.sources_by_name().items() if isinstance(way, NativeAuthenticator))
    return source.from_source(name, found)
