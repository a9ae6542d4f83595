"""The page of tokens, and going on to a server of somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nbhub.store import grants, users
from page_reader import read, submit

HOSTILE = "<script>alert(1)</script>\"'"


async def made(browser: Any, **fields: str) -> str:
    answer = await submit(browser, read(await browser.get("/hub/token")).form("/hub/token"), **fields)
    assert answer.status_code == 200
    shown = [given["value"] for tag, given in read(answer).tags if tag == "input" and "data-copy" in given]
    assert len(shown) == 1
    return shown[0]


async def test_a_token_is_shown_once_and_works(hub: Any) -> None:
    browser = await hub.browser("ada")
    token = await made(browser, note="nightly report", life="3600")
    assert (await hub.client(token).get("/hub/api/user")).json()["name"] == "ada"
    page = await browser.get("/hub/token")
    assert token not in page.text
    assert "nightly report" in read(page).words
    assert page.headers["cache-control"] == "no-store"
    async with hub.store.read() as tx:
        (record, _), *_ = await grants.list_tokens(tx, user_id=1, now=hub.desk.clock())
    assert record.expires_at - record.created == pytest.approx(3600, abs=5)


async def test_revoking(hub: Any) -> None:
    browser = await hub.browser("ada")
    token = await made(browser, note="x", life="")
    answer = await submit(browser, read(await browser.get("/hub/token")).form("/hub/token/revoke"))
    assert answer.headers["location"] == "/hub/token?said=revoked"
    assert (await hub.client(token).get("/hub/api/user")).status_code == 403


async def test_a_token_with_fewer_scopes(hub: Any) -> None:
    browser = await hub.browser("ada")
    token = await made(browser, scopes="read:users:name!user, users:activity!user", life="3600")
    scopes = (await hub.client(token).get("/hub/api/user")).json()["scopes"]
    assert "users:activity!user=ada" in scopes
    assert not any(scope.startswith("servers") for scope in scopes)


@pytest.mark.parametrize(
    "fields",
    [
        {"scopes": "nonsense"},
        {"scopes": "admin:users"},
        {"scopes": HOSTILE},
        {"scopes": "servers!user " * 300},
        {"life": "-1"},
        {"life": "1e9"},
        {"life": "99999999999"},
        {"note": "x" * 2000},
        {"note": "a\x00b"},
    ],
)
async def test_what_no_token_can_have(hub: Any, fields: dict[str, str]) -> None:
    browser = await hub.browser("ada")
    form = read(await browser.get("/hub/token")).form("/hub/token")
    answer = await submit(browser, form, **{"life": "3600", **fields})
    assert answer.status_code == 400
    page = read(answer)
    assert page.has("p", role="alert")
    assert HOSTILE not in page.source
    async with hub.store.read() as tx:
        assert await grants.list_tokens(tx, user_id=1, now=hub.desk.clock()) == []


async def test_a_hostile_note_is_only_text(hub: Any) -> None:
    browser = await hub.browser("ada")
    await made(browser, note=HOSTILE, life="3600")
    page = read(await browser.get("/hub/token"))
    assert HOSTILE in page.words
    assert not any(tag == "script" and "static" not in given.get("src", "") for tag, given in page.tags)


async def test_nobody_revokes_what_belongs_to_others(hub: Any) -> None:
    token = await hub.token("bob")
    browser = await hub.browser("ada")
    async with hub.store.read() as tx:
        bob = await users.get(tx, "bob")
        (record, _), *_ = await grants.list_tokens(tx, user_id=bob.id, now=hub.desk.clock())
    for number in (f"a{record.id}", "a0", "", "a9999999999999999999999", HOSTILE):
        form = {"_xsrf": browser.cookies["_xsrf"], "id": number}
        assert (await browser.post("/hub/token/revoke", data=form)).status_code == 404
    assert (await hub.client(token).get("/hub/api/user")).status_code == 200


async def test_the_longest_life_is_kept(hub_with: Callable[..., Any]) -> None:
    async with hub_with(token_expires_in_max=86400) as hub:
        browser = await hub.browser("ada")
        page = read(await browser.get("/hub/token"))
        lives = [given["value"] for tag, given in page.tags if tag == "option"]
        assert lives == ["3600", "86400"]
        assert (await submit(browser, page.form("/hub/token"), life="")).status_code == 400


async def test_tokens_are_made_by_people_in_browsers(hub: Any) -> None:
    client = await hub.api("ada", "users:activity!user")
    assert (await client.get("/hub/token")).status_code == 302
    assert (await client.post("/hub/token", data={"note": "more"})).status_code == 302


async def test_going_on_to_somebody_elses_server(hub: Any) -> None:
    await (await hub.api("ada")).post("/hub/api/users/ada/server")
    await hub.oauth_client("ada")
    root = await hub.browser("root")
    asked = {
        "client_id": "jupyterhub-user-ada",
        "redirect_uri": "/user/ada/oauth_callback",
        "response_type": "code",
        "state": HOSTILE,
    }
    page = read(await root.get("/hub/api/oauth2/authorize", params=asked))
    assert "Server at /user/ada/ wants to know that you are root" in page.words
    form = next(form for form in page.forms if "authorize" in form.action)
    answer = await submit(root, form)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/user/ada/oauth_callback?code=")
