"""Roles that the source of identities says its users have (manage_roles): written down at every log-in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from nbhub.authenticators.base import Identity
from nbhub.core import roles as rules
from nbhub.core import scopes as scope_rules
from nbhub.core.model import User
from nbhub.errors import BadRequest, ConfigError
from nbhub.store import Writing, grants, users
from nbhub.store.roles import Kind

_KEYS = frozenset(("name", "description", "scopes", "users", "groups", "services"))
_HOLDERS: Sequence[tuple[str, Kind]] = (("users", "user"), ("groups", "group"), ("services", "service"))


def makes_admin(found: Identity) -> bool | None:
    """Say whether the roles, where the source gives them, make an administrator; otherwise what else is known."""
    if found.roles is None:
        return found.admin
    return bool(found.admin) or rules.ADMIN in names_of(found.roles)


def names_of(given: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of roles; raises ConfigError for what cannot be a role."""
    for role in given:
        _check(role)
    return tuple(dict.fromkeys(str(role["name"]) for role in given))


async def follow(tx: Writing, user: User, given: Sequence[Mapping[str, Any]]) -> None:
    """Let the user have just these roles, beside what all users and administrators have. Missing ones are made."""
    wanted = [name for name in names_of(given) if name not in (rules.USER, rules.ADMIN)]
    declared = {role.name for role in await grants.list_roles(tx)} - set(await grants.roles_of_source(tx))
    for role in given:
        await _define(tx, role, declared)
    held = {role.name for role in (await users.roles_of(tx, [user.id]))[user.id]} - {rules.USER, rules.ADMIN}
    for name in sorted(set(wanted) - held):
        await grants.give_role(tx, name, "user", [user.name])
    for name in sorted(held - set(wanted)):
        await grants.take_role(tx, name, "user", [user.name])


async def _define(tx: Writing, role: Mapping[str, Any], declared: set[str]) -> None:
    """Make the role what the source says; what the configuration and the hub itself say of a role stays."""
    name = str(role["name"])
    if name not in declared:
        known = await grants.get_role(tx, name)
        scopes = role.get("scopes", known.scopes if known is not None else ())
        words = role.get("description", known.description if known is not None else "")
        await grants.put_role(tx, name, description=str(words or ""), scopes=scopes or (), from_source=True)
    for key, kind in _HOLDERS:
        if role.get(key) is not None and name not in rules.BUILT_IN:
            await grants.set_holders(tx, name, kind, [str(holder) for holder in role[key]])


def _check(role: Mapping[str, Any]) -> None:
    name = role.get("name")
    try:
        if not isinstance(name, str):
            raise BadRequest(f"it has no name: {dict(role)!r}.")
        if name not in rules.BUILT_IN:
            rules.check_name(name)
        if unknown := sorted(set(map(str, role)) - _KEYS):
            raise BadRequest(f"{name!r} has an unknown key {unknown[0]!r}.")
        scopes = cast("Any", role.get("scopes") or ())
        if not isinstance(scopes, list | tuple | set | frozenset) or "inherit" in scopes:
            raise BadRequest(f"the scopes of {name!r} have to be a list, without inherit.")
        scope_rules.validate(scopes)
    except BadRequest as error:
        raise ConfigError(f"A role that the source of identities gives is wrong: {error.message}") from None
