"""Scopes: what may be done to what. The table of them, and how they expand, intersect and cover each other.

A scope is written `name` or `name!kind=value`, where the filter limits it to one user, group, server or service. A set
of scopes is *expanded* when it holds everything that its members imply and no shorthands; only such sets can be
compared. Nothing here asks the database: who is in which group is an argument.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from nbhub.core.model import Service, User
from nbhub.errors import BadRequest

FILTER_KINDS = ("user", "group", "server", "service")
META_SCOPES = ("(no_scope)", "self", "inherit")
CUSTOM = re.compile(r"custom:[a-z0-9][a-z0-9_\-*:]+[a-z0-9_*]")
NO_GROUPS: Mapping[str, Collection[str]] = {}


@dataclass(frozen=True, slots=True)
class Definition:
    """What a scope allows, in words for the one who grants it, and which scopes it brings with it."""

    description: str
    implies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope taken apart. A kind without a value is a shorthand: the owner, or the server that issued the token."""

    name: str
    filter_kind: str | None = None
    filter_value: str | None = None

    def __str__(self) -> str:
        """Write the scope as it is stored."""
        if self.filter_kind is None:
            return self.name
        return f"{self.name}!{self.filter_kind}" + ("" if self.filter_value is None else f"={self.filter_value}")


TABLE: dict[str, Definition] = {
    "(no_scope)": Definition("Be recognised, and nothing more."),
    "self": Definition("Everything that belongs to you: your profile, servers, tokens and shares."),
    "inherit": Definition("Everything that the owner of the token may do."),
    "admin-ui": Definition("Open the administration page; what it shows depends on the other scopes."),
    "admin:users": Definition(
        "Create, change and delete users, and read their authentication state.",
        ("admin:auth_state", "users", "read:roles:users", "delete:users"),
    ),
    "admin:auth_state": Definition("Read what the authenticator keeps about a user."),
    "users": Definition(
        "Read and change users, but not create or delete them.", ("read:users", "list:users", "users:activity")
    ),
    "delete:users": Definition("Delete users."),
    "list:users": Definition("List users.", ("read:users:name",)),
    "read:users": Definition(
        "Read a user's profile, groups and activity.",
        ("read:users:name", "read:users:groups", "read:users:activity"),
    ),
    "read:users:name": Definition("Read a user's name."),
    "read:users:groups": Definition("Read which groups a user is in."),
    "read:users:activity": Definition("Read when a user was last active."),
    "users:activity": Definition("Report a user's activity.", ("read:users:activity",)),
    "read:roles": Definition(
        "Read who has which role.", ("read:roles:users", "read:roles:services", "read:roles:groups")
    ),
    "read:roles:users": Definition("Read the roles of users."),
    "read:roles:services": Definition("Read the roles of services."),
    "read:roles:groups": Definition("Read the roles of groups."),
    "admin:servers": Definition(
        "Start and stop servers, and read what the spawner keeps about them.", ("admin:server_state", "servers")
    ),
    "admin:server_state": Definition("Read what the spawner keeps about a server."),
    "servers": Definition("Start and stop servers.", ("read:servers", "start:servers", "delete:servers")),
    "read:servers": Definition("Read the state of servers.", ("read:users:name",)),
    "start:servers": Definition("Create and start servers."),
    "delete:servers": Definition("Stop and delete servers."),
    "tokens": Definition("Create, list and revoke API tokens.", ("read:tokens",)),
    "read:tokens": Definition("List API tokens, not their secrets."),
    "admin:groups": Definition("Create, change and delete groups.", ("groups", "read:roles:groups", "delete:groups")),
    "groups": Definition("Read groups, and add users to them or remove them.", ("read:groups", "list:groups")),
    "list:groups": Definition("List groups.", ("read:groups:name",)),
    "read:groups": Definition("Read groups and who is in them.", ("read:groups:name",)),
    "read:groups:name": Definition("Read the names of groups."),
    "delete:groups": Definition("Delete groups."),
    "admin:services": Definition(
        "Create, change and delete services.", ("list:services", "read:services", "read:roles:services")
    ),
    "list:services": Definition("List services.", ("read:services:name",)),
    "read:services": Definition("Read about services.", ("read:services:name",)),
    "read:services:name": Definition("Read the names of services."),
    "read:hub": Definition("Read details of the hub."),
    "access:servers": Definition("Use servers as if they were one's own."),
    "access:services": Definition("Use services."),
    "shares": Definition(
        "Share servers with others, and take that back.",
        ("access:servers", "read:shares", "users:shares", "groups:shares"),
    ),
    "read:shares": Definition("Read with whom servers are shared."),
    "users:shares": Definition("Read and leave the shares that a user was given.", ("read:users:shares",)),
    "read:users:shares": Definition("Read the shares that a user was given."),
    "groups:shares": Definition("Read and leave the shares that a group was given.", ("read:groups:shares",)),
    "read:groups:shares": Definition("Read the shares that a group was given."),
    "proxy": Definition("Read and refresh the routes of the proxy."),
    "shutdown": Definition("Shut the hub down."),
    "read:metrics": Definition("Read the hub's metrics."),
}

_SELF = ("read:users", "users:shares", "read:shares", "users:activity", "servers", "tokens", "access:servers")


def declare(definitions: Mapping[str, Definition]) -> None:
    """Know these custom scopes, in place of those declared before; once, before anybody is asked for a scope."""
    for name in [name for name in TABLE if name.startswith("custom:")]:
        del TABLE[name]
    TABLE.update(definitions)
    for remembered in (_expand, _with_filter, _implied):
        remembered.cache_clear()


def parse(text: str) -> Scope:
    """Take a scope apart. Raises BadRequest for an unknown filter, or a filter that names nothing."""
    name, bang, rest = text.partition("!")
    if not bang:
        return Scope(name)
    kind, equals, value = rest.partition("=")
    if kind not in FILTER_KINDS:
        raise BadRequest(f"Scope {_shown(text)}: unknown filter {_shown(kind)}; filters are {_listed(FILTER_KINDS)}.")
    if equals and not value:
        raise BadRequest(f"Scope {_shown(text)}: the {kind} filter names nothing. Write {name}!{kind}=NAME.")
    if equals and kind == "server" and (value.startswith("/") or "/" not in value):
        raise BadRequest(f"Scope {_shown(text)}: write a server as USER/SERVER, or USER/ for the default server.")
    return Scope(name, kind, value if equals else None)


def validate(scopes: Iterable[str], *, custom: Collection[str] = ()) -> None:
    """Raise BadRequest unless every scope is known and well written. `custom`: the custom scopes that are declared."""
    for text in scopes:
        scope = parse(text)
        if scope.name in META_SCOPES:
            if scope.filter_kind is not None:
                raise BadRequest(f"Scope {_shown(text)}: {scope.name} takes no filter.")
        elif scope.name not in TABLE and scope.name not in custom:
            raise BadRequest(f"There is no scope {_shown(scope.name)}.{_suggestion(scope.name, custom)}")
        if scope.filter_kind == "group" and scope.filter_value is None:
            raise BadRequest(f"Scope {_shown(text)}: the group filter needs a name: {scope.name}!group=NAME.")


def expand(scopes: Iterable[str], *, owner: User | Service | None, server: str | None = None) -> frozenset[str]:
    """Return everything that the scopes mean for `owner`: `self` and shorthands resolved, implied scopes added.

    `server` is the server that a token was issued for or by, as "USER/SERVER". `inherit` stays as it is, since only the
    one who knows the owner's scopes can resolve it. A shorthand that refers to nothing here means nothing and is left
    out, as are scopes that cannot be read (those in the database were validated when they came in).
    """
    kind = "" if owner is None else "user" if isinstance(owner, User) else "service"
    return _expand(tuple(scopes), kind, "" if owner is None else owner.name, server)


def implied(name: str) -> frozenset[str]:
    """Return the names of all scopes that a scope brings with it, itself included."""
    return _implied(name)


def identify(owner: User | Service) -> frozenset[str]:
    """Return what every credential of `owner` may do: find out whose it is."""
    if isinstance(owner, User):
        return frozenset((f"read:users:name!user={owner.name}", f"read:users:groups!user={owner.name}"))
    return frozenset((f"read:services:name!service={owner.name}",))


def intersect(
    a: Collection[str], b: Collection[str], groups_of: Mapping[str, Collection[str]] = NO_GROUPS
) -> frozenset[str]:
    """Return what both expanded sets allow.

    Where one says a group and the other a user or server, `groups_of` (user name to groups) decides; without knowing
    the user's groups the answer is no.
    """
    if a == b:
        return frozenset(a)
    there, here = _by_name(b), _by_name(a)
    both: set[str] = set()
    for name in here.keys() & there.keys():
        for one in here[name]:
            for other in there[name]:
                if _within(one, other, groups_of):
                    both.add(name + one)
                elif _within(other, one, groups_of):
                    both.add(name + other)
    return frozenset(both)


def lacking(
    wanted: Iterable[str], held: Collection[str], groups_of: Mapping[str, Collection[str]] = NO_GROUPS
) -> tuple[str, ...]:
    """Return, in order, the scopes of the expanded set `wanted` that the expanded set `held` does not wholly cover."""
    return tuple(sorted(set(wanted) - intersect(frozenset(wanted), held, groups_of)))


def covers(
    held: Collection[str],
    wanted: str,
    *,
    user: str | None = None,
    server: str | None = None,
    group: str | None = None,
    service: str | None = None,
    groups_of_user: Iterable[str] = (),
) -> bool:
    """Say whether the expanded set `held` allows the scope `wanted` on what is named; on everything when nothing is.

    `server` is the name of a server of `user` ("" is the default one), `groups_of_user` are the groups of `user`.
    """
    if wanted in held:
        return True
    if user is not None:
        if f"{wanted}!user={user}" in held:
            return True
        if server is not None and f"{wanted}!server={user}/{server}" in held:
            return True
        if any(f"{wanted}!group={name}" in held for name in groups_of_user):
            return True
    if group is not None and f"{wanted}!group={group}" in held:
        return True
    return service is not None and f"{wanted}!service={service}" in held


@lru_cache(maxsize=4096)
def _expand(scopes: tuple[str, ...], kind: str, owner: str, server: str | None) -> frozenset[str]:
    expanded: set[str] = set()
    for text in scopes:
        if text == "self":
            expanded |= (
                _expand(tuple(f"{name}!user" for name in _SELF), kind, owner, server) if kind == "user" else set()
            )
            continue
        suffix = _filter(text, kind, owner, server)
        if suffix is not None:
            expanded |= _with_filter(text.partition("!")[0], suffix)
    return frozenset(expanded)


def _filter(text: str, kind: str, owner: str, server: str | None) -> str | None:
    """Return the filter as it is written after the name, shorthands resolved; None when it refers to nothing."""
    try:
        scope = parse(text)
    except BadRequest:
        return None
    if scope.filter_kind is None:
        return ""
    value = scope.filter_value
    if value is None:
        value = server if scope.filter_kind == "server" else owner if scope.filter_kind == kind else None
    return None if value is None else f"!{scope.filter_kind}={value}"


@lru_cache(maxsize=8192)
def _with_filter(name: str, suffix: str) -> frozenset[str]:
    names = _implied(name)
    if suffix.startswith("!server="):
        # Whoever may read one server of a user learns nothing about the user from that.
        names = frozenset(n for n in names if not n.startswith("read:users"))
    return frozenset(n + suffix for n in names)


@lru_cache(maxsize=1024)
def _implied(name: str) -> frozenset[str]:
    names = {name}
    for child in TABLE[name].implies if name in TABLE else ():
        names |= _implied(child)
    return frozenset(names)


def _by_name(scopes: Iterable[str]) -> dict[str, list[str]]:
    """Return the filters, as written after the name, under the name of their scope."""
    filters: dict[str, list[str]] = {}
    for text in scopes:
        name, bang, rest = text.partition("!")
        filters.setdefault(name, []).append(bang + rest)
    return filters


def _within(inner: str, outer: str, groups_of: Mapping[str, Collection[str]]) -> bool:
    """Say whether all that the filter `inner` lets through the filter `outer` lets through, too."""
    if not outer or inner == outer:
        return True
    kind, _, value = inner.partition("=")
    if kind == "!server":
        user = value.partition("/")[0]
    elif kind == "!user":
        user = value
    else:
        return False
    limit, _, name = outer.partition("=")
    if limit == "!user":
        return user == name
    return limit == "!group" and name in groups_of.get(user, ())


def _suggestion(name: str, custom: Collection[str]) -> str:
    if name == "all":
        return " It is called inherit now."
    if name.startswith("custom:") and CUSTOM.fullmatch(name):
        return " Declare it in the setting custom_scopes first."
    near = difflib.get_close_matches(name, [*TABLE, *custom], n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}…")


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}"
