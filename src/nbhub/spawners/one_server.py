"""One start as functions of the configuration see it: an object of the spawner's class for one server, then gone.

    prepared = await prepare(spawner, subject)

Hooks get a copy of the spawner with the settings of the configuration and with `user`, `name`, `user_options`; what
they assign holds for this start alone.
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from traitlets import Callable as CallableTrait
from traitlets import TraitError, TraitType

from nbhub import hooks
from nbhub.core.launch import LaunchTemplate, expand
from nbhub.core.model import User
from nbhub.errors import BadRequest, NbhubError, SpawnError
from nbhub.traits import did_you_mean

if TYPE_CHECKING:
    from nbhub.spawners.base import Spawner

log = logging.getLogger("nbhub.servers")

AuthState = Callable[[], Awaitable[Mapping[str, Any] | None]]
HOOKS = ("auth_state_hook", "group_overrides", "apply_user_options", "pre_spawn_hook")
METHODS = ("get_env", "user_env", "get_args", "pre_spawn_start")


@dataclass(frozen=True, slots=True)
class Membership:
    """A group, as `spawner.user.groups` lists it."""

    name: str


@dataclass(frozen=True, slots=True)
class Subject:
    """Which server of whom it is about."""

    user: User
    groups: tuple[str, ...] = ()
    server_name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""  # "/user/alice/"
    api_token: str = field(default="", repr=False)
    auth_state: AuthState | None = field(default=None, repr=False)
    state: Mapping[str, Any] = field(default_factory=dict)  # what the last start recorded

    @property
    def full_name(self) -> str:
        """The server's name as in `alice/gpu`."""
        return f"{self.user.name}/{self.server_name}"


class Owner:
    """The user, as hooks read it: `spawner.user`."""

    def __init__(self, subject: Subject) -> None:
        self.id = subject.user.id
        self.name = self.escaped_name = subject.user.name
        self.admin = subject.user.admin
        self.groups = [Membership(name) for name in subject.groups]
        self.url = subject.prefix
        self._auth_state = subject.auth_state

    async def get_auth_state(self) -> Mapping[str, Any] | None:
        """Return what the authenticator keeps about the user; None when it keeps nothing."""
        return None if self._auth_state is None else await self._auth_state()


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the configuration says about one start, after all its hooks."""

    template: LaunchTemplate
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the driver, where they differ from the usual
    token_scopes: tuple[str, ...] = ()  # beyond those that every server has
    hub_connect_url: str = ""


def one_server(spawner: Spawner, subject: Subject) -> Spawner:
    """Return a copy of the spawner for one server: settings of its own, and what hooks read."""
    copied = type(spawner).__new__(type(spawner))
    for name in spawner.trait_names(config=True):
        setattr(copied, name, copy.deepcopy(getattr(spawner, name)))
    copied.log = spawner.log
    copied.user = Owner(subject)
    copied.name = subject.server_name
    copied.user_options = dict(subject.options)
    copied.api_token = subject.api_token
    copied.subject = subject
    return copied


async def prepare(spawner: Spawner, subject: Subject) -> Prepared:
    """Run everything that the configuration has to say about this start; raises SpawnError in words for the user."""
    if not is_special(spawner):
        return Prepared(spawner.template(), hub_connect_url=spawner.hub_connect_url or "")
    one = one_server(spawner, subject)
    await guarded(subject, "pre_spawn_start", spawner.before_start, one.user, one)
    if one.auth_state_hook is not None:
        await guarded(subject, "auth_state_hook", one.auth_state_hook, one, await one.user.get_auth_state())
    await _override_by_groups(one, subject)
    await _apply_options(one, subject)
    await guarded(subject, "pre_spawn_hook", one.pre_spawn_hook, one)
    await one.load_user_options()
    await one.settle()
    environment = await guarded(subject, "environment", one.get_env)
    if _is_overridden(spawner, "user_env"):
        environment = await guarded(subject, "user_env", one.user_env, environment)
    arguments = await guarded(subject, "args", one.get_args)
    scopes = await _value(subject, "server_token_scopes", one)
    allowed = await _value(subject, "oauth_client_allowed_scopes", one)
    return _prepared(spawner, one, environment, arguments, scopes, allowed)


def is_special(spawner: Spawner) -> bool:
    """Say whether anything of a start is decided for each server by itself."""
    return (
        any(getattr(spawner, name) for name in HOOKS)
        or spawner.before_start is not None
        or any(callable(value) for value in spawner.environment.values())
        or bool(spawner.server_token_scopes or spawner.oauth_client_allowed_scopes)
        or spawner.has_choices
        or any(_is_overridden(spawner, name) for name in METHODS)
        or spawner.decides_for_each
    )


def template_of(settings: Spawner, environment: Mapping[str, Any], arguments: Sequence[str]) -> LaunchTemplate:
    """Return what every launch takes from the settings."""
    fetched = {name for name, value in environment.items() if settings.FETCHES and isinstance(value, Mapping)}
    plain = {str(name): str(value) for name, value in environment.items() if value is not None and name not in fetched}
    return LaunchTemplate(
        command=tuple(settings.cmd or ()),
        arguments=tuple(arguments),
        environment=plain,
        sources={str(name): environment[name] for name in environment if name in fetched},
        default_url=settings.default_url,
        notebook_dir=settings.notebook_dir,
        debug=settings.debug,
        disable_user_config=settings.disable_user_config,
        mem_limit=settings.mem_limit,
        mem_guarantee=settings.mem_guarantee,
        cpu_limit=settings.cpu_limit,
        cpu_guarantee=settings.cpu_guarantee,
    )


async def guarded(subject: Subject, what: str, function: Any, *arguments: Any) -> Any:
    """Call a function of the configuration, plain or async; the plain ones in a thread, since many of them wait.

    Whatever it raises becomes a SpawnError; only what it says with `jupyterhub_message` is for the user's eyes.
    """
    if function is None:
        return None
    try:
        return await hooks.call(function, *arguments)
    except (NbhubError, TimeoutError):
        raise
    except Exception as error:
        log.error("server=%s setting=%s failed", subject.full_name, what, exc_info=error)
        said = getattr(error, "jupyterhub_message", "") or getattr(error, "log_message", "")
        raise SpawnError(
            str(said)
            or f"The setting {what} of this hub failed ({type(error).__name__}). Ask your administrator to look at "
            "the hub's log."
        ) from error


def change(one: Spawner, name: str, value: Any) -> None:
    """Assign a setting as an override does: dicts are merged, None in them removes a key, texts are understood."""
    present = getattr(one, name, None)
    trait = one.traits().get(name)
    if isinstance(value, Mapping) and isinstance(present, dict):
        value = _merged(present, value)
    if isinstance(value, str) and trait is not None:
        value = _understood(trait, value)
    setattr(one, name, value)


def _understood(trait: TraitType[Any, Any], text: str) -> Any:
    """Return the value that a text stands for, such as 3 for "3", where the setting does not take texts."""
    try:
        return trait.from_string(text)
    except (TraitError, ValueError):
        return text


def _merged(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in extra.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = _merged(result[key], value)
        else:
            result[key] = value
    return result


async def override(one: Spawner, values: Mapping[str, Any], what: str) -> None:
    """Assign settings as `what` asks: functions are called with the spawner, dicts are merged (see change).

    Raises SpawnError for a name that is no setting, for a value that does not fit, and for a function that fails.
    """
    for given_name, value in values.items():
        name = one.RENAMED.get(given_name, given_name)
        trait = one.traits(config=True).get(name)
        if trait is None and name not in one.ASSIGNED:
            known = [*one.trait_names(config=True), *one.ASSIGNED]
            log.error("server=%s %s: there is no setting %s", one.subject.full_name, what, name)
            raise SpawnError(
                f"{what} of this hub changes {name[:64]!r}, which is no setting{did_you_mean(name, known)} "
                "Ask your administrator to correct it."
            )
        is_asked = callable(value) and not isinstance(trait, CallableTrait)
        found = await guarded(one.subject, f"{what}: {name}", value, one) if is_asked else value
        try:
            change(one, name, found)
        except TraitError as error:
            log.error("server=%s %s: %s", one.subject.full_name, what, error)
            raise SpawnError(
                f"{what} of this hub gives the setting {name} a value that it does not take. Ask your administrator to "
                "look at the hub's log."
            ) from None


async def _override_by_groups(one: Spawner, subject: Subject) -> None:
    overrides = one.group_overrides
    if callable(overrides):
        overrides = await guarded(subject, "group_overrides", overrides, one)
    for key in sorted(overrides or {}):
        entry = overrides[key]
        if set(entry.get("groups", ())) & set(subject.groups):
            await override(one, entry.get("spawner_override", {}), f"group_overrides[{key!r}]")


async def _apply_options(one: Spawner, subject: Subject) -> None:
    apply = one.apply_user_options
    if callable(apply):
        await guarded(subject, "apply_user_options", apply, one, one.user_options)
        return
    for option, name in (apply or {}).items():
        if option in one.user_options:
            try:
                change(one, name, one.user_options[option])
            except TraitError:
                shown = ascii(one.user_options[option])[:64]
                raise SpawnError(f"The option {option} does not take {shown}. Choose another value.") from None


async def _value(subject: Subject, name: str, one: Spawner) -> list[str]:
    value = getattr(one, name)
    if callable(value):
        value = await guarded(subject, name, value, one)
    if not isinstance(value, list | tuple | set) or not all(isinstance(scope, str) for scope in value):
        raise SpawnError(
            f"The setting {name} of this hub gave no list of scopes. Ask your administrator to correct it."
        )
    return list(value)


def _prepared(
    spawner: Spawner,
    one: Spawner,
    environment: Mapping[str, Any],
    arguments: Sequence[str],
    scopes: Sequence[str],
    allowed: Sequence[str],
) -> Prepared:
    template = replace(template_of(one, environment, arguments), oauth_allowed_scopes=tuple(allowed))
    settings = _differences(spawner, one) | one.own_settings()
    return Prepared(template, settings, tuple(scopes), one.hub_connect_url or "")


def _differences(spawner: Spawner, one: Spawner) -> dict[str, Any]:
    changed = {
        name: value
        for name in spawner.trait_names(config=True)
        if (value := getattr(one, name)) != getattr(spawner, name)
    }
    per_start = spawner.PER_START | spawner.TIMEOUTS
    ignored = changed.keys() - per_start - spawner.IN_TEMPLATE
    for name in sorted(ignored):
        log.warning("server=%s setting=%s cannot be changed for one start", one.subject.full_name, name)
    return {name: value for name, value in changed.items() if name in per_start}


def _is_overridden(spawner: Spawner, name: str) -> bool:
    return getattr(type(spawner), name, None) is not getattr(ForOneServer, name, None)


class ForOneServer:
    """What functions and classes of the configuration may call on the object that they get."""

    user: Owner
    name: str
    user_options: dict[str, Any]
    api_token: str
    subject: Subject
    own_form_reader: Any = None  # options_from_form of a class in a file

    @property
    def decides_for_each(self) -> bool:
        """Whether the driver has something to decide for each start by itself (see settle)."""
        return False

    async def settle(self) -> None:
        """Decide what the driver decides for each start, after all hooks; raises SpawnError."""

    def own_settings(self) -> dict[str, Any]:
        """Return what the launch's settings hold beyond settings of the configuration."""
        return {}

    def get_env(self) -> dict[str, Any]:
        """Return the variables that the configuration sets; a class in the file may add to them."""
        one: Any = self
        return {name: value(one) if callable(value) else value for name, value in one.environment.items()}

    def user_env(self, env: dict[str, Any]) -> dict[str, Any]:
        """Return the variables with those that say who somebody is; a class in the file may put others into it."""
        return env

    def get_args(self) -> list[str]:
        """Return the arguments after the command; a class in the file may add to them."""
        one: Any = self
        return list(one.args)

    def get_options_form(self) -> Any:
        """Return the HTML fields of the options page, or an awaitable of them."""
        one: Any = self
        return one.options_form(one) if callable(one.options_form) else one.options_form

    @property
    def has_choices(self) -> bool:
        """Say whether `load_user_options` may change anything."""
        return False

    async def load_user_options(self) -> None:
        """Apply what the user's options stand for to this one server; raises BadRequest or SpawnError."""

    def template_namespace(self) -> dict[str, str]:
        """Return the fields that texts are filled in with."""
        return {"username": self.subject.user.name, "base_url": self.subject.prefix}

    def format_string(self, text: str) -> str:
        """Fill in `{username}` and `{base_url}`."""
        return expand(text, self.template_namespace())


async def read_form(spawner: Spawner, one: Spawner, form: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Turn submitted fields into options as options_from_form says; raises BadRequest."""
    fields = {name: list(values) for name, values in form.items()}
    reader = one.own_form_reader or spawner.options_from_form
    if reader == "passthrough":
        return fields
    if reader == "simple":
        return {name: values[0] if values else "" for name, values in fields.items()}
    arguments = [fields, one][: _positional(reader)]
    try:
        options = await guarded(one.subject, "options_from_form", reader, *arguments)
    except SpawnError as error:
        raise BadRequest(error.message) from error
    if not isinstance(options, dict):
        raise BadRequest("The setting options_from_form of this hub gave no options. Ask your administrator.")
    return options


def _positional(function: Any) -> int:
    """Say how many of the two arguments a function takes: the form, and maybe the spawner."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return 1
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in found):
        return 2
    return min(sum(parameter.kind in kinds for parameter in found), 2)
