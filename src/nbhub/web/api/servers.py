"""Servers of users: ask for one, ask it to stop, and say which there are.

Writes only what is wanted; a reconciler, here or on another replica, makes it so and the doorbell tells.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator
from typing import Any

from msgspec import UNSET

from nbhub.core.model import Server, User
from nbhub.core.principal import Principal
from nbhub.errors import BadRequest, Conflict, NotFound, SpawnError, TooManyRequests
from nbhub.store import Bell, Reading, Writing, servers, users
from nbhub.web import asking_again, choosing, noting, visit
from nbhub.web.api import bodies, render
from nbhub.web.api.endpoints import Call, Endpoints, Reply, empty, json, on_server
from nbhub.web.desk import Desk

endpoints = Endpoints()

PATTERNS = ("users/{user}/server", "users/{user}/servers/{server}")
_NAME = re.compile(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,29}")


@endpoints(on_server("read:servers"), "GET", *PATTERNS)
async def get_server(call: Call) -> Reply:
    """Show one server."""
    async with call.desk.store.read() as tx:
        record = await existing(tx, call.user_name, call.server_name)
    return json(_model(call, record))


@endpoints(on_server("start:servers"), "POST", *PATTERNS)
async def start_server(call: Call) -> Reply:
    """Ask for the server; 201 when it is ready within the slow-start time, 202 when it takes longer."""
    display_name, options = await _spawn_options(call)
    async with call.desk.store.read() as tx:
        owner = await _owner(tx, call.user_name)
    options = await choosing.checked(call.desk, owner, call.server_name, options)
    record = await ask_start(call.desk, owner, call.server_name, options=options, display_name=display_name)
    settled = await await_start(call.desk, record, call.desk.settings.slow_spawn_timeout)
    return empty(201 if settled else 202)


@endpoints(on_server("delete:servers"), "DELETE", *PATTERNS)
async def stop_server(call: Call) -> Reply:
    """Ask the server to stop; 204 when it is gone within the slow-stop time, 202 when it takes longer."""
    remove = (await call.body(bodies.StopServer)).remove
    if remove and not call.server_name:
        raise BadRequest("The default server cannot be removed, only stopped. Leave `remove` out.")
    record = await ask_stop(call.desk, call.user_name, call.server_name, asking=call.principal, remove=remove)
    if record is None or await await_stop(call.desk, record, call.desk.settings.slow_stop_timeout):
        return empty(204)
    return empty(202)


@endpoints(on_server("start:servers"), "PUT", PATTERNS[1])
async def create_server(call: Call) -> Reply:
    """Make a named server without starting it."""
    desk, body = call.desk, await call.body(bodies.NewServer)
    async with desk.store.read() as tx:
        owner = await _owner(tx, call.user_name)
    options = body.user_options
    if options is not None:
        options = await choosing.checked(desk, owner, call.server_name, options)
    limit = await named_limit(desk, owner)
    async with desk.store.write() as tx:
        owner = await _owner(tx, call.user_name)
        name = call.server_name
        if not name or await servers.get(tx, owner.name, name) is not None:
            raise Conflict(f"The server {owner.name}/{name} is there already.")
        record = await _create(tx, desk, owner, name, _display_name(body.display_name), limit)
        if options is not None:
            record = await servers.update_spec(tx, record.id, options=options)
    return json(_model(call, record), 201)


@endpoints(on_server("start:servers"), "PATCH", *PATTERNS)
async def change_server(call: Call) -> Reply:
    """Rename a server that is not running, or change how it is shown and with what options it starts."""
    desk, body = call.desk, await call.body(bodies.ServerChange)
    async with desk.store.read() as tx:
        owner = await _owner(tx, call.user_name)
    change = await _change(desk, owner, call.server_name, body)
    async with desk.store.write() as tx:
        record = await existing(tx, call.user_name, call.server_name)
        record = await servers.hold(tx, record.id) or record
        if record.active:
            raise BadRequest(f"The server {_full(record)} is active. Stop it before changing it.")
        if "name" in change and not record.name:
            raise BadRequest("The default server cannot be renamed.")
        record = await servers.update_spec(tx, record.id, **change)
    return json(_model(call, record))


# -- what pages ask for as well --------------------------------------------------------------------------------------


async def ask_start(
    desk: Desk, owner: User, name: str, *, options: Any = servers.KEEP, display_name: str = ""
) -> Server:
    """Record that the server is wanted, in one transaction that also counts the limits.

    `options` have been validated. A start that is already under way is joined. Raises BadRequest, NotFound,
    TooManyRequests; with
    refresh_pre_spawn, Forbidden and Unavailable.
    """
    limit = await named_limit(desk, owner) if name else 0
    await asking_again.before_start(desk, owner)
    async with desk.store.write() as tx:
        owner = await _owner(tx, owner.name)
        record = await servers.get(tx, owner.name, name)
        if record is not None and record.active:
            return _joined(record)
        if record is None:
            record = await _create(tx, desk, owner, name, display_name, limit)
        elif name and not desk.settings.allow_named_servers:
            raise BadRequest("Named servers are not enabled on this hub.")
        elif display_name:
            await servers.update_spec(tx, record.id, display_name=display_name)
        await _check_limits(tx, desk)
        return await servers.ask_start(tx, record.id, options=options, now=desk.clock())


async def ask_stop(desk: Desk, user_name: str, name: str, *, asking: Principal, remove: bool = False) -> Server | None:
    """Record that the server is not wanted (and to be removed); None when there is nothing to stop."""
    await asking_again.before_stop(desk, user_name)
    async with desk.store.write() as tx:
        await _owner(tx, user_name)
        record = await servers.get(tx, user_name, name)
        if record is None:
            if name:
                raise NotFound(f"There is no server {user_name}/{name}.")
            return None
        was_wanted = record.wanted and record.active
        if not was_wanted and (record.removing or not remove):
            return record if record.active or record.removing else None
        record = await servers.ask_stop(tx, record.id, remove=remove, now=desk.clock())
    if was_wanted:
        noting.stop_asked(desk, record, asking)
    return record


async def ask_stop_all(desk: Desk, asking: Principal) -> int:
    """Record that none of all servers is wanted; return how many were active. The caller may stop all of them."""
    async with desk.store.scan() as tx:
        active = {record.id: record for record in await servers.everybodys(tx)}
    async with desk.store.write() as tx:
        asked = await servers.ask_stop_all(tx, desk.clock())
    stopped = [active[server_id] for server_id in asked if server_id in active]
    for record in stopped:
        noting.stop_asked(desk, record, asking)
    return len(stopped)


async def await_start(desk: Desk, asked: Server, seconds: float) -> bool:
    """Wait for the outcome of a start: True when it can be reached, False when it takes longer; raises SpawnError."""
    record: Server | None = asked
    async with desk.store.wakeup.listen(f"server:{asked.id}", "resync", "closing") as bell:
        async for record in _looks(desk, asked.id, bell, seconds):
            if record is None or not record.wanted:
                raise BadRequest(f"The start of {_full(asked)} was cancelled.")
            if record.is_ready:
                await desk.store.reach.until_led_to(record)
                return True
            if not record.active:
                raise SpawnError(f"Spawn failed: {record.message or 'the server ended.'}", record.log_tail)
    return False


async def await_stop(desk: Desk, asked: Server, seconds: float) -> bool:
    """Wait until a server is stopped (and removed): True when it is, False when it takes longer."""
    async with desk.store.wakeup.listen(f"server:{asked.id}", "resync", "closing") as bell:
        async for record in _looks(desk, asked.id, bell, seconds):
            if record is None or not (record.active or record.removing):
                return True
            if record.wanted:
                return True  # somebody asked for it again since
    return False


async def _looks(desk: Desk, server_id: int, bell: Bell, seconds: float) -> AsyncIterator[Server | None]:
    """Yield the row now and after every ring, until `seconds` are over or the hub stops, as the next one goes on."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        async with desk.store.read() as tx:
            record = await servers.by_id(tx, server_id)
        yield record
        left = until - loop.time()
        heard = await bell.wait(left) if left > 0 else frozenset()
        if not heard or "closing" in heard:
            return


def _joined(record: Server) -> Server:
    if record.is_ready:
        raise BadRequest(f"The server {_full(record)} is already running.")
    if render.pending(record) == "stop":
        raise BadRequest(f"The server {_full(record)} is pending stop. Try again when it has stopped.")
    return record


async def _check_limits(tx: Writing, desk: Desk) -> None:
    settings = desk.settings
    if settings.concurrent_spawn_limit and await servers.count_starting(tx) >= settings.concurrent_spawn_limit:
        raise TooManyRequests("Too many users start servers right now. Try again shortly.", settings.spawn_retry_after)
    if settings.active_server_limit and await servers.count_active(tx) >= settings.active_server_limit:
        raise TooManyRequests("The hub runs as many servers as it may. Stop one, or try again later.")


async def _create(tx: Writing, desk: Desk, owner: User, name: str, display_name: str, limit: int) -> Server:
    if name:
        await _check_named(tx, desk, owner, name, limit)
    return await servers.create(tx, owner, name, display_name=display_name, now=desk.clock())


async def named_limit(desk: Desk, owner: User) -> int:
    """Return how many named servers a user may have; 0 for any number."""
    limit = desk.settings.named_server_limit
    return int(await visit.ask(limit, visit.Visit(desk, owner)) or 0) if callable(limit) else limit


async def _check_named(tx: Writing, desk: Desk, owner: User, name: str, limit: int) -> None:
    if not desk.settings.allow_named_servers:
        raise BadRequest("Named servers are not enabled on this hub.")
    check_server_name(name)
    if limit and await servers.count_named(tx, owner.id) >= limit:
        raise BadRequest(f"{owner.name} already has {limit} named servers, the limit. Remove one first.")


def check_server_name(name: str) -> None:
    """Raise BadRequest unless `name` can be the name of a new server."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name[:64]!r} cannot be the name of a server: 1 to 30 lower-case letters, digits and single dashes, "
            "a letter first, no dash last."
        )


def _display_name(text: str) -> str:
    """Return a display name in its normal form."""
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    if len(text) > 255 or not text.isprintable():
        raise BadRequest("A display name has up to 255 printable characters.")
    return text


async def _spawn_options(call: Call) -> tuple[str, Any]:
    """Read display name and options; a body with neither key is the options itself, as up to JupyterHub 5."""
    body = await call.body(dict[str, Any])
    if not body:
        return "", servers.KEEP
    if "display_name" not in body and "user_options" not in body:
        return "", body
    display_name, options = body.get("display_name") or "", body.get("user_options")
    if not isinstance(display_name, str) or not isinstance(options, dict | None):
        raise BadRequest("display_name has to be text and user_options an object.")
    return _display_name(display_name), servers.KEEP if options is None else options


async def _change(desk: Desk, owner: User, name: str, body: bodies.ServerChange) -> dict[str, Any]:
    change: dict[str, Any] = {}
    if body.name is not UNSET:
        check_server_name(body.name)
        change["name"] = body.name
    if body.display_name is not UNSET:
        change["display_name"] = _display_name(body.display_name)
    if body.user_options is not UNSET:
        change["options"] = await choosing.checked(desk, owner, name, body.user_options)
    if not change:
        raise BadRequest("Say what to change: name, display_name or user_options.")
    return change


async def _owner(tx: Reading, name: str) -> User:
    owner = await users.get(tx, name)
    if owner is None:
        raise NotFound(f"There is no user {name}.")
    return owner


async def existing(tx: Reading, user_name: str, name: str) -> Server:
    record = await servers.get(tx, user_name, name)
    if record is None:
        raise NotFound(f"There is no server {user_name}/{name}.")
    return record


def _model(call: Call, record: Server) -> dict[str, Any]:
    return call.reader.server(record)


def _full(record: Server) -> str:
    return f"{record.user_name}/{record.name}"
