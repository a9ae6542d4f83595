"""The sources that keep nothing, and what all sources say when nobody or everybody may enter."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.authenticators.base import Identity, PasswordAuthenticator
from nbhub.authenticators.dummy import DummyAuthenticator
from nbhub.authenticators.tmp import TmpAuthenticator
from nbhub.errors import BadRequest


async def test_dummy_believes_every_name() -> None:
    source = DummyAuthenticator()
    assert await source.authenticate("Ada", "", address="") == Identity("ada")
    assert await source.allows(Identity("ada"))
    assert not source.asks_password
    with pytest.raises(BadRequest):
        await source.authenticate("a/b", "", address="")


async def test_dummy_with_one_password_for_all() -> None:
    source = DummyAuthenticator(password="schön")
    assert source.asks_password
    assert await source.authenticate("ada", "schön", address="") == Identity("ada")
    for wrong in ("", "schon", "schön "):
        assert await source.authenticate("ada", wrong, address="") is None


async def test_dummy_with_named_users_lets_only_them_in(attach: Any) -> None:
    source = DummyAuthenticator(allowed_users={"ada"}, admin_users={"root"})
    await attach(source)
    assert await source.allows(Identity("ada"))
    assert await source.allows(Identity("root"))
    assert not await source.allows(Identity("eve"))


def test_dummy_warns_loudly() -> None:
    assert "TRIALS ONLY" in DummyAuthenticator().warning()
    assert "WITHOUT ANY PASSWORD" in DummyAuthenticator().warning()
    assert "shared password" in DummyAuthenticator(password="x").warning()


async def test_every_visit_is_somebody_new() -> None:
    source = TmpAuthenticator()
    visits = [await source.visit() for _ in range(100)]
    assert len({visit.name for visit in visits}) == 100
    assert all(visit.temporary and visit.admin is False for visit in visits)
    assert all(source.normalize(visit.name) == visit.name for visit in visits)
    assert await source.allows(visits[0])
    assert "deleted" in source.warning()


async def test_nobody_enters_unless_a_setting_allows() -> None:
    source = PasswordAuthenticator()
    assert not await source.allows(Identity("ada"))
    assert "Nobody may enter" in source.warning()
    assert "allow_all" in source.warning()
    open_to_some = PasswordAuthenticator(allowed_users={"ada"}, blocked_users={"eve"})
    assert await open_to_some.allows(Identity("ada"))
    assert open_to_some.warning() == ""
    everybody = PasswordAuthenticator(allow_all=True, blocked_users={"eve"})
    assert not await everybody.allows(Identity("eve"))
