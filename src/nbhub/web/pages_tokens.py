"""The page of one's tokens: for scripts, and what servers and services were given at log-in."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from nbhub.core.principal import Principal
from nbhub.errors import BadRequest
from nbhub.store import grants
from nbhub.web import forms, places, render
from nbhub.web.api import bodies, tokens
from nbhub.web.desk import Desk

LIVES = ((3600, "1 hour"), (86400, "1 day"), (7 * 86400, "1 week"), (30 * 86400, "30 days"), (365 * 86400, "1 year"))
USUAL = 30 * 86400


def routes(_: Desk) -> list[Route]:
    """Return the addresses below the hub's prefix."""
    return [
        Route("/token", show_tokens),
        Route("/token", make_token, methods=["POST"]),
        Route("/token/revoke", revoke_token, methods=["POST"]),
    ]


async def show_tokens(request: Request) -> Response:
    """List the tokens, and offer to make one."""
    return await _page(request, await places.own_browser(request))


async def make_token(request: Request) -> Response:
    """Make a token and show it, this once."""
    asking = await places.own_browser(request)
    form = await forms.read(request)
    try:
        secret, _, _ = await tokens.make(places.desk(request), asking.name, _asked(form))
    except BadRequest as error:
        return await _page(request, asking, problem=error.message, form=form)
    return await _page(request, asking, secret=secret)


async def revoke_token(request: Request) -> Response:
    """Revoke a token; of a server's, all that it has for this user."""
    asking = await places.own_browser(request)
    desk = places.desk(request)
    await tokens.revoke(desk, asking.name, (await forms.read(request)).text("id"))
    return RedirectResponse(f"{desk.settings.hub_prefix}token?said=revoked", 303)


def _asked(form: forms.Form) -> bodies.NewToken:
    note, life = form.text("note").strip(), form.text("life")
    if len(note) > 1023 or not (note.isprintable() or not note):
        raise BadRequest("The note has to be one line of up to 1,023 characters.")
    if life and not (life.isascii() and life.isdecimal() and 0 < len(life) < 11 and int(life)):
        raise BadRequest("Choose how long the token shall live.")
    scopes = form.text("scopes").replace(",", " ").split()
    if any(len(scope) > 1023 for scope in scopes) or len(scopes) > 200:
        raise BadRequest("These are too many scopes.")
    return bodies.NewToken(
        note=note or "made on the tokens page", expires_in=int(life) if life else None, scopes=scopes or None
    )


async def _page(
    request: Request, asking: Principal, *, secret: str = "", problem: str = "", form: forms.Form | None = None
) -> Response:
    desk = places.desk(request)
    assert asking.user is not None
    async with desk.store.read() as tx:
        found = await grants.list_tokens(tx, user_id=asking.user.id, now=desk.clock())
    longest = desk.settings.token_expires_in_max
    activity = request.scope["nbhub.activity"]
    return await render.page(
        request,
        "token.html",
        400 if problem else 200,
        asking=asking,
        own=[record for record, _ in found if record.client_id == grants.API_CLIENT and record.server_id is None],
        given=[pair for pair in found if pair[0].client_id != grants.API_CLIENT],
        last_use={record.id: activity.token_at(record.id, record.last_activity) for record, _ in found},
        lives=[(seconds, text) for seconds, text in LIVES if not longest or seconds <= longest],
        usual=USUAL,
        may_live_for_ever=not longest,
        secret=secret,
        problem=problem,
        note=form.text("note") if form else "",
        scopes=form.text("scopes") if form else "",
        said=places.said(request),
    )
