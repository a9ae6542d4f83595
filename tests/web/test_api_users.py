"""Users: verbs, scopes, paging, odd names and bodies."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.store import grants

PAGED = {"Accept": "application/jupyterhub-pagination+json"}


async def test_create_show_change_delete(hub: Any) -> None:
    root = await hub.api("root")
    made = await root.post("/hub/api/users/Ada%20L@x.org")
    assert made.status_code == 201
    assert made.json()["name"] == "Ada L@x.org"
    assert made.json()["roles"] == ["user"]
    shown = await root.get("/hub/api/users/Ada%20L@x.org")
    assert shown.json()["auth_state"] is None
    changed = await root.patch("/hub/api/users/Ada%20L@x.org", json={"name": "ada", "admin": True})
    assert (changed.status_code, changed.json()["name"], changed.json()["admin"]) == (200, "ada", True)
    assert "admin" in changed.json()["roles"]
    assert (await root.delete("/hub/api/users/ada")).status_code == 204
    assert (await root.get("/hub/api/users/ada")).status_code == 404


async def test_create_many_normalizes_and_skips_those_who_exist(hub: Any) -> None:
    root = await hub.api("root")
    answer = await root.post("/hub/api/users", json={"usernames": ["Zoe", "yan", "zoe"]})
    assert answer.status_code == 201
    assert [user["name"] for user in answer.json()] == ["zoe", "yan"]
    answer = await root.post("/hub/api/users", json={"usernames": ["zoe", "xi"], "admin": True})
    assert [(user["name"], user["admin"]) for user in answer.json()] == [("xi", True)]
    assert (await root.post("/hub/api/users", json={"usernames": ["zoe", "xi"]})).status_code == 409
    assert (await root.post("/hub/api/users/zoe")).status_code == 409


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"usernames": "a"}', b'{"usernames": [1]}', b'{"usernames": [], "x": 1}', b'{"usernames": []}',
     b'{"usernames": ["a/b"]}', b'{"usernames": [".."]}', b'{"usernames": ["%2e%2E"]}', b'{"usernames": [" a"]}',
     b'{"usernames": ["a\\u0000"]}', b'{"usernames": ["' + b"x" * 1000 + b'"]}', b"\xff\xfe",
     b'{"usernames": ["\\ud800"]}'],
)  # fmt: skip
async def test_bad_bodies_make_nobody(hub: Any, body: bytes) -> None:
    root = await hub.api("root")
    answer = await root.post("/hub/api/users", content=body)
    assert answer.status_code == 400
    assert answer.json()["status"] == 400
    assert answer.json()["message"]
    assert [user["name"] for user in (await root.get("/hub/api/users")).json()] == ["root"]


@pytest.mark.parametrize(
    "name", ["a%2Fb", "%2e%2e", "%00", "a%0Ab", "x" * 1000, "%ff", "a%5Cb", "%20a", "a%20", "%252f", "%E2%80%AE"]
)
async def test_odd_names(hub: Any, name: str) -> None:
    root = await hub.api("root")
    answer = await root.get(f"/hub/api/users/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    made = await root.post(f"/hub/api/users/{name}")
    assert made.status_code == 400
    assert (await root.get("/hub/api/users")).json()[1:] == []


@pytest.mark.parametrize("name", ["ünï", "日本", "a.b", "a@b.c", "a~b", "o'x", "a+b", "a&b=c", "a;b"])
async def test_unusual_names_work(hub: Any, name: str) -> None:
    root = await hub.api("root")
    assert (await root.post(f"/hub/api/users/{name}")).status_code == 201
    assert (await root.get(f"/hub/api/users/{name}")).json()["name"] == name
    assert (await root.get("/hub/api/users", params={"name_filter": name})).json()[0]["name"] == name


async def test_oversized_bodies_are_413_with_and_without_a_length(hub: Any) -> None:
    root = await hub.api("root")
    answer = await root.post("/hub/api/users", content=b"x" * 1_000_001)
    assert (answer.status_code, answer.json()["status"]) == (413, 413)

    async def pieces() -> Any:
        for _ in range(20):
            yield b" " * 100_000

    assert (await root.post("/hub/api/users", content=pieces())).status_code == 413


@pytest.mark.parametrize(
    ("scopes", "keys"),
    [
        (("read:users",), {"kind", "name", "admin", "user_info", "roles", "groups", "server", "pending", "created",
                           "last_activity"}),
        (("read:users:name",), {"kind", "name", "admin", "user_info"}),
        (("read:users:groups",), {"kind", "name", "groups"}),
        (("read:users:activity",), {"kind", "name", "last_activity"}),
        (("read:servers",), {"kind", "name", "servers", "admin", "user_info"}),
        (("read:roles:users",), {"kind", "name", "roles", "admin"}),
        (("admin:users",), {"kind", "name", "admin", "user_info", "roles", "groups", "server", "pending", "created",
                            "last_activity", "auth_state"}),
        (("users!user=alice",), {"kind", "name", "admin", "user_info", "roles", "groups", "server", "pending",
                                 "created", "last_activity"}),
    ],
)  # fmt: skip
async def test_keys_by_scope(hub: Any, scopes: tuple[str, ...], keys: set[str]) -> None:
    await hub.user("alice")
    client = await hub.api("root", *scopes)
    answer = await client.get("/hub/api/users/alice")
    assert answer.status_code == 200
    assert set(answer.json()) == keys


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "users", None),
        ("POST", "users", {"usernames": ["x"]}),
        ("GET", "info", None),
        ("GET", "metrics", None),
        ("GET", "groups", None),
        ("POST", "groups", {"groups": ["x"]}),
    ],
)
async def test_scope_that_is_not_held_is_403(hub: Any, method: str, path: str, body: Any) -> None:
    answer = await (await hub.api("alice")).request(method, f"/hub/api/{path}", json=body)
    assert answer.status_code == 403
    assert "requires any of [" in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "users/bob"),
        ("GET", "users/nobody"),
        ("GET", "users/bob/tokens"),
        ("POST", "users/bob/tokens"),
        ("POST", "users/bob/server"),
        ("DELETE", "users/bob/server"),
        ("GET", "users/bob/server/progress"),
        ("POST", "users/bob/activity"),
    ],
)
async def test_scope_held_for_others_hides_what_exists(hub: Any, method: str, path: str) -> None:
    await hub.user("bob")
    answer = await (await hub.api("alice")).request(method, f"/hub/api/{path}")
    assert answer.status_code == 404
    assert answer.json()["message"] == "No access to resources or resources not found"


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", "users/bob"), ("DELETE", "users/bob"), ("POST", "users/new"), ("DELETE", "groups/x")],
)
async def test_verbs_that_plain_users_lack(hub: Any, method: str, path: str) -> None:
    await hub.user("bob")
    answer = await (await hub.api("alice")).request(method, f"/hub/api/{path}", json={})
    assert answer.status_code == 403


async def test_only_administrators_touch_administrators(hub: Any) -> None:
    await hub.user("chief", admin=True)
    await hub.user("bob")
    token = await hub.token("helper", "admin:users")
    async with hub.store.write() as tx:
        await grants.put_role(tx, "hr", scopes=("admin:users",))
        await grants.give_role(tx, "hr", "user", ["helper"])
    client = hub.client(token)
    assert (await client.patch("/hub/api/users/bob", json={"name": "robert"})).status_code == 200
    assert (await client.patch("/hub/api/users/robert", json={"admin": True})).status_code == 403
    assert (await client.patch("/hub/api/users/chief", json={"name": "x"})).status_code == 403
    assert (await client.delete("/hub/api/users/chief")).status_code == 403
    assert (await client.post("/hub/api/users/x", json={"admin": True})).status_code == 403
    assert (await client.post("/hub/api/users", json={"usernames": ["x"], "admin": True})).status_code == 403


@pytest.mark.parametrize(
    "body", [{}, {"name": "taken"}, {"name": "a/b"}, {"name": 5}, {"unknown": 1}, {"admin": "yes"}]
)
async def test_bad_changes(hub: Any, body: Any) -> None:
    await hub.user("taken")
    await hub.user("bob")
    root = await hub.api("root")
    assert (await root.patch("/hub/api/users/bob", json=body)).status_code == 400
    assert (await root.get("/hub/api/users/bob")).json()["admin"] is False


async def test_nobody_deletes_themselves(hub: Any) -> None:
    root = await hub.api("root")
    assert (await root.delete("/hub/api/users/root")).status_code == 400


async def test_deleting_a_user_stops_the_servers(hub: Any) -> None:
    alice, root = await hub.api("alice"), await hub.api("root")
    assert (await alice.post("/hub/api/users/alice/server")).status_code == 201
    assert (await root.delete("/hub/api/users/alice")).status_code == 204
    assert hub.spawner.backend.get("alice") is None
    assert (await alice.get("/hub/api/user")).status_code == 403


# -- paging --------------------------------------------------------------------------------------------------------


async def test_pages_follow_each_other(hub: Any) -> None:
    root = await hub.api("root")
    await root.post("/hub/api/users", json={"usernames": [f"u{n}" for n in range(6)]})
    seen: list[str] = []
    url: str | None = "/hub/api/users?limit=3&name_filter=u&include_stopped_servers=1"
    while url:
        page = (await root.get(url, headers=PAGED)).json()
        seen += [user["name"] for user in page["items"]]
        assert page["_pagination"]["total"] == 6
        following = page["_pagination"]["next"]
        url = following and following["url"]
        if url:
            assert url.startswith("http://hub.test/hub/api/users?")
            assert "include_stopped_servers=1" in url
    assert seen == [f"u{n}" for n in range(6)]


async def test_lists_without_the_frame_are_bare(hub: Any) -> None:
    root = await hub.api("root")
    await root.post("/hub/api/users", json={"usernames": [f"u{n}" for n in range(5)]})
    assert len((await root.get("/hub/api/users?offset=2&limit=3")).json()) == 3
    assert len((await root.get("/hub/api/users?limit=0")).json()) == 1
    assert len((await root.get("/hub/api/users?limit=-5")).json()) == 1
    assert len((await root.get("/hub/api/users?limit=100000")).json()) == 6
    assert (await root.get("/hub/api/users?sort=-name")).json()[0]["name"] == "u4"


@pytest.mark.parametrize(
    "query",
    ["limit=x", "limit=--5", "limit=" + "9" * 40, "offset=-1", "offset=1.5", "state=no", "sort=passwords", "sort=--id"],
)
async def test_bad_parameters(hub: Any, query: str) -> None:
    root = await hub.api("root")
    assert (await root.get(f"/hub/api/users?{query}")).status_code == 400


async def test_states(hub: Any) -> None:
    root, alice = await hub.api("root"), await hub.api("alice")
    await alice.post("/hub/api/users/alice/server")

    async def names(state: str) -> list[str]:
        return [user["name"] for user in (await root.get(f"/hub/api/users?state={state}")).json()]

    assert await names("ready") == ["alice"]
    assert await names("active") == ["alice"]
    assert await names("inactive") == ["root"]


async def test_lists_show_only_whom_the_filter_lets_through(hub: Any) -> None:
    for name in ("alice", "bob", "eve"):
        await hub.user(name)
    root = await hub.api("root")
    await root.post("/hub/api/groups/g", json={"users": ["bob"]})
    client = await hub.api("root", "list:users!user=alice", "list:users!group=g")
    assert [user["name"] for user in (await client.get("/hub/api/users")).json()] == ["alice", "bob"]
    by_group = await hub.api("root", "read:users!group=g")
    assert (await by_group.get("/hub/api/users/bob")).status_code == 200
    assert (await by_group.get("/hub/api/users/eve")).status_code == 404
    assert (await by_group.get("/hub/api/users")).status_code == 403


# -- groups --------------------------------------------------------------------------------------------------------


async def test_groups(hub: Any) -> None:
    await hub.user("alice")
    await hub.user("bob")
    root = await hub.api("root")
    made = await root.post("/hub/api/groups/g1", json={"users": ["alice"]})
    assert (made.status_code, made.json()) == (
        201, {"kind": "group", "name": "g1", "users": ["alice"], "properties": {}, "roles": []},
    )  # fmt: skip
    assert (await root.post("/hub/api/groups/g1")).status_code == 409
    assert (await root.post("/hub/api/groups/g2", json={"users": ["nobody"]})).status_code == 400
    assert (await root.get("/hub/api/groups/g2")).status_code == 404
    assert (await root.post("/hub/api/groups/g1/users", json={"users": ["bob"]})).json()["users"] == ["alice", "bob"]
    assert (await root.request("DELETE", "/hub/api/groups/g1/users", json={"users": ["alice"]})).json()["users"] == [
        "bob"
    ]
    assert (await root.put("/hub/api/groups/g1/properties", json={"a": 1})).json()["properties"] == {"a": 1}
    assert [group["name"] for group in (await root.get("/hub/api/groups")).json()] == ["g1"]
    assert (await root.get("/hub/api/users/bob")).json()["groups"] == ["g1"]
    assert (await root.delete("/hub/api/groups/g1")).status_code == 204
    assert (await root.get("/hub/api/groups/g1")).status_code == 404


async def test_a_user_is_not_renamed_before_what_their_servers_leave_has_the_new_name(hub: Any) -> None:
    root = await hub.api("root", "admin:users", "servers")
    await hub.user("bob")
    assert (await root.post("/hub/api/users/bob/server")).status_code == 201
    assert (await root.patch("/hub/api/users/bob", json={"name": "robert"})).status_code == 400
    assert (await root.delete("/hub/api/users/bob/server")).status_code == 204
    hub.spawner.backend.away = True
    refused = await root.patch("/hub/api/users/bob", json={"name": "robert"})
    assert (refused.status_code, "backend is away" in refused.json()["message"]) == (503, True)
    assert (await root.get("/hub/api/users/bob")).status_code == 200
    hub.spawner.backend.away = False
    assert (await root.patch("/hub/api/users/bob", json={"name": "robert"})).status_code == 200
    assert (await root.get("/hub/api/users/bob")).status_code == 404
