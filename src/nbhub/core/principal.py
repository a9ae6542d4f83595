"""Principal: who asks, and what they may do. The only place that answers questions of authorization."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from nbhub.core import scopes as rules
from nbhub.core.model import Service, Token, User
from nbhub.errors import Forbidden, NotFound


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Whom a list may show: these users, and the members of these groups (or, in a list of groups, these groups)."""

    users: frozenset[str]
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Principal:
    """A user or service with the scopes that hold for this request. `scopes` is expanded."""

    kind: Literal["user", "service"]
    name: str
    user: User | None
    service: Service | None
    scopes: frozenset[str]
    token: Token | None = None
    session_id: str | None = None
    groups: tuple[str, ...] = ()
    via: Literal["token", "cookie"] = "token"

    def holds(
        self,
        scope: str,
        user: str | None = None,
        server: str | None = None,
        group: str | None = None,
        service: str | None = None,
        target_groups: Iterable[str] = (),
    ) -> bool:
        """Say whether the scope is held for what is named; for everything when nothing is named.

        `server` is the name of a server of `user` ("" is the default one); `target_groups` are the groups of `user`,
        not of the principal. Leaving them out where `limited_to_groups` is true would deny what is allowed.
        """
        if scope in self.scopes:
            return True
        return rules.covers(
            self.scopes,
            scope,
            user=user,
            server=server,
            group=group,
            service=service,
            groups_of_user=target_groups,
        )

    def require(
        self,
        scope: str,
        user: str | None = None,
        server: str | None = None,
        group: str | None = None,
        service: str | None = None,
        target_groups: Iterable[str] = (),
    ) -> None:
        """Do nothing when the scope is held for what is named.

        Raises NotFound when it is held for other things only, so that nobody learns what exists; otherwise Forbidden.
        """
        if not self.holds(scope, user, server, group, service, target_groups):
            raise self.refusal((scope,))

    def require_any(
        self,
        scopes: Collection[str],
        user: str | None = None,
        server: str | None = None,
        group: str | None = None,
        service: str | None = None,
        target_groups: Collection[str] = (),
    ) -> None:
        """Do nothing when one of the scopes is held for what is named; raises as `require` does."""
        if not any(self.holds(scope, user, server, group, service, target_groups) for scope in scopes):
            raise self.refusal(scopes)

    def refusal(self, scopes: Collection[str]) -> Forbidden | NotFound:
        """Return the error for one who lacks all of the scopes for what was asked."""
        if any(self.has_filtered(scope) for scope in scopes):
            return NotFound("No access to resources or resources not found")
        wanted = ", ".join(scopes)
        return Forbidden(f"Action is not authorized with current scopes; requires any of [{wanted}]")

    def has_filtered(self, scope: str) -> bool:
        """Say whether the scope is held for some things."""
        start = f"{scope}!"
        return any(held.startswith(start) for held in self.scopes)

    def limited_to_groups(self, *scopes: str) -> bool:
        """Say whether the answer for one of the scopes can depend on the groups of the user that is asked about."""
        return any(
            held.startswith(f"{scope}!group=") for scope in scopes if scope not in self.scopes for held in self.scopes
        )

    def filter_of(self, scope: str) -> Literal["all"] | UserFilter:
        """Return whom a list that needs the scope may show.

        Raises Forbidden when the scope is not held, or only for what such a list cannot be limited to.
        """
        if scope in self.scopes:
            return "all"
        users = self._values(f"{scope}!user=")
        groups = self._values(f"{scope}!group=")
        if not users and not groups:
            raise Forbidden(f"Action is not authorized with current scopes; requires any of [{scope}]")
        return UserFilter(users, groups)

    def _values(self, start: str) -> frozenset[str]:
        return frozenset(held[len(start) :] for held in self.scopes if held.startswith(start))


def build(
    owner: User | Service,
    role_scopes: Iterable[str],
    *,
    groups: Iterable[str] = (),
    token: Token | None = None,
    access_scopes: Iterable[str] = (),
    server: str | None = None,
    groups_of: Mapping[str, Collection[str]] = rules.NO_GROUPS,
    session_id: str | None = None,
) -> Principal:
    """Return who asks, with the scopes that hold right now.

    `role_scopes` is all that the owner was given, as written: by own roles, roles of groups, shares. Without a token
    (a browser's cookie) that is what holds; with one, only what the token was granted besides. `access_scopes` is the
    access scope of the OAuth client that issued the token, `server` ("USER/SERVER") the server that it was issued for
    or by. `groups_of` names the groups of other users, where scopes limited to groups are to be compared; those of the
    owner are known.
    """
    groups = tuple(groups)
    held = _owner_scopes(owner, tuple(role_scopes))
    if token is not None:
        if isinstance(owner, User):
            groups_of = {**groups_of, owner.name: groups}
        held = _token_scopes(owner, held, token, tuple(access_scopes), server, groups_of)
    is_user = isinstance(owner, User)
    return Principal(
        kind="user" if is_user else "service",
        name=owner.name,
        user=owner if isinstance(owner, User) else None,
        service=owner if isinstance(owner, Service) else None,
        scopes=held,
        token=token,
        session_id=session_id if token is None else token.session_id,
        groups=groups,
        via="cookie" if token is None else "token",
    )


def _owner_scopes(owner: User | Service, role_scopes: tuple[str, ...]) -> frozenset[str]:
    # `inherit` in a role would mean to inherit from oneself.
    return (rules.expand(role_scopes, owner=owner) | rules.identify(owner)) - {"inherit", "(no_scope)"}


def _token_scopes(
    owner: User | Service,
    held: frozenset[str],
    token: Token,
    access_scopes: tuple[str, ...],
    server: str | None,
    groups_of: Mapping[str, Collection[str]],
) -> frozenset[str]:
    if "inherit" in token.scopes:
        allowed = held
    else:
        granted = rules.expand((*token.scopes, *access_scopes), owner=owner, server=server) | rules.identify(owner)
        allowed = rules.intersect(granted, held, groups_of)
    if token.server_id is not None:
        # A server may always report its owner's activity, or it would be culled while in use.
        allowed |= rules.expand(("users:activity!user",), owner=owner)
    return allowed
