"""Several sources at once, chosen on the login page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Dict, TraitError

from nbhub import config, hooks
from nbhub.authenticators.base import Authenticator, Identity, check_name
from nbhub.authenticators.known import KNOWN
from nbhub.authenticators.local import LocalAuthenticator
from nbhub.authenticators.native import NativeAuthenticator
from nbhub.config import Plugin
from nbhub.errors import ConfigError, Forbidden
from nbhub.store import identities

if TYPE_CHECKING:
    from nbhub.store import Store

_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_OURS = ("class", "label", "prefix")


class SeveralAuthenticator(Authenticator):
    """Lets people choose where they log in. Rules are those of c.Authenticator and of each source."""

    sources = Dict(
        help="By a short name: the source's class (or the name of one, such as ldap or github), label (what the button "
        "says), prefix (put before the names of its users) and any of its settings, as in {'staff': {'class': 'ldap', "
        "'server_address': 'ldap.example.org'}, 'guests': {'class': 'github', 'prefix': 'github-'}}."
    ).tag(config=True)
    same_names = Bool(
        False,
        help="The same name means the same person in all sources, so that none needs a prefix. Wherever that is not "
        "so, people get into the accounts of others.",
    ).tag(config=True)

    only_restrict = frozenset(("allowed_scopes",))

    @property
    def takes_otp(self) -> bool:
        """See Authenticator. Each source says it for itself."""
        return True

    def attach(self, store: Store, clock: Callable[[], float]) -> None:
        """See Authenticator."""
        super().attach(store, clock)
        vars(self).pop("_made", None)  # may be those of other settings
        for source in self._made.values():
            source.attach(store, clock)
        self.manage_groups = any(source.manage_groups for source in self._made.values())
        self.keeps_passwords = any(source.keeps_passwords for source in self._made.values())
        self.enable_auth_state = any(source.enable_auth_state for source in self._made.values())
        for setting in ("manage_roles", "refresh_pre_spawn", "refresh_pre_stop"):
            setattr(self, setting, any(getattr(source, setting) for source in self._made.values()))

    async def load_managed_roles(self) -> Sequence[Mapping[str, Any]]:
        """See Authenticator."""
        managing = [source for source in self._made.values() if source.manage_roles]
        return [role for source in managing for role in await source.load_managed_roles()]

    def check_settings(self) -> None:
        """See Authenticator."""
        for name, source in self._made.items():
            if isinstance(source, LocalAuthenticator | NativeAuthenticator) and self._prefix(name):
                whose = "this machine" if isinstance(source, LocalAuthenticator) else "the hub itself"
                raise ConfigError(f"{self._place(name)} is about accounts of {whose}; it cannot have a prefix.")
            source.check_settings()
        bare = [name for name in self.sources if not self._prefix(name)]
        if len(bare) > 1 and not self.same_names:
            raise ConfigError(
                f"The sources {' and '.join(bare)} may both know an alice, who are two people. Give all but one of "
                "them a prefix, such as 'prefix': 'github-', or say that names mean the same people everywhere: "
                f"c.{type(self).__name__}.same_names = True."
            )

    async def check(self) -> None:
        """See Authenticator."""
        await super().check()
        for source in self._made.values():
            await source.check()

    def before_start(self) -> Callable[..., Any] | None:
        """See Authenticator. It is for the source that its user came from."""
        return self._for_source_of_user({name: source.before_start() for name, source in self._made.items()})

    def after_stop(self) -> Callable[..., Any] | None:
        """See Authenticator."""
        return self._for_source_of_user({name: source.after_stop() for name, source in self._made.items()})

    def _for_source_of_user(self, functions: Mapping[str, Callable[..., Any] | None]) -> Callable[..., Any] | None:
        """Return what calls the function of the source from which a user came last; nothing where none has one."""
        if not any(functions.values()):
            return None

        async def call(user: Any, spawner: Any) -> None:
            async with self._store.read() as tx:
                known = await identities.get(tx, user.id)
            name = None if known is None else self._names_by_origin().get(known.origin)
            function = None if name is None else functions[name]
            if function is not None:
                await hooks.call(function, user, spawner)

        return call

    async def close(self) -> None:
        """See Authenticator."""
        for source in self._made.values():
            await source.close()

    # -- the sources ---------------------------------------------------------------------------------------------

    def sources_by_name(self) -> Mapping[str, Authenticator]:
        """See Authenticator."""
        return self._made

    def label_of(self, name: str) -> str:
        """See Authenticator."""
        return str(self.sources[name].get("label") or self._made[name].label_of(name))

    def from_source(self, name: str, found: Identity) -> Identity:
        """See Authenticator. Raises Forbidden for a name that would look like one of another source."""
        prefix = self._prefix(name)
        full = f"{prefix}{found.name}"
        check_name(full)
        others = [self._prefix(other) for other in self._made if other != name]
        if not self.same_names and any(
            other and not prefix.startswith(other) and full.startswith(other) for other in others
        ):
            raise Forbidden(f"The name {full[:64]} looks like one of another way to log in. Ask your administrator.")
        return replace(found, name=full, origin=found.origin or f"{name}:")

    def origins(self) -> frozenset[str]:
        """See Authenticator."""
        return frozenset() if self.same_names else frozenset(self._names_by_origin())

    # -- rules -----------------------------------------------------------------------------------------------------

    async def admit(self, identity: Identity, handler: Any = None) -> Identity:
        """See Authenticator."""
        source = self._of(identity.origin)
        if source is None or identity.name in self.blocked_users:
            raise Forbidden(self.refusal(identity))
        admitted = await source.admit(identity, handler)
        return replace(
            admitted,
            groups=admitted.groups if source.manage_groups else None,
            roles=admitted.roles if source.manage_roles else None,
            auth_state=admitted.auth_state if source.enable_auth_state else None,
        )

    async def allows(self, identity: Identity) -> bool:
        """See Authenticator."""
        source = self._of(identity.origin)
        return source is not None and identity.name not in self.blocked_users and await source.allows(identity)

    def warning(self) -> str:
        """See Authenticator."""
        said = [f"{name}: {words}" for name, source in self._made.items() if (words := source.warning())]
        return " ".join(said)

    @property
    def refreshes(self) -> bool:
        """See Authenticator."""
        return any(source.refreshes for source in self._made.values())

    @property
    def can_refresh(self) -> bool:
        """See Authenticator."""
        return any(source.can_refresh for source in self._made.values())

    async def refresh_from(self, origin: str, name: str, auth_state: Mapping[str, Any] | None) -> Identity | bool:
        """See Authenticator."""
        key = self._names_by_origin().get(origin)
        if key is None:
            return False
        source = self._made[key]
        if not source.is_followed_up:
            return True
        answer = await source.refresh(name.removeprefix(self._prefix(key)), auth_state)
        return self.from_source(key, answer) if isinstance(answer, Identity) else answer

    async def logout_from(self, origin: str, auth_state: Mapping[str, Any] | None, back: str) -> str:
        """See Authenticator."""
        source = self._of(origin)
        return "" if source is None else await source.logout_from(origin, auth_state, back)

    # -- from the settings -----------------------------------------------------------------------------------------

    @cached_property
    def _made(self) -> Mapping[str, Authenticator]:
        return {name: self._make(name, dict(given)) for name, given in self._checked().items()}

    def _checked(self) -> Mapping[str, Mapping[str, Any]]:
        if not self.sources:
            raise ConfigError(f"c.{type(self).__name__}.sources is empty; name at least one way to log in.")
        for name, given in self.sources.items():
            if not isinstance(name, str) or not _KEY.fullmatch(name):
                words = f"{self._place(name)}: names of sources are short and of lower-case letters, digits, - and _."
                raise ConfigError(words)
            if not isinstance(given, Mapping) or "class" not in given:
                raise ConfigError(f"{self._place(name)} has to be a dict with at least a 'class'.")
        return self.sources

    def _make(self, name: str, given: dict[str, Any]) -> Authenticator:
        base = "nbhub.authenticators.base.Authenticator"
        plugin = Plugin("native", base=base, group="nbhub.authenticators", known=KNOWN)
        try:
            cls: type[Authenticator] = plugin.validate(self, given["class"])
        except TraitError as error:
            raise ConfigError(f"{self._place(name)}: {error}") from error
        settings = {key: value for key, value in given.items() if key not in _OURS}
        if unknown := sorted(set(settings) - set(cls.class_trait_names(config=True))):
            raise ConfigError(f"{self._place(name)}: {cls.__name__} has no setting {unknown[0]!r}.")
        made: Authenticator = config.build(cls, self.config, parent=self, **settings)
        return made

    def _place(self, name: Any) -> str:
        return f"c.{type(self).__name__}.sources[{name!r}]"

    def _prefix(self, name: str) -> str:
        return str(self.sources[name].get("prefix", ""))

    def _names_by_origin(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, source in self._made.items():
            for origin in (*source.origins(), f"{name}:"):
                found.setdefault(origin, name)
        return found

    def _of(self, origin: str) -> Authenticator | None:
        name = self._names_by_origin().get(origin)
        return None if name is None else self._made[name]
