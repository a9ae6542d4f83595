"""Where requests come from and browsers go next: what all pages ask."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from starlette.requests import Request

from nbhub.core import names
from nbhub.core.model import Server, User
from nbhub.core.principal import Principal
from nbhub.errors import Forbidden, NotFound
from nbhub.store import servers
from nbhub.web import client, next_url, visit
from nbhub.web.desk import Desk
from nbhub.web.identity import Identities

# What happened on the page before; said on the next one by its key, so that no link can put words into our mouth.
SAID = {
    "password": "Your password is changed. Other browsers have been logged out.",
    "waiting": "Your account is made. You can log in once an administrator has let you in.",
    "out": "You are logged out.",
    "stopping": "The server is stopping.",
    "stopped": "The server has stopped.",
    "removing": "The server is being removed.",
    "removed": "The server has been removed.",
    "revoked": "The token is revoked.",
    "added": "The users have been added.",
    "deleted": "The user is deleted.",
    "renamed": "The user has the new name now.",
    "stopping-all": "All servers are stopping.",
    "group-made": "The group is made. Add users to it below.",
    "group-deleted": "The group is deleted.",
    "members-added": "The users are in the group now.",
    "member-removed": "The user is no longer in the group.",
    "admin": "The user is an administrator now.",
    "not-admin": "The user is no longer an administrator.",
    "approved": "The user can log in now.",
    "closed": "Accounts are by invitation only. Make a link for each person below.",
    "approval": "Anybody may ask for an account now; the administration page shows who waits to be let in.",
    "open": "Anybody who can reach this hub can make an account now.",
    "withdrawn": "The link no longer works.",
}


def desk(request: Request) -> Desk:
    """Return what handlers work with."""
    found: Desk = request.scope["nbhub.desk"]
    return found


def said(request: Request) -> str:
    """Return what the page should say first."""
    return SAID.get(request.query_params.get("said", ""), "")


def wanted(request: Request) -> str:
    """Return where the browser wants to go after this, "" when it did not say or may not be sent there."""
    return next_url.safe(request.query_params.get("next"), client.own_origins(request.scope, desk(request).settings))


async def own_browser(request: Request) -> Principal:
    """Return the user who is logged in with this browser. Programs with a token are refused."""
    identities: Identities = request.scope["nbhub.identities"]
    asking = await identities.require_browser(request)
    if asking.user is None:
        raise Forbidden("This page is for users, not for services.")
    return asking


async def start(desk: Desk, user: User) -> str:
    """Return the page that a login without a destination leads to."""
    settings = desk.settings
    if destination := await default_url(desk, user):
        return destination
    if not settings.redirect_to_server:
        return f"{settings.hub_prefix}home"
    async with desk.store.read() as tx:
        record = await servers.get(tx, user.name, settings.default_server_name)
    if record is not None and record.active:
        return names.server_prefix(settings.base_url, user.name, record.name)
    return f"{settings.hub_prefix}spawn"


async def default_url(desk: Desk, user: User | None) -> str:
    """Return the page that the configuration leads to; "" for none."""
    found = desk.settings.default_url
    return found if isinstance(found, str) else str(await visit.ask(found, visit.Visit(desk, user)) or "")


def of_path(request: Request) -> tuple[str, str]:
    """Return the user and the server that the path names; "" for the default server. Raises NotFound."""
    user = request.path_params.get("user", "")
    server = request.path_params.get("server", "")
    for name in (user, server):
        if len(name) > 255 or not (name.isprintable() or not name):
            raise NotFound("There is nothing at this address.")
    return user, server


def server_url(desk: Desk, record: Server) -> str:
    """Return the address of a server."""
    return names.server_prefix(desk.settings.base_url, record.user_name, record.name)


def page_url(desk: Desk, page: str, user: str, server: str, *, next: str = "") -> str:  # noqa: A002
    """Return the address of a hub page about a server, such as spawn-pending."""
    where = f"{names.quote(user)}/{names.quote(server)}" if server else names.quote(user)
    query = f"?{urlencode({'next': next}, quote_via=quote)}" if next else ""
    return f"{desk.settings.hub_prefix}{page}/{where}{query}"


def own_prefix(desk: Desk, user: User, server: str) -> str:
    """Return the path of a user's server, whether there is one or not."""
    return names.server_prefix(desk.settings.base_url, user.name, server)
