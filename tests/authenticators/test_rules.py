"""Who may enter, as whom, and what is kept of it; the rules that all sources share."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from nbhub.authenticators.admission import Admission, make_named_users
from nbhub.authenticators.base import Authenticator, GroupRules, Identity
from nbhub.errors import BadRequest, ConfigError, Forbidden
from nbhub.store import identities, users


class Source(GroupRules):
    """A source that tells accounts apart."""

    answer: Identity | bool = True

    async def refresh(self, name: str, auth_state: Any) -> Identity | bool:
        """See Authenticator."""
        return self.answer

    def origins(self) -> frozenset[str]:
        """See Authenticator."""
        return frozenset(("here", "there"))


CASES: list[tuple[dict[str, Any], str, tuple[str, ...], bool]] = [
    ({}, "ann", (), False),
    ({"allow_all": True}, "ann", (), True),
    ({"allowed_users": {"ann"}}, "ann", (), True),
    ({"allowed_users": {"bob"}}, "ann", (), False),
    ({"admin_users": {"ann"}}, "ann", (), False),
    ({"admin_users": {"ann"}, "allowed_users": {"bob"}}, "ann", (), True),
    ({"allow_all": True, "blocked_users": {"ann"}}, "ann", (), False),
    ({"allowed_users": {"ann"}, "blocked_users": {"ann"}}, "ann", (), False),
    ({"allowed_groups": {"staff"}}, "ann", ("staff", "x"), True),
    ({"allowed_groups": {"staff"}}, "ann", ("x",), False),
    ({"allowed_groups": {"staff"}, "blocked_users": {"ann"}}, "ann", ("staff",), False),
    ({"allow_existing_users": True}, "old", (), True),
    ({"allow_existing_users": True}, "ann", (), False),
    ({"allowed_users": {"bob"}}, "old", (), True),
    ({"allowed_users": {"bob"}, "allow_existing_users": False}, "old", (), False),
    ({"allow_existing_users": True, "blocked_users": {"old"}}, "old", (), False),
]


async def admission(attach: Any, source: Authenticator, *existing: str) -> Admission:
    found: Admission = await attach(source)
    async with found._store.write() as tx:
        for name in existing:
            await users.create(tx, name, now=1.0)
    return found


@pytest.mark.parametrize(("settings", "name", "groups", "enters"), CASES)
async def test_who_may_enter(
    attach: Any, settings: dict[str, Any], name: str, groups: tuple[str, ...], enters: bool
) -> None:
    let_in = await admission(attach, Source(**settings), "old")
    if enters:
        assert (await let_in.admit(Identity(name, groups=groups))).name == name
    else:
        with pytest.raises(Forbidden, match=f"{name} may not enter"):
            await let_in.admit(Identity(name, groups=groups))


ADMINS: list[tuple[dict[str, Any], Identity, bool, bool]] = [
    ({}, Identity("ann"), False, False),
    ({}, Identity("ann"), True, True),
    ({}, Identity("ann", admin=True), False, True),
    ({}, Identity("ann", admin=False), True, False),
    ({"admin_users": {"ann"}}, Identity("ann"), False, True),
    ({"admin_groups": {"root"}}, Identity("ann", groups=("root",)), False, True),
    ({"admin_groups": {"root"}}, Identity("ann", groups=("x",)), True, False),
    ({"admin_groups": {"root"}}, Identity("ann"), True, False),
    ({"admin_groups": {"root"}, "admin_users": {"ann"}}, Identity("ann"), False, True),
]


@pytest.mark.parametrize(("settings", "found", "before", "after"), ADMINS)
async def test_who_is_an_administrator(
    attach: Any, settings: dict[str, Any], found: Identity, before: bool, after: bool
) -> None:
    let_in = await admission(attach, Source(allow_all=True, **settings))
    async with let_in._store.write() as tx:
        await users.create(tx, "ann", admin=before, now=1.0)
    assert (await let_in.admit(found)).admin is after


async def test_named_users_are_there_from_the_start(attach: Any) -> None:
    source = Source(admin_users={"Root", "old"}, allowed_users={"ann"})
    let_in = await admission(attach, source, "old")
    await make_named_users(source, let_in._store, 2.0)
    await make_named_users(source, let_in._store, 3.0)
    async with let_in._store.read() as tx:
        found, _ = await users.list_page(tx)
    assert {user.name: user.admin for user in found} == {"old": True, "ann": False, "root": True}


async def test_a_name_in_the_settings_that_is_none(attach: Any) -> None:
    source = Source(admin_users={"a/b"})
    let_in = await admission(attach, source)
    with pytest.raises(ConfigError, match=r"c\.Source\.admin_users"):
        await make_named_users(source, let_in._store, 2.0)


@pytest.mark.parametrize(
    ("settings", "silent"),
    [
        ({}, False),
        ({"admin_users": {"ann"}}, False),
        ({"allowed_users": {"ann"}}, True),
        ({"allow_all": True}, True),
        ({"allowed_groups": {"x"}}, True),
        ({"allow_existing_users": True}, True),
        ({"any_allow_config": True}, True),
    ],
)
def test_the_operator_is_told_when_nobody_may_enter(settings: dict[str, Any], silent: bool) -> None:
    words = Source(**settings).warning()
    assert words == "" if silent else "Nobody may enter" in words and "c.Source.allow_all" in words


def test_names_take_the_hubs_form() -> None:
    source = Source(username_map={"a.smith": "alice"}, username_pattern="[a-z]")
    assert source.normalize("A.Smith") == "alice"
    assert source.normalize("Bob9") == "bob9"
    for odd in ("", "9bob", "a/b", "..", ".", " ann", "a\nb", "a\x00", "x" * 256, "%2e%2e", "a\\b"):
        with pytest.raises(BadRequest):
            source.normalize(odd)


def test_a_pattern_that_is_none_names_the_setting() -> None:
    with pytest.raises(ConfigError, match="username_pattern"):
        Source(username_pattern="[")


async def test_groups_follow_the_source_only_where_that_is_set(attach: Any) -> None:
    for managed, expected in ((False, ()), (True, ("a", "b"))):
        let_in = await attach(Source(allow_all=True, manage_groups=managed))
        user = await let_in.admit(Identity("ann", groups=("b", "a")))
        async with let_in._store.read() as tx:
            assert (await users.groups_of(tx, [user.id]))[user.id] == expected
    await let_in.admit(Identity("ann", groups=("c",)))
    await let_in.admit(Identity("ann"))
    async with let_in._store.read() as tx:
        assert (await users.groups_of(tx, [user.id]))[user.id] == ("c",)


async def test_a_hook_may_change_what_is_known(attach: Any) -> None:
    seen: list[Any] = []

    async def hook(source: Authenticator, handler: Any, model: dict[str, Any]) -> dict[str, Any]:
        seen.append((source, handler, dict(model)))
        return model | {"admin": True, "groups": ["made"], "auth_state": {"x": 1}}

    source = Source(allow_all=True, manage_groups=True, enable_auth_state=True, post_auth_hook=hook)
    let_in = await attach(source)
    user = await let_in.admit(Identity("ann"))
    assert seen == [(source, None, {"name": "ann", "admin": None, "groups": None, "auth_state": None})]
    assert user.admin
    assert await let_in.state_of(user) == {"x": 1}


async def test_a_hook_may_refuse_and_must_return_a_model(attach: Any) -> None:
    asked: list[int] = []
    waiting = await attach(Source(allow_all=True, post_auth_hook=lambda *given: asked.append(threading.get_ident())))
    with pytest.raises(Forbidden):
        await waiting.admit(Identity("ann"))
    assert asked != [threading.get_ident()]  # one that waits for a database holds up nobody else
    refusing = await attach(Source(allow_all=True, post_auth_hook=lambda source, handler, model: None))
    with pytest.raises(Forbidden):
        await refusing.admit(Identity("ann"))
    wrong = await attach(Source(allow_all=True, post_auth_hook=lambda source, handler, model: "ann"))
    with pytest.raises(ConfigError, match="post_auth_hook"):
        await wrong.admit(Identity("ann"))
    slashed = await attach(Source(allow_all=True, post_auth_hook=lambda s, h, model: model | {"name": "../x"}))
    with pytest.raises(BadRequest):
        await slashed.admit(Identity("ann"))


async def test_the_state_of_a_source_is_kept_encrypted_and_only_if_asked_for(attach: Any) -> None:
    let_in = await attach(Source(allow_all=True))
    user = await let_in.admit(Identity("ann", auth_state={"token": "secret-thing"}))
    assert await let_in.state_of(user) is None
    let_in = await attach(Source(allow_all=True, enable_auth_state=True))
    await let_in.admit(Identity("ann", auth_state={"token": "secret-thing"}))
    assert await let_in.state_of(user) == {"token": "secret-thing"}
    async with let_in._store.read() as tx:
        known = await identities.get(tx, user.id)
    assert known is not None
    assert "secret-thing" not in (known.auth_state or "")
    assert let_in.opened("gAAAAA of another secret") is None


async def test_two_accounts_that_lead_to_one_name_do_not_share_it(attach: Any) -> None:
    let_in = await attach(Source(allow_all=True))
    first = Identity("ann", origin="here", subject="1")
    user = await let_in.admit(first)
    assert (await let_in.admit(first)).id == user.id
    for other in (Identity("ann", origin="here", subject="2"), Identity("ann", origin="there", subject="1")):
        with pytest.raises(Forbidden, match="belongs to another account"):
            await let_in.admit(other)


async def test_a_name_of_a_source_that_is_gone_is_free(attach: Any) -> None:
    let_in = await attach(Source(allow_all=True))
    await let_in.admit(Identity("ann", origin="an older provider", subject="1"))
    await let_in.admit(Identity("ann", origin="here", subject="2"))
    with pytest.raises(Forbidden):
        await let_in.admit(Identity("ann", origin="here", subject="3"))


async def test_asking_again(attach: Any, clock: Any) -> None:
    source = Source(allow_all=True, admin_groups={"root"}, auth_refresh_age=100)
    let_in = await attach(source, clock)
    user = await let_in.admit(Identity("ann", groups=("root",), origin="here", subject="1"))
    assert user.admin
    source.answer = False
    assert await let_in.refresh(user)  # not yet due
    clock.now += 101
    source.answer = Identity("ann", groups=(), origin="here", subject="1")
    assert await let_in.refresh(user)
    async with let_in._store.read() as tx:
        again = await users.get(tx, "ann")
    assert again is not None
    assert not again.admin
    for answer in (False, Identity("ann", origin="here", subject="2"), Identity("bob", origin="here", subject="1")):
        clock.now += 101
        source.answer = answer
        assert not await let_in.refresh(user)
    source.blocked_users = {"ann"}
    clock.now += 101
    source.answer = Identity("ann", origin="here", subject="1")
    assert not await let_in.refresh(user)


async def test_a_hook_makes_the_state_of_the_new_and_the_old(attach: Any) -> None:
    async def keep_what_is_not_sent_again(_source: Any, model: dict[str, Any], old: Any) -> dict[str, Any]:
        return {**(old or {}), **model["auth_state"]}

    source = Source(allow_all=True, enable_auth_state=True, reconcile_auth_state_hook=keep_what_is_not_sent_again)
    let_in = await attach(source)
    user = await let_in.admit(Identity("ann", auth_state={"refresh_token": "r", "access_token": "1"}))
    await let_in.admit(Identity("ann", auth_state={"access_token": "2"}))
    assert await let_in.state_of(user) == {"refresh_token": "r", "access_token": "2"}
    source.reconcile_auth_state_hook = lambda _source, _model, _old: "nothing"
    with pytest.raises(ConfigError, match="reconcile_auth_state_hook has to return"):
        await let_in.admit(Identity("ann", auth_state={}))
