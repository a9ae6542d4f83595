"""The configuration's services, roles and groups, put into the database: at every start, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from nbhub.core import names, roles, secrets
from nbhub.core.model import OAuthClient, ServiceEntry
from nbhub.core.roles import BUILT_IN
from nbhub.errors import BadRequest, ConfigError, Conflict
from nbhub.services.declared import Declared, GroupSpec, RoleSpec, ServiceSpec
from nbhub.store import Reading, Store, Writing, grants, services, users

log = logging.getLogger("nbhub.services")

Normalize = Callable[[str], str]


async def apply(
    store: Store,
    declared: Declared,
    *,
    base_url: str,
    now: float,
    normalize: Normalize = str,
    admin_users: Iterable[str] = (),
    source_roles: Iterable[RoleSpec] = (),
    reset_source_roles: bool = False,
) -> None:
    """Make the database say what the settings say; the same settings again change nothing.

    Any number of hubs may do it at once. `normalize` gives user names the authenticator's form. `source_roles` are
    those that the source of identities knows; with `reset_source_roles`, whatever else came from it is taken away.
    Raises ConfigError for what contradicts the database, and then nothing is changed.
    """
    async with store.write() as tx:
        await tx.lock("configuration")
        await _services(tx, declared.services, base_url, now)
        for group in declared.groups:
            await _group(tx, group, normalize, now)
        await _built_in_roles(tx, declared)
        for role in declared.roles:
            await _role(tx, role, normalize, now, admin_users)
        for name in await grants.delete_roles_gone(tx, [role.name for role in declared.roles]):
            log.info("role=%s deleted, as the configuration has it no longer", name)
        known = [_and_nobody_else(role) if reset_source_roles else role for role in source_roles]
        for role in known:
            await _role(tx, role, normalize, now, admin_users, from_source=True)
        if reset_source_roles:
            await _forget_others(tx, {role.name for role in known})


# -- services ----------------------------------------------------------------------------------------------------


async def _services(tx: Writing, specs: Iterable[ServiceSpec], base_url: str, now: float) -> None:
    declared = {spec.name for spec in specs}
    for old in await services.list_all(tx):
        if old.from_config and old.name not in declared:
            await services.delete_service(tx, old.id)
            log.info("service=%s deleted, as the configuration has it no longer", old.name)
    for spec in specs:
        entry = await services.put(
            tx, spec.name, admin=spec.admin, url=spec.url or None, info=spec.info, display=spec.display,
            command=spec.command, oauth_no_confirm=spec.oauth_no_confirm, from_config=True,
        )  # fmt: skip
        try:
            await put_grants(tx, entry, spec, base_url, now)
        except Conflict as error:
            raise ConfigError(f"c.Hub.services, {spec.name!r}: {error.message}") from None


async def put_grants(tx: Writing, entry: ServiceEntry, spec: ServiceSpec, base_url: str, now: float) -> None:
    """Give a service its OAuth client and its configured token; raises Conflict when somebody else has one of them."""
    await services.set_client(tx, entry.id, _client(entry, spec, base_url))
    if spec.api_token:
        token_hash = secrets.hash_token(spec.api_token)
        await services.set_token(tx, entry.id, token_hash, note="From the configuration", now=now)
    elif not spec.command:  # a managed one is given a token when it is launched
        await services.drop_tokens(tx, entry.id)


def _client(entry: ServiceEntry, spec: ServiceSpec, base_url: str) -> OAuthClient | None:
    if not spec.client_id:
        return None
    return OAuthClient(
        identifier=spec.client_id,
        description=f"JupyterHub service {spec.name}",
        secret_hash=secrets.hash_token(spec.api_token) if spec.api_token else "",
        redirect_uri=redirect_uri(spec, base_url),
        allowed_scopes=(*spec.allowed_scopes, f"access:services!service={spec.name}"),
        service_id=entry.id,
    )


def redirect_uri(spec: ServiceSpec, base_url: str) -> str:
    """Return where browsers come back to after logging in."""
    return spec.redirect_uri or f"{names.service_prefix(base_url, spec.name)}oauth_callback"


# -- groups and roles --------------------------------------------------------------------------------------------


async def _group(tx: Writing, spec: GroupSpec, normalize: Normalize, now: float) -> None:
    group = await users.get_group(tx, spec.name) or await users.create_group(tx, spec.name)
    members = await _people(tx, f"c.Hub.load_groups, group {spec.name!r}", spec.users, normalize, now)
    await users.add(tx, group.id, members)
    if spec.properties is not None and spec.properties != group.properties:
        await users.set_properties(tx, group.id, spec.properties)


async def _built_in_roles(tx: Writing, declared: Declared) -> None:
    """Give the roles that always are there their meaning of this version, or what the settings say instead."""
    given = {role.name: role for role in declared.roles}
    for role in BUILT_IN.values():
        spec = given.get(role.name)
        scopes = role.scopes if spec is None or spec.scopes is None else spec.scopes
        if role.name == roles.USER:
            scopes = tuple(dict.fromkeys((*scopes, *declared.user_scopes)))
        description = (spec.description if spec is not None else None) or role.description
        await grants.put_role(tx, role.name, description=description, scopes=scopes)


async def _role(
    tx: Writing,
    spec: RoleSpec,
    normalize: Normalize,
    now: float,
    admin_users: Iterable[str],
    *,
    from_source: bool = False,
) -> None:
    where = f"{'load_managed_roles()' if from_source else 'c.Hub.load_roles'}, {spec.name!r}"
    if spec.name not in BUILT_IN:
        await grants.put_role(
            tx, spec.name, description=spec.description or "", scopes=spec.scopes or (),
            from_config=not from_source, from_source=from_source,
        )  # fmt: skip
    if spec.users is not None:
        holders = await _people(tx, where, spec.users, normalize, now)
        await _set_users(tx, spec.name, holders, [normalize(name) for name in admin_users])
    if spec.groups is not None:
        for name in spec.groups:
            await users.get_group(tx, name) or await users.create_group(tx, name)
        await grants.set_holders(tx, spec.name, "group", spec.groups)
    if spec.services is not None:
        await _set_services(tx, where, spec)


def _and_nobody_else(spec: RoleSpec) -> RoleSpec:
    """Return the role without holders that it does not name; users who log in bring theirs, so they stay."""
    return replace(spec, groups=spec.groups or (), services=spec.services or ())


async def _forget_others(tx: Writing, known: Collection[str]) -> None:
    for name in await grants.roles_of_source(tx):
        if name not in known:
            await grants.delete_role(tx, name)
            log.info("role=%s deleted, as the source of identities does not name it any more", name)


async def _set_users(tx: Writing, role: str, holders: list[str], admin_users: list[str]) -> None:
    if role == roles.USER:
        return  # everybody has it, and keeps it
    if role != roles.ADMIN:
        await grants.set_holders(tx, role, "user", holders)
        return
    wanted = {*holders, *admin_users}
    for name in await grants.names_holding(tx, roles.ADMIN, "user"):
        if name not in wanted:
            await _make_admin(tx, name, False)
    for name in holders:
        await _make_admin(tx, name, True)


async def _make_admin(tx: Writing, name: str, admin: bool) -> None:
    user = await users.get(tx, name)
    if user is not None and user.admin != admin:
        await users.set_admin(tx, user.id, admin)


async def _set_services(tx: Writing, where: str, spec: RoleSpec) -> None:
    known = {service.name: service for service in await services.list_all(tx)}
    for name in spec.services or ():
        if name not in known:
            raise ConfigError(f"{where}: there is no service {name!r}. Declare it in c.Hub.services.")
    wanted = list(spec.services or ())
    if spec.name == roles.ADMIN:
        wanted += [service.name for service in known.values() if service.admin]
    await grants.set_holders(tx, spec.name, "service", wanted)


async def _people(tx: Writing, where: str, given: Iterable[str], normalize: Normalize, now: float) -> list[str]:
    """Return the names in the authenticator's form; who is not there yet is made."""
    found = []
    for name in given:
        try:
            normal = normalize(name)
        except BadRequest as error:
            raise ConfigError(f"{where}: {error.message}") from None
        if await _missing(tx, normal):
            await users.create(tx, normal, now=now)
        found.append(normal)
    return found


async def _missing(tx: Reading, name: str) -> bool:
    return await users.get(tx, name) is None
