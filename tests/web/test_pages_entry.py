"""Who may come in: what the first administrator is asked, and what becomes of the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nbhub.authenticators.dummy import DummyAuthenticator
from nbhub.authenticators.native import NativeAuthenticator
from page_reader import read, submit

PASSWORD = "correct horse battery"


@pytest.fixture
async def native_hub(hub_with: Callable[..., Any]) -> AsyncIterator[Any]:
    async with hub_with(authenticator=NativeAuthenticator(), redirect_to_server=False) as hub:
        yield hub


async def newcomer(hub: Any, name: str, *, admin: bool = False) -> tuple[Any, Any]:
    """Follow an invitation; returns the browser, and the answer to the form."""
    offer = await hub.desk.authenticator.invite(name, admin=admin, by="root")
    client = hub.client()
    form = read(await client.get(f"/hub/signup?code={offer.code}")).form("/hub/signup")
    return client, await submit(client, form, password=PASSWORD, again=PASSWORD)


async def test_the_first_administrator_is_asked_once(native_hub: Any) -> None:
    client, answer = await newcomer(native_hub, "ada", admin=True)
    assert answer.headers["location"] == "/hub/admin/who"
    page = read(await client.get("/hub/admin/who"))
    assert "Who may come in?" in page.words
    assert "To my server" not in page.words
    answer = await submit(client, page.form("/hub/admin/who"), signup="closed")
    assert answer.headers["location"] == "/hub/admin?said=closed"
    assert "Only people you invite can make an account." in read(await client.get("/hub/admin")).words
    _, answer = await newcomer(native_hub, "grace", admin=True)
    assert answer.headers["location"] == "/hub/home"


async def test_others_are_not_asked(native_hub: Any) -> None:
    client, answer = await newcomer(native_hub, "bob")
    assert answer.headers["location"] == "/hub/home"
    assert (await client.get("/hub/admin/who")).status_code == 403
    stranger = await native_hub.client().get("/hub/admin/who")
    assert stranger.headers["location"].startswith("/hub/login")


async def test_the_answer_holds_at_once_and_can_be_changed(native_hub: Any) -> None:
    client, _ = await newcomer(native_hub, "ada", admin=True)
    form = read(await client.get("/hub/admin/who")).form("/hub/admin/who")
    assert (await native_hub.client().get("/hub/signup")).status_code == 403
    answer = await submit(client, form, signup="approval")
    assert answer.headers["location"] == "/hub/admin/who?said=approval"
    page = await client.get("/hub/admin/who?said=approval")
    assert 'value="http://hub.test/hub/signup"' in page.text
    assert "Anybody may ask for an account now" in page.text
    assert "No account yet?" in read(await native_hub.client().get("/hub/login")).words

    stranger = native_hub.client()
    wish = read(await stranger.get("/hub/signup")).form("/hub/signup")
    answer = await submit(stranger, wish, username="eve", password=PASSWORD, again=PASSWORD)
    assert answer.headers["location"] == "/hub/login?said=waiting"
    assert "waits to be let in" in read(await client.get("/hub/admin")).words

    await submit(client, read(page).form("/hub/admin/who"), signup="open")
    stranger = native_hub.client()
    wish = read(await stranger.get("/hub/signup")).form("/hub/signup")
    answer = await submit(stranger, wish, username="zoe", password=PASSWORD, again=PASSWORD)
    assert answer.headers["location"] == "/hub/home"
    await native_hub.desk.authenticator.check()
    assert "chosen on the page" in native_hub.desk.authenticator.warning()


@pytest.mark.parametrize("answer", ["", "everybody", "closed\0"])
async def test_an_answer_that_is_none_changes_nothing(native_hub: Any, answer: str) -> None:
    client, _ = await newcomer(native_hub, "ada", admin=True)
    form = read(await client.get("/hub/admin/who")).form("/hub/admin/who")
    refused = await submit(client, form, signup=answer)
    assert refused.status_code == 400
    assert "Choose who may make an account." in refused.text
    assert await native_hub.desk.authenticator.signup_is_undecided()


async def test_the_configuration_decides_where_it_says_something(native_hub: Any) -> None:
    native_hub.desk.authenticator.signup = "approval"
    client, answer = await newcomer(native_hub, "ada", admin=True)
    assert answer.headers["location"] == "/hub/home"
    page = await client.get("/hub/admin/who")
    assert "c.NativeAuthenticator.signup = &#39;approval&#39;" in page.text
    refused = await submit(client, read(page).form("/hub/admin/who"), signup="open")
    assert refused.status_code == 400
    assert "The configuration says who" in refused.text


async def test_without_passwords_of_its_own_a_hub_has_no_such_page(hub_with: Callable[..., Any]) -> None:
    async with hub_with(authenticator=DummyAuthenticator()) as hub:
        browser = await hub.browser("root")
        assert (await browser.get("/hub/admin/who")).status_code in (404, 405)
