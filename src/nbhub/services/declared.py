"""What the settings say of services, roles, groups and scopes: checked, in records of ours. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbhub.core import roles as role_rules
from nbhub.core import scopes as scope_rules
from nbhub.core import secrets
from nbhub.core import services as addresses
from nbhub.core.names import quote
from nbhub.core.scopes import Definition
from nbhub.errors import BadRequest, ConfigError
from nbhub.traits import did_you_mean

Items = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One item of `services`. `client_id` is empty for a service that nobody logs in to."""

    name: str
    admin: bool = False
    url: str = ""
    api_token: str = field(default="", repr=False)
    command: tuple[str, ...] = ()
    cwd: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    user: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    display: bool = True
    timeout: float = 30.0
    oauth_no_confirm: bool = False
    client_id: str = ""
    redirect_uri: str = ""  # empty: below the service's own address
    allowed_scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """One item of `load_roles`. What is None is left as it is."""

    name: str
    description: str | None = None
    scopes: tuple[str, ...] | None = None
    users: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    services: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """One item of `load_groups`."""

    name: str
    users: tuple[str, ...] = ()
    properties: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """All of it."""

    services: tuple[ServiceSpec, ...] = ()
    roles: tuple[RoleSpec, ...] = ()
    groups: tuple[GroupSpec, ...] = ()
    custom_scopes: Mapping[str, Definition] = field(default_factory=dict)
    user_scopes: tuple[str, ...] = ()  # what every user has besides

    @property
    def managed(self) -> tuple[ServiceSpec, ...]:
        """The services that the hub runs."""
        return tuple(service for service in self.services if service.command)


def declare(
    *,
    services: Items = (),
    roles: Items = (),
    groups: Mapping[str, Any] | None = None,
    custom_scopes: Mapping[str, Any] | None = None,
    user_scopes: Iterable[str] = (),
) -> Declared:
    """Read the settings; raises ConfigError naming the setting, the item, what is wrong with it and the remedy."""
    custom = _custom_scopes(custom_scopes or {})
    declared = Declared(
        services=tuple(_service(item, custom) for item in services),
        roles=tuple(_role(item, custom) for item in roles),
        groups=tuple(_group(name, item) for name, item in (groups or {}).items()),
        custom_scopes=custom,
        user_scopes=tuple(sorted(user_scopes)),
    )
    _check_scopes("Hub.extra_user_scopes", declared.user_scopes, custom)
    _refuse_twice("Hub.services", "service", [service.name for service in declared.services])
    _refuse_twice("Hub.services", "oauth_client_id", [s.client_id for s in declared.services if s.client_id])
    _refuse_twice("Hub.load_roles", "role", [role.name for role in declared.roles])
    return declared


def declare_managed(roles: Items, declared: Declared) -> tuple[RoleSpec, ...]:
    """Read the roles that the source of identities knows at start; raises ConfigError as `declare`.

    `declared` may then give no roles to users and groups, since the source decides that, and none of the same name.
    """
    for role in declared.roles:
        if role.users or role.groups:
            raise ConfigError(
                f"c.Hub.load_roles, {role.name!r}: with c.Authenticator.manage_roles the source of identities says who "
                "has which role. Take users and groups out of the role, or manage_roles out of the settings."
            )
    found = tuple(_role(item, declared.custom_scopes, "Authenticator.load_managed_roles()") for item in roles)
    _refuse_twice("Hub.load_roles and load_managed_roles()", "role", [role.name for role in (*declared.roles, *found)])
    return found


# -- services ----------------------------------------------------------------------------------------------------

_BOOLEANS = ("admin", "display", "oauth_no_confirm")
_TEXTS = ("url", "api_token", "cwd", "user", "oauth_client_id", "oauth_redirect_uri")
_SERVICE_KEYS = (
    "name", *_BOOLEANS, *_TEXTS, "command", "environment", "info", "timeout", "oauth_client_allowed_scopes",
)  # fmt: skip


def _service(item: Any, custom: Collection[str]) -> ServiceSpec:
    where = _named("Hub.services", item, _SERVICE_KEYS)
    name = item["name"]
    try:
        addresses.check_name(name)
    except BadRequest as error:
        raise ConfigError(f"{where}: {error.message}") from None
    for key in _BOOLEANS:
        _expect(where, item, key, bool, "True or False")
    for key in _TEXTS:
        _expect(where, item, key, str, "a text")
    url, token = item.get("url") or "", item.get("api_token") or ""
    try:
        if url:
            addresses.check_url(url)
        if token:
            secrets.check_given_token(token)
        client_id = client_of(name, item)
    except BadRequest as error:
        raise ConfigError(f"{where}: {error.message}") from None
    allowed = _texts(where, item, "oauth_client_allowed_scopes")
    _check_scopes(where, allowed, custom)
    return ServiceSpec(
        name=name,
        admin=item.get("admin") or False,
        url=url,
        api_token=token,
        command=_command(where, item),
        cwd=item.get("cwd") or "",
        environment=_environment(where, item),
        user=item.get("user") or "",
        info=_mapping(where, item, "info"),
        display=item.get("display", True) is not False,
        timeout=_seconds(where, item),
        oauth_no_confirm=item.get("oauth_no_confirm") or False,
        client_id=client_id,
        redirect_uri=item.get("oauth_redirect_uri") or "",
        allowed_scopes=allowed,
    )


def client_of(name: str, item: Mapping[str, Any]) -> str:
    """Return the OAuth client id of a service, empty when nobody logs in to it; raises BadRequest for a wrong one."""
    fields = ("oauth_client_id", "oauth_redirect_uri", "oauth_client_allowed_scopes", "oauth_no_confirm")
    if not item.get("url") and not any(item.get(key) for key in fields):
        return ""
    client_id: str = item.get("oauth_client_id") or f"service-{quote(name)}"
    if not client_id.startswith("service-"):
        raise BadRequest(f"The oauth_client_id {client_id[:80]!r} has to begin with 'service-'.")
    return client_id


def _command(where: str, item: Mapping[str, Any]) -> tuple[str, ...]:
    command = item.get("command") or ()
    if isinstance(command, str):
        return (command,)
    if not isinstance(command, list | tuple) or not all(isinstance(word, str) for word in command):
        raise ConfigError(f"{where}: command is {command!r}; write a list such as ['python3', '-m', 'my_service'].")
    return tuple(command)


def _environment(where: str, item: Mapping[str, Any]) -> dict[str, str]:
    given = _mapping(where, item, "environment")
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str | int | float) or "=" in name or not name:
            raise ConfigError(f"{where}: environment has {name!r}: {value!r}; both have to be texts.")
    return {name: str(value) for name, value in given.items()}


def _seconds(where: str, item: Mapping[str, Any]) -> float:
    value = item.get("timeout", 30)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigError(f"{where}: timeout is {value!r}; it is a number of seconds above 0.")
    return float(value)


# -- roles, groups, scopes ---------------------------------------------------------------------------------------


def _role(item: Any, custom: Collection[str], setting: str = "Hub.load_roles") -> RoleSpec:
    where = _named(setting, item, ("name", "description", "scopes", "users", "groups", "services"))
    name = item["name"]
    if name not in role_rules.BUILT_IN:
        try:
            role_rules.check_name(name)
        except BadRequest as error:
            raise ConfigError(f"{where}: {error.message}") from None
    _expect(where, item, "description", str, "a text")
    scopes = _texts(where, item, "scopes") if item.get("scopes") is not None else None
    if name in role_rules.FIXED and (scopes is not None or item.get("description")):
        raise ConfigError(
            f"{where}: what the role {name} may do cannot be changed, only who has it. Take scopes and description "
            "out, or give a role of another name."
        )
    _check_scopes(where, scopes or (), custom)
    if "inherit" in (scopes or ()) and name not in (role_rules.TOKEN, role_rules.SERVER):
        raise ConfigError(
            f"{where}: the scope inherit means something in tokens only, so in the roles token and server."
        )
    held = {key: _texts(where, item, key) if item.get(key) is not None else None for key in _HOLDERS}
    return RoleSpec(name=name, description=item.get("description"), scopes=scopes, **held)


_HOLDERS = ("users", "groups", "services")


def _group(name: Any, item: Any) -> GroupSpec:
    where = f"c.Hub.load_groups, group {name!r}"
    if not isinstance(name, str) or not name.strip() or "/" in name or len(name) > 255 or not name.isprintable():
        raise ConfigError(f"{where}: a group has a name of 1 to 255 printable characters, without a slash.")
    if isinstance(item, list | tuple | set | frozenset):
        return GroupSpec(name, _texts(where, {"users": item}, "users"))
    if not isinstance(item, Mapping):
        raise ConfigError(f"{where}: write {{'users': ['alice'], 'properties': {{}}}}; this is {item!r}.")
    _check_keys(where, item, ("users", "properties"))
    properties = _mapping(where, item, "properties") if item.get("properties") is not None else None
    return GroupSpec(name, _texts(where, item, "users"), properties)


def _custom_scopes(given: Mapping[str, Any]) -> dict[str, Definition]:
    definitions = {}
    for name, item in given.items():
        where = f"c.Hub.custom_scopes, scope {name!r}"
        if not isinstance(name, str) or not scope_rules.CUSTOM.fullmatch(name):
            raise ConfigError(f"{where}: a scope of your own is called custom: and then a-z, 0-9 and _-*: .")
        if not isinstance(item, Mapping) or not isinstance(item.get("description"), str) or not item["description"]:
            raise ConfigError(f"{where}: say in words what it allows: {{'description': '…'}}.")
        _check_keys(where, item, ("description", "subscopes"))
        implied = _texts(where, item, "subscopes")
        for other in implied:
            if other not in given:
                raise ConfigError(f"{where}: its subscope {other!r} is not declared{did_you_mean(other, list(given))}")
        definitions[name] = Definition(item["description"], implied)
    for name in definitions:
        _refuse_circle(name, definitions, ())
    return definitions


def _refuse_circle(name: str, definitions: Mapping[str, Definition], path: tuple[str, ...]) -> None:
    if name in path:
        raise ConfigError(f"c.Hub.custom_scopes: {' → '.join((*path, name))} goes round in a circle.")
    for other in definitions[name].implies:
        _refuse_circle(other, definitions, (*path, name))


def _check_scopes(where: str, scopes: Iterable[str], custom: Collection[str]) -> None:
    try:
        scope_rules.validate(scopes, custom=custom)
    except BadRequest as error:
        raise ConfigError(f"{where}: {error.message}") from None


# -- items of settings -------------------------------------------------------------------------------------------


def _named(setting: str, item: Any, keys: Sequence[str]) -> str:
    """Return words for where the item is; raises ConfigError unless it is a dict with a name and these keys."""
    if not isinstance(item, Mapping):
        raise ConfigError(f"c.{setting} holds {item!r}; each item is a dict such as {{'name': …}}.")
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"c.{setting} holds an item without a name: {dict(list(item.items())[:3])!r}.")
    where = f"c.{setting}, {name!r}"
    _check_keys(where, item, keys)
    return where


def _check_keys(where: str, item: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in item:
        if key == "oauth_roles":
            raise ConfigError(f"{where}: oauth_roles is gone; name scopes in oauth_client_allowed_scopes instead.")
        if key not in keys:
            raise ConfigError(
                f"{where}: there is no key {key!r}{did_you_mean(str(key), keys)} The keys are {', '.join(keys)}."
            )


def _expect(where: str, item: Mapping[str, Any], key: str, kind: type, words: str) -> None:
    value = item.get(key)
    if value is not None and not isinstance(value, kind):
        raise ConfigError(f"{where}: {key} is {value!r}; it has to be {words}.")


def _mapping(where: str, item: Mapping[str, Any], key: str) -> dict[str, Any]:
    _expect(where, item, key, Mapping, "a dict")
    return dict(item.get(key) or {})


def _texts(where: str, item: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = item.get(key) or ()
    if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(text, str) for text in value):
        raise ConfigError(f"{where}: {key} is {value!r}; it has to be a list of texts.")
    return tuple(dict.fromkeys(sorted(value) if isinstance(value, set | frozenset) else value))


def _refuse_twice(setting: str, what: str, names: Sequence[str]) -> None:
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise ConfigError(f"c.{setting} has the {what} {twice[0]!r} twice. Make one item of the two.")
