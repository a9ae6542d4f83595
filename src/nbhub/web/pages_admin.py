"""The administration page: who is there, what runs, and what can be done about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from nbhub.authenticators.native import NativeAuthenticator, Offer, native_of
from nbhub.core.model import User
from nbhub.core.principal import Principal
from nbhub.errors import BadRequest, Forbidden, NbhubError, NotFound
from nbhub.store import servers, users
from nbhub.store.users import Invitation
from nbhub.web import admin_view, client, forms, identity, live, pages_groups, places, render
from nbhub.web.admin_view import PER_PAGE, View
from nbhub.web.api import servers as asks
from nbhub.web.api import users as users_api
from nbhub.web.api.dispatch import authorize
from nbhub.web.api.endpoints import on_user
from nbhub.web.desk import Desk

MANAGE = on_user("admin:users")
DELETE = on_user("delete:users")
MOST_ADDED = 500  # users in one go


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link to hand to somebody."""

    for_whom: str
    url: str
    expires_at: float


def routes(_: Desk) -> list[Route]:
    """Return the addresses below the hub's prefix."""
    return [
        Route("/admin", show_admin),
        Route("/admin/{action}", take_action, methods=["POST"]),
    ]


async def show_admin(request: Request) -> Response:
    """List the users with their servers."""
    asking = await identity.require_administration(request)
    return await _page(request, asking, admin_view.of_query(request.query_params))


async def take_action(request: Request) -> Response:
    """Do one thing; what goes wrong is said on the page."""
    asking = await identity.require_administration(request)
    action = ACTIONS.get(request.path_params["action"])
    if action is None:
        raise NotFound("There is no such action.")
    form = await forms.read(request)
    try:
        return await action(request, asking, form)
    except NbhubError as error:
        if error.status not in (400, 409):
            raise
        return await _page(request, asking, admin_view.of_address(form.text("next")), error)


# -- actions ---------------------------------------------------------------------------------------------------------


async def _add(request: Request, asking: Principal, form: forms.Form) -> Response:
    """Make users by name; where passwords are kept here, show the links with which they choose theirs."""
    desk = places.desk(request)
    asking.require("admin:users")
    names = list(dict.fromkeys(desk.authenticator.normalize(name) for name in form.lines("names")))
    if not names or len(names) > MOST_ADDED:
        raise BadRequest(f"Enter the names of 1 to {MOST_ADDED} users, one in each line.")
    admin = form.flag("admin")
    if admin or not desk.authenticator.admin_users.isdisjoint(names):
        _require_admin(asking)
    async with desk.store.write() as tx:
        made = [await users.create(tx, name, admin=admin, now=desk.clock()) for name in names]
    source = native_of(desk.authenticator)
    if source is None:
        return _back(request, form, "added")
    links = [
        _link(request, user.name, "reset-password", await source.offer_reset(user, by=asking.name)) for user in made
    ]
    return await _links_page(request, asking, "Their links to choose a password", links)


async def _invite(request: Request, asking: Principal, form: forms.Form) -> Response:
    """Make a link with which somebody makes an account."""
    asking.require("admin:users")
    source, admin, name = _native(request), form.flag("admin"), form.text("name").strip() or None
    if admin or (name is not None and source.normalize(name) in source.admin_users):
        _require_admin(asking)  # whoever has a name of the configuration's administrators is one
    offer = await source.invite(name, admin=admin, by=asking.name)
    link = _link(request, name or "whoever gets it first", "signup", offer)
    return await _links_page(request, asking, "The invitation", [link])


async def _reset(request: Request, asking: Principal, form: forms.Form) -> Response:
    """Make a link with which a user chooses a new password."""
    user = await _user(request, asking, form)
    offer = await _native(request).offer_reset(user, by=asking.name)
    link = _link(request, user.name, "reset-password", offer)
    return await _links_page(request, asking, "The link for a new password", [link])


async def _set_admin(request: Request, asking: Principal, form: forms.Form) -> Response:
    """Make a user an administrator, or no longer one."""
    user = await _user(request, asking, form)
    _require_admin(asking)
    wanted = form.flag("on")
    if asking.user is not None and user.id == asking.user.id and not wanted:
        raise BadRequest("You cannot end your own administration. Ask another administrator to do it.")
    async with places.desk(request).store.write() as tx:
        await users.set_admin(tx, user.id, wanted)
    return _back(request, form, "admin" if wanted else "not-admin")


async def _rename(request: Request, asking: Principal, form: forms.Form) -> Response:
    """Give a user another name."""
    user = await _user(request, asking, form)
    await users_api.rename(places.desk(request), asking, user.name, form.text("new_name").strip())
    return _back(request, form, "renamed")


async def _delete(request: Request, asking: Principal, form: forms.Form) -> Response:
    """Stop and remove a user's servers, then the user."""
    desk, name = places.desk(request), form.text("user")
    await authorize(desk, asking, DELETE, {"user": name})
    await users_api.remove(desk, asking, name)
    return _back(request, form, "deleted")


async def _approve(request: Request, asking: Principal, form: forms.Form) -> Response:
    """Let somebody in who signed up."""
    await _native(request).approve(await _user(request, asking, form))
    return _back(request, form, "approved")


async def _withdraw(request: Request, asking: Principal, form: forms.Form) -> Response:
    """Make a link invalid that was not used yet."""
    asking.require("admin:users")
    number = form.text("id")
    if not (number.isascii() and number.isdecimal() and len(number) < 18):
        raise BadRequest("Say which link to withdraw.")
    async with places.desk(request).store.write() as tx:
        await users.delete_invitation(tx, int(number))
    return _back(request, form, "withdrawn")


async def _stop_all(request: Request, asking: Principal, form: forms.Form) -> Response:
    """Stop the servers of everybody."""
    asking.require("delete:servers")
    await asks.ask_stop_all(places.desk(request), asking)
    return _back(request, form, "stopping-all")


Action = Callable[[Request, Principal, forms.Form], Awaitable[Response]]

ACTIONS: dict[str, Action] = {
    "add": _add,
    "invite": _invite,
    "reset": _reset,
    "set-admin": _set_admin,
    "rename": _rename,
    "delete": _delete,
    "approve": _approve,
    "withdraw": _withdraw,
    "stop-all": _stop_all,
}


# -- shared ----------------------------------------------------------------------------------------------------------


def _require_admin(asking: Principal) -> None:
    if asking.user is None or not asking.user.admin:
        raise Forbidden("Only administrators may make administrators or change them.")


async def _user(request: Request, asking: Principal, form: forms.Form) -> User:
    """Return the user that the form is about, after making sure that they may be changed."""
    desk, name = places.desk(request), form.text("user")
    await authorize(desk, asking, MANAGE, {"user": name})
    async with desk.store.read() as tx:
        found = await users.get(tx, name) if name.isprintable() else None
    if found is None:
        raise NotFound("There is no such user any more.")
    if found.admin or found.name in desk.authenticator.admin_users:
        _require_admin(asking)
    return found


def _native(request: Request) -> NativeAuthenticator:
    source = native_of(places.desk(request).authenticator)
    if source is None:
        raise NotFound("This hub keeps no passwords, so there is nothing to invite to or to reset.")
    return source


def _link(request: Request, for_whom: str, page: str, offer: Offer) -> Link:
    settings = places.desk(request).settings
    origin = settings.public_origin or client.origin(request.scope)
    return Link(for_whom, f"{origin}{settings.hub_prefix}{page}?code={offer.code}", offer.expires_at)


def _back(request: Request, form: forms.Form, said: str) -> Response:
    """Lead back to the part of the list that the administrator was looking at."""
    desk = places.desk(request)
    page = f"{desk.settings.hub_prefix}admin"
    where = admin_view.of_address(form.text("next")).address(page)
    return RedirectResponse(f"{where}{'&' if '?' in where else '?'}said={said}", 303)


async def _links_page(request: Request, asking: Principal, heading: str, links: list[Link]) -> Response:
    return await render.page(request, "links.html", asking=asking, heading=heading, links=links)


async def _page(request: Request, asking: Principal, view: View, error: NbhubError | None = None) -> Response:
    desk = places.desk(request)
    source = native_of(desk.authenticator)
    async with desk.store.read() as tx:
        found, total = await users.list_page(
            tx,
            offset=view.offset,
            limit=PER_PAGE,
            sort=view.sort,
            descending=view.descending,
            name_filter=view.query,
            state=view.state,
            only=asking.filter_of("list:users"),
        )
        in_groups = await users.groups_of(tx, [user.id for user in found]) if asking.holds("read:users:groups") else {}
        owned = await servers.of_users(tx, [user.id for user in found], include_stopped=True)
        active = await servers.count_active(tx)
        invitations = await users.list_invitations(tx, desk.clock()) if asking.holds("admin:users") else []
    shown = [record for records in owned.values() for record in records]
    activity = request.scope["nbhub.activity"]
    return await render.page(
        request,
        "admin.html",
        200 if error is None else error.status,
        asking=asking,
        people=[(user, owned[user.id], activity.user_at(user.id, user.last_activity)) for user in found],
        in_groups=in_groups,
        details=await live.details(desk, shown),
        total=total,
        active=active,
        changing=error is None and any(render.state(record) in ("starting", "stopping") for record in shown),
        waiting={link.name for link in invitations if link.purpose == "approval"},
        links=[link for link in invitations if _is_link(link)],
        keeps_passwords=source is not None,
        signup="" if source is None else await source.signup_rule(),
        may_manage=asking.holds("admin:users"),
        may_stop_all=asking.holds("delete:servers"),
        may_see_groups=pages_groups.may_list(asking),
        has_options=desk.spawner.asks_options,
        view=view,
        page_url=f"{desk.settings.hub_prefix}admin",
        last=max(1, -(-total // PER_PAGE)),
        problem="" if error is None else error.message,
        said=places.said(request),
    )


def _is_link(invitation: Invitation) -> bool:
    return invitation.purpose in ("signup", "reset")
