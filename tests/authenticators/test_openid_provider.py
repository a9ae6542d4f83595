"""Logging in at a real OpenID provider: its own pages, tokens, refresh and logging out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from nbhub.authenticators.admission import Admission
from nbhub.authenticators.oauth import GenericOAuthenticator
from nbhub.store import users
from servers import openid_provider

CALLBACK = "http://hub.test/hub/oauth_callback"
GOODBYE = "http://hub.test/hub/login?said=out"


@pytest.fixture(scope="module", params=["client_secret_basic", "client_secret_post"])
def issuer(request: pytest.FixtureRequest) -> Iterator[str]:
    if not openid_provider.available():
        pytest.skip("Node.js, or the provider that its package manager fetches, is not there")
    with openid_provider.running(CALLBACK, GOODBYE, request.param) as running:
        yield running


def source(issuer: str, **settings: Any) -> GenericOAuthenticator:
    given: dict[str, Any] = {
        "issuer": issuer,
        "client_id": "nbhub",
        "client_secret": "secret of nbhub",
        "scope": ["openid", "profile", "groups", "offline_access"],
        "extra_authorize_params": {"prompt": "consent"},
        "basic_auth": "basic" in settings.pop("method", ""),
        "claim_groups_key": "groups",
        "allowed_groups": {"staff"},
        "admin_groups": {"admins"},
        "manage_groups": True,
        "enable_auth_state": True,
    }
    return GenericOAuthenticator(**(given | settings))


async def come_in(browser: httpx.AsyncClient, name: str) -> httpx.Response:
    left = await browser.get("/hub/oauth_login?next=/hub/home")
    assert left.status_code == 302, left.text
    return await browser.get(await openid_provider.log_in(left.headers["location"], name, CALLBACK))


async def test_logging_in_asking_again_and_logging_out(hub_of: Any, issuer: str) -> None:
    own = source(issuer, logout_at_provider=True)
    async with hub_of(own) as hub:
        browser = hub.client()
        answer = await come_in(browser, "admin-ada")
        assert (answer.status_code, answer.headers["location"]) == (302, "/hub/home"), answer.text
        async with hub.store.read() as tx:
            user = await users.get(tx, "admin-ada")
            assert user is not None
            assert user.admin
            assert (await users.groups_of(tx, [user.id]))[user.id] == ("admins", "staff")

        later = Admission(own, hub.store, hub.desk.keys, lambda: time.time() + 400)
        before = await later.state_of(user)
        assert await later.refresh(user)
        after = await later.state_of(user)
        assert before is not None
        assert after is not None
        assert after["access_token"] != before["access_token"]
        assert after["oauth_user"]["groups"] == ["admins", "staff"]

        out = await browser.get("/hub/logout")
        gone = urlsplit(out.headers["location"])
        query = parse_qs(gone.query)
        assert f"{gone.scheme}://{gone.netloc}" == issuer
        assert query["post_logout_redirect_uri"] == [GOODBYE]
        async with httpx.AsyncClient(timeout=100) as other:
            assert (await other.get(out.headers["location"])).status_code == 200
        await own.close()


async def test_an_ordinary_user_and_one_who_may_not_enter(hub_of: Any, issuer: str) -> None:
    own = source(issuer, blocked_users={"eve"})
    async with hub_of(own) as hub:
        ordinary, blocked = hub.client(), hub.client()
        assert (await come_in(ordinary, "Bob")).status_code == 302
        async with hub.store.read() as tx:
            user = await users.get(tx, "bob")
        assert user is not None
        assert not user.admin
        answer = await come_in(blocked, "eve")
        assert answer.status_code == 403
        assert "eve may not enter this hub" in answer.text
        await own.close()


async def test_a_wrong_secret_is_the_operators_concern(hub_of: Any, issuer: str) -> None:
    own = source(issuer, client_secret="wrong")
    async with hub_of(own) as hub:
        answer = await come_in(hub.client(), "ada")
        assert answer.status_code == 503
        assert "client_secret is wrong" in answer.text
        await own.close()


async def test_five_people_at_once(hub_of: Any, issuer: str) -> None:
    own = source(issuer)
    async with hub_of(own) as hub:
        answers = await asyncio.gather(*(come_in(hub.client(), f"user{n}") for n in range(5)))
        assert [answer.status_code for answer in answers] == [302] * 5
        await own.close()
