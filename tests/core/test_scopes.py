"""Scopes: expansion, filters, intersection, cover."""

from __future__ import annotations

import pytest

from nbhub.core import roles, scopes
from nbhub.core.model import Service, User
from nbhub.errors import BadRequest

ALICE = User(1, "alice")
CULLER = Service(1, "culler")

SELF = {
    "read:users!user=alice",
    "read:users:name!user=alice",
    "read:users:groups!user=alice",
    "read:users:activity!user=alice",
    "users:shares!user=alice",
    "read:users:shares!user=alice",
    "read:shares!user=alice",
    "users:activity!user=alice",
    "servers!user=alice",
    "read:servers!user=alice",
    "start:servers!user=alice",
    "delete:servers!user=alice",
    "tokens!user=alice",
    "read:tokens!user=alice",
    "access:servers!user=alice",
}

IMPLIED = [
    ("admin-ui", ""),
    ("read:users", "read:users:name read:users:groups read:users:activity"),
    ("list:users", "read:users:name"),
    ("users:activity", "read:users:activity"),
    ("users", "read:users list:users users:activity read:users:name read:users:groups read:users:activity"),
    (
        "admin:users",
        "admin:auth_state users read:roles:users delete:users read:users list:users users:activity read:users:name "
        "read:users:groups read:users:activity",
    ),
    ("read:roles", "read:roles:users read:roles:services read:roles:groups"),
    ("read:servers", "read:users:name"),
    ("servers", "read:servers start:servers delete:servers read:users:name"),
    ("admin:servers", "admin:server_state servers read:servers start:servers delete:servers read:users:name"),
    ("tokens", "read:tokens"),
    ("groups", "read:groups list:groups read:groups:name"),
    ("admin:groups", "groups read:roles:groups delete:groups read:groups list:groups read:groups:name"),
    ("admin:services", "list:services read:services read:roles:services read:services:name"),
    ("list:services", "read:services:name"),
    ("users:shares", "read:users:shares"),
    ("groups:shares", "read:groups:shares"),
    (
        "shares",
        "access:servers read:shares users:shares groups:shares read:users:shares read:groups:shares",
    ),
    ("access:servers", ""),
    ("access:services", ""),
    ("read:hub", ""),
    ("proxy", ""),
    ("shutdown", ""),
    ("read:metrics", ""),
]


@pytest.mark.parametrize(("name", "more"), IMPLIED)
@pytest.mark.parametrize("suffix", ["", "!user=bob", "!group=g", "!service=s"])
def test_a_scope_brings_what_it_implies_with_its_filter(name: str, more: str, suffix: str) -> None:
    expected = {scope + suffix for scope in (name, *more.split())}
    assert scopes.expand([name + suffix], owner=ALICE) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("servers", "servers read:servers start:servers delete:servers"),
        ("read:servers", "read:servers"),
        ("access:servers", "access:servers"),
        ("users:activity", "users:activity"),
        ("read:users:name", ""),
        ("admin:servers", "admin:servers admin:server_state servers read:servers start:servers delete:servers"),
    ],
)
def test_a_server_filter_is_not_copied_onto_reading_users(written: str, expected: str) -> None:
    suffix = "!server=bob/x"
    assert scopes.expand([written + suffix], owner=ALICE) == {scope + suffix for scope in expected.split()}


def test_self_is_fifteen_strings_for_a_user_and_nothing_for_a_service() -> None:
    assert scopes.expand(["self"], owner=ALICE) == SELF
    assert len(SELF) == 15
    assert scopes.expand(["self"], owner=CULLER) == frozenset()
    assert scopes.expand(["self"], owner=None) == frozenset()


@pytest.mark.parametrize(
    ("written", "owner", "server", "expected"),
    [
        ("tokens!user", ALICE, None, {"tokens!user=alice", "read:tokens!user=alice"}),
        ("access:servers!server", ALICE, "alice/", {"access:servers!server=alice/"}),
        ("access:servers!server", ALICE, None, set()),
        ("access:services!service", CULLER, None, {"access:services!service=culler"}),
        ("access:services!service", ALICE, None, set()),
        ("tokens!user", CULLER, None, set()),
        ("tokens!user", None, None, set()),
        ("tokens!group", ALICE, None, set()),
        ("inherit", ALICE, None, {"inherit"}),
        ("read:hub!planet=mars", ALICE, None, set()),
        ("custom:thing:read!user", ALICE, None, {"custom:thing:read!user=alice"}),
        ("access:servers!user=a=b!c", ALICE, None, {"access:servers!user=a=b!c"}),
    ],
)
def test_shorthands_mean_the_owner_or_the_server_or_nothing(
    written: str, owner: User | Service | None, server: str | None, expected: set[str]
) -> None:
    assert scopes.expand([written], owner=owner, server=server) == expected


def test_several_scopes_add_up() -> None:
    assert scopes.expand(["read:hub", "tokens!user=a", "tokens!user=b"], owner=None) == {
        "read:hub",
        "tokens!user=a",
        "read:tokens!user=a",
        "tokens!user=b",
        "read:tokens!user=b",
    }


def test_the_owner_with_the_same_name_but_of_another_kind_is_another() -> None:
    assert scopes.expand(["tokens!user"], owner=User(1, "x")) != scopes.expand(["tokens!user"], owner=Service(1, "x"))


def test_the_table_is_closed_and_described() -> None:
    for name, definition in scopes.TABLE.items():
        assert definition.description.endswith("."), name
        assert set(definition.implies) <= scopes.TABLE.keys(), name
    assert set(scopes.META_SCOPES) <= scopes.TABLE.keys()
    assert scopes.implied("read:servers") == {"read:servers", "read:users:name"}


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("tokens", scopes.Scope("tokens")),
        ("tokens!user", scopes.Scope("tokens", "user")),
        ("tokens!user=a b", scopes.Scope("tokens", "user", "a b")),
        ("access:servers!server=a/", scopes.Scope("access:servers", "server", "a/")),
        ("access:servers!server=a/b/c", scopes.Scope("access:servers", "server", "a/b/c")),
    ],
)
def test_a_scope_is_taken_apart_and_put_together(text: str, parsed: scopes.Scope) -> None:
    assert scopes.parse(text) == parsed
    assert str(parsed) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("read:user", "Did you mean read:users?"),
        ("acess:servers", "Did you mean access:servers?"),
        ("all", "It is called inherit now."),
        ("qwertyuiop", "There is no scope 'qwertyuiop'."),
        ("", "There is no scope ''."),
        ("custom:mine:read", "Declare it in the setting custom_scopes first."),
        ("custom:Mine", "There is no scope"),
        ("tokens!planet=mars", "unknown filter 'planet'; filters are user, group, server and service."),
        ("tokens!", "unknown filter ''"),
        ("tokens!user=", "the user filter names nothing. Write tokens!user=NAME."),
        ("servers!server=alice", "write a server as USER/SERVER, or USER/ for the default server."),
        ("servers!server=/x", "write a server as USER/SERVER"),
        ("tokens!group", "the group filter needs a name: tokens!group=NAME."),
        ("self!user=alice", "self takes no filter."),
        ("inherit!user", "inherit takes no filter."),
        ("x" * 1000, "…'"),
    ],
)
def test_a_wrong_scope_is_refused_with_words(text: str, says: str) -> None:
    with pytest.raises(BadRequest) as raised:
        scopes.validate(["tokens", text])
    assert says in raised.value.message
    assert len(raised.value.message) < 200


def test_known_scopes_are_valid() -> None:
    scopes.validate(
        [*scopes.TABLE, "tokens!user", "access:services!service=x", "servers!server=a/", "read:groups!group=g"]
    )
    scopes.validate(["custom:mine:read!user=a"], custom={"custom:mine:read"})
    for role in roles.BUILT_IN.values():
        scopes.validate(role.scopes)


@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        ("tokens", "tokens", "tokens"),
        ("tokens", "proxy", ""),
        ("tokens", "tokens!user=a", "tokens!user=a"),
        ("tokens!user=a", "tokens!user=a", "tokens!user=a"),
        ("tokens!user=a", "tokens!user=b", ""),
        ("tokens!user=a tokens!user=b", "tokens!user=b tokens!user=c", "tokens!user=b"),
        ("servers!user=a", "servers!server=a/x", "servers!server=a/x"),
        ("servers!user=a", "servers!server=ab/x", ""),
        ("servers!user=a", "servers!server=b/a", ""),
        ("servers!server=a/x", "servers!server=a/", ""),
        ("servers!group=g", "servers!group=g", "servers!group=g"),
        ("servers!group=g", "servers!group=h", ""),
        ("servers!group=g", "servers!user=a", "servers!user=a"),
        ("servers!group=g", "servers!server=a/x", "servers!server=a/x"),
        ("servers!group=g", "servers!user=b", ""),
        ("servers!group=a", "servers!user=a", ""),
        ("servers!service=a", "servers!user=a", ""),
        ("access:services!service=x", "access:services", "access:services!service=x"),
        ("", "tokens", ""),
    ],
)
def test_what_two_sets_both_allow(a: str, b: str, both: str) -> None:
    groups_of = {"a": ("g", "other"), "b": ()}
    expected = frozenset(both.split())
    assert scopes.intersect(frozenset(a.split()), frozenset(b.split()), groups_of) == expected
    assert scopes.intersect(frozenset(b.split()), frozenset(a.split()), groups_of) == expected


def test_without_knowing_groups_nothing_is_granted_by_them() -> None:
    assert not scopes.intersect({"servers!group=g"}, {"servers!user=a"})


def test_what_is_lacking_is_named_in_order() -> None:
    held = scopes.expand(["tokens!user=a", "servers!user=a"], owner=None)
    assert scopes.lacking(["servers!server=a/x", "tokens!user=a"], held) == ()
    assert scopes.lacking(["tokens!user=b", "proxy", "tokens!user=a"], held) == ("proxy", "tokens!user=b")
    assert scopes.lacking(["tokens"], held) == ("tokens",)


@pytest.mark.parametrize(
    ("held", "target", "covered"),
    [
        ("servers", {}, True),
        ("servers", {"user": "a", "server": "x"}, True),
        ("servers!user=a", {}, False),
        ("servers!user=a", {"user": "a"}, True),
        ("servers!user=a", {"user": "a", "server": ""}, True),
        ("servers!user=a", {"user": "b"}, False),
        ("servers!server=a/", {"user": "a", "server": ""}, True),
        ("servers!server=a/", {"user": "a", "server": "x"}, False),
        ("servers!server=a/x", {"user": "a", "server": "x"}, True),
        ("servers!server=a/x", {"user": "a"}, False),
        ("servers!server=a/x", {"server": "x"}, False),
        ("servers!group=g", {"user": "a", "groups_of_user": ("f", "g")}, True),
        ("servers!group=g", {"user": "a", "server": "x", "groups_of_user": ("g",)}, True),
        ("servers!group=g", {"user": "a"}, False),
        ("servers!group=g", {"groups_of_user": ("g",)}, False),
        ("servers!group=g", {"group": "g"}, True),
        ("servers!group=g", {"group": "h"}, False),
        ("servers!service=s", {"service": "s"}, True),
        ("servers!service=s", {"service": "t"}, False),
        ("servers!service=s", {"user": "s"}, False),
        ("other", {}, False),
    ],
)
def test_what_a_set_covers(held: str, target: dict[str, object], covered: bool) -> None:
    assert scopes.covers(frozenset((held,)), "servers", **target) is covered  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["abc", "a" * 255, "a-_~.1", "user"])
def test_names_of_roles(name: str) -> None:
    roles.check_name(name)


@pytest.mark.parametrize("name", ["", "ab", "1ab", "Abc", "ab-", "a b c", "a" * 256, "äbc", "abc\n"])
def test_what_is_no_name_of_a_role(name: str) -> None:
    with pytest.raises(BadRequest, match="cannot be the name of a role"):
        roles.check_name(name)


def test_the_built_in_roles() -> None:
    assert set(roles.BUILT_IN) == {"user", "admin", "server", "token"}
    assert all(role.name == name and role.description for name, role in roles.BUILT_IN.items())
    assert roles.BUILT_IN["server"].scopes == ("users:activity!user", "access:servers!server")
    everything = scopes.expand(roles.BUILT_IN["admin"].scopes, owner=ALICE)
    # An administrator may do everything but what is only meaningful as a scope of its own.
    assert set(scopes.TABLE) - everything == set(scopes.META_SCOPES)
