"""Groups, for administrators: which there are, who is in each, and what can be done about it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from nbhub.core import names
from nbhub.core.principal import Principal
from nbhub.errors import BadRequest, Conflict, NbhubError, NotFound
from nbhub.store import grants, groups
from nbhub.web import forms, identity, places, render
from nbhub.web.api import groups as groups_api
from nbhub.web.desk import Desk

MOST_SHOWN = 500  # groups, and members of one


def routes(_: Desk) -> list[Route]:
    """Return the addresses below the hub's prefix."""
    return [
        Route("/admin/groups", show_groups),
        Route("/admin/groups", take_group, methods=["POST"]),
        Route("/admin/groups/{group}", show_group),
        Route("/admin/groups/{group}/add", take_members, methods=["POST"]),
        Route("/admin/groups/{group}/remove", take_member_away, methods=["POST"]),
        Route("/admin/groups/{group}/delete", take_group_away, methods=["POST"]),
    ]


def may_list(asking: Principal) -> bool:
    """Say whether there may be groups that the visitor may see."""
    return asking.holds("list:groups") or asking.has_filtered("list:groups")


# -- all of them -----------------------------------------------------------------------------------------------------


async def show_groups(request: Request) -> Response:
    """List the groups."""
    return await _list_page(request, await identity.require_administration(request))


async def take_group(request: Request) -> Response:
    """Make a group, and lead to its page."""
    asking = await identity.require_administration(request)
    asking.require("admin:groups")
    desk, name = places.desk(request), (await forms.read(request)).text("name").strip()
    try:
        groups_api.check_managed(desk)
        groups_api.check_name(name)
        async with desk.store.write() as tx:
            await groups.create_group(tx, name)
    except (BadRequest, Conflict) as error:
        return await _list_page(request, asking, error, name)
    return RedirectResponse(f"{_address(desk, name)}?said=group-made", 303)


async def _list_page(request: Request, asking: Principal, error: NbhubError | None = None, name: str = "") -> Response:
    desk = places.desk(request)
    limits = asking.filter_of("list:groups")
    async with desk.store.read() as tx:
        found, total = await groups.list_groups(tx, limit=MOST_SHOWN, only=None if limits == "all" else limits.groups)
        ids = [group.id for group in found]
        members = await groups.members_of(tx, ids)
        roles = await grants.held_by(tx, "group", ids)
    return await render.page(
        request,
        "groups.html",
        200 if error is None else error.status,
        asking=asking,
        rows=[
            (
                group,
                _address(desk, group.name),
                members[group.id] if asking.holds("read:groups", group=group.name) else None,
                roles[group.id] if asking.holds("read:roles:groups", group=group.name) else (),
            )
            for group in found
        ],
        total=total,
        is_managed=desk.authenticator.manage_groups,
        may_make=asking.holds("admin:groups"),
        name=name,
        problem="" if error is None else error.message,
        said=places.said(request),
    )


# -- one of them -----------------------------------------------------------------------------------------------------


async def show_group(request: Request) -> Response:
    """Show who is in a group."""
    asking, name = await identity.require_administration(request), _name(request)
    asking.require("read:groups", group=name)
    return await _group_page(request, asking, name)


async def take_members(request: Request) -> Response:
    """Put users into a group."""
    asking, name = await identity.require_administration(request), _name(request)
    asking.require("groups", group=name)
    desk, form = places.desk(request), await forms.read(request)
    try:
        groups_api.check_managed(desk)
        added = groups_api.normalized(desk, form.lines("names"))
        if not added:
            raise BadRequest("Enter the names of users, one in each line.")
        async with desk.store.write() as tx:
            await groups.add(tx, (await groups_api.existing(tx, name)).id, added)
    except BadRequest as error:
        return await _group_page(request, asking, name, error, form.text("names"))
    return RedirectResponse(f"{_address(desk, name)}?said=members-added", 303)


async def take_member_away(request: Request) -> Response:
    """Take a user out of a group."""
    asking, name = await identity.require_administration(request), _name(request)
    asking.require("groups", group=name)
    desk, member = places.desk(request), (await forms.read(request)).text("user")
    try:
        groups_api.check_managed(desk)
        async with desk.store.write() as tx:
            await groups.remove(tx, (await groups_api.existing(tx, name)).id, [member] if member.isprintable() else [])
    except BadRequest as error:
        return await _group_page(request, asking, name, error)
    return RedirectResponse(f"{_address(desk, name)}?said=member-removed", 303)


async def take_group_away(request: Request) -> Response:
    """Delete a group; its members stay users."""
    asking, name = await identity.require_administration(request), _name(request)
    asking.require("delete:groups", group=name)
    desk = places.desk(request)
    try:
        groups_api.check_managed(desk)
        async with desk.store.write() as tx:
            await groups.delete_group(tx, (await groups_api.existing(tx, name)).id)
    except BadRequest as error:
        return await _group_page(request, asking, name, error)
    return RedirectResponse(f"{desk.settings.hub_prefix}admin/groups?said=group-deleted", 303)


async def _group_page(
    request: Request, asking: Principal, name: str, error: NbhubError | None = None, entered: str = ""
) -> Response:
    desk = places.desk(request)
    async with desk.store.read() as tx:
        group = await groups_api.existing(tx, name)
        members = (await groups.members_of(tx, [group.id]))[group.id]
        roles = (await grants.held_by(tx, "group", [group.id]))[group.id]
    is_managed = desk.authenticator.manage_groups
    return await render.page(
        request,
        "group.html",
        200 if error is None else error.status,
        asking=asking,
        group=group,
        address=_address(desk, name),
        members=members[:MOST_SHOWN],
        total=len(members),
        roles=roles if asking.holds("read:roles:groups", group=name) else (),
        is_managed=is_managed,
        may_fill=not is_managed and asking.holds("groups", group=name),
        may_delete=not is_managed and asking.holds("delete:groups", group=name),
        entered=entered,
        problem="" if error is None else error.message,
        said=places.said(request),
    )


# -- shared ----------------------------------------------------------------------------------------------------------


def _name(request: Request) -> str:
    name: str = request.path_params["group"]
    if len(name) > 255 or not name.isprintable():
        raise NotFound("There is no such group.")
    return name


def _address(desk: Desk, name: str) -> str:
    return f"{desk.settings.hub_prefix}admin/groups/{names.quote(name)}"
