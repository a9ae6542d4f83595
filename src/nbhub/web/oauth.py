"""The OAuth 2 provider over HTTP: how a browser that is logged in here enters a server or service."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from nbhub.core import oauth, scopes, secrets
from nbhub.core.model import OAuthClient, OAuthCode
from nbhub.core.oauth import AuthorizeRequest, OAuthError
from nbhub.core.principal import Principal
from nbhub.errors import BadRequest, Forbidden
from nbhub.store import grants, servers, services, users
from nbhub.web import client, render
from nbhub.web.api.endpoints import BROWSER, OPEN, Call, Endpoints, Reply, json
from nbhub.web.desk import Desk

endpoints = Endpoints()

_FORM = "application/x-www-form-urlencoded"
_NO_CACHE = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
_ENTERING = ("access:", "read:users:name!user=", "read:users:groups!user=")
_CHALLENGE = (b"www-authenticate", b'Bearer error="invalid_client"')


@dataclass(frozen=True, slots=True)
class Entrance:
    """What lies behind a client: the scope that lets one in, and whose server it is ("USER/SERVER"), if it is one."""

    access: str
    server: str | None
    owner_groups: dict[str, tuple[str, ...]]
    trusted: bool = False  # nobody is asked before entering


@endpoints(BROWSER, "GET", "oauth2/authorize", page=True)
async def get_authorize(call: Call) -> Response:
    """Send the browser back to the server with a code, or ask its user first."""
    asked, party, granted, trusted = await _asked(call)
    async with call.desk.store.read() as tx:
        living = await grants.tokens_of_client(tx, _user_id(call.principal), party.identifier, call.desk.clock())
    live = {scope for token in living for scope in token.scopes}
    if oauth.needs_no_confirmation(party, call.principal, granted, live, trusted=trusted):
        return await _send_back(call, asked, granted)
    return await render.page(
        call.request,
        "oauth.html",
        client=party,
        scopes=[(scope, scopes.TABLE[scope.partition("!")[0]].description) for scope in granted],
        action=client.uri(call.request.scope),
    )


@endpoints(BROWSER, "POST", "oauth2/authorize", page=True)
async def post_authorize(call: Call) -> Response:
    """Take the user's answer: which of the scopes the server may have."""
    asked, _, granted, _ = await _asked(call)
    form = await call.request.form()
    if form.get("deny"):
        return RedirectResponse(oauth.denied(asked).location, 302)
    chosen = {scope for scope in form.getlist("scopes") if isinstance(scope, str)}
    if chosen:  # to enter, and to be known there, is what it means to agree at all
        granted = tuple(scope for scope in granted if scope in chosen or scope.startswith(_ENTERING))
    return await _send_back(call, asked, granted)


@endpoints(OPEN, "POST", "oauth2/token")
async def post_token(call: Call) -> Reply:
    """Exchange a code for a token."""
    try:
        return await _exchange(call)
    except OAuthError as error:
        reply = json(error.body(), error.status)
        if error.status == 401:
            reply.append(_CHALLENGE)
        return reply


async def _asked(call: Call) -> tuple[AuthorizeRequest, OAuthClient, tuple[str, ...], bool]:
    """Check the request; return it, its client, the scopes that the visitor can give it, and whether it is trusted."""
    request, desk = call.request, call.desk
    async with desk.store.read() as tx:
        party = await grants.get_client(tx, request.query_params.get("client_id", "")[:1023])
    asked = oauth.check_authorize(
        party, request.query_params.multi_items(), require_pkce=desk.settings.oauth_require_pkce
    )
    assert party is not None
    behind = await _entrance(desk, party)
    granted = oauth.grant(
        asked, party, call.principal, access=behind.access, server=behind.server, groups_of=behind.owner_groups
    )
    return asked, party, granted, behind.trusted


async def _entrance(desk: Desk, party: OAuthClient) -> Entrance:
    async with desk.store.read() as tx:
        if party.server_id is not None:
            server = await servers.by_id(tx, party.server_id)
            if server is None:
                raise BadRequest(f"{party.description} was removed meanwhile.")
            full = f"{server.user_name}/{server.name}"
            groups = (await users.groups_of(tx, [server.user_id])).get(server.user_id, ())
            return Entrance(f"access:servers!server={full}", full, {server.user_name: groups})
        if party.service_id is not None:
            service = await services.by_id(tx, party.service_id)
            if service is not None:
                return Entrance(f"access:services!service={service.name}", None, {}, service.oauth_no_confirm)
    raise BadRequest(f"{party.description} is neither a server nor a service.")


async def _send_back(call: Call, asked: AuthorizeRequest, granted: Collection[str]) -> Response:
    """Make a code that can be used once, soon, by this client, and send the browser back with it."""
    code, now = secrets.new_code(), call.desk.clock()
    record = OAuthCode(
        code_hash=secrets.hash_token(code),
        client_id=asked.client_id,
        user_id=_user_id(call.principal),
        redirect_uri=asked.redirect_uri,
        scopes=tuple(granted),
        session_id=call.principal.session_id,
        code_challenge=asked.code_challenge,
        code_challenge_method=asked.code_challenge_method,
        expires_at=now + oauth.CODE_LIFETIME,
    )
    async with call.desk.store.write() as tx:
        await grants.create_code(tx, record)
    return Response(status_code=302, headers={"Location": oauth.granted_location(asked, code)})


async def _exchange(call: Call) -> Reply:
    desk, now = call.desk, call.desk.clock()
    request = oauth.read_token_request(
        await _fields(call.request), authorization=client.header(call.request.scope, b"authorization")
    )
    async with desk.store.read() as tx:
        party = await grants.get_client(tx, request.client_id[:1023])
    oauth.check_client(party, request)
    async with desk.store.write() as tx:  # on its own, so that a code is used up even if what follows is refused
        code = await grants.take_code(tx, secrets.hash_token(request.code), now)
    oauth.check_code(code, request, now)
    assert code is not None and party is not None
    token, lifetime = secrets.new_code(), desk.settings.oauth_token_expires_in
    async with desk.store.write() as tx:
        if code.session_id is not None and not await grants.session_lives(tx, code.session_id, now):
            raise oauth.InvalidGrant("The log-in that the code was given in has ended.")  # while this was under way
        await grants.create_token(
            tx,
            token_hash=secrets.hash_token(token),
            user_id=code.user_id,
            client_id=party.identifier,
            session_id=code.session_id,
            scopes=code.scopes,
            note=f"Logged in to {party.description}",
            now=now,
            expires_at=now + lifetime,
        )
    answer = {"access_token": token, "expires_in": int(lifetime), "token_type": "Bearer"}
    reply = json({**answer, "scope": " ".join(code.scopes)})
    reply.headers[:1] = _NO_CACHE
    return reply


async def _fields(request: Request) -> list[tuple[str, str]]:
    kind = client.header(request.scope, b"content-type").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise oauth.InvalidRequest(f"The body has to be {_FORM}.")
    try:
        text = (await request.body()).decode()
        return parse_qsl(text, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise oauth.InvalidRequest("The body cannot be read.") from None


def _user_id(visitor: Principal) -> int:
    if visitor.user is None:
        raise Forbidden("Only users log in to servers.")
    return visitor.user.id
