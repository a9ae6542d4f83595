"""Servers: start, stop, remove, change; limits; progress; activity."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from nbhub.core.secrets import server_token

SLOW = {"delay": 1}


async def events(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    """Read a stream of events to its end."""
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    frames = [frame for frame in answer.text.split("\n\n") if frame]
    assert all(frame.startswith("data: ") for frame in frames)
    return [json.loads(frame[6:]) for frame in frames]


def is_followed(hub: Any) -> bool:
    """Whether somebody reads a stream of events: nothing else listens for the end of the hub."""
    return bool(hub.store.wakeup._exact.get("closing"))


@pytest.mark.parametrize("path", ["users/alice/server", "users/alice/servers/"])
async def test_start_show_stop(hub: Any, path: str) -> None:
    alice = await hub.api("alice")
    started = await alice.post(f"/hub/api/{path}")
    assert (started.status_code, started.content) == (201, b"")
    assert started.headers["content-type"] == "text/plain"
    model = (await alice.get("/hub/api/users/alice")).json()
    assert model["server"] == "/user/alice/"
    assert set(model["servers"]) == {""}
    server = model["servers"][""]
    assert server == (await alice.get(f"/hub/api/{path}")).json()
    assert server["ready"] is True
    assert server["pending"] is None
    assert server["stopped"] is False
    assert server["url"] == "/user/alice/"
    assert server["full_name"] == "alice/"
    assert server["progress_url"] == "/hub/api/users/alice/server/progress"
    assert server["started"].endswith("Z")
    assert "state" not in server
    again = await alice.post(f"/hub/api/{path}")
    assert (again.status_code, again.json()["message"]) == (400, "The server alice/ is already running.")
    stopped = await alice.delete(f"/hub/api/{path}")
    assert (stopped.status_code, stopped.content) == (204, b"")
    assert (await alice.delete(f"/hub/api/{path}")).status_code == 204
    assert (await alice.get("/hub/api/users/alice")).json()["servers"] == {}
    shown = (await alice.get("/hub/api/users/alice?include_stopped_servers=1")).json()["servers"][""]
    assert (shown["stopped"], shown["ready"], shown["started"]) == (True, False, None)


async def test_state_is_for_those_who_administer_servers(hub: Any) -> None:
    alice, root = await hub.api("alice"), await hub.api("root")
    await alice.post("/hub/api/users/alice/server")
    assert "object_name" in (await root.get("/hub/api/users/alice/server")).json()["state"]


async def test_a_server_that_never_was_is_404(hub: Any) -> None:
    alice = await hub.api("alice")
    assert (await alice.get("/hub/api/users/alice/server")).status_code == 404
    assert (await alice.delete("/hub/api/users/alice/server")).status_code == 204
    assert (await alice.delete("/hub/api/users/alice/servers/none")).status_code == 404
    root = await hub.api("root")
    assert (await root.post("/hub/api/users/nobody/server")).status_code == 404
    assert (await root.delete("/hub/api/users/nobody/server")).status_code == 404


async def test_slow_starts_are_202_and_joined(hub_with: Callable[..., Any]) -> None:
    async with hub_with(slow_spawn_timeout=0.05) as hub:
        alice = await hub.api("alice")
        assert (await alice.post("/hub/api/users/alice/server", json=SLOW)).status_code == 202
        generation = (await hub.server("alice")).generation
        assert (await alice.post("/hub/api/users/alice/server")).status_code == 202
        assert (await hub.server("alice")).generation == generation
        model = (await alice.get("/hub/api/users/alice")).json()
        assert (model["server"], model["pending"]) == (None, "spawn")
        assert model["servers"][""]["pending"] == "spawn"
        told = await events(alice, "/hub/api/users/alice/server/progress")
        assert told[0] == {"progress": 0, "message": "Server requested"}
        assert told[-1]["ready"] is True
        assert told[-1]["url"] == "/user/alice/"
        assert told[-1]["html_message"] == 'Server ready at <a href="/user/alice/">/user/alice/</a>'
        assert [event["progress"] for event in told] == sorted(event["progress"] for event in told)
        assert len(told) >= 4


async def test_zero_patience_answers_at_once(hub_with: Callable[..., Any]) -> None:
    async with hub_with(slow_spawn_timeout=0, slow_stop_timeout=0) as hub:
        alice = await hub.api("alice")
        assert (await alice.post("/hub/api/users/alice/server")).status_code == 202

        async def ready() -> bool:
            return bool((await hub.server("alice")).is_ready)

        await hub.until(ready)
        assert (await alice.delete("/hub/api/users/alice/server")).status_code == 202


async def test_a_failed_start_tells_why(hub: Any) -> None:
    alice = await hub.api("alice")
    answer = await alice.post("/hub/api/users/alice/server", json={"fault": "fails"})
    assert answer.status_code == 500
    assert answer.json()["message"].startswith("Spawn failed: ")
    told = await events(alice, "/hub/api/users/alice/server/progress")
    assert len(told) == 1
    assert told[0]["failed"] is True
    assert told[0]["message"].startswith("Spawn failed: ")
    assert (await alice.get("/hub/api/users/alice")).json()["servers"] == {}


async def test_bad_options_start_nothing(hub: Any) -> None:
    alice = await hub.api("alice")
    for body in ({"fault": "unheard of"}, {"user_options": 5}, {"display_name": 5, "user_options": {}}):
        assert (await alice.post("/hub/api/users/alice/server", json=body)).status_code == 400
    assert (await alice.get("/hub/api/users/alice/server")).status_code == 404


async def test_options_are_kept_for_the_next_start(hub: Any) -> None:
    alice = await hub.api("alice")
    for body in (None, {"user_options": {"delay": 0.001}}, {}, None):
        content = None if body is None else json.dumps(body).encode()
        assert (await alice.post("/hub/api/users/alice/server", content=content)).status_code == 201
        await alice.delete("/hub/api/users/alice/server")
    options = (await alice.get("/hub/api/users/alice?include_stopped_servers")).json()["servers"][""]["user_options"]
    assert options == {"delay": 0.001}


async def test_cancelling_a_start(hub: Any) -> None:
    alice = await hub.api("alice")
    starting = asyncio.create_task(alice.post("/hub/api/users/alice/server", json={"delay": 60}))

    async def known() -> bool:
        return bool((await alice.get("/hub/api/users/alice")).json()["servers"])

    await hub.until(known)
    following = asyncio.create_task(events(alice, "/hub/api/users/alice/server/progress"))
    await hub.until(lambda: is_followed(hub))
    assert (await alice.delete("/hub/api/users/alice/server")).status_code == 204
    answer = await starting
    assert (answer.status_code, answer.json()["message"]) == (400, "The start of alice/ was cancelled.")
    assert (await following)[-1] == {"progress": 100, "failed": True, "message": "Spawn cancelled"}
    gone = await alice.get("/hub/api/users/alice/server/progress")
    assert gone.status_code == 400


async def test_a_stop_under_way_refuses_a_start(hub_with: Callable[..., Any]) -> None:
    async with hub_with(slow_stop_timeout=0.05) as hub:
        alice = await hub.api("alice")
        await alice.post("/hub/api/users/alice/server", json={"stop_seconds": 20})
        assert (await alice.delete("/hub/api/users/alice/server")).status_code == 202
        assert (await alice.get("/hub/api/users/alice")).json()["pending"] == "stop"
        answer = await alice.post("/hub/api/users/alice/server")
        assert answer.status_code == 400
        assert "pending stop" in answer.json()["message"]


async def test_progress_of_a_ready_server_is_one_event(hub: Any) -> None:
    alice = await hub.api("alice")
    await alice.post("/hub/api/users/alice/server")
    told = await events(alice, "/hub/api/users/alice/server/progress")
    assert [event["ready"] for event in told] == [True]


async def test_closing_ends_streams(hub: Any) -> None:
    alice = await hub.api("alice")
    starting = asyncio.create_task(alice.post("/hub/api/users/alice/server", json={"delay": 60}))

    async def known() -> bool:
        return bool((await alice.get("/hub/api/users/alice")).json()["servers"])

    await hub.until(known)
    following = asyncio.create_task(events(alice, "/hub/api/users/alice/server/progress"))
    await hub.until(lambda: is_followed(hub))
    hub.app.close()
    told = await asyncio.wait_for(following, 100)
    assert not any("ready" in event or "failed" in event for event in told)
    starting.cancel()


# -- limits --------------------------------------------------------------------------------------------------------


async def test_limit_of_active_servers(hub_with: Callable[..., Any]) -> None:
    async with hub_with(active_server_limit=1) as hub:
        alice, bob = await hub.api("alice"), await hub.api("bob")
        assert (await alice.post("/hub/api/users/alice/server")).status_code == 201
        answer = await bob.post("/hub/api/users/bob/server")
        assert answer.status_code == 429
        assert (await bob.get("/hub/api/users/bob")).json()["servers"] == {}
        await alice.delete("/hub/api/users/alice/server")
        assert (await bob.post("/hub/api/users/bob/server")).status_code == 201


async def test_limit_of_starts_at_once_holds_under_pressure(hub_with: Callable[..., Any]) -> None:
    async with hub_with(concurrent_spawn_limit=3, slow_spawn_timeout=0) as hub:
        root = await hub.api("root")
        names = [f"u{n}" for n in range(12)]
        await root.post("/hub/api/users", json={"usernames": names})
        answers = await asyncio.gather(
            *(root.post(f"/hub/api/users/{name}/server", json={"delay": 60}) for name in names)
        )
        assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 9
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) > 0


# -- named servers -------------------------------------------------------------------------------------------------


async def test_named_servers_have_to_be_enabled(hub: Any) -> None:
    alice = await hub.api("alice")
    for method in ("POST", "PUT"):
        answer = await alice.request(method, "/hub/api/users/alice/servers/gpu")
        assert answer.status_code == 400
        assert "not enabled" in answer.json()["message"]


@pytest.mark.parametrize("name", ["A", "a--b", "-a", "a-", "1a", "a b", "a.b", "x" * 31, "é", "a%2Fb", "%2e%2e"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_bad_names_of_servers(named_hub: Any, name: str, method: str) -> None:
    alice = await named_hub.api("alice")
    assert (await alice.request(method, f"/hub/api/users/alice/servers/{name}")).status_code == 400
    assert (await alice.get("/hub/api/users/alice?include_stopped_servers=1")).json()["servers"] == {}


async def test_named_servers(named_hub: Any) -> None:
    alice = await named_hub.api("alice")
    made = await alice.put("/hub/api/users/alice/servers/gpu", json={"display_name": " My  GPU ", "user_options": {}})
    assert made.status_code == 201
    assert (made.json()["display_name"], made.json()["stopped"]) == ("My GPU", True)
    assert (await alice.put("/hub/api/users/alice/servers/gpu")).status_code == 409
    assert (await alice.put("/hub/api/users/alice/servers/")).status_code == 409
    changed = await alice.patch("/hub/api/users/alice/servers/gpu", json={"name": "big", "display_name": "Big"})
    assert (changed.status_code, changed.json()["full_name"]) == (200, "alice/big")
    assert (await alice.post("/hub/api/users/alice/servers/big")).status_code == 201
    server = (await alice.get("/hub/api/users/alice/servers/big")).json()
    assert server["url"] == "/user/alice/big/"
    assert server["progress_url"] == "/hub/api/users/alice/servers/big/progress"
    assert (await alice.patch("/hub/api/users/alice/servers/big", json={"name": "x"})).status_code == 400
    assert (await alice.post("/hub/api/users/alice/servers/two")).status_code == 201
    third = await alice.post("/hub/api/users/alice/servers/three")
    assert (third.status_code, "limit" in third.json()["message"]) == (400, True)
    remove = json.dumps({"remove": True}).encode()
    assert (await alice.request("DELETE", "/hub/api/users/alice/servers/big", content=remove)).status_code == 204
    assert (await alice.get("/hub/api/users/alice/servers/big")).status_code == 404
    assert (await alice.request("DELETE", "/hub/api/users/alice/server", content=remove)).status_code == 400
    await alice.delete("/hub/api/users/alice/servers/two")
    assert (await alice.request("DELETE", "/hub/api/users/alice/servers/two", content=remove)).status_code == 204
    assert (await alice.get("/hub/api/users/alice?include_stopped_servers=1")).json()["servers"] == {}


@pytest.mark.parametrize(
    "body", [{}, {"name": "Bad Name"}, {"unknown": 1}, {"user_options": 1}, {"display_name": "\u0007"}]
)
async def test_bad_changes_of_servers(named_hub: Any, body: Any) -> None:
    alice = await named_hub.api("alice")
    await alice.put("/hub/api/users/alice/servers/gpu")
    assert (await alice.patch("/hub/api/users/alice/servers/gpu", json=body)).status_code == 400


async def test_scopes_limited_to_one_server(named_hub: Any) -> None:
    alice = await named_hub.api("alice")
    for name in ("one", "two"):
        await alice.put(f"/hub/api/users/alice/servers/{name}")
    client = await named_hub.api("alice", "servers!server=alice/one")
    assert (await client.post("/hub/api/users/alice/servers/one")).status_code == 201
    assert (await client.post("/hub/api/users/alice/servers/two")).status_code == 404
    assert (await client.post("/hub/api/users/alice/server")).status_code == 404
    shown = (await client.get("/hub/api/user")).json()["servers"]
    assert set(shown) == {"one"}


# -- activity ------------------------------------------------------------------------------------------------------

AT = "2026-01-01T12:00:00.5Z"


async def test_activity_moves_forward_only_and_is_written(hub: Any) -> None:
    alice = await hub.api("alice")
    await alice.post("/hub/api/users/alice/server")
    now = datetime.now(UTC).replace(microsecond=0)
    late, later = now + timedelta(seconds=60), now + timedelta(seconds=61)
    for at in (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (later, late)):
        report = {"servers": {"": {"last_activity": at}}, "last_activity": at}
        answer = await alice.post("/hub/api/users/alice/activity", json=report)
        assert (answer.status_code, answer.content) == (200, b"")
    assert (await alice.get("/hub/api/users/alice/server")).json()["last_activity"] == f"{later:%Y-%m-%dT%H:%M:%SZ}"
    await hub.app.activity.flush()
    assert (await hub.server("alice")).last_activity == later.timestamp()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"servers": {}},
        {"last_activity": "yesterday"},
        {"last_activity": 5},
        {"last_activity": "2999-01-01T00:00:00Z"},
        {"servers": {"nope": {"last_activity": AT}}},
        {"servers": {"": {"last_activity": "x"}}},
        {"servers": [1]},
        {"last_activity": "9999-99-99"},
    ],
)
async def test_bad_reports(hub: Any, body: Any) -> None:
    alice = await hub.api("alice")
    await alice.post("/hub/api/users/alice/server")
    answer = await alice.post("/hub/api/users/alice/activity", json=body)
    assert answer.status_code == 400


async def test_times_in_many_forms(hub: Any) -> None:
    alice = await hub.api("alice")
    for at in (
        "2026-01-01T12:00:00",
        "2026-01-01 12:00:00+02:00",
        "2026-01-01T12:00:00.123456789Z",
        "20260101T120000Z",
    ):
        answer = await alice.post("/hub/api/users/alice/activity", json={"last_activity": at})
        assert answer.status_code == 200


async def test_a_server_reports_with_its_own_token(hub: Any) -> None:
    alice = await hub.api("alice")
    await alice.post("/hub/api/users/alice/server")
    record = await hub.server("alice")
    server = hub.client(server_token(hub.desk.keys.tokens, record.id, record.start_generation))
    report = {"servers": {"": {"last_activity": AT}}, "last_activity": AT}
    assert (await server.post("/hub/api/users/alice/activity", json=report)).status_code == 200
    assert (await server.delete("/hub/api/users/alice/server")).status_code == 403
    await alice.delete("/hub/api/users/alice/server")
    assert (await server.post("/hub/api/users/alice/activity", json=report)).status_code == 403


async def test_options_are_refused_before_they_are_too_deep_to_be_read_again(named_hub: Any) -> None:
    root, alice = await named_hub.api("root"), await named_hub.api("alice")
    for levels, status in ((100, 201), (101, 400), (975, 400), (20_000, 400)):
        body = b'{"user_options": {"x": ' + b'{"[": ' * (levels - 2) + b"1" + b"}" * (levels - 1) + b"}"
        answer = await alice.put(f"/hub/api/users/alice/servers/deep{levels}", content=body)
        assert (levels, answer.status_code) == (levels, status)
    quoted = b'{"user_options": {"x": "' + b'\\"[' * 5000 + b'"}}'
    assert (await alice.put("/hub/api/users/alice/servers/flat", content=quoted)).status_code == 201
    endless = b"[]" * 101 + b'\\"' * 400_000  # would take minutes if each quote were looked at anew
    assert (await alice.put("/hub/api/users/alice/servers/endless", content=endless)).status_code == 400
    assert (await root.get("/hub/api/users?include_stopped_servers")).status_code == 200
