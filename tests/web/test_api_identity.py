"""Who may ask at all: tokens, cookies, XSRF, what every answer carries."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub import PROTOCOL_VERSION
from nbhub.core import secrets
from nbhub.store import grants, users

COMMON = {
    "x-jupyterhub-version": PROTOCOL_VERSION,
    "x-content-type-options": "nosniff",
    "access-control-allow-headers": "accept, content-type, authorization",
}


@pytest.mark.parametrize(
    "path", ["/hub/api", "/hub/api/", "/hub/api/user", "/hub/api/nothing", "/hub/health", "/hub/nothing", "/x"]
)
async def test_every_answer_carries_the_common_headers(hub: Any, path: str) -> None:
    answer = await hub.client().get(path)
    for name, value in COMMON.items():
        assert answer.headers[name] == value
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "report-uri /hub/security/csp-report" in policy
    assert ("default-src 'none'" in policy) == path.startswith(("/hub/api", "/hub/health"))


async def test_version_is_open_and_says_the_protocol(hub: Any) -> None:
    for path in ("/hub/api", "/hub/api/"):
        answer = await hub.client().get(path)
        assert (answer.status_code, answer.json()) == (200, {"version": PROTOCOL_VERSION})
        assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/hub/health", "/hub/api/health"])
async def test_health(hub: Any, method: str, path: str) -> None:
    answer = await hub.client().request(method, path)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_health_says_whether_the_database_answers(hub: Any) -> None:
    answer = await hub.client().get("/hub/health?check=ready")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"


async def test_health_is_not_ready_before_the_proxy_listens(hub: Any) -> None:
    hub.desk.is_open = False
    answer = await hub.client().get("/hub/health?check=ready")
    assert answer.status_code == 503 and "retry-after" in answer.headers
    assert (await hub.client().get("/hub/health")).status_code == 200


async def test_unknown_paths_are_json_404(hub: Any) -> None:
    for path in ("nothing", "users/", "users/a/b/c/d", "user/"):
        answer = await hub.client().get(f"/hub/api/{path}")
        assert answer.status_code == 404
        assert answer.json() == {"status": 404, "message": "There is nothing at this address of the API."}


async def test_wrong_method_is_405(hub: Any) -> None:
    answer = await hub.client().delete("/hub/api/user")
    assert answer.status_code == 405
    assert "GET" in answer.json()["message"]


async def test_options_is_empty(hub: Any) -> None:
    answer = await hub.client().options("/hub/api/users")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "header", ["", "token", "token ", "token x y", "Basic abc", "token unknown", "Bearer " + "x" * 10_000]
)
async def test_without_a_valid_credential_it_is_403(hub: Any, header: str) -> None:
    answer = await hub.client().get("/hub/api/user", headers={"Authorization": header})
    assert answer.status_code == 403
    assert answer.json() == {"status": 403, "message": "Missing or invalid credentials."}
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("scheme", ["token", "Bearer", "TOKEN", "bearer"])
async def test_token_schemes(hub: Any, scheme: str) -> None:
    token = await hub.token("alice")
    answer = await hub.client().get("/hub/api/user", headers={"Authorization": f"{scheme} {token}"})
    assert answer.status_code == 200


async def test_whoami_of_a_token(hub: Any) -> None:
    answer = (await (await hub.api("alice")).get("/hub/api/user")).json()
    assert answer["name"] == "alice"
    assert answer["kind"] == "user"
    assert answer["admin"] is False
    assert answer["groups"] == []
    assert answer["roles"] == ["user"]
    assert answer["servers"] == {}
    assert answer["server"] is None
    assert answer["pending"] is None
    assert answer["token_id"].startswith("a")
    assert answer["session_id"] is None
    assert "servers!user=alice" in answer["scopes"]
    assert answer["scopes"] == sorted(answer["scopes"])
    assert answer["created"].endswith("Z")


async def test_whoami_of_a_narrow_token_shows_no_more_than_it_may(hub: Any) -> None:
    client = await hub.api("alice", "users:activity!user")
    answer = (await client.get("/hub/api/user")).json()
    assert set(answer) == {
        "kind", "name", "admin", "user_info", "groups", "last_activity", "token_id", "session_id", "scopes",
    }  # fmt: skip


async def test_expired_and_revoked_tokens_are_403_at_once(hub: Any) -> None:
    old = await hub.token("alice", expires_at=hub.desk.clock() - 1)
    assert (await hub.client(old).get("/hub/api/user")).status_code == 403
    client = await hub.api("alice")
    mine = (await client.get("/hub/api/user")).json()["token_id"]
    assert (await client.delete(f"/hub/api/users/alice/tokens/{mine}")).status_code == 204
    assert (await client.get("/hub/api/user")).status_code == 403


async def test_a_change_of_roles_shows_in_the_next_answer(hub: Any) -> None:
    client = await hub.api("alice")
    assert (await client.get("/hub/api/users")).status_code == 403
    async with hub.store.write() as tx:
        alice = await users.get(tx, "alice")
        await users.set_admin(tx, alice.id, True)
    assert (await client.get("/hub/api/users")).status_code == 200
    async with hub.store.write() as tx:
        await users.set_admin(tx, alice.id, False)
    assert (await client.get("/hub/api/users")).status_code == 403


async def test_a_token_outlives_neither_its_expiry_nor_the_memory_of_it(hub: Any) -> None:
    token = await hub.token("alice", expires_at=hub.desk.clock() + 2)
    client = hub.client(token)
    assert (await client.get("/hub/api/user")).status_code == 200

    async def refused() -> bool:
        return (await client.get("/hub/api/user")).status_code == 403

    await hub.until(refused)


async def test_a_bad_token_falls_through_to_the_cookie(hub: Any) -> None:
    browser = await hub.browser("alice")
    answer = await browser.get("/hub/api/user", headers={"Authorization": "token nonsense"})
    assert answer.status_code == 200
    assert answer.json()["token_id"] is None


# -- cookies and XSRF ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Sec-Fetch-Mode": "same-origin"}, 403),
        ({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_reading_by_cookie(hub: Any, headers: dict[str, str], status: int) -> None:
    browser = await hub.browser("alice")
    answer = await browser.get("/hub/api/user", headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert "'_xsrf' argument missing from GET" in answer.json()["message"]
        token = browser.cookies["_xsrf"]
        for given in ({"X-XSRFToken": token}, {"X-CSRFToken": token}):
            assert (await browser.get("/hub/api/user", headers=headers | given)).status_code == 200
        assert (await browser.get("/hub/api/user", headers=headers, params={"_xsrf": token})).status_code == 200
        wrong = headers | {"X-XSRFToken": token[:-1] + ("0" if token[-1] != "0" else "1")}
        assert (await browser.get("/hub/api/user", headers=wrong)).status_code == 403


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_changing_by_cookie_needs_the_token(hub: Any, method: str) -> None:
    browser = await hub.browser("alice")
    path = "/hub/api/users/alice/server"
    assert (await browser.request(method, path)).status_code == 403
    token = browser.cookies["_xsrf"]
    answer = await browser.request(method, path, headers={"X-XSRFToken": token})
    assert answer.status_code in (201, 202, 204)


async def test_another_browsers_xsrf_token_is_refused(hub: Any) -> None:
    alice, mallory = await hub.browser("alice"), await hub.browser("mallory")
    stolen = {"X-XSRFToken": mallory.cookies["_xsrf"], "Cookie": f"_xsrf={mallory.cookies['_xsrf']}; "}
    login = f"jupyterhub-hub-login={alice.cookies['jupyterhub-hub-login']}"
    answer = await hub.client().post(
        "/hub/api/users/alice/server", headers=stolen | {"Cookie": stolen["Cookie"] + login}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"])
async def test_a_form_by_cookie_counts_as_nobody(hub: Any, kind: str) -> None:
    browser = await hub.browser("alice")
    headers = {"X-XSRFToken": browser.cookies["_xsrf"], "Content-Type": kind}
    answer = await browser.post("/hub/api/users/alice/tokens", headers=headers, content=b"{}")
    assert answer.status_code == 403
    assert answer.json()["message"] == "Missing or invalid credentials."


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--"),
        ("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 1500)),
    ],
)
async def test_forms_that_cannot_be_read_are_400_wherever_they_are_sent(hub: Any, kind: str, body: bytes) -> None:
    browser = await hub.browser("alice")
    for method, path in (("DELETE", "users/alice/server"), ("POST", "oauth2/authorize?client_id=x")):
        answer = await browser.request(method, f"/hub/api/{path}", content=body, headers={"Content-Type": kind})
        assert (method, answer.status_code) == (method, 400)
    assert (await browser.post("/hub/login", content=body, headers={"Content-Type": kind})).status_code == 400


async def test_a_token_client_may_send_any_content_type(hub: Any) -> None:
    client = await hub.api("alice")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await client.post("/hub/api/users/alice/tokens", headers=headers, content=b'{"note": "mine"}')
    assert answer.status_code == 201
    assert answer.json()["note"] == "mine"


async def test_logging_out_everywhere_ends_sessions_and_their_tokens(hub: Any) -> None:
    browser = await hub.browser("alice")
    assert (await browser.get("/hub/api/user")).status_code == 200
    async with hub.store.write() as tx:
        alice = await users.get(tx, "alice")
        session = await grants.find_session(
            tx, secrets.hash_token(browser.cookies["jupyterhub-hub-login"]), hub.desk.clock()
        )
    token = await hub.token("alice", session_id=session.session.session_id)
    assert (await hub.client(token).get("/hub/api/user")).status_code == 200
    async with hub.store.write() as tx:
        await grants.delete_sessions_of(tx, alice.id)
    assert (await browser.get("/hub/api/user")).status_code == 403
    assert (await hub.client(token).get("/hub/api/user")).status_code == 403


# -- 1.x clients ---------------------------------------------------------------------------------------------------


async def test_owner_of_a_token_for_old_servers(hub: Any) -> None:
    visitor = await hub.token("bob")
    server = await hub.api("alice", "users:activity!user")
    answer = await server.get(f"/hub/api/authorizations/token/{visitor}")
    assert answer.status_code == 200
    assert {k: answer.json()[k] for k in ("kind", "name", "admin", "groups")} == {
        "kind": "user", "name": "bob", "admin": False, "groups": [],
    }  # fmt: skip
    assert "servers" not in answer.json()
    assert (await server.get("/hub/api/authorizations/token/unknown")).status_code == 404
    assert (await hub.client().get(f"/hub/api/authorizations/token/{visitor}")).status_code == 403
    assert (await (await hub.browser("bob")).get(f"/hub/api/authorizations/token/{visitor}")).status_code == 403
    assert (await server.post("/hub/api/authorizations/token")).status_code == 404
