"""One password for everybody, and one for administrators."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.authenticators.shared import SharedPasswordAuthenticator
from nbhub.errors import BadRequest, ConfigError, TooManyRequests

USER, ADMIN, GROUP = "users' password", "a" * 32, "group password"


def source(**settings: Any) -> SharedPasswordAuthenticator:
    kept = {"user_password": USER, "admin_password": ADMIN, "admin_users": {"root"}, "allow_all": True}
    return SharedPasswordAuthenticator(**(kept | settings))


@pytest.mark.parametrize(
    ("name", "password", "enters"),
    [
        ("ann", USER, True),
        ("ann", "wrong password", False),
        ("ann", ADMIN, False),
        ("root", ADMIN, True),
        ("Root", USER, False),
    ],
)
async def test_passwords(attach: Any, name: str, password: str, enters: bool) -> None:
    shared = source()
    await attach(shared)
    await shared.check()
    found = await shared.authenticate(name, password, address="192.0.2.1")
    assert (found is not None) is enters
    if found is not None:
        assert found.admin is (True if name == "root" else None)


async def test_without_a_user_password_only_administrators_enter(attach: Any) -> None:
    shared = source(user_password=None)
    await attach(shared)
    assert await shared.authenticate("ann", USER, address="192.0.2.1") is None
    with pytest.raises(BadRequest):
        await shared.authenticate("ann", "", address="192.0.2.1")


async def test_passwords_of_groups(attach: Any) -> None:
    shared = source(password_groups={GROUP: ["course"]}, manage_groups=True)
    await attach(shared)
    await shared.check()
    found = await shared.authenticate("ann", GROUP, address="192.0.2.1")
    assert found is not None
    assert found.groups == ("course",)


async def test_guessing_has_to_wait(attach: Any) -> None:
    shared = source()
    await attach(shared)
    with pytest.raises(TooManyRequests):
        for _ in range(10):
            await shared.authenticate("ann", "guess", address="192.0.2.1")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"user_password": "short"}, "user_password"),
        ({"admin_password": "a" * 31}, "admin_password"),
        ({"admin_password": "a" * 32, "user_password": "a" * 32}, "admin_password"),
        ({"admin_password": None}, "admin_users"),
        ({"password_groups": {GROUP: ["x"]}}, "manage_groups"),
        ({"user_password": None, "admin_password": None, "admin_users": set()}, "user_password"),
    ],
)
async def test_settings_that_make_no_sense_are_told_at_start(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        await source(**settings).check()
