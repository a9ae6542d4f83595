"""Tokens of users: what they look like, who may make which, how they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

KEYS = {
    "user", "id", "kind", "roles", "scopes", "created", "last_activity", "expires_at", "note", "session_id",
    "oauth_client",
}  # fmt: skip


async def test_make_use_show_revoke(hub: Any) -> None:
    alice = await hub.api("alice")
    made = await alice.post("/hub/api/users/alice/tokens", json={"note": "laptop", "expires_in": 3600})
    assert made.status_code == 201
    token = made.json()
    assert set(token) == {*KEYS, "token"}
    assert (token["user"], token["note"], token["oauth_client"]) == ("alice", "laptop", "JupyterHub")
    assert (await hub.client(token["token"]).get("/hub/api/user")).status_code == 200
    path = f"/hub/api/users/alice/tokens/{token['id']}"
    shown = (await alice.get(path)).json()
    assert set(shown) == KEYS
    assert shown["last_activity"] is not None
    assert "servers!user=alice" in shown["scopes"]
    assert len((await alice.get("/hub/api/users/alice/tokens")).json()["api_tokens"]) == 2
    assert (await alice.delete(path)).status_code == 204
    assert (await alice.delete(path)).status_code == 404
    assert (await hub.client(token["token"]).get("/hub/api/user")).status_code == 403


async def test_narrow_tokens(hub: Any) -> None:
    alice = await hub.api("alice")
    made = (await alice.post("/hub/api/users/alice/tokens", json={"scopes": ["read:servers!user"]})).json()
    assert made["scopes"] == [
        "read:servers!user=alice", "read:users:groups!user=alice", "read:users:name!user=alice",
    ]  # fmt: skip
    narrow = hub.client(made["token"])
    assert (await narrow.post("/hub/api/users/alice/server")).status_code == 403
    assert (await narrow.get("/hub/api/users/alice/tokens")).status_code == 403


async def test_tokens_that_only_say_whose_they_are(hub: Any) -> None:
    alice = await hub.api("alice")
    made = await alice.post("/hub/api/users/alice/tokens", json={"scopes": ["(no_scope)"]})
    assert made.status_code == 201
    assert made.json()["scopes"] == ["read:users:groups!user=alice", "read:users:name!user=alice"]
    recognised = hub.client(made.json()["token"])
    assert (await recognised.get("/hub/api/user")).json()["name"] == "alice"
    assert (await recognised.get("/hub/api/users/alice/server")).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"scopes": ["admin:users"]},
        {"scopes": ["servers"]},
        {"scopes": ["servers!user=bob"]},
        {"scopes": ["nonsense"]},
        {"scopes": ["all"]},
        {"scopes": "self"},
        {"scopes": ["self"], "roles": ["user"]},
        {"roles": ["admin"]},
        {"roles": ["unheard-of"]},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": "soon"},
        {"expires_in": 1.5},
        {"note": 5},
        {"note": "x" * 2000},
        {"unknown": 1},
    ],
)
async def test_bad_tokens(hub: Any, body: Any) -> None:
    await hub.user("bob")
    alice = await hub.api("alice")
    assert (await alice.post("/hub/api/users/alice/tokens", json=body)).status_code == 400
    assert len((await alice.get("/hub/api/users/alice/tokens")).json()["api_tokens"]) == 1


async def test_administrators_make_tokens_for_others(hub: Any) -> None:
    await hub.user("bob")
    root = await hub.api("root")
    made = (await root.post("/hub/api/users/bob/tokens")).json()
    assert (await hub.client(made["token"]).get("/hub/api/user")).json()["name"] == "bob"
    assert (await root.post("/hub/api/users/nobody/tokens")).status_code == 404
    bad = await root.post("/hub/api/users/bob/tokens", json={"scopes": ["admin:users"]})
    assert bad.status_code == 400


@pytest.mark.parametrize("token", ["1", "a", "a0", "b1", "a999999", "a99999999999999999999999", "a-1", "%00"])
async def test_tokens_that_are_not(hub: Any, token: str) -> None:
    alice = await hub.api("alice")
    for method in ("GET", "DELETE"):
        assert (await alice.request(method, f"/hub/api/users/alice/tokens/{token}")).status_code == 404


async def test_tokens_of_others_are_out_of_reach_under_ones_own_name(hub: Any) -> None:
    alice, bob = await hub.api("alice"), await hub.api("bob")
    theirs = (await bob.get("/hub/api/user")).json()["token_id"]
    assert (await alice.get(f"/hub/api/users/alice/tokens/{theirs}")).status_code == 404
    assert (await alice.delete(f"/hub/api/users/alice/tokens/{theirs}")).status_code == 404
    assert (await bob.get("/hub/api/user")).status_code == 200


async def test_longest_life(hub_with: Callable[..., Any]) -> None:
    async with hub_with(token_expires_in_max=100) as hub:
        alice = await hub.api("alice")
        for body in ({}, {"expires_in": 101}):
            assert (await alice.post("/hub/api/users/alice/tokens", json=body)).status_code == 400
        assert (await alice.post("/hub/api/users/alice/tokens", json={"expires_in": 100})).status_code == 201


async def test_login_data_instead_of_credentials(hub: Any) -> None:
    await hub.user("alice")
    client = hub.client()
    right = {"auth": {"username": "Alice", "password": "secret"}}
    assert (await client.post("/hub/api/users/alice/tokens", json=right)).status_code == 201
    for wrong in (
        {},
        {"auth": {"username": "alice", "password": "no"}},
        {"auth": {"username": "bob", "password": "secret"}},
    ):
        assert (await client.post("/hub/api/users/alice/tokens", json=wrong)).status_code == 403
