"""The API's one door: find the endpoint, learn who asks, ask whether they may, call, answer."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from nbhub.core.principal import Principal
from nbhub.errors import Forbidden
from nbhub.store import users
from nbhub.web import client, identity
from nbhub.web.activity import Activity
from nbhub.web.api.endpoints import Access, Call, Endpoint, Endpoints, Reply, empty
from nbhub.web.api.render import Readers
from nbhub.web.desk import Desk
from nbhub.web.recent import Recent

NO_CREDENTIALS = "Missing or invalid credentials."


class Api:
    """The endpoints as an ASGI application; errors are left to the caller."""

    def __init__(self, desk: Desk, identities: identity.Identities, activity: Activity, endpoints: Endpoints) -> None:
        self._desk = desk
        self._identities = identities
        self._activity = activity
        self._endpoints = endpoints
        self._readers = Readers(desk.settings, activity)
        self._recent = Recent(desk.store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, rest: str) -> None:
        """Answer one request; `rest` is the path below the API, still percent-encoded."""
        if scope["method"] == "OPTIONS":
            await respond(empty(200), scope, receive, send)
            return
        endpoint, params = self._endpoints.find(scope["method"], rest.split("/"))
        scope["nbhub.handler"] = endpoint.pattern
        scope["nbhub.page"] = endpoint.page
        request = Request(scope, receive)
        caller = await self._admit(request, endpoint, params)
        call = Call(
            request=request,
            desk=self._desk,
            identities=self._identities,
            activity=self._activity,
            readers=self._readers,
            recent=self._recent,
            params=params,
            caller=caller,
        )
        answer = await endpoint.handler(call)
        await respond(answer, scope, receive, send)

    async def _admit(self, request: Request, endpoint: Endpoint, params: dict[str, str]) -> Principal | None:
        """Return who asks, after making sure that they may; raises Forbidden or NotFound."""
        access = endpoint.access
        if access.kind == "open" or (access.open_if is not None and access.open_if(self._desk.settings)):
            return None
        if access.kind == "browser":
            return await self._identities.require_browser(request)
        caller = await self._identities.of_request(request, api=True)
        if caller is None:
            if access.or_login:
                return None
            raise Forbidden(NO_CREDENTIALS)
        if access.kind == "token" and caller.via != "token":
            raise Forbidden("This needs a token; a log-in of a browser is not enough.")
        if access.kind == "scoped":
            await authorize(self._desk, caller, access, params)
        elif access.kind == "listing":
            caller.filter_of(access.scopes[0])
        return caller


async def authorize(desk: Desk, caller: Principal, access: Access, params: dict[str, str]) -> None:
    """Raise Forbidden or NotFound unless the caller holds one of the scopes on what the path names."""
    if access.on == "group":
        caller.require_any(access.scopes, group=params["group"])
        return
    if access.on == "service":
        caller.require_any(access.scopes, service=params["service"])
        return
    if not access.on:
        caller.require_any(access.scopes)
        return
    user = params["user"]
    server = params.get("server", "") if access.on == "server" else None
    if any(caller.holds(scope, user=user, server=server) for scope in access.scopes):
        return
    groups = await _groups_of(desk, user) if caller.limited_to_groups(*access.scopes) else ()
    caller.require_any(access.scopes, user=user, server=server, target_groups=groups)


async def _groups_of(desk: Desk, name: str) -> tuple[str, ...]:
    async with desk.store.read() as tx:
        record = await users.get(tx, name)
        return (await users.groups_of(tx, [record.id])).get(record.id, ()) if record else ()


async def respond(answer: Reply | Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer."""
    if isinstance(answer, Response):
        await answer(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})


def prefers_json(scope: Scope) -> bool:
    """Say whether the client would rather have JSON than a page."""
    accept = client.header(scope, b"accept")
    json, html = accept.find("application/json"), accept.find("text/html")
    return json >= 0 and (html < 0 or json < html)
