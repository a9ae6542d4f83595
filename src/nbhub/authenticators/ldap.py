"""Names and passwords of an LDAP directory such as OpenLDAP or Active Directory."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Dict, Enum, Int, List, Unicode, Union, default

from nbhub.authenticators.base import GroupRules, Identity, PasswordAuthenticator, check_name, check_password
from nbhub.authenticators.directory import Directory, Entry, Place, Session, in_dn, in_filter
from nbhub.authenticators.threads import Threads
from nbhub.config import Duration
from nbhub.errors import BadRequest, ConfigError, Unavailable

if TYPE_CHECKING:
    from nbhub.store import Store


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whose password was right."""

    name: str
    entry: Entry
    groups: tuple[str, ...]


class LDAPAuthenticator(GroupRules, PasswordAuthenticator):
    """Asks an LDAP server: either people bind under a name made by bind_dn_template, or they are looked up first
    (lookup_dn). Groups in rules are distinguished names, or names below group_search_base.
    """

    label = "name and password of your organisation"

    server_address = Unicode(help="Host of the LDAP server.").tag(config=True)
    server_port = Int(help="Its port. Default: 636 with tls_strategy on_connect, otherwise 389.").tag(config=True)
    tls_strategy = Enum(
        ("before_bind", "on_connect", "insecure"),
        "before_bind",
        help="before_bind: StartTLS. on_connect: LDAPS. insecure: passwords cross the network readably.",
    ).tag(config=True)
    tls_kwargs = Dict(
        help="How TLS is checked, such as {'ca_certs_file': '/etc/ssl/ca.pem'}; passed to ldap3.Tls."
    ).tag(config=True)
    ldap_timeout = Duration(10, help="How long the server may take for an answer.").tag(config=True)
    bind_dn_template = Union(
        [List(Unicode()), Unicode()],
        help="Distinguished names to try, such as uid={username},ou=people,dc=example,dc=org.",
    ).tag(config=True)
    lookup_dn = Bool(False, help="Look people up below user_search_base before they bind.").tag(config=True)
    lookup_dn_search_user = Unicode(help="Who looks them up; empty: anonymously.").tag(config=True)
    lookup_dn_search_password = Unicode(help="The password of lookup_dn_search_user.").tag(config=True)
    lookup_dn_search_filter = Unicode(
        "({login_attr}={login})", help="Filter of the look-up; login_attr is user_attribute."
    ).tag(config=True)
    lookup_dn_user_dn_attribute = Unicode(
        help="Attribute of the entry found that stands for {username} in bind_dn_template; empty: the entry binds."
    ).tag(config=True)
    use_lookup_dn_username = Bool(
        True, help="After a look-up take the name from user_attribute rather than as it was typed."
    ).tag(config=True)
    user_search_base = Unicode(help="Where people are, such as ou=people,dc=example,dc=org.").tag(config=True)
    user_attribute = Unicode(help="Attribute with the name, such as uid or sAMAccountName.").tag(config=True)
    search_filter = Unicode(
        help="Only who matches this may enter, such as (&(objectClass=person)({userattr}={username}))."
    ).tag(config=True)
    attributes = List(Unicode(), help="Attributes that are read for search_filter.").tag(config=True)
    auth_state_attributes = List(Unicode(), help="Attributes that the auth state keeps, under user_attributes.").tag(
        config=True
    )
    group_search_filter = Unicode(
        "(|(member={userdn})(uniqueMember={userdn})(memberUid={uid}))", help="Which groups somebody is in."
    ).tag(config=True)
    group_search_base = Unicode(
        help="Where groups are, such as ou=groups,dc=example,dc=org; then rules and the hub know them by name."
    ).tag(config=True)
    group_name_attribute = Unicode("cn", help="Attribute with a group's name.").tag(config=True)
    valid_username_regex = Unicode(r"^[a-z][.a-z0-9_-]*$", help="Names of another form are not asked for.").tag(
        config=True
    )

    @default("server_port")
    def _port(self) -> int:
        return 636 if self.tls_strategy == "on_connect" else 389

    def attach(self, store: Store, clock: Callable[[], float]) -> None:
        """See Authenticator."""
        super().attach(store, clock)
        place = Place(self.server_address, self.server_port, self.tls_strategy, self.tls_kwargs, self.ldap_timeout)
        self._directory = Directory(place)
        self._threads = Threads(8, self.ldap_timeout * 2, f"The directory {self.server_address}")

    def check_settings(self) -> None:
        """See Authenticator."""
        missing = [] if self.server_address else ["server_address"]
        if self.lookup_dn or self.search_filter:
            missing += [name for name in ("user_search_base", "user_attribute") if not getattr(self, name)]
        if not self.lookup_dn and not self._templates:
            missing.append("bind_dn_template (or lookup_dn)")
        if missing:
            names = ", ".join(f"c.{type(self).__name__}.{name}" for name in missing)
            raise ConfigError(f"Logging in by LDAP needs settings that are not there: {names}.")
        for template in self._templates:
            if "{username}" not in template:
                raise ConfigError(f"c.{type(self).__name__}.bind_dn_template {template!r} has no {{username}} in it.")

    def warning(self) -> str:
        """See Authenticator."""
        if self.tls_strategy != "insecure":
            return super().warning()
        words = f"Passwords cross the network to {self.server_address} readably (tls_strategy is insecure)."
        return f"{words} {super().warning()}".strip()

    def origins(self) -> frozenset[str]:
        """See Authenticator."""
        return frozenset((f"ldap:{self.server_address}",))

    async def authenticate(self, username: str, password: str, *, address: str) -> Identity | None:
        """See PasswordAuthenticator."""
        check_name(username)
        check_password(password)
        if not re.match(self.valid_username_regex, username.lower()):
            raise BadRequest(f"The user name {username[:64]!r} is not of the form that this hub takes.")
        found: list[Person] = []

        async def verdict() -> bool:
            found.extend(await self._threads.run(self._ask, username, password))
            return bool(found)

        if not await self.throttled(self.normalize(username), address, verdict):
            return None
        (person,) = found
        return self._identity(person)

    def _identity(self, person: Person) -> Identity:
        (origin,) = self.origins()
        kept = {name: list(person.entry.attributes.get(name.lower(), ())) for name in self.auth_state_attributes}
        return Identity(
            self.normalize(person.name),
            groups=person.groups if self._asks_groups else None,
            auth_state={"user_attributes": kept, "dn": person.entry.dn} if self.enable_auth_state else None,
            origin=origin,
            # The same name below two templates may be two people.
            subject=person.entry.dn.lower() if len(self._templates) > 1 else "",
        )

    async def admit(self, identity: Identity, handler: Any = None) -> Identity:
        """See Authenticator. Distinguished names are for rules; the hub's groups have the names of groups."""
        admitted = await super().admit(identity, handler)
        if admitted.groups is None or not self.group_search_base:
            return admitted
        rules = self.allowed_groups | self.admin_groups
        return replace(admitted, groups=tuple(g for g in admitted.groups if "=" not in g or g not in rules))

    # -- in a thread -------------------------------------------------------------------------------------------------

    def _ask(self, typed: str, password: str) -> list[Person]:
        """Return the one whose name and password these are, or nothing."""
        looked_up = self._look_up(typed) if self.lookup_dn else None
        if self.lookup_dn and looked_up is None:
            return []
        name = typed
        if looked_up is not None and self.use_lookup_dn_username:
            name = looked_up.first(self.user_attribute) or typed
        for dn in self._candidates(typed, looked_up):
            with self._directory.bound(dn, password) as session:
                if session is not None:
                    return self._described(session, dn, name)
        return []

    def _look_up(self, typed: str) -> Entry | None:
        wanted = [name for name in (self.user_attribute, self.lookup_dn_user_dn_attribute) if name]
        filter_ = self.lookup_dn_search_filter.format(login_attr=self.user_attribute, login=in_filter(typed))
        with self._directory.bound(self.lookup_dn_search_user, self.lookup_dn_search_password) as session:
            if session is None:
                raise Unavailable("The directory does not accept lookup_dn_search_user. Tell your administrator.")
            found = session.search(self.user_search_base, filter_, wanted, most=2)
        if len(found) > 1:
            self.log.warning("user=%s is found more than once in the directory", ascii(typed[:64])[1:-1])
            return None
        return found[0] if found else None

    def _candidates(self, typed: str, looked_up: Entry | None) -> list[str]:
        if looked_up is None:
            return [template.replace("{username}", in_dn(typed)) for template in self._templates]
        value = looked_up.first(self.lookup_dn_user_dn_attribute) if self.lookup_dn_user_dn_attribute else ""
        if value and self._templates:
            return [template.replace("{username}", in_dn(value)) for template in self._templates]
        return [looked_up.dn]

    def _described(self, session: Session, dn: str, name: str) -> list[Person]:
        entry = Entry(dn)
        if self.auth_state_attributes:
            entry = session.read(dn, "(objectClass=*)", self.auth_state_attributes) or entry
        if self.search_filter:
            filter_ = self.search_filter.format(userattr=self.user_attribute, username=in_filter(name))
            found = session.search(self.user_search_base, filter_, self.attributes, most=2)
            if len(found) != 1:
                self.log.warning("user=%s does not match search_filter", ascii(name[:64])[1:-1])
                return []
        return [Person(name, entry, self._groups(session, dn, name))]

    def _groups(self, session: Session, dn: str, name: str) -> tuple[str, ...]:
        if not self._asks_groups:
            return ()
        filter_ = self.group_search_filter.format(userdn=in_filter(dn), uid=in_filter(name))
        names = {group for group in self.allowed_groups | self.admin_groups if "=" in group}
        found = {group for group in names if session.read(group, filter_) is not None}
        if self.group_search_base:
            entries = session.search(self.group_search_base, filter_, [self.group_name_attribute])
            found |= {group for entry in entries if (group := entry.first(self.group_name_attribute))}
        return tuple(sorted(found))

    @property
    def _asks_groups(self) -> bool:
        return bool(self.allowed_groups or self.admin_groups or self.group_search_base)

    @property
    def _templates(self) -> Sequence[str]:
        given = self.bind_dn_template
        return [given] if isinstance(given, str) and given else list(given)
