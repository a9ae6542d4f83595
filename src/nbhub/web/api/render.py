"""From records to JupyterHub's JSON: which keys there are depends on what the caller may read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from nbhub.core import names
from nbhub.core.model import Group, Phase, Server, Token, User
from nbhub.core.principal import Principal
from nbhub.web.activity import Activity
from nbhub.web.desk import WebSettings

_STATE = "admin:server_state"
USER_SCOPES = (
    "read:users",
    "read:users:name",
    "read:users:groups",
    "read:users:activity",
    "read:servers",
    "read:roles:users",
    "admin:auth_state",
)


@lru_cache(maxsize=20_000)
def timestamp(at: float | None) -> str | None:
    """Return seconds since the epoch as ISO 8601 in UTC; microseconds only where there are any."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat()[:-6] + "Z"


def pending(server: Server) -> str | None:
    """Return what the server is on its way to: "spawn", "stop" or nothing."""
    if not server.active or server.is_ready:
        return None
    if server.phase is Phase.STOPPING or not server.wanted:
        return "stop"
    return "spawn"


def server(
    record: Server, base_url: str, *, last_activity: float | None, public_origin: str, state: bool
) -> dict[str, Any]:
    """Return one server; `state` says whether the caller may see what the spawner remembers."""
    url, progress = _urls(base_url, record.user_name, record.name)
    active = record.active
    model: dict[str, Any] = {
        "name": record.name,
        "display_name": record.display_name,
        "full_name": f"{record.user_name}/{record.name}",
        "last_activity": timestamp(last_activity),
        "started": timestamp(record.started) if active else None,
        "pending": pending(record),
        "ready": record.is_ready,
        "stopped": not active,
        "url": url,
        "user_options": record.options,
        "progress_url": progress,
        "full_url": public_origin + url if public_origin else None,
        "full_progress_url": public_origin + progress if public_origin else None,
    }
    if state:
        model["state"] = record.state
    return model


@lru_cache(maxsize=20_000)
def _urls(base_url: str, user: str, name: str) -> tuple[str, str]:
    return names.server_prefix(base_url, user, name), progress_url(base_url, user, name)


def progress_url(base_url: str, user: str, name: str) -> str:
    """Return where the progress of a server's start can be followed."""
    where = f"servers/{names.quote(name)}" if name else "server"
    return f"{base_url}hub/api/users/{names.quote(user)}/{where}/progress"


def token(
    record: Token, *, owner: tuple[str, str], scopes: Iterable[str], issuer: str, last_activity: float | None
) -> dict[str, Any]:
    """Return one token; `owner` is ("user" or "service", name), `issuer` describes the OAuth client."""
    return {
        owner[0]: owner[1],
        "id": f"a{record.id}",
        "kind": "api_token",
        "roles": [],
        "scopes": sorted(scopes),
        "created": timestamp(record.created),
        "last_activity": timestamp(last_activity),
        "expires_at": timestamp(record.expires_at),
        "note": record.note,
        "session_id": record.session_id,
        "oauth_client": issuer,
    }


class Reader:
    """What one caller may read of users and their servers, asked once and used for many."""

    def __init__(self, principal: Principal, settings: WebSettings, activity: Activity) -> None:
        self._holds = principal.holds
        self._base_url = settings.base_url
        self._origin = settings.public_origin
        self._activity = activity
        self._everywhere = frozenset(scope for scope in USER_SCOPES if principal.holds(scope))
        names_held = {scope.partition("!")[0] for scope in principal.scopes}
        self._somewhere = tuple(s for s in USER_SCOPES if s not in self._everywhere and s in names_held)
        self._state_everywhere = principal.holds(_STATE)
        self._state_somewhere = _STATE in names_held
        readable = {*self._everywhere, *self._somewhere}
        self.wants_servers = not readable.isdisjoint(("read:users", "read:servers"))
        self.wants_roles = not readable.isdisjoint(("read:users", "read:roles:users"))
        self.wants_groups = not readable.isdisjoint(("read:users", "read:users:groups"))
        self.depends_on_groups = principal.limited_to_groups(*USER_SCOPES, _STATE)
        self.scopes = msgspec.Raw(msgspec.json.encode(sorted(principal.scopes)))
        self._known: dict[tuple[str, tuple[str, ...]], frozenset[str]] = {}

    def user(
        self,
        record: User,
        *,
        groups: tuple[str, ...] = (),
        roles: Sequence[str] = (),
        servers: Sequence[Server] = (),
        include_stopped: bool = False,
        auth_state: Any = None,
    ) -> dict[str, Any]:
        """Return one user with the keys that the caller may read; at least kind and name."""
        held = self._held(record.name, groups)
        model: dict[str, Any] = {"kind": "user", "name": record.name}
        full = "read:users" in held
        if full or "read:users:name" in held or "read:roles:users" in held:
            model["admin"] = record.admin
        if full or "read:users:name" in held:
            model["user_info"] = record.user_info
        if full or "read:roles:users" in held:
            model["roles"] = list(roles)
        if full or "read:users:groups" in held:
            model["groups"] = list(groups)
        if full:
            model |= self._default_server(servers)
            model["created"] = timestamp(record.created)
        if full or "read:users:activity" in held:
            model["last_activity"] = timestamp(self._activity.user_at(record.id, record.last_activity))
        self._add_servers(model, held, record.name, groups, servers, include_stopped)
        if "admin:auth_state" in held:
            model["auth_state"] = auth_state
        return model

    def server(self, record: Server, groups: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return one server that the caller may read."""
        state = self._state_everywhere or (
            self._state_somewhere
            and self._holds(_STATE, user=record.user_name, server=record.name, target_groups=groups)
        )
        return server(
            record,
            self._base_url,
            last_activity=self._activity.server_at(record.id, record.last_activity),
            public_origin=self._origin,
            state=state,
        )

    def _held(self, name: str, groups: tuple[str, ...]) -> frozenset[str]:
        if not self._somewhere:
            return self._everywhere
        key = (name, groups)
        held = self._known.get(key)
        if held is None:
            more = {scope for scope in self._somewhere if self._holds(scope, user=name, target_groups=groups)}
            held = self._everywhere | more
            if len(self._known) < 500:
                self._known[key] = held
        return held

    def _default_server(self, servers: Sequence[Server]) -> dict[str, Any]:
        for record in servers:
            if not record.name:
                url = _urls(self._base_url, record.user_name, "")[0] if record.is_ready else None
                return {"server": url, "pending": pending(record)}
        return {"server": None, "pending": None}

    def _add_servers(
        self,
        model: dict[str, Any],
        held: frozenset[str],
        name: str,
        groups: tuple[str, ...],
        servers: Sequence[Server],
        include_stopped: bool,
    ) -> None:
        all_of_them = "read:servers" in held
        if not all_of_them and "read:servers" not in self._somewhere:
            return
        shown = {
            record.name: self.server(record, groups)
            for record in servers
            if (include_stopped or record.active)
            and (all_of_them or self._holds("read:servers", user=name, server=record.name))
        }
        if shown or all_of_them:
            model["servers"] = shown


class Readers:
    """Readers by what their callers may do, so that the next request of the same kind finds one."""

    def __init__(self, settings: WebSettings, activity: Activity) -> None:
        self._settings = settings
        self._activity = activity
        self._known: dict[frozenset[str], Reader] = {}

    def of(self, principal: Principal) -> Reader:
        """Return the reader of that caller."""
        reader = self._known.get(principal.scopes)
        if reader is None:
            if len(self._known) >= 5_000:
                self._known.clear()
            reader = self._known[principal.scopes] = Reader(principal, self._settings, self._activity)
        return reader


def group(record: Group, users: Sequence[str], roles: Sequence[str]) -> dict[str, Any]:
    """Return one group."""
    return {
        "kind": "group",
        "name": record.name,
        "users": list(users),
        "properties": record.properties,
        "roles": list(roles),
    }
