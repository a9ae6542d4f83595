"""How a browser enters a server: the authorization code flow, PKCE, every refusal, and how it ends."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from nbhub.core import secrets
from nbhub.core.model import OAuthCode
from nbhub.store import grants, servers, users
from nbhub.web import cookies

AUTHORIZE = "/hub/api/oauth2/authorize"
TOKEN = "/hub/api/oauth2/token"
SECRET = "s" * 32
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
STATE = base64.urlsafe_b64encode(b'{"next_url": "' + b"/x" * 300 + b'"}').decode()


@pytest.fixture
async def party(hub: Any) -> Any:
    """The OAuth client of alice's server."""
    alice = await hub.user("alice")
    async with hub.store.write() as tx:
        await servers.create(tx, alice, "", now=0.0)
    return await hub.oauth_client("alice", secret=SECRET)


def asked(**changes: str | None) -> dict[str, str]:
    """Return what a server sends a browser with."""
    parameters: dict[str, str | None] = {
        "client_id": "jupyterhub-user-alice",
        "redirect_uri": "/user/alice/oauth_callback",
        "response_type": "code",
        "state": STATE,
        **changes,
    }
    return {name: value for name, value in parameters.items() if value is not None}


def fields(issued: str, **changes: str | None) -> dict[str, str]:
    """Return what a server exchanges a code with."""
    given: dict[str, str | None] = {
        "client_id": "jupyterhub-user-alice",
        "client_secret": SECRET,
        "grant_type": "authorization_code",
        "code": issued,
        "redirect_uri": "/user/alice/oauth_callback",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def sent_back(answer: httpx.Response) -> dict[str, str]:
    """Return what a browser brings back to the server."""
    assert answer.status_code == 302, answer.text
    where = urlsplit(answer.headers["location"])
    assert (where.scheme, where.netloc, where.path) == ("", "", "/user/alice/oauth_callback")
    return {name: values[0] for name, values in parse_qs(where.query, strict_parsing=True).items()}


async def code_of(browser: httpx.AsyncClient, **changes: str | None) -> str:
    """Let a browser get a code."""
    return sent_back(await browser.get(AUTHORIZE, params=asked(**changes)))["code"]


async def test_the_whole_flow(hub: Any, party: Any) -> None:
    browser = await hub.browser("alice")
    brought = sent_back(
        await browser.get(AUTHORIZE, params=asked(code_challenge=CHALLENGE, code_challenge_method="S256"))
    )
    assert brought["state"] == STATE
    assert len(brought["code"]) == 30
    answer = await hub.client().post(TOKEN, data=fields(brought["code"], code_verifier=VERIFIER))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    token = answer.json()
    assert (token["token_type"], token["expires_in"], len(token["access_token"])) == ("Bearer", 1209600, 30)
    assert "access:servers!server=alice/" in token["scope"].split()
    whoami = (await hub.client(token["access_token"]).get("/hub/api/user")).json()
    assert whoami["name"] == "alice"
    assert whoami["scopes"] == [
        "access:servers!server=alice/", "read:users:groups!user=alice", "read:users:name!user=alice",
    ]  # fmt: skip
    assert len(whoami["session_id"]) == 32
    assert set(whoami) == {"kind", "name", "admin", "user_info", "groups", "token_id", "session_id", "scopes"}


async def test_without_pkce_as_clients_before_6(hub: Any, party: Any) -> None:
    code = await code_of(await hub.browser("alice"))
    headers = {"Authorization": f"token {SECRET}"}
    assert (await hub.client().post(TOKEN, data=fields(code), headers=headers)).status_code == 200


async def test_a_stranger_logs_in_first_and_comes_back(hub: Any, party: Any) -> None:
    answer = await hub.client().get(AUTHORIZE, params=asked(state="x"))
    assert answer.status_code == 302
    where = urlsplit(answer.headers["location"])
    assert where.path == "/hub/login"
    assert parse_qs(where.query)["next"][0].startswith("/hub/api/oauth2/authorize?client_id=jupyterhub-user-alice&")


async def test_a_token_is_not_a_browser(hub: Any, party: Any) -> None:
    answer = await (await hub.api("alice")).get(AUTHORIZE, params=asked())
    assert urlsplit(answer.headers["location"]).path == "/hub/login"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "unknown"},
        {"client_id": None},
        {"client_id": "jupyterhub"},
        {"client_id": "x" * 5000},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "/user/alice/oauth_callback/"},
        {"redirect_uri": "/user/alice/oauth_callback?x=1"},
        {"redirect_uri": "/user/mallory/oauth_callback"},
    ],
)
async def test_what_names_no_client_is_never_redirected(hub: Any, party: Any, changes: dict[str, Any]) -> None:
    answer = await (await hub.browser("alice")).get(AUTHORIZE, params=asked(**changes))
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"scope": "admin:users"}, "invalid_scope"),
        ({"scope": "no:such:scope"}, "invalid_scope"),
        ({"code_challenge": CHALLENGE, "code_challenge_method": "S1"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
    ],
)
async def test_what_the_client_is_told(hub: Any, party: Any, changes: dict[str, Any], error: str) -> None:
    brought = sent_back(await (await hub.browser("alice")).get(AUTHORIZE, params=asked(**changes)))
    assert brought["error"] == error
    assert brought["state"] == STATE
    assert "code" not in brought


async def test_a_user_without_access_is_refused(hub: Any, party: Any) -> None:
    answer = await (await hub.browser("mallory")).get(AUTHORIZE, params=asked())
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")


async def test_somebody_elses_server_asks_first(hub: Any, party: Any) -> None:
    root = await hub.browser("root")
    page = await root.get(AUTHORIZE, params=asked())
    assert page.status_code == 200
    without = await root.post(AUTHORIZE, params=asked(), data={"scopes": "access:servers!server=alice/"})
    assert without.status_code == 403
    form = {"scopes": "access:servers!server=alice/", "_xsrf": root.cookies["_xsrf"]}
    brought = sent_back(await root.post(AUTHORIZE, params=asked(), data=form))
    token = (await hub.client().post(TOKEN, data=fields(brought["code"]))).json()["access_token"]
    assert (await hub.client(token).get("/hub/api/user")).json()["name"] == "root"
    # Asked once, agreed once.
    assert "code" in sent_back(await root.get(AUTHORIZE, params=asked()))


async def test_saying_no(hub: Any, party: Any) -> None:
    root = await hub.browser("root")
    form = {"deny": "1", "_xsrf": root.cookies["_xsrf"]}
    assert sent_back(await root.post(AUTHORIZE, params=asked(), data=form))["error"] == "access_denied"


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"code": "unknown"}, 400, "invalid_grant"),
        ({"code": None}, 400, "invalid_request"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({"client_id": "unknown"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": None}, 400, "invalid_request"),
        ({"redirect_uri": "/elsewhere"}, 400, "invalid_grant"),
        ({"code_verifier": "w" * 43}, 400, "invalid_grant"),
        ({"code_verifier": None}, 400, "invalid_request"),
    ],
)
async def test_refused_exchanges(hub: Any, party: Any, changes: dict[str, Any], status: int, error: str) -> None:
    code = await code_of(await hub.browser("alice"), code_challenge=CHALLENGE, code_challenge_method="S256")
    answer = await hub.client().post(TOKEN, data=fields(code, **{"code_verifier": VERIFIER, **changes}))
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["error_description"]
    assert answer.headers.get("www-authenticate") == ('Bearer error="invalid_client"' if status == 401 else None)


async def test_a_code_works_once(hub: Any, party: Any) -> None:
    code = await code_of(await hub.browser("alice"))
    assert (await hub.client().post(TOKEN, data=fields(code))).status_code == 200
    again = await hub.client().post(TOKEN, data=fields(code))
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


async def test_a_wrong_verifier_uses_the_code_up(hub: Any, party: Any) -> None:
    code = await code_of(await hub.browser("alice"), code_challenge=CHALLENGE, code_challenge_method="S256")
    assert (await hub.client().post(TOKEN, data=fields(code, code_verifier="w" * 43))).status_code == 400
    assert (await hub.client().post(TOKEN, data=fields(code, code_verifier=VERIFIER))).status_code == 400


async def test_a_code_of_another_client_is_refused(hub: Any, party: Any) -> None:
    bob = await hub.user("bob")
    async with hub.store.write() as tx:
        await servers.create(tx, bob, "", now=0.0)
    await hub.oauth_client("bob", secret="b" * 32)
    code = await code_of(await hub.browser("alice"))
    stolen = fields(code, client_id="jupyterhub-user-bob", client_secret="b" * 32)
    answer = await hub.client().post(TOKEN, data=stolen)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("content", [b"{}", b"\xff=\xfe", b"&" * 200 + b"a=b" * 100])
async def test_bodies_that_are_no_form(hub: Any, party: Any, content: bytes) -> None:
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        answer = await hub.client().post(TOKEN, content=content, headers={"Content-Type": kind})
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_request"


async def test_logging_out_revokes_what_servers_got_in_this_session(hub: Any, party: Any) -> None:
    browser, other = await hub.browser("alice"), await hub.browser("alice")
    tokens = []
    for one in (browser, other):
        code = await code_of(one)
        tokens.append((await hub.client().post(TOKEN, data=fields(code))).json()["access_token"])
    unused = await code_of(browser)
    secret = browser.cookies[cookies.LOGIN]
    async with hub.store.write() as tx:
        await grants.delete_session(tx, hub.hashed(secret))
    assert (await hub.client(tokens[0]).get("/hub/api/user")).status_code == 403
    assert (await hub.client(tokens[1]).get("/hub/api/user")).status_code == 200
    assert (await hub.client().post(TOKEN, data=fields(unused))).status_code == 400
    async with hub.store.write() as tx:
        alice = await users.get(tx, "alice")
        await grants.delete_sessions_of(tx, alice.id)
    assert (await hub.client(tokens[1]).get("/hub/api/user")).status_code == 403


async def test_a_code_that_is_made_while_its_login_ends_is_worth_nothing(hub: Any, party: Any) -> None:
    browser, now = await hub.browser("alice"), hub.desk.clock()
    async with hub.store.write() as tx:
        alice = await users.get(tx, "alice")
        (session,) = await grants.list_sessions(tx, alice.id, now)
        await grants.delete_session(tx, hub.hashed(browser.cookies[cookies.LOGIN]))
        given = fields("late")
        late = OAuthCode(
            secrets.hash_token("late"), given["client_id"], alice.id, given["redirect_uri"], (), session.session_id,
            None, None, now + 99,
        )  # fmt: skip
        await grants.create_code(tx, late)
    answer = await hub.client().post(TOKEN, data=given)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_deleting_one_oauth_token_deletes_all_of_that_client(hub: Any, party: Any) -> None:
    browser, alice = await hub.browser("alice"), await hub.api("alice")
    for _ in range(2):
        await hub.client().post(TOKEN, data=fields(await code_of(browser)))
    listed = (await alice.get("/hub/api/users/alice/tokens")).json()["api_tokens"]
    issued = [token for token in listed if token["oauth_client"] == "Server at /user/alice/"]
    assert len(issued) == 2
    assert (await alice.delete(f"/hub/api/users/alice/tokens/{issued[0]['id']}")).status_code == 204
    assert len((await alice.get("/hub/api/users/alice/tokens")).json()["api_tokens"]) == 1


async def test_access_through_a_group_counts_for_the_token_too(hub: Any, party: Any) -> None:
    root = await hub.api("root")
    await root.post("/hub/api/groups/class", json={"users": ["alice"]})
    await hub.user("teacher")
    async with hub.store.write() as tx:
        await grants.put_role(tx, "teacher", scopes=("access:servers!group=class",))
        await grants.give_role(tx, "teacher", "user", ["teacher"])
    teacher = await hub.browser("teacher")
    form = {"_xsrf": teacher.cookies["_xsrf"]}
    brought = sent_back(await teacher.post(AUTHORIZE, params=asked(), data=form))
    token = (await hub.client().post(TOKEN, data=fields(brought["code"]))).json()["access_token"]
    assert "access:servers!server=alice/" in (await hub.client(token).get("/hub/api/user")).json()["scopes"]
