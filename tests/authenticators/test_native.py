"""Names and passwords in the database: links, rules, change, reset, sign-up."""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest

from nbhub.authenticators.base import Identity
from nbhub.core import secrets
from nbhub.errors import BadRequest, Conflict, Forbidden, NotFound, TooManyRequests
from nbhub.store import grants, users

PASSWORD = "correct horse battery"
HOME = "192.0.2.1"


async def user(store: Any, name: str) -> Any:
    async with store.read() as tx:
        return await users.get(tx, name)


async def test_right_and_wrong_passwords(native: Any, ada: str) -> None:
    assert await native.authenticate("ada", PASSWORD, address=HOME) == Identity("ada")
    assert await native.authenticate("ADA", PASSWORD, address=HOME) == Identity("ada")
    for wrong in ("", "x", PASSWORD + "x", PASSWORD.upper()):
        assert await native.authenticate("ada", wrong, address="192.0.2.9") is None
    assert await native.authenticate("nobody", PASSWORD, address="192.0.2.10") is None


async def test_only_a_hash_is_kept(native: Any, store: Any, ada: str) -> None:
    async with store.read() as tx:
        kept = await users.get_password(tx, (await users.get(tx, ada)).id)
    assert kept.hash.startswith("$argon2id$")
    assert PASSWORD not in kept.hash


async def test_the_first_link_makes_an_administrator_once(native: Any, store: Any) -> None:
    offer = await native.invite(admin=True, by="first start")
    await native.accept(offer.code, "Ada", PASSWORD, address=HOME)
    assert (await user(store, "ada")).admin
    with pytest.raises(NotFound, match="does not work any more"):
        await native.accept(offer.code, "eve", PASSWORD, address=HOME)
    assert await user(store, "eve") is None


async def test_links_expire(native: Any, clock: Any) -> None:
    offer = await native.invite(by="root")
    assert (await native.invited(offer.code, "signup")).created_by == "root"
    clock.now = offer.expires_at
    with pytest.raises(NotFound):
        await native.invited(offer.code, "signup")
    with pytest.raises(NotFound):
        await native.accept(offer.code, "eve", PASSWORD, address=HOME)


async def test_a_link_for_one_purpose_does_not_serve_another(native: Any, store: Any, ada: str) -> None:
    invitation = await native.invite(by="root")
    reset = await native.offer_reset(await user(store, ada), by="root")
    with pytest.raises(NotFound):
        await native.reset(invitation.code, "another good one", address=HOME)
    with pytest.raises(NotFound):
        await native.accept(reset.code, "eve", PASSWORD, address=HOME)
    assert await native.invited(invitation.code, "signup")
    assert await native.invited(reset.code, "reset")


async def test_an_invitation_by_name_is_for_that_name(native: Any, store: Any) -> None:
    offer = await native.invite("Grace", by="root")
    assert (await native.accept(offer.code, "eve", PASSWORD, address=HOME)).name == "grace"
    assert await user(store, "eve") is None
    with pytest.raises(Conflict):
        await native.invite("grace", by="root")


@pytest.mark.parametrize(
    ("name", "password", "error"),
    [
        ("eve", "seven77", BadRequest),
        ("eve", "x" * 1001, BadRequest),
        ("evangeline", "Evangeline", BadRequest),
        ("eve", "aaaaaaaaaaaa", BadRequest),
        ("", PASSWORD, BadRequest),
        ("a/b", PASSWORD, BadRequest),
        ("..", PASSWORD, BadRequest),
        ("a%2fb", PASSWORD, BadRequest),
        ("x" * 256, PASSWORD, BadRequest),
        ("a\nb", PASSWORD, BadRequest),
        ("ada", PASSWORD, Conflict),
    ],
)
async def test_what_cannot_be_had_leaves_the_link_good(
    native: Any, ada: str, name: str, password: str, error: type[Exception]
) -> None:
    offer = await native.invite(by="root")
    with pytest.raises(error):
        await native.accept(offer.code, name, password, address=HOME)
    assert (await native.accept(offer.code, "late", PASSWORD, address=HOME)).name == "late"


async def test_nobody_takes_an_administrators_name_by_an_invitation_for_anybody(native: Any) -> None:
    native.admin_users = {"root"}
    offer = await native.invite(by="ada")
    with pytest.raises(Conflict, match="cannot be had"):
        await native.accept(offer.code, "Root", PASSWORD, address=HOME)
    offer = await native.invite("root", by="ada")
    assert (await native.accept(offer.code, "", PASSWORD, address=HOME)).name == "root"


@pytest.mark.parametrize(
    "password", ["12345678", "x" * 998 + "yz", "pässwörter 🐴", " spaces around ", "\x00nul inside"]
)
async def test_passwords_that_can_be_had(native: Any, password: str) -> None:
    offer = await native.invite(by="root")
    await native.accept(offer.code, "eve", password, address=HOME)
    assert await native.authenticate("eve", password, address=HOME) is not None
    assert await native.authenticate("eve", password.strip() + "!", address=HOME) is None


async def test_composed_and_decomposed_characters_are_the_same_password(native: Any) -> None:
    offer = await native.invite(by="root")
    await native.accept(offer.code, "eve", "caf\u00e9 au lait", address=HOME)
    assert await native.authenticate("eve", "cafe\u0301 au lait", address=HOME) is not None


async def test_reset_ends_sessions_and_the_old_password(native: Any, store: Any, clock: Any, ada: str) -> None:
    record = await user(store, ada)
    async with store.write() as tx:
        await grants.create_session(
            tx, record.id, cookie_hash=secrets.hash_token("c"), session_id="s", now=clock(), expires_at=clock() + 99
        )
    offer = await native.offer_reset(record, by="root")
    await native.reset(offer.code, "another good one", address=HOME)
    async with store.read() as tx:
        assert await grants.list_sessions(tx, record.id, clock()) == []
    assert await native.authenticate(ada, PASSWORD, address=HOME) is None
    assert await native.authenticate(ada, "another good one", address=HOME) == Identity(ada)
    with pytest.raises(NotFound):
        await native.reset(offer.code, "a third good one", address=HOME)


async def test_change_needs_the_old_password(native: Any, store: Any, ada: str) -> None:
    record = await user(store, ada)
    with pytest.raises(Forbidden, match="current password"):
        await native.change(record, "wrong", "another good one", address=HOME)
    with pytest.raises(BadRequest):
        await native.change(record, PASSWORD, "short", address=HOME)
    await native.change(record, PASSWORD, "another good one", address=HOME)
    assert await native.authenticate(ada, "another good one", address=HOME) == Identity(ada)


async def test_a_user_without_a_password_cannot_log_in(native: Any, store: Any) -> None:
    async with store.write() as tx:
        await users.create(tx, "grace", now=1.0)
    for guess in ("", "grace", PASSWORD):
        assert await native.authenticate("grace", guess, address=HOME) is None


async def test_sign_up_is_closed_by_default(native: Any, store: Any) -> None:
    with pytest.raises(Forbidden, match="by invitation"):
        await native.sign_up("eve", PASSWORD, address=HOME)
    assert await user(store, "eve") is None
    assert native.warning() == ""


async def test_open_sign_up(native: Any, store: Any) -> None:
    native.signup = "open"
    native.admin_users = {"root"}
    assert await native.sign_up("eve", PASSWORD, address=HOME) == Identity("eve")
    assert not (await user(store, "eve")).admin
    with pytest.raises(Conflict):
        await native.sign_up("eve", PASSWORD, address=HOME)
    with pytest.raises(Conflict):
        await native.sign_up("root", PASSWORD, address=HOME)  # or anybody would be an administrator
    native.allowed_users = {"grace"}
    with pytest.raises(Forbidden):
        await native.sign_up("mallory", PASSWORD, address=HOME)
    assert "Everybody" in native.warning()


async def test_sign_up_by_approval(native: Any, store: Any) -> None:
    native.signup = "approval"
    assert await native.sign_up("eve", PASSWORD, address=HOME) is None
    assert await native.waiting() == ["eve"]
    assert await native.authenticate("eve", "wrong password", address=HOME) is None
    with pytest.raises(Forbidden, match="waiting"):
        await native.authenticate("eve", PASSWORD, address=HOME)
    await native.approve(await user(store, "eve"))
    assert await native.waiting() == []
    assert await native.authenticate("eve", PASSWORD, address=HOME) == Identity("eve")


async def test_a_name_that_waited_and_was_deleted_does_not_wait_for_ever(native: Any, store: Any) -> None:
    native.signup = "approval"
    await native.sign_up("eve", PASSWORD, address=HOME)
    async with store.write() as tx:
        await users.delete(tx, (await users.get(tx, "eve")).id)
    offer = await native.invite("eve", by="root")
    await native.accept(offer.code, "eve", PASSWORD, address=HOME)
    assert await native.authenticate("eve", PASSWORD, address=HOME) == Identity("eve")


async def test_strangers_cannot_fill_the_list_of_those_who_wait(native: Any, monkeypatch: Any) -> None:
    native.signup = "approval"
    monkeypatch.setattr("nbhub.authenticators.native.MOST_WAITING", 2)
    await native.sign_up("a1", PASSWORD, address=HOME)
    await native.sign_up("a2", PASSWORD, address=HOME)
    with pytest.raises(TooManyRequests):
        await native.sign_up("a3", PASSWORD, address=HOME)


async def test_who_may_enter(native: Any, store: Any, ada: str) -> None:
    assert await native.allows(Identity("ada"))
    native.blocked_users = {"ada"}
    assert not await native.allows(Identity("ada"))
    native.blocked_users = set()
    native.allowed_users = {"grace"}
    assert not await native.allows(Identity("ada"))
    async with store.write() as tx:
        await users.set_admin(tx, (await users.get(tx, "ada")).id, True)
    assert await native.allows(Identity("ada"))


async def test_unknown_names_take_as_long_as_known_ones(native: Any, ada: str) -> None:
    async def took(name: str, number: int) -> float:
        begun = time.process_time()
        await native.authenticate(name, "wrong password", address=f"198.51.{number}.1")
        return time.process_time() - begun

    known = statistics.median([await took("ada", number) for number in range(15)])
    unknown = statistics.median([await took(f"nobody{number}", number) for number in range(15)])
    assert 0.5 < known / unknown < 2.0
