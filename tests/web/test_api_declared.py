"""No endpoint without a declared access; where requests go that are not for the API."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from nbhub.core import scopes
from nbhub.web import login, pages
from nbhub.web.api.endpoints import Endpoint
from nbhub.web.api.table import endpoints
from nbhub.web.next_url import safe

# Everything else asks for a scope. Adding to this list is a decision about security.
WITHOUT_SCOPE = {
    "open": {
        ("GET", ""), ("GET", "health"), ("POST", "security/csp-report"), ("POST", "oauth2/token"),
        ("POST", "authorizations/token"),
    },
    "known": {("GET", "user")},
    "token": {("GET", "authorizations/token/{token}")},
    "browser": {("GET", "oauth2/authorize"), ("POST", "oauth2/authorize")},
}  # fmt: skip


@pytest.mark.parametrize("endpoint", endpoints.all, ids=lambda e: f"{e.method} {e.pattern}")
async def test_every_endpoint_declares_its_access(hub: Any, endpoint: Endpoint) -> None:
    access = endpoint.access
    if access.kind in WITHOUT_SCOPE:
        assert (endpoint.method, endpoint.pattern) in WITHOUT_SCOPE[access.kind]
    else:
        assert access.kind in ("scoped", "listing")
        assert access.scopes
        scopes.validate(access.scopes)
        assert not access.on or "{user}" in endpoint.pattern or f"{{{access.on}}}" in endpoint.pattern
        assert bool(access.on) == ("{" in endpoint.pattern)
    path = endpoint.pattern.format(user="alice", server="x", token="a1", group="g", service="s")
    answer = await hub.client().request(endpoint.method, f"/hub/api/{path}", json={})
    if access.kind == "open":
        assert answer.status_code in (200, 404, 400)
    elif access.kind == "browser":
        assert answer.headers["location"].startswith("/hub/login?next=")
    else:
        assert (answer.status_code, answer.json()["message"]) == (403, "Missing or invalid credentials.")


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [
        ("/", 302, "/hub/"),
        ("/?a=b", 302, "/hub/?a=b"),
        ("/x/y?z=1", 302, "/hub/x/y?z=1"),
        ("/hub", 301, "/hub/"),
        ("/hub?a=1", 301, "/hub/?a=1"),
        ("/user/alice", 301, "/user/alice/"),
        ("/user/alice/lab/tree/a%20b?reset", 302, "/hub/user/alice/lab/tree/a%20b?reset"),
        ("//evil.example/x", 302, "/hub//evil.example/x"),
        ("/hubbub", 302, "/hub/hubbub"),
    ],
)
async def test_what_is_not_the_hubs_is_led_there(hub: Any, path: str, status: int, location: str) -> None:
    answer = await hub.client().get(f"http://hub.test{path}")
    assert (answer.status_code, answer.headers["location"]) == (status, location)


async def test_below_a_base_url(hub_with: Callable[..., Any]) -> None:
    async with hub_with(base_url="/pre/") as hub:
        alice = await hub.api("alice")
        assert (await alice.get("/pre/hub/api/user")).status_code == 200
        assert (await alice.post("/pre/hub/api/users/alice/server")).status_code == 201
        assert (await alice.get("/pre/hub/api/users/alice")).json()["server"] == "/pre/user/alice/"
        assert (await hub.client().get("/pre/x")).headers["location"] == "/pre/hub/x"
        assert (await hub.client().get("/")).headers["location"] == "/pre/hub/"
        assert (await hub.client().get("/hub/api/user")).status_code == 302


async def test_no_page_changes_anything_without_xsrf(hub: Any) -> None:
    browser = await hub.browser("root")
    await hub.user("alice")
    asked = 0
    for route in [*pages.routes(hub.desk), *login.routes(hub.desk)]:
        if "POST" not in (route.methods or ()) or route.path == "/security/csp-report":
            continue
        path = re.sub(r"{server[^}]*}", "x", re.sub(r"{user[^}]*}", "alice", route.path))
        answer = await browser.post(f"/hub{re.sub(r'{[^}]*}', 'x', path)}", data={"username": "alice"})
        assert answer.status_code == 403, route.path
        asked += 1
    assert asked > 5


# -- servers that are not running ----------------------------------------------------------------------------------


async def test_a_stranger_logs_in_first(hub: Any) -> None:
    for path in ("lab", "api/kernels"):
        answer = await hub.client().get(f"/hub/user/alice/{path}")
        assert answer.headers["location"] == f"/hub/login?next=%2Fhub%2Fuser%2Falice%2F{path.replace('/', '%2F')}"


@pytest.mark.parametrize("headers", [{}, {"Accept": "application/json"}])
async def test_programs_get_424(hub: Any, headers: dict[str, str]) -> None:
    alice = await hub.api("alice")
    path = "api/kernels" if not headers else "x"
    answer = await alice.get(f"/hub/user/alice/{path}", headers=headers)
    assert answer.status_code == 424
    assert answer.json() == {
        "message": f"JupyterHub server no longer running at /user/alice/{path}. "
        "Restart the server at http://hub.test/hub/spawn/alice"
    }
    for method in ("POST", "DELETE"):
        assert (await alice.request(method, "/hub/user/alice/x")).status_code == 424
        assert (await hub.client().request(method, "/user/alice/x")).status_code == 424


async def test_browsers_get_a_page(hub: Any) -> None:
    browser = await hub.browser("alice")
    answer = await browser.get("/hub/user/alice/lab?x=1")
    assert answer.status_code == 424
    assert "/hub/spawn/alice?next=%2Fhub%2Fuser%2Falice%2Flab%3Fx%3D1" in answer.text
    assert (await browser.post("/hub/user/alice/lab")).status_code == 403


async def test_other_peoples_servers_are_hidden(hub: Any) -> None:
    await hub.user("alice")
    bob = await hub.browser("bob")
    assert (await bob.get("/hub/user/alice/lab")).status_code == 404
    assert (await bob.get("/hub/user/nobody/lab")).status_code == 404


async def test_a_running_server_is_gone_back_to_but_not_for_ever(hub: Any) -> None:
    alice, browser = await hub.api("alice"), await hub.browser("alice")
    await alice.post("/hub/api/users/alice/server")
    answer = await browser.get("/hub/user/alice/lab/a%20b?x=1")
    assert (answer.status_code, answer.headers["location"]) == (302, "/user/alice/lab/a%20b?x=1&redirects=1")
    answer = await browser.get("/hub/user/alice/lab?redirects=4")
    assert answer.status_code == 500
    assert "Redirect loop detected" in answer.text


async def test_a_server_on_its_way_is_waited_for(hub_with: Callable[..., Any]) -> None:
    async with hub_with(slow_spawn_timeout=0) as hub:
        alice, browser = await hub.api("alice"), await hub.browser("alice")
        await alice.post("/hub/api/users/alice/server", json={"delay": 2})
        answer = await browser.get("/hub/user/alice/lab")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/hub/spawn-pending/alice?next=%2Fhub%2Fuser%2Falice%2Flab"


# -- next ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "safe_url"),
    [
        ("/hub/home", "/hub/home"),
        ("/user/alice/lab?x=1#y", "/user/alice/lab?x=1#y"),
        ("http://hub.test/hub/home?a=b", "/hub/home?a=b"),
        ("//hub.test/hub/home", "/hub/home"),
        ("http://HUB.test", "/"),
        ("https://hub.test/x", ""),
        ("http://hub.test:81/x", ""),
        ("http://hub.test@evil.example/x", ""),
        ("http://evil.example/x", ""),
        ("//evil.example/x", ""),
        ("///evil.example/x", ""),
        ("////evil.example/x", ""),
        ("/\\evil.example/x", "/%5Cevil.example/x"),
        ("\\\\evil.example/x", ""),
        ("/\t/evil.example", ""),
        (" /x", ""),
        ("http://hub.test//evil.example/x", ""),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("hub/home", ""),
        ("http://[::1", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_only_destinations_of_our_own_are_followed(url: str | None, safe_url: str) -> None:
    assert safe(url, {"http://hub.test"}) == safe_url


async def test_metrics(hub: Any, hub_with: Callable[..., Any]) -> None:
    root = await hub.api("root")
    await root.get("/hub/api/user")
    for path in ("/hub/metrics", "/hub/api/metrics"):
        answer = await root.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "jupyterhub_total_users 1.0" in answer.text
        assert 'jupyterhub_active_users{period="24h"}' in answer.text
        assert 'jupyterhub_request_duration_seconds_count{code="200",handler="user",method="GET"} 1.0' in answer.text
    assert (await hub.client().get("/hub/metrics")).status_code == 403


async def test_open_metrics(hub_with: Callable[..., Any]) -> None:
    async with hub_with(authenticate_prometheus=False) as hub:
        assert (await hub.client().get("/hub/metrics")).status_code == 200


async def test_info(hub: Any) -> None:
    info = (await (await hub.api("root")).get("/hub/api/info")).json()
    assert info["spawner"]["class"] == "nbhub.spawners.fake.FakeSpawner"
    assert {"version", "python", "sys_executable", "authenticator"} < set(info)


async def test_policy_reports_are_counted(hub: Any) -> None:
    answer = await hub.client().post("/hub/security/csp-report", content=b'{"csp-report": {}}\n\x1b[31m')
    assert answer.status_code == 200
    assert "jupyterhub_csp_reports_total 1.0" in hub.desk.metrics.text().decode()


async def test_forwarded_headers_count_from_our_proxy_only(hub: Any) -> None:
    root = await hub.api("root")
    for n in range(3):
        await root.post(f"/hub/api/users/u{n}")
    said = {"Accept": "application/jupyterhub-pagination+json", "X-Forwarded-Proto": "https"}
    url = (await root.get("/hub/api/users?limit=1", headers=said)).json()["_pagination"]["next"]["url"]
    assert url.startswith("http://hub.test/")
