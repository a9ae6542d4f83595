"""Services and routes in the REST API: who sees what, what can be made, and that nobody makes more than they may."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.store import grants, services, users


async def declared(hub: Any, name: str = "web", **kwargs: Any) -> None:
    async with hub.store.write() as tx:
        await services.put(tx, name, url="http://127.0.0.1:9999/x", command=["run"], from_config=True, **kwargs)


async def test_show_and_list(hub: Any) -> None:
    await declared(hub, info={"a": 1})
    root = await hub.api("root")
    whole = {
        "kind": "service", "name": "web", "admin": False, "url": "http://127.0.0.1:9999/x", "prefix": "/services/web/",
        "command": ["run"], "pid": 0, "info": {"a": 1}, "display": True, "roles": [],
    }  # fmt: skip
    assert (await root.get("/hub/api/services/web")).json() == whole
    assert (await root.get("/hub/api/services")).json() == {"web": whole}
    assert (await root.get("/hub/api/services/none")).status_code == 404
    alice = await hub.api("alice")
    assert (await alice.get("/hub/api/services")).status_code == 403
    assert (await alice.get("/hub/api/services/web")).status_code == 403
    async with hub.store.write() as tx:
        await grants.put_role(tx, "reader", scopes=["read:services:name!service=web"])
        await grants.give_role(tx, "reader", "user", ["alice"])
    assert (await alice.get("/hub/api/services/web")).json() == {"kind": "service", "name": "web", "admin": False}
    assert (await alice.get("/hub/api/services/other")).status_code == 404


async def test_make_and_delete(hub: Any) -> None:
    root = await hub.api("root")
    body = {"url": "http://127.0.0.1:9998", "api_token": "a-long-token", "info": {"x": "y"}}
    answer = await root.post("/hub/api/services/made", json=body)
    assert (answer.status_code, answer.json()["prefix"]) == (201, "/services/made/")
    assert (await root.post("/hub/api/services/made", json=body)).status_code == 409
    made = hub.client("a-long-token")
    assert (await made.get("/hub/api/user")).json()["name"] == "made"
    assert (await made.get("/hub/api/users")).status_code == 403
    async with hub.store.read() as tx:
        client = await grants.get_client(tx, "service-made")
    assert client is not None
    assert client.redirect_uri == "/services/made/oauth_callback"
    assert (await root.delete("/hub/api/services/made")).status_code == 200
    assert (await made.get("/hub/api/user")).status_code == 403
    await declared(hub)
    assert (await root.delete("/hub/api/services/web")).status_code == 405


@pytest.mark.parametrize(
    "body",
    [
        {"command": ["rm"]},
        {"url": "ftp://x"},
        {"url": "http://"},
        {"api_token": "short"},
        {"oauth_client_id": "jupyterhub-user-root"},
        {"oauth_client_allowed_scopes": ["nonsense"]},
    ],
)
async def test_what_cannot_be_made(hub: Any, body: dict[str, Any]) -> None:
    root = await hub.api("root")
    assert (await root.post("/hub/api/services/made", json=body)).status_code == 400
    assert (await root.get("/hub/api/services/made")).status_code == 404


async def test_nobody_makes_a_service_that_may_more_than_they(hub: Any) -> None:
    async with hub.store.write() as tx:
        await users.create(tx, "alice", now=1)
        await grants.put_role(tx, "maker", scopes=["admin:services"])
        await grants.give_role(tx, "maker", "user", ["alice"])
    alice = await hub.api("alice")
    for body in (
        {"admin": True},
        {"oauth_client_allowed_scopes": ["tokens"]},
        {"oauth_client_allowed_scopes": ["inherit"]},
    ):
        assert (await alice.post("/hub/api/services/made", json=body)).status_code in (403, 404), body
    assert (await alice.post("/hub/api/services/made", json={})).status_code == 201


async def test_routes(hub: Any) -> None:
    await declared(hub)
    root = await hub.api("root")
    await root.post("/hub/api/users/root/server")
    routes = (await root.get("/hub/api/proxy")).json()
    assert sorted(routes) == ["/services/web/", "/user/root/"]
    assert routes["/services/web/"] == {
        "routespec": "/services/web/", "target": "http://127.0.0.1:9999", "data": {"service": "web"},
    }  # fmt: skip
    assert routes["/user/root/"]["data"] == {"user": "root", "server_name": ""}
    framed = {"Accept": "application/jupyterhub-pagination+json"}
    page = (await root.get("/hub/api/proxy?limit=1", headers=framed)).json()
    assert list(page["items"]) == ["/services/web/"]
    assert page["_pagination"]["total"] == 2
    async with hub.store.wakeup.listen("routes") as bell:
        assert (await root.post("/hub/api/proxy")).status_code == 200
        assert await bell.wait(1) == {"routes"}


async def test_roles_of_groups_are_shown(hub: Any) -> None:
    root = await hub.api("root")
    await root.post("/hub/api/groups/class")
    async with hub.store.write() as tx:
        await grants.put_role(tx, "teacher", scopes=["list:users"])
        await grants.give_role(tx, "teacher", "group", ["class"])
    assert (await root.get("/hub/api/groups/class")).json()["roles"] == ["teacher"]


async def test_the_menu_shows_what_one_may_use(hub: Any) -> None:
    await declared(hub, "web")
    await declared(hub, "hidden", display=False)
    browser, root = await hub.browser("alice"), await hub.browser("root")
    assert "/services/web/" not in (await browser.get("/hub/home")).text
    page = (await root.get("/hub/home")).text
    assert "/services/web/" in page
    assert "/services/hidden/" not in page


async def test_roles_of_tokens_and_servers_can_be_given_another_meaning(hub: Any) -> None:
    alice = await hub.api("alice")
    async with hub.store.write() as tx:
        await grants.put_role(tx, "token", scopes=["read:users!user"])
        await grants.put_role(tx, "server", scopes=["read:servers!server"])
        await grants.put_role(tx, "own", scopes=["servers!user"])
    usual = (await alice.post("/hub/api/users/alice/tokens")).json()
    assert "read:users!user=alice" in usual["scopes"]
    assert "servers!user=alice" not in usual["scopes"]
    own = await alice.post("/hub/api/users/alice/tokens", json={"roles": ["own"]})
    assert "servers!user=alice" in own.json()["scopes"]
    assert (await alice.post("/hub/api/users/alice/tokens", json={"roles": ["none"]})).status_code == 400
    assert (await alice.post("/hub/api/users/alice/server")).status_code == 201
    owner = (await hub.server("alice")).user_id
    async with hub.store.read() as tx:
        tokens = await grants.list_tokens(tx, user_id=owner, now=hub.desk.clock())
    [scopes] = [token.scopes for token, _ in tokens if token.note.startswith("Server at")]
    assert scopes == ("users:activity!user", "read:servers!server")
