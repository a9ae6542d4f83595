"""The contract between the login page and a source of identities: capabilities, not stubs.

A login goes: the source identifies somebody (`authenticate`, `visit` or `begin` and `finish`), under a name that went
through `normalize`; `admit` asks the rules who may enter and who is an administrator, then `post_auth_hook`; and
`admission` keeps what is known.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

from traitlets import Any as AnyTrait
from traitlets import Bool, Dict, Int, Set, Unicode, default, validate
from traitlets.config import LoggingConfigurable

from nbhub import hooks
from nbhub.authenticators.throttle import Throttle
from nbhub.errors import BadRequest, ConfigError, Forbidden
from nbhub.store import users

if TYPE_CHECKING:
    from nbhub.store import Store

LONGEST_PASSWORD = 1000


@dataclass(frozen=True, slots=True)
class Identity:
    """The result of every login. `name` is in the hub's form; None for `groups` or `admin` means: leave as it is.

    `origin` and `subject` say whose account of which source this is, where a source tells accounts apart by more than
    their names; another account that leads to the same name is then refused.
    """

    name: str
    groups: tuple[str, ...] | None = None
    admin: bool | None = None
    auth_state: Mapping[str, Any] | None = field(default=None, repr=False)
    temporary: bool = False  # the user is deleted once its servers are gone
    origin: str = ""
    subject: str = ""
    roles: tuple[Mapping[str, Any], ...] | None = None  # as in load_roles; taken where the source manages roles


class Authenticator(LoggingConfigurable):
    """What all sources have in common: names and who of the identified may enter."""

    label: ClassVar[str] = "account"  # shown on the login page: "Sign in with your {label}"
    keeps_passwords: bool = False  # people can choose and change theirs here
    only_restrict: ClassVar[frozenset[str]] = frozenset()  # settings named allow… that let nobody in by themselves

    admin_users = Set(
        Unicode(),
        help="Names that are administrators, from the start of the hub on; taking a name out takes no rights away. "
        "They may enter if allowed_users is not empty; otherwise another setting has to let them in.",
    ).tag(config=True)
    allowed_users = Set(Unicode(), help="Names that may enter; users of these names are made at start.").tag(
        config=True
    )
    allow_all = Bool(False, help="Everybody whom the source identifies may enter.").tag(config=True)
    allow_existing_users = Bool(
        help="Everybody who is a user already may enter. On by default where allowed_users names somebody, so that "
        "users whom an administrator adds may enter, too."
    ).tag(config=True)
    any_allow_config = Bool(
        False, help="Be silent about settings that let nobody in: a class of your own decides."
    ).tag(config=True)
    blocked_users = Set(Unicode(), help="Names that are refused even if allowed.").tag(config=True)
    username_map = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="Other names in the hub for names of the source (in lower case), such as {'a.smith': 'alice'}.",
    ).tag(config=True)
    username_pattern = Unicode(help="Regular expression that names have to match from their beginning on.").tag(
        config=True
    )
    manage_groups = Bool(
        False, help="The source says which groups its users are in; the hub's are changed to that at every login."
    ).tag(config=True)
    manage_roles = Bool(
        False,
        help="The source says which roles its users have (roles of the model, in post_auth_hook or a class of your "
        "own): at every login theirs become just those. load_roles may then give roles to services only.",
    ).tag(config=True)
    reset_managed_roles_on_startup = Bool(
        False,
        help="With manage_roles: at start delete what came of the source and load_managed_roles() does not return.",
    ).tag(config=True)
    post_auth_hook = AnyTrait(
        None,
        allow_none=True,
        help="Called as hook(authenticator, handler, model) after a login, possibly async; returns the model (name, "
        "admin, groups, roles, auth_state), changed or not, or None to refuse. The handler is None where there is "
        "none.",
    ).tag(config=True)
    reconcile_auth_state_hook = AnyTrait(
        None,
        allow_none=True,
        help="Called as hook(authenticator, model, old_auth_state) after each login and each time that the source was "
        "asked again, possibly async; returns the auth_state to keep, made of the new one (in the model) and the old.",
    ).tag(config=True)
    enable_auth_state = Bool(
        False, help="Keep what the source tells about a login (such as tokens), encrypted with the hub's secret."
    ).tag(config=True)
    auth_refresh_age = Int(
        300, help="Seconds after which the source is asked again about somebody who is logged in; 0 never asks."
    ).tag(config=True)
    auth_refresh_strict = Bool(False, help="Tokens of whom the source no longer confirms are refused as well.").tag(
        config=True
    )
    refresh_pre_spawn = Bool(
        False,
        help="Ask the source again before each start of a server, so that what hooks get of auth_state is fresh. Whom "
        "it no longer confirms starts nothing and is logged out; while it does not answer, nothing starts.",
    ).tag(config=True)
    refresh_pre_stop = Bool(
        False, help="Ask the source again before each stop, for post_stop_hook. The server stops whatever it says."
    ).tag(config=True)
    auto_login = Bool(
        False, help="Where the source has a login page of its own, go there at once instead of showing the hub's."
    ).tag(config=True)

    request_otp = Bool(
        False, help="Ask for a one-time password on the log-in page as well; pam and classes of your own take it."
    ).tag(config=True)
    otp_prompt = AnyTrait("OTP:", allow_none=True, help="What stands over the field for it.").tag(config=True)

    @default("allow_existing_users")
    def _existing_if_some_are_named(self) -> bool:
        return bool(self.allowed_users)

    @validate("request_otp")
    def _takes_one(self, proposal: Any) -> bool:
        if proposal["value"] and not self.takes_otp:
            raise ConfigError(
                f"c.{type(self).__name__}.request_otp = True has no effect: this source takes no one-time passwords; "
                "pam and classes of your own do. Take the setting out, and let the source itself ask for them."
            )
        return bool(proposal["value"])

    @property
    def takes_otp(self) -> bool:
        """One-time passwords reach the source."""
        return False

    @validate("username_pattern")
    def _is_a_pattern(self, proposal: Any) -> str:
        try:
            re.compile(proposal["value"])
        except re.error as error:
            words = f"username_pattern {proposal['value']!r} is not a regular expression: {error}."
            raise ConfigError(words) from error
        return str(proposal["value"])

    def attach(self, store: Store, clock: Callable[[], float]) -> None:
        """Take what is needed to remember something; called once, before anybody logs in."""
        self._store = store
        self._clock = clock
        self._throttle = Throttle(store)

    def check_settings(self) -> None:
        """Find out what is wrong with the settings by themselves, without asking anything; raises ConfigError."""

    async def check(self) -> None:
        """Find out at start what would only fail at the first login; raises ConfigError."""
        self.check_settings()

    async def close(self) -> None:
        """Let go of connections; called once, at the end."""

    async def load_managed_roles(self) -> Sequence[Mapping[str, Any]]:
        """Return the roles that the source knows at start, as in load_roles; asked for with manage_roles only."""
        return []

    def before_start(self) -> Callable[..., Any] | None:
        """Return what has to be called with the user and the spawner before each start; usually nothing."""
        return None

    def after_stop(self) -> Callable[..., Any] | None:
        """Return what has to be called with the user and the spawner after each stop; usually nothing."""
        return None

    # -- names -------------------------------------------------------------------------------------------------------

    def normalize(self, name: str) -> str:
        """Return the hub's form of a name; raises BadRequest for a name that cannot be one."""
        name = name.lower()
        name = self.username_map.get(name, name)
        check_name(name)
        if self.username_pattern and not re.match(self.username_pattern, name):
            raise BadRequest(f"The user name {name[:64]!r} is not of the form that this hub takes.")
        return name

    # -- who may enter -----------------------------------------------------------------------------------------------

    async def allows(self, identity: Identity) -> bool:
        """Say whether an identified person may enter: denied unless a setting allows."""
        if identity.name in self.blocked_users:
            return False
        if self.allow_all or identity.name in self.allowed_users:
            return True
        if self.allowed_users and identity.name in self.admin_users:
            return True
        return self.allow_existing_users and await self._exists(identity.name)

    def is_admin(self, identity: Identity) -> bool | None:
        """Say whether an identified person is an administrator; None leaves them what they are."""
        if identity.admin is not None:
            return identity.admin
        return True if identity.name in self.admin_users else None

    async def admit(self, identity: Identity, handler: Any = None) -> Identity:
        """Return the identity with what the rules and the hook say; raises Forbidden for one who may not enter."""
        if not await self.allows(identity):
            raise Forbidden(self.refusal(identity))
        identity = replace(identity, admin=self.is_admin(identity))
        return await self._hooked(identity, handler)

    def refusal(self, identity: Identity) -> str:
        """Return what is said to somebody who may not enter."""
        return f"{identity.name} may not enter this hub. Ask your administrator to be let in."

    async def refresh(self, name: str, auth_state: Mapping[str, Any] | None) -> Identity | bool:
        """Ask the source again about a user who is logged in: True for no change, False to end their logins.

        Raises Unavailable when the source does not answer; then nothing changes.
        """
        return True

    @property
    def refreshes(self) -> bool:
        """Asking again is of any use, and due by age."""
        return self.auth_refresh_age > 0 and self.can_refresh

    @property
    def can_refresh(self) -> bool:
        """Asking again is of any use."""
        return type(self).refresh is not Authenticator.refresh

    @property
    def is_followed_up(self) -> bool:
        """The source is asked again at some time, so that it has to be known who came from it."""
        return self.can_refresh and bool(self.auth_refresh_age > 0 or self.refresh_pre_spawn or self.refresh_pre_stop)

    def sources_by_name(self) -> Mapping[str, Authenticator]:
        """Return the sources that can be chosen on the login page, the only one under the name ""."""
        return {"": self}

    def label_of(self, name: str) -> str:
        """Return what the login page says of a source after "Log in with"."""
        return self.label

    def from_source(self, name: str, found: Identity) -> Identity:
        """Return whom one of the sources identified, as somebody of this hub."""
        return found

    async def refresh_from(self, origin: str, name: str, auth_state: Mapping[str, Any] | None) -> Identity | bool:
        """Like `refresh`, of somebody who came from that source."""
        return await self.refresh(name, auth_state)

    async def logout_from(self, origin: str, auth_state: Mapping[str, Any] | None, back: str) -> str:
        """Return where a browser goes after it was logged out here, to be logged out there too; "" for nowhere.

        `back` is where it may return to then, `origin` the source that its user came from.
        """
        return ""

    def origins(self) -> frozenset[str]:
        """Return the sources of accounts that can log in here."""
        return frozenset()

    def allows_somebody(self) -> bool:
        """Some setting lets somebody in."""
        names = set(self.trait_names(config=True)) - self.only_restrict
        rules = (name for name in names if name.startswith("allow"))
        return bool(self.any_allow_config or any(getattr(self, name) for name in rules))

    def warning(self) -> str:
        """Return what the operator should be told at every start, loudly; usually nothing."""
        if self.allows_somebody():
            return ""
        name = type(self).__name__
        return (
            f"Nobody may enter this hub. Name who may: c.{name}.allowed_users = {{'alice'}}, or let everybody in whom "
            f"the source identifies: c.{name}.allow_all = True."
        )

    async def _exists(self, name: str) -> bool:
        async with self._store.read() as tx:
            return await users.get(tx, name) is not None

    async def _hooked(self, identity: Identity, handler: Any) -> Identity:
        if self.post_auth_hook is None:
            return identity
        model = await hooks.call(self.post_auth_hook, self, handler, to_model(identity))
        if model is None:
            raise Forbidden(self.refusal(identity))
        return from_model(model, identity)


class PasswordAuthenticator(Authenticator):
    """A source that takes a name and a password from the login page."""

    @property
    def asks_password(self) -> bool:
        """The name alone is not enough."""
        return True

    async def authenticate(self, username: str, password: str, *, address: str) -> Identity | None:
        """Return who this is, or None if the two do not belong together.

        `address` is the client's, for throttling. Raises TooManyRequests when guessing has to wait, BadRequest for a
        name that cannot be one.
        """
        raise NotImplementedError

    async def log_in(self, username: str, password: str, otp: str, *, address: str) -> Identity | None:
        """Return who this is, as `authenticate` does, or as `authenticate_otp` where a one-time password is needed."""
        if self.request_otp:
            return await self.authenticate_otp(username, password, otp, address=address)
        return await self.authenticate(username, password, address=address)

    async def authenticate_otp(self, username: str, password: str, otp: str, *, address: str) -> Identity | None:
        """Like `authenticate`, with a one-time password besides; called with request_otp."""
        raise NotImplementedError

    async def throttled(self, name: str, address: str, verdict: Callable[[], Awaitable[bool]]) -> bool:
        """Return what `verdict` says of a password; whoever guesses has to wait (TooManyRequests)."""
        await self._throttle.begin(name, address, self._clock())
        if not await verdict():
            await self._throttle.failed(address, self._clock())
            return False
        await self._throttle.succeeded(name, address, self._clock())
        return True


def takes_passwords(source: Authenticator) -> TypeGuard[PasswordAuthenticator]:
    """Say whether people log in with a name and a password here; a class of a file may be of two kinds by its bases."""
    return isinstance(source, PasswordAuthenticator) and not isinstance(source, RedirectAuthenticator)


class VisitAuthenticator(Authenticator):
    """A source that needs no input: every visit is somebody."""

    async def visit(self) -> Identity:
        """Return a fresh identity."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser goes to log in, and what it has to bring back unread: `state` as it stands in the URL."""

    url: str
    state: str
    memory: Mapping[str, str] = field(repr=False)


class RedirectAuthenticator(Authenticator):
    """A source with a login page of its own, to which the browser is sent and from which it comes back."""

    async def begin(self, callback_url: str) -> Departure:
        """Return where to send the browser; it comes back to `callback_url`. Raises Unavailable."""
        raise NotImplementedError

    async def finish(self, query: Mapping[str, str], memory: Mapping[str, str], callback_url: str) -> Identity:
        """Return who came back. The state was compared already.

        Raises Forbidden when the source refused or what it says cannot be believed, Unavailable when it is away.
        """
        raise NotImplementedError


class GroupRules(Authenticator):
    """Rules for sources that know groups."""

    allowed_groups = Set(Unicode(), help="Groups of the source whose members may enter.").tag(config=True)
    admin_groups = Set(
        Unicode(),
        help="Groups of the source whose members are administrators. Where given, every login makes a user an "
        "administrator or no longer one, except for admin_users.",
    ).tag(config=True)

    async def allows(self, identity: Identity) -> bool:
        """See Authenticator."""
        if identity.name in self.blocked_users:
            return False
        return bool(self.allowed_groups & set(identity.groups or ())) or await super().allows(identity)

    def is_admin(self, identity: Identity) -> bool | None:
        """See Authenticator."""
        known = super().is_admin(identity)
        if known is not None or not self.admin_groups:
            return known
        return bool(self.admin_groups & set(identity.groups or ()))


def to_model(identity: Identity) -> dict[str, Any]:
    """Return an identity as hooks of existing files take it."""
    groups = None if identity.groups is None else list(identity.groups)
    state = None if identity.auth_state is None else dict(identity.auth_state)
    model = {"name": identity.name, "admin": identity.admin, "groups": groups, "auth_state": state}
    return model if identity.roles is None else model | {"roles": [dict(role) for role in identity.roles]}


def from_model(model: Any, before: Identity) -> Identity:
    """Return what a hook made of an identity. Raises ConfigError for what is none."""
    if not isinstance(model, Mapping) or not isinstance(model.get("name"), str):
        kind = type(model).__name__
        raise ConfigError(f"post_auth_hook has to return the model that it was given, or None; it returned a {kind}.")
    check_name(model["name"])
    groups, roles = model.get("groups"), model.get("roles")
    if roles is not None and not all(isinstance(role, Mapping) for role in roles):
        raise ConfigError("What gives users their roles has to return dicts as in load_roles, such as {'name': 'ta'}.")
    return replace(
        before,
        name=model["name"],
        admin=model.get("admin"),
        groups=None if groups is None else tuple(groups),
        auth_state=model.get("auth_state"),
        roles=None if roles is None else tuple(roles),
    )


def check_password(password: str) -> None:
    """Raise BadRequest for what no source has to be asked about."""
    if not password:
        raise BadRequest("Enter your password.")
    if len(password) > LONGEST_PASSWORD or "\0" in password:
        raise BadRequest(f"A password has at most {LONGEST_PASSWORD} characters, none of them a NUL.")


def check_name(name: str) -> None:
    """Raise BadRequest unless `name` can be a user name: printable, up to 255 characters, no `/`, not only dots."""
    if not name or len(name) > 255:
        raise BadRequest("A user name has 1 to 255 characters.")
    if name != name.strip() or not name.isprintable():
        raise BadRequest(f"The user name {name[:64]!r} has spaces around it or unprintable characters.")
    if (
        "/" in name
        or "\\" in name
        or "%2f" in name.lower()
        or not name.replace("%2e", ".").replace("%2E", ".").strip(".")
    ):
        raise BadRequest(f"The user name {name[:64]!r} may not contain a slash or consist of dots only.")
