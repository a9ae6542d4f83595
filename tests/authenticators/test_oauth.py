"""Logging in at a provider that does something wrong: each a clear page, and nobody is let in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.responses import JSONResponse, RedirectResponse, Response

from nbhub.authenticators.oauth import GenericOAuthenticator
from nbhub.errors import ConfigError
from nbhub.store import grants, users
from servers import faulty_provider
from servers.faulty_provider import CLIENT, SECRET, FaultyProvider, garbage, refusal


@pytest.fixture
async def provider() -> AsyncIterator[FaultyProvider]:
    async with faulty_provider.running() as running:
        yield running


def source(provider: FaultyProvider, **settings: Any) -> GenericOAuthenticator:
    given = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET, "allow_all": True}
    return GenericOAuthenticator(**(given | settings))


async def visit(hub: Any, provider: FaultyProvider, browser: httpx.AsyncClient | None = None) -> httpx.Response:
    """Log in as far as it goes; return the hub's answer to the browser that comes back."""
    browser = browser or hub.client()
    left = await browser.get("/hub/oauth_login?next=/hub/token")
    if left.status_code != 302:
        return left
    return await browser.get(provider.log_in(left.headers["location"]))


async def test_a_log_in(hub_of: Any, provider: FaultyProvider) -> None:
    async with hub_of(source(provider)) as hub:
        browser = hub.client()
        page = await browser.get("/hub/login?next=/hub/token")
        assert "/hub/oauth_login?source=&amp;next=/hub/token" in page.text
        answer = await visit(hub, provider, browser)
        assert (answer.status_code, answer.headers["location"]) == (302, "/hub/token")
        assert (await browser.get("/hub/home")).status_code == 200
        sent = provider.forms[0]
        assert len(sent["code_verifier"]) >= 43
        assert sent["redirect_uri"] == "http://hub.test/hub/oauth_callback"
        async with hub.store.read() as tx:
            assert await users.get(tx, "ann") is not None


NOW = int(time.time())
FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("expired", {"claims": {"exp": NOW - 600}}, "has expired"),
    ("no expiry", {"claims": {"exp": None}}, "until when"),
    ("expiry no number", {"claims": {"exp": "soon"}}, "until when"),
    ("of the future", {"claims": {"iat": NOW + 6000}}, "from the future"),
    ("not yet", {"claims": {"nbf": NOW + 6000}}, "from the future"),
    ("other issuer", {"claims": {"iss": "https://evil.example"}}, "another provider"),
    ("other audience", {"claims": {"aud": "other"}}, "another program"),
    ("several audiences", {"claims": {"aud": [CLIENT, "other"]}}, "another program"),
    ("other party", {"claims": {"azp": "other"}}, "another program"),
    ("wrong nonce", {"claims": {"nonce": "wrong"}}, "not made for this log-in"),
    ("no nonce", {"claims": {"nonce": None}}, "not made for this log-in"),
    ("no sub", {"claims": {"sub": None}}, "no sub"),
    ("empty sub", {"claims": {"sub": ""}}, "no sub"),
    ("sub of a list", {"claims": {"sub": ["1"]}}, "no sub"),
    ("foreign key", {"signs_with": faulty_provider.new_key("first")}, "signature is not"),
    ("unknown key", {"signs_with": faulty_provider.new_key("stranger")}, "signature is not"),
    ("no ID token", {"no_id_token": True}, "no ID token"),
    ("userinfo of another", {"userinfo": {"sub": "9"}}, "two different people"),
    ("userinfo without sub", {"userinfo": {"sub": None}}, "two different people"),
    ("no name", {"claims": {"preferred_username": None}, "userinfo": {"preferred_username": None}}, "username_claim"),
    ("name of a list", {"userinfo": {"preferred_username": ["ann"]}}, "username_claim"),
    ("slash", {"userinfo": {"preferred_username": "../root"}}, "may not contain a slash"),
    ("control characters", {"userinfo": {"preferred_username": "a\nb"}}, "unprintable"),
    ("500 characters", {"userinfo": {"preferred_username": "a" * 500}}, "1 to 255"),
]


@pytest.mark.parametrize(("faults", "words"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
async def test_what_cannot_be_believed(hub_of: Any, provider: FaultyProvider, faults: Any, words: str) -> None:
    for name, value in faults.items():
        setattr(provider, name, value)
    async with hub_of(source(provider)) as hub:
        browser = hub.client()
        answer = await visit(hub, provider, browser)
        assert answer.status_code in (400, 403)
        assert words in answer.text
        assert (await browser.get("/hub/home")).status_code == 302


async def slow() -> Response:
    await asyncio.sleep(60)
    return Response("{}")


REPLIES: list[tuple[str, str, Any, int, str]] = [
    ("discovery is garbage", "/.well-known/openid-configuration", garbage(), 503, "not JSON"),
    ("discovery is missing", "/.well-known/openid-configuration", garbage(status=404), 503, "OpenID provider"),
    ("discovery of another", "/.well-known/openid-configuration", None, 503, "Set issuer to exactly that"),
    ("discovery is slow", "/.well-known/openid-configuration", slow, 503, "did not answer within"),
    ("token is garbage", "/token", garbage(), 503, "not JSON"),
    ("token is a list", "/token", JSONResponse(["x"]), 403, "did not confirm"),
    ("token is broken", "/token", garbage(status=500), 503, "has a problem"),
    ("token is elsewhere", "/token", RedirectResponse("http://192.0.2.1/"), 503, "has a problem"),
    ("token is slow", "/token", slow, 503, "did not answer within"),
    ("token is huge", "/token", garbage("x" * 2_000_000), 503, "more than"),
    ("the code is used", "/token", refusal("invalid_grant"), 403, "did not confirm"),
    ("the client is unknown", "/token", refusal("invalid_client", 401), 503, "client_secret is wrong"),
    ("keys are garbage", "/jwks", garbage(), 503, "not JSON"),
    ("keys are none", "/jwks", JSONResponse({"keys": []}), 503, "no key"),
    ("keys are odd", "/jwks", JSONResponse({"keys": ["x", {"kty": "RSA"}, {"kty": "?"}]}), 503, "no key"),
    ("userinfo is garbage", "/userinfo", garbage(), 503, "not JSON"),
    ("userinfo refuses", "/userinfo", refusal("invalid_token", 401), 403, "did not tell who you are"),
]


@pytest.mark.parametrize(
    ("path", "reply", "status", "words"), [case[1:] for case in REPLIES], ids=[case[0] for case in REPLIES]
)
async def test_a_provider_out_of_order(
    hub_of: Any, provider: FaultyProvider, path: str, reply: Any, status: int, words: str
) -> None:
    if reply is None:
        other = provider._metadata() | {"issuer": "https://other.example"}
        reply = JSONResponse(other)
    provider.replies[path] = reply
    async with hub_of(source(provider, provider_timeout=0.5 if reply is slow else 60)) as hub:
        answer = await visit(hub, provider)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text


async def test_a_provider_that_is_away(hub_of: Any) -> None:
    away = FaultyProvider(issuer="http://127.0.0.1:1")
    async with hub_of(source(away)) as hub:
        answer = await visit(hub, away)
        assert answer.status_code == 503
        assert "cannot be reached" in answer.text


async def test_a_token_signed_with_the_client_secret_or_not_at_all(hub_of: Any, provider: FaultyProvider) -> None:
    claims = {"iss": provider.issuer, "sub": "1", "aud": CLIENT, "exp": NOW + 600}
    forged = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key("secret of nbhub, made long enough to use"))
    for token in (forged, "e30.e30.", "x", "a.b.c", ".." * 20, "x" * 60_000, 7):
        provider.replies["/token"] = JSONResponse({"access_token": "at", "id_token": token})
        async with hub_of(source(provider)) as hub:
            assert (await visit(hub, provider)).status_code == 403


async def test_a_new_key_of_the_provider_is_asked_for(hub_of: Any, provider: FaultyProvider) -> None:
    own = source(provider)
    async with hub_of(own) as hub:
        assert (await visit(hub, provider)).status_code == 302
        provider.keys.insert(0, faulty_provider.new_key("second"))
        own._openid._keys_at -= 60  # not asked for just now
        assert (await visit(hub, provider)).status_code == 302
        assert provider.calls.count("/jwks") == 2
        provider.signs_with = faulty_provider.new_key("third")
        for _ in range(3):
            assert (await visit(hub, provider)).status_code == 403
        assert provider.calls.count("/jwks") == 2  # whoever sends odd tokens cannot make the hub ask all the time


async def test_the_way_back_works_once_and_in_the_same_browser(hub_of: Any, provider: FaultyProvider) -> None:
    async with hub_of(source(provider)) as hub:
        browser, other = hub.client(), hub.client()
        left = await browser.get("/hub/oauth_login")
        back = provider.log_in(left.headers["location"])
        for stranger in (await other.get(back), await browser.get(back.replace("state=", "state=x"))):
            assert stranger.status_code == 400
            assert "begun in another browser" in stranger.text
        assert (await browser.get("/hub/oauth_callback?code=x")).status_code == 400
        assert (await browser.get(back)).status_code == 302
        assert (await browser.get(back)).status_code == 400
        assert provider.calls.count("/token") == 1


async def test_two_log_ins_at_once_in_one_browser(hub_of: Any, provider: FaultyProvider) -> None:
    async with hub_of(source(provider)) as hub:
        browser = hub.client()
        first = await browser.get("/hub/oauth_login?next=/hub/home")
        second = await browser.get("/hub/oauth_login?next=/hub/token")
        assert (await browser.get(provider.log_in(first.headers["location"]))).headers["location"] == "/hub/home"
        assert (await browser.get(provider.log_in(second.headers["location"]))).headers["location"] == "/hub/token"


async def test_a_destination_that_no_cookie_could_hold(hub_of: Any, provider: FaultyProvider) -> None:
    async with hub_of(source(provider)) as hub:
        browser = hub.client()
        left = await browser.get(f"/hub/oauth_login?next=/hub/{'x' * 5000}")
        assert len(left.headers["set-cookie"]) < 4000
        assert (await browser.get(provider.log_in(left.headers["location"]))).headers["location"] == "/hub/spawn"


async def test_nobody_is_sent_elsewhere_after_a_log_in(hub_of: Any, provider: FaultyProvider) -> None:
    async with hub_of(source(provider)) as hub:
        browser = hub.client()
        left = await browser.get("/hub/oauth_login?next=https://evil.example/")
        answer = await browser.get(provider.log_in(left.headers["location"]))
        assert answer.headers["location"] == "/hub/spawn"


@pytest.mark.parametrize("error", ["access_denied", "<script>alert(1)</script>"])
async def test_what_the_provider_refuses_is_told(hub_of: Any, provider: FaultyProvider, error: str) -> None:
    async with hub_of(source(provider)) as hub:
        browser = hub.client()
        left = await browser.get("/hub/oauth_login")
        back = provider.log_in(left.headers["location"]).replace("code=the-code", "")
        answer = await browser.get(httpx.URL(back).copy_merge_params({"error": error}))
        assert answer.status_code == 403
        assert "did not log you in" in answer.text
        assert "<script>alert" not in answer.text
        mixed = httpx.URL(provider.log_in(left.headers["location"])).copy_merge_params({"iss": "https://evil.example"})
        assert (await browser.get(mixed)).status_code == 400  # the first answer used the way back up


async def test_another_issuer_in_the_answer(hub_of: Any, provider: FaultyProvider) -> None:
    async with hub_of(source(provider)) as hub:
        browser = hub.client()
        left = await browser.get("/hub/oauth_login")
        back = httpx.URL(provider.log_in(left.headers["location"])).copy_merge_params({"iss": "https://evil.example"})
        answer = await browser.get(back)
        assert "another provider" in answer.text
        assert "/token" not in provider.calls


async def test_groups_and_administrators_of_claims(hub_of: Any, provider: FaultyProvider) -> None:
    settings: dict[str, Any] = {
        "allow_all": False,
        "allowed_groups": {"staff"},
        "admin_groups": {"chiefs"},
        "auth_state_groups_key": "oauth_user.groups",
        "manage_groups": True,
    }
    async with hub_of(source(provider, **settings)) as hub:
        provider.userinfo = {"groups": ["staff", "chiefs", 7, "\n"]}
        assert (await visit(hub, provider)).status_code == 302
        async with hub.store.read() as tx:
            user = await users.get(tx, "ann")
            assert user is not None
            assert user.admin
            assert (await users.groups_of(tx, [user.id]))[user.id] == ("chiefs", "staff")
        provider.userinfo = {"groups": ["staff"]}
        assert (await visit(hub, provider)).status_code == 302
        async with hub.store.read() as tx:
            user = await users.get(tx, "ann")
        assert user is not None
        assert not user.admin
        for groups in ([], None, {"staff": 1}, 5):
            provider.userinfo = {"groups": groups}
            answer = await visit(hub, provider)
            assert answer.status_code == 403
            assert "ann may not enter this hub" in answer.text


async def test_two_accounts_of_one_name(hub_of: Any, provider: FaultyProvider) -> None:
    async with hub_of(source(provider)) as hub:
        assert (await visit(hub, provider)).status_code == 302
        provider.claims = {"sub": "another"}
        provider.userinfo = {"sub": "another", "preferred_username": "ANN"}
        answer = await visit(hub, provider)
        assert answer.status_code == 403
        assert "The name ann belongs to another account" in answer.text


async def test_without_discovery(hub_of: Any, provider: FaultyProvider) -> None:
    settings = {
        "issuer": "",
        "authorize_url": f"{provider.issuer}/authorize",
        "token_url": f"{provider.issuer}/token",
        "userdata_url": f"{provider.issuer}/userinfo",
        "username_claim": lambda told: told["preferred_username"].upper(),
        "username_map": {"ann": "anna"},
        "login_service": "the university",
    }
    async with hub_of(source(provider, **settings)) as hub:
        assert "Log in with the university" in (await hub.client().get("/hub/login")).text
        assert (await visit(hub, provider)).status_code == 302
        async with hub.store.read() as tx:
            assert await users.get(tx, "anna") is not None
        assert "/.well-known/openid-configuration" not in provider.calls


async def test_going_there_at_once(hub_of: Any, provider: FaultyProvider) -> None:
    async with hub_of(source(provider, auto_login=True)) as hub:
        browser = hub.client()
        left = await browser.get("/hub/login?next=/hub/token")
        assert left.headers["location"].startswith(f"{provider.issuer}/authorize?")
        assert (await browser.get(provider.log_in(left.headers["location"]))).headers["location"] == "/hub/token"
        out = await browser.get("/hub/logout")
        page = await browser.get(out.headers["location"])
        assert page.status_code == 200  # not logged in again at once
        assert "You are logged out" in page.text


async def test_where_one_goes_after_logging_out(hub_of: Any, provider: FaultyProvider) -> None:
    async with hub_of(source(provider, logout_redirect_url="https://www.example.org/bye")) as hub:
        browser = hub.client()
        await visit(hub, provider, browser)
        out = await browser.get("/hub/logout")
        assert out.headers["location"] == "https://www.example.org/bye"


async def test_asking_again(attach: Any, provider: FaultyProvider, clock: Any) -> None:
    clock.now = time.time()
    own = source(provider, enable_auth_state=True, admin_groups={"staff"}, claim_groups_key="groups")
    let_in = await attach(own, clock)
    departure = await own.begin("http://hub.test/hub/oauth_callback")
    query = {name: values[0] for name, values in parse_qs(urlsplit(departure.url).query).items()}
    assert query["code_challenge_method"] == "S256"
    provider.nonce = query["nonce"]
    found = await own.finish({"code": "c"}, departure.memory, "http://hub.test/hub/oauth_callback")
    user = await let_in.admit(found)
    assert user.admin
    provider.nonce = "none of a refresh"
    provider.userinfo = {"groups": []}
    clock.now += 301
    provider.claims = {"exp": int(clock.now) + 300}
    assert await let_in.refresh(user)
    assert provider.forms[-1]["grant_type"] == "refresh_token"
    async with let_in._store.read() as tx:
        again = await users.get(tx, "ann")
    assert again is not None
    assert not again.admin
    clock.now += 301
    provider.replies["/token"] = refusal("invalid_grant")
    assert not await let_in.refresh(user)
    await own.close()


async def test_who_is_no_longer_confirmed_is_logged_out(hub_of: Any, provider: FaultyProvider) -> None:
    own = source(provider, enable_auth_state=True, auth_refresh_age=3)
    async with hub_of(own) as hub:
        browser = hub.client()
        await visit(hub, provider, browser)
        provider.replies["/token"] = garbage(status=500)
        await asyncio.sleep(3.1)
        assert (await browser.get("/hub/home")).status_code == 200  # as long as nobody knows better
        assert provider.calls.count("/token") == 2
        hub.app.identities._asking_again._due.clear()
        provider.replies["/token"] = refusal("invalid_grant")
        answer = await browser.get("/hub/home")
        assert (answer.status_code, answer.headers["location"]) == (302, "/hub/login?next=%2Fhub%2Fhome")
        async with hub.store.read() as tx:
            user = await users.get(tx, "ann")
            assert user is not None
            assert await grants.list_sessions(tx, user.id, time.time()) == []


async def test_settings_that_are_missing_are_named_at_start() -> None:
    with pytest.raises(ConfigError, match=r"client_id.*client_secret.*authorize_url.*token_url.*userdata_url"):
        await GenericOAuthenticator().check()
    await GenericOAuthenticator(issuer="https://x.example", client_id="a", client_secret="b").check()
