"""Classes of a configuration file that derive from JupyterHub's authenticators: their methods as nbhub calls them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from nbhub import hooks
from nbhub.authenticators.base import (
    Authenticator,
    Identity,
    RedirectAuthenticator,
    VisitAuthenticator,
    check_name,
    from_model,
    to_model,
)
from nbhub.authenticators.local import LocalAuthenticator
from nbhub.compat import attributes, methods
from nbhub.core.model import User
from nbhub.errors import BadRequest, ConfigError, Forbidden, NbhubError, NotFound
from nbhub.spawners.one_server import Owner, Subject

# The name that is being asked about, if its user exists already and such users may enter.
_existing: ContextVar[str] = ContextVar("existing", default="")
# Whom the provider named, while a class of a file looks at it.
_named: ContextVar[Identity | None] = ContextVar("named", default=None)


class Answer(int):
    """A truth that can be waited for as well: JupyterHub's methods are called both ways."""

    def __await__(self) -> Generator[Any, None, bool]:
        return bool(self)
        yield


class Handler:
    """What `authenticate(handler, data)` finds of the request."""

    def __init__(self, data: Mapping[str, str], address: str) -> None:
        self.data = data
        self.request = _Request(address)
        self.settings: dict[str, Any] = {}

    def get_argument(self, name: str, default: Any = None, strip: bool = True) -> Any:
        """Return a field of the log-in form."""
        value = self.data.get(name, default)
        return value.strip() if strip and isinstance(value, str) else value

    get_body_argument = get_argument


class _Request:
    def __init__(self, address: str) -> None:
        self.remote_ip = address
        self.headers: dict[str, str] = {}


class FileAuthenticator(Authenticator):
    """Stands before an authenticator of nbhub among the bases of a class in a file."""

    theirs_is_admin: Callable[..., Any] | None = None

    @classmethod
    def section_names(cls) -> list[str]:
        """Return the sections of its settings, each once: its base has the name of what it stands for."""
        return list(dict.fromkeys(super().section_names()))

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if cls.__module__.startswith("nbhub."):
            return
        methods.refuse(cls, methods.AUTHENTICATOR)
        if issubclass(cls, LocalAuthenticator):
            methods.refuse(cls, methods.LOCAL_AUTHENTICATOR)
        attributes.become_defaults(cls)
        own = vars(cls)
        if "authenticate" in own:
            if issubclass(cls, VisitAuthenticator):
                raise ConfigError(
                    f"The class {cls.__name__} overrides authenticate, which nbhub never calls for this kind of "
                    "log-in; set c.Authenticator.post_auth_hook instead."
                )
            cls.authenticate = _both_ways(own["authenticate"])  # type: ignore[method-assign]
        if "is_admin" in own:
            cls.theirs_is_admin = own["is_admin"]
            del cls.is_admin
        if isinstance(own.get("login_service"), str) and own["login_service"]:
            cls.label = own["login_service"]

    # -- what nbhub calls --------------------------------------------------------------------------------------------

    def normalize(self, name: str) -> str:
        """See Authenticator."""
        name = self.normalize_username(name)
        check_name(name)
        if not self.validate_username(name):
            raise BadRequest(f"The user name {name[:64]!r} is not of the form that this hub takes.")
        return name

    async def allows(self, identity: Identity) -> bool:
        """See Authenticator."""
        if not self._overrides("check_allowed") and not self._overrides("check_blocked_users"):
            return await super().allows(identity)
        name, model = identity.name, to_model(identity)
        if not await hooks.call(self.check_blocked_users, name, model):
            return False
        existing = self.allow_existing_users and await self._exists(name)
        mark = _existing.set(name if existing else "")
        try:
            return self.allow_all or bool(await hooks.call(self.check_allowed, name, model))
        finally:
            _existing.reset(mark)

    def allows_somebody(self) -> bool:
        """See Authenticator. Who decides by a method of the file's own need no settings."""
        return self._overrides("check_allowed") or super().allows_somebody()

    async def admit(self, identity: Identity, handler: Any = None) -> Identity:
        """See Authenticator."""
        if self.theirs_is_admin is not None and identity.admin is None:
            found = await hooks.call(self.theirs_is_admin, handler, to_model(identity))
            identity = replace(identity, admin=None if found is None else bool(found))
        admitted = await super().admit(identity, handler)
        if self._overrides("add_user") and not await self._exists(admitted.name):
            await hooks.call(self.add_user, _owner(admitted.name, bool(admitted.admin)))
        return admitted

    async def finish(self, query: Mapping[str, str], memory: Mapping[str, str], callback_url: str) -> Identity:
        """See RedirectAuthenticator. What the class makes of it in `authenticate` counts."""
        theirs: Any = super()
        found: Identity = await theirs.finish(query, memory, callback_url)
        if not self._overrides("authenticate"):
            return found
        mark = _named.set(found)
        try:
            made = self._read(await _guarded(self.authenticate, Handler(query, ""), None), to_model(found))
        finally:
            _named.reset(mark)
        if made is None:
            raise Forbidden(self.refusal(found))
        return from_model(made, found)

    async def refresh(self, name: str, auth_state: Mapping[str, Any] | None) -> Identity | bool:
        """See Authenticator."""
        if not self._overrides("refresh_user"):
            return await super().refresh(name, auth_state)
        found = await hooks.call(self.refresh_user, _owner(name, state=auth_state), None)
        if isinstance(found, Mapping):
            return from_model({"name": name, **found}, Identity(name))
        return bool(found)

    @property
    def can_refresh(self) -> bool:
        """See Authenticator."""
        return self._overrides("refresh_user") or super().can_refresh

    def before_start(self) -> Callable[..., Any] | None:
        """See Authenticator."""
        return self.pre_spawn_start if self._overrides("pre_spawn_start") else super().before_start()

    def after_stop(self) -> Callable[..., Any] | None:
        """See Authenticator."""
        return self.post_spawn_stop if self._overrides("post_spawn_stop") else super().after_stop()

    # -- what classes of a file override, and call of their base -----------------------------------------------------

    async def authenticate(self, handler: Any, data: Any = None, *, address: str | None = None) -> Any:
        """Both ways: nbhub's (name, password, address=…), and JupyterHub's (handler, data) of a derived class."""
        theirs: Any = super()
        if isinstance(self, RedirectAuthenticator):
            identified = _named.get()
            return None if identified is None else to_model(identified)
        if address is not None:
            return await theirs.authenticate(handler, data, address=address)
        given, where = data or {}, {"address": handler.request.remote_ip}
        typed = given.get("username", ""), given.get("password", "")
        if "otp" in given and super().takes_otp:
            found = await theirs.authenticate_otp(*typed, given["otp"], **where)
        else:
            found = await theirs.authenticate(*typed, **where)
        return None if found is None else to_model(found)

    async def authenticate_otp(self, username: str, password: str, otp: str, *, address: str) -> Any:
        """See PasswordAuthenticator."""
        whole: Any = self
        if self._overrides("authenticate"):
            return await whole.authenticate(username, password, address=address, otp=otp)
        theirs: Any = super()
        return await theirs.authenticate_otp(username, password, otp, address=address)

    @property
    def takes_otp(self) -> bool:
        """See Authenticator."""
        return self._overrides("authenticate") or super().takes_otp

    def normalize_username(self, username: str) -> str:
        """Return the hub's form of a name."""
        return super().normalize(username)

    def validate_username(self, username: str) -> bool:
        """Say whether a name can be one."""
        return True

    def check_allowed(self, username: str, authentication: Any = None) -> Answer:
        """Say whether the settings let somebody in."""
        groups = set((authentication or {}).get("groups") or ())
        named = self.allowed_users and username in self.allowed_users | self.admin_users
        by_group = groups & getattr(self, "allowed_groups", set())
        return Answer(bool(self.allow_all or named or by_group or username == _existing.get()))

    def check_blocked_users(self, username: str, authentication: Any = None) -> Answer:
        """Say whether somebody is not blocked."""
        return Answer(username not in self.blocked_users)

    def is_admin(self, identity: Any, authentication: Any = None) -> Any:
        """Both ways: nbhub's (identity), and JupyterHub's (handler, authentication) of a derived class."""
        if isinstance(identity, Identity):
            return super().is_admin(identity)
        model = authentication or {}
        return True if model.get("name") in self.admin_users else model.get("admin")

    def add_user(self, user: Any) -> Answer:
        """Called for somebody who enters for the first time."""
        return Answer(0)

    async def refresh_user(self, user: Any, handler: Any = None) -> Any:
        """Ask the source again: True for no change, False to end log-ins, or a model of what has changed."""
        found = await super().refresh(user.name, await user.get_auth_state())
        return to_model(found) if isinstance(found, Identity) else found

    def pre_spawn_start(self, user: Any, spawner: Any) -> Any:
        """Called before a server starts."""
        usual = super().before_start()
        return Answer(0) if usual is None else usual(user, spawner)

    def post_spawn_stop(self, user: Any, spawner: Any) -> Any:
        """Called after a server has stopped."""
        usual = super().after_stop()
        return Answer(0) if usual is None else usual(user, spawner)

    # ----------------------------------------------------------------------------------------------------------------

    async def _log_in(self, username: str, password: str, otp: str | None, address: str) -> Identity | None:
        data = {"username": username, "password": password} | ({} if otp is None else {"otp": otp})
        # As JupyterHub gives it, so that super().authenticate(handler, data) of the class gets there as well.
        model = self._read(await _guarded(self.authenticate, Handler(data, address), data), {})
        return None if model is None else from_model(model, Identity(model["name"]))

    def _read(self, found: Any, usual: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what `authenticate` of the class made of somebody; a name alone leaves the rest as is usual."""
        if found is None or found is False:
            return None
        model = {**usual, "name": found} if isinstance(found, str) else found
        if not isinstance(model, Mapping) or not isinstance(model.get("name"), str):
            raise ConfigError(f"{type(self).__name__}.authenticate has to return a name, a dict with a name, or None.")
        return {**model, "name": self.normalize(model["name"])}

    def _overrides(self, name: str) -> bool:
        return getattr(type(self), name) is not getattr(FileAuthenticator, name)


def _both_ways(theirs: Any) -> Any:
    """Return `authenticate` of a class in a file so that nbhub can call it, too."""

    @functools.wraps(theirs)
    async def authenticate(
        self: Any, *given: Any, address: str | None = None, otp: str | None = None, **named: Any
    ) -> Any:
        if address is None:
            return await hooks.call(theirs, self, *given, **named)
        identity: list[Identity] = []

        async def verdict() -> bool:
            identity.extend(filter(None, [await self._log_in(given[0], given[1], otp, address)]))
            return bool(identity)

        return identity[0] if await self.throttled(given[0], address, verdict) else None

    return authenticate


async def _guarded(function: Any, *given: Any) -> Any:
    try:
        return await hooks.call(function, *given)
    except NbhubError:
        raise
    except NotImplementedError as error:
        raise NotFound("The class of this hub's configuration has no method authenticate.") from error


def _owner(name: str, admin: bool = False, state: Mapping[str, Any] | None = None) -> Owner:
    async def kept() -> Mapping[str, Any] | None:
        return state

    return Owner(Subject(User(0, name, admin=admin), auth_state=kept))


@functools.cache
def adapted(real: type[Authenticator]) -> type[Authenticator]:
    """Return a class with the methods of both; named as nbhub's, so that its settings reach it."""
    names = {"__module__": __name__, "__doc__": real.__doc__}
    return type(real.__name__, (FileAuthenticator, real), names)
