"""What each known client of the REST API does, call by call, and what it needs of the answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nbhub.core.secrets import server_token
from web_hub import TestHub, running_hub

PAGED = {"Accept": "application/jupyterhub-pagination+json"}
SERVER_KEYS = {
    "name", "display_name", "full_name", "last_activity", "started", "pending", "ready", "stopped", "url",
    "user_options", "progress_url", "full_url", "full_progress_url",
}  # fmt: skip


@pytest.fixture
async def hub(tmp_path: Path, database_url: str) -> AsyncIterator[TestHub]:
    """A hub with named servers that does not wait for starts, as on Kubernetes; once on each database."""
    async with running_hub(tmp_path, database=database_url, allow_named_servers=True, slow_spawn_timeout=0) as running:
        yield running


async def test_idle_culler(hub: TestHub) -> None:
    """Lists page by page, stops servers (a body without a JSON type), deletes users."""
    culler = await hub.api("root", "list:users", "read:users:activity", "read:servers", "delete:servers", "admin:users")
    version = (await culler.get("/hub/api/")).json()["version"]
    assert int(version.split(".")[0]) >= 2
    for name in ("a", "b", "c"):
        await hub.user(name)
        client = await hub.api(name)
        assert (await client.post(f"/hub/api/users/{name}/server")).status_code == 202
        await hub.until(lambda name=name: _ready(hub, name))
    url: str | None = "/hub/api/users?state=ready&limit=2"
    found: list[dict[str, Any]] = []
    while url:
        page = (await culler.get(url, headers=PAGED)).json()
        found += page["items"]
        url = page["_pagination"]["next"] and page["_pagination"]["next"]["url"]
    assert [user["name"] for user in found] == ["a", "b", "c"]
    for user in found:
        assert {"name", "admin", "created", "last_activity", "servers"} <= set(user)
        assert set(user["servers"][""]) == SERVER_KEYS
        assert user["servers"][""]["ready"] is True
    stop = await culler.request("DELETE", "/hub/api/users/a/server", content=b'{"remove": false}')
    assert stop.status_code in (202, 204)
    assert (await culler.delete("/hub/api/users/b")).status_code == 204


async def test_binderhub(hub: TestHub) -> None:
    """Makes a user, starts the default server under an empty name with a form's content type, streams progress."""
    binder = await hub.api("root", "admin:users", "servers")
    assert (await binder.post("/hub/api/users/repo-x7")).status_code == 201
    options = json.dumps({"delay": 0.05, "fault": ""}).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    started = await binder.post("/hub/api/users/repo-x7/servers/", content=options, headers=form)
    assert started.status_code in (201, 202)
    stream = await binder.get("/hub/api/users/repo-x7/server/progress")
    told = [json.loads(frame.removeprefix("data: ")) for frame in stream.text.split("\n\n") if frame]
    assert told[-1]["ready"] is True
    assert told[-1]["url"] == "/user/repo-x7/"
    shown = (await binder.get("/hub/api/users/repo-x7")).json()
    assert shown["servers"][""]["user_options"] == {"delay": 0.05, "fault": ""}


async def test_single_user_server(hub: TestHub) -> None:
    """Asks for the version without credentials, reports activity before it is ready, asks who its visitors are."""
    alice = await hub.api("alice")
    await alice.post("/hub/api/users/alice/server", json={"ready_after": 0.3})

    async def launched() -> bool:
        return (await hub.server("alice")).start_generation > 0

    await hub.until(launched)
    record = await hub.server("alice")
    server = hub.client(server_token(hub.desk.keys.tokens, record.id, record.start_generation))
    assert (await hub.client().get("/hub/api")).headers["x-jupyterhub-version"].count(".") == 2
    at = "2026-01-01T12:00:00.123456Z"
    report = {"servers": {"": {"last_activity": at}}, "last_activity": at}
    answer = await server.post("/hub/api/users/alice/activity", json=report)
    assert (answer.status_code, answer.content) == (200, b"")
    visitor = await hub.token("bob")
    whoami = (await server.get("/hub/api/user", headers={"Authorization": f"token {visitor}"})).json()
    assert {"name", "kind", "scopes", "groups", "admin", "session_id", "token_id"} <= set(whoami)
    unknown = await server.get("/hub/api/user", headers={"Authorization": "token gone"})
    assert unknown.status_code == 403


async def test_dask_gateway(hub: TestHub) -> None:
    """Shows a user's token and reads the model."""
    token = await hub.token("alice")
    model = (await hub.client().get("/hub/api/user", headers={"Authorization": f"token {token}"})).json()
    assert (model["name"], model["kind"], model["admin"], model["groups"]) == ("alice", "user", False, [])


async def test_admin_page(hub: TestHub) -> None:
    """Works by cookie, with `_xsrf` in the query of every call."""
    await hub.user("alice")
    root = await hub.browser("root")
    fetch = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json", **PAGED}
    proof = {"_xsrf": root.cookies["_xsrf"]}

    async def call(method: str, path: str, body: Any = None, **query: str) -> Any:
        content = None if body is None else json.dumps(body).encode()
        return await root.request(method, f"/hub/api/{path}", params=proof | query, headers=fetch, content=content)

    listed = (await call("GET", "users", include_stopped_servers="1", offset="0", limit="50", sort="-name")).json()
    assert [user["name"] for user in listed["items"]] == ["root", "alice"]
    assert (await call("POST", "users", {"usernames": ["Eve"], "admin": False})).status_code == 201
    assert (await call("PATCH", "users/eve", {"name": "eva", "admin": True})).json()["name"] == "eva"
    assert (await call("POST", "users/alice/servers/")).status_code == 202
    assert (await call("DELETE", "users/alice/servers/", {"remove": True})).status_code == 400
    assert (await call("DELETE", "users/alice/server")).status_code in (202, 204)
    assert (await call("POST", "groups/g")).status_code == 201
    assert (await call("POST", "groups/g/users", {"users": ["alice"]})).status_code == 200
    assert (await call("PUT", "groups/g/properties", {"quota": "1"})).status_code == 200
    assert (await call("DELETE", "groups/g/users", {"users": ["alice"]})).status_code == 200
    assert (await call("GET", "groups", offset="0", limit="50")).json()["items"][0]["properties"] == {"quota": "1"}
    assert (await call("DELETE", "groups/g")).status_code == 204
    assert (await call("DELETE", "users/eva")).status_code == 204


async def _ready(hub: TestHub, name: str) -> bool:
    return bool((await hub.server(name)).is_ready)
