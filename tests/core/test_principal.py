"""Who asks, and what they may do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from nbhub.core import principal
from nbhub.core.model import Service, Token, User
from nbhub.core.principal import Principal, UserFilter
from nbhub.core.roles import BUILT_IN
from nbhub.core.scopes import expand
from nbhub.errors import Forbidden, NotFound

ALICE = User(1, "alice")
CULLER = Service(7, "culler")
IDENTIFY = {"read:users:name!user=alice", "read:users:groups!user=alice"}
USER, ADMIN = BUILT_IN["user"].scopes, BUILT_IN["admin"].scopes


def having(*scopes: str) -> Principal:
    """A user with exactly these scopes, expanded."""
    return Principal("user", "alice", ALICE, None, frozenset(scopes))


def a_token(*scopes: str, **fields: Any) -> Token:
    """A token that was granted these scopes."""
    known: dict[str, Any] = {"id": 1, "user_id": 1, "service_id": None, "client_id": "jupyterhub", "session_id": None}
    known |= {"note": "", "created": 0.0, "expires_at": None, "last_activity": None}
    return Token(scopes=scopes, **(known | fields))


def names_of(scopes: Iterable[str]) -> set[str]:
    """The scopes without their filters."""
    return {scope.partition("!")[0] for scope in scopes}


# -- asking ------------------------------------------------------------------------------------------------------

ASKED: list[tuple[str, dict[str, Any], type[Exception] | None]] = [
    ("servers", {"user": "bob"}, None),
    ("servers", {}, None),
    ("servers!user=bob", {"user": "bob"}, None),
    ("servers!user=bob", {"user": "bob", "server": "x"}, None),
    ("servers!user=bob", {"user": "carol"}, NotFound),
    ("servers!user=bob", {}, NotFound),
    ("servers!server=bob/", {"user": "bob", "server": ""}, None),
    ("servers!server=bob/", {"user": "bob", "server": "x"}, NotFound),
    ("servers!group=g", {"user": "bob", "target_groups": ("g",)}, None),
    ("servers!group=g", {"user": "bob", "target_groups": ("h",)}, NotFound),
    ("servers!group=g", {"group": "g"}, None),
    ("servers!service=s", {"service": "s"}, None),
    ("servers!service=s", {"service": "t"}, NotFound),
    ("start:servers", {"user": "bob"}, Forbidden),
    ("servers:more!user=bob", {"user": "bob"}, Forbidden),
    ("read:servers!user=bob", {"user": "bob"}, Forbidden),
]


@pytest.mark.parametrize(("held", "target", "error"), ASKED)
def test_require_hides_what_exists_from_those_with_another_filter(
    held: str, target: dict[str, Any], error: type[Exception] | None
) -> None:
    asking = having(held)
    assert asking.holds("servers", **target) is (error is None)
    if error is None:
        asking.require("servers", **target)
        asking.require_any(("proxy", "servers"), **target)
        return
    with pytest.raises(error):
        asking.require("servers", **target)
    with pytest.raises(error):
        asking.require_any(("proxy", "servers"), **target)


def test_refusals_speak_as_clients_know_them() -> None:
    with pytest.raises(Forbidden) as forbidden:
        having().require_any(("read:users", "read:users:name"), user="bob")
    assert forbidden.value.message == (
        "Action is not authorized with current scopes; requires any of [read:users, read:users:name]"
    )
    with pytest.raises(NotFound) as hidden:
        having("read:users!user=alice").require("read:users", user="bob")
    assert hidden.value.message == "No access to resources or resources not found"


@pytest.mark.parametrize(
    ("held", "shown"),
    [
        (("list:users",), "all"),
        (("list:users", "list:users!user=a"), "all"),
        (("list:users!user=a", "list:users!user=b"), UserFilter(frozenset("ab"), frozenset())),
        (("list:users!group=g", "list:users!user=b"), UserFilter(frozenset("b"), frozenset("g"))),
        (("list:users!server=a/", "list:users!user=b"), UserFilter(frozenset("b"), frozenset())),
    ],
)
def test_whom_a_list_may_show(held: tuple[str, ...], shown: object) -> None:
    assert having(*held).filter_of("list:users") == shown


@pytest.mark.parametrize("held", [(), ("list:users!server=a/",), ("list:users!service=s",), ("read:users",)])
def test_a_list_that_may_show_nobody_is_forbidden(held: tuple[str, ...]) -> None:
    with pytest.raises(Forbidden, match=r"requires any of \[list:users\]"):
        having(*held).filter_of("list:users")


def test_groups_have_to_be_looked_up_only_where_they_can_matter() -> None:
    assert having("read:users!group=g").limited_to_groups("tokens", "read:users")
    assert not having("read:users!group=g", "read:users").limited_to_groups("read:users")
    assert not having("read:users!user=a").limited_to_groups("read:users")
    assert not having("read:users:name!group=g").limited_to_groups("read:users")


# -- building ----------------------------------------------------------------------------------------------------


def test_a_browser_has_what_its_user_has() -> None:
    asking = principal.build(ALICE, USER, groups=["g"], session_id="s")
    assert asking.scopes == expand(["self"], owner=ALICE)
    assert (asking.kind, asking.name, asking.user, asking.service) == ("user", "alice", ALICE, None)
    assert (asking.via, asking.session_id, asking.groups, asking.token) == ("cookie", "s", ("g",), None)


def test_everybody_may_find_out_who_they_are() -> None:
    assert principal.build(ALICE, ()).scopes == IDENTIFY
    assert principal.build(ALICE, (), token=a_token()).scopes == IDENTIFY
    assert principal.build(ALICE, ADMIN, token=a_token("(no_scope)")).scopes == IDENTIFY
    assert principal.build(CULLER, (), token=a_token()).scopes == {"read:services:name!service=culler"}


def test_a_service_asks_by_token() -> None:
    asking = principal.build(CULLER, ("list:users", "self"), token=a_token("inherit", session_id="x"))
    assert (asking.kind, asking.name, asking.user, asking.service) == ("service", "culler", None, CULLER)
    assert asking.scopes == {"list:users", "read:users:name", "read:services:name!service=culler"}
    assert (asking.via, asking.session_id) == ("token", "x")


@pytest.mark.parametrize(
    ("granted", "roles", "holds"),
    [
        (("inherit",), USER, expand(["self"], owner=ALICE)),
        (("inherit", "read:hub"), USER, expand(["self"], owner=ALICE)),
        (("self",), USER, expand(["self"], owner=ALICE)),
        (("read:hub",), USER, IDENTIFY),
        (("read:hub",), ADMIN, {"read:hub", *IDENTIFY}),
        (("tokens",), USER, {"tokens!user=alice", "read:tokens!user=alice", *IDENTIFY}),
        (("tokens!user",), ADMIN, {"tokens!user=alice", "read:tokens!user=alice", *IDENTIFY}),
        (("tokens!user=bob",), USER, IDENTIFY),
        (("access:servers!server=alice/",), USER, {"access:servers!server=alice/", *IDENTIFY}),
        (("access:servers!server=bob/",), USER, IDENTIFY),
        (("access:servers!server=bob/",), ("access:servers!server=bob/",), {"access:servers!server=bob/", *IDENTIFY}),
        (("tokens",), (), IDENTIFY),  # the role was taken away since
        (("access:servers!server",), USER, {"access:servers!server=alice/x", *IDENTIFY}),
    ],
)
def test_a_token_has_what_it_was_granted_as_far_as_its_owner_has_it_now(
    granted: tuple[str, ...], roles: tuple[str, ...], holds: set[str]
) -> None:
    asking = principal.build(ALICE, roles, token=a_token(*granted), server="alice/x")
    assert asking.scopes == holds


def test_inherit_in_a_role_gives_nothing() -> None:
    assert principal.build(ALICE, ("inherit", "(no_scope)")).scopes == IDENTIFY


def test_a_token_of_an_oauth_client_may_enter_that_client() -> None:
    access = "access:servers!server=alice/"
    asking = principal.build(ALICE, USER, token=a_token(client_id="jupyterhub-user-alice"), access_scopes=[access])
    assert asking.scopes == {access, *IDENTIFY}
    stranger = principal.build(User(2, "bob"), USER, token=a_token(), access_scopes=[access])
    assert not stranger.holds("access:servers", user="alice", server="")


def test_a_server_may_always_report_activity() -> None:
    asking = principal.build(ALICE, (), token=a_token("access:servers!server=alice/", server_id=3))
    assert asking.scopes == {"users:activity!user=alice", "read:users:activity!user=alice", *IDENTIFY}
    assert asking.holds("users:activity", user="alice")
    assert not asking.holds("users:activity", user="bob")


def test_scopes_limited_to_a_group_let_a_token_into_a_members_server() -> None:
    bob, roles = User(2, "bob"), ("access:servers!group=class",)
    token = a_token("access:servers!server=alice/", client_id="jupyterhub-user-alice")
    asking = principal.build(bob, roles, token=token, groups_of={"alice": ("class",)})
    assert "access:servers!server=alice/" in asking.scopes
    outside = principal.build(bob, roles, token=token, groups_of={"alice": ()})
    assert names_of(outside.scopes) == {"read:users:name", "read:users:groups"}
    assert principal.build(bob, roles, token=token).scopes == outside.scopes


def test_the_owners_own_groups_are_known() -> None:
    asking = principal.build(ALICE, ("tokens!group=g",), groups=("g",), token=a_token("tokens!user"))
    assert asking.holds("tokens", user="alice")
