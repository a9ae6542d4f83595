"""The administration page: who may, and what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nbhub.authenticators.native import NativeAuthenticator
from nbhub.store import grants, users
from page_reader import read, submit

PASSWORD = "correct horse battery"
ODD = "<b>o'odd & co</b>"


@pytest.fixture
async def native_hub(hub_with: Callable[..., Any]) -> AsyncIterator[Any]:
    async with hub_with(authenticator=NativeAuthenticator()) as hub:
        yield hub


async def user(hub: Any, name: str) -> Any:
    async with hub.store.read() as tx:
        return await users.get(tx, name)


async def post(browser: Any, action: str, **fields: str) -> Any:
    return await browser.post(f"/hub/admin/{action}", data={"_xsrf": browser.cookies["_xsrf"], **fields})


def link(answer: Any) -> str:
    (found,) = (given["value"] for tag, given in read(answer).tags if tag == "input" and "data-copy" in given)
    return str(found)


async def test_only_administrators(native_hub: Any) -> None:
    browser = await native_hub.browser("ada")
    assert (await browser.get("/hub/admin")).status_code == 403
    assert "Administration" not in read(await browser.get("/hub/home")).words
    for action in ("add", "invite", "reset", "set-admin", "rename", "delete", "approve", "withdraw", "stop-all"):
        assert (await post(browser, action, user="ada", names="eve", on="1", id="1")).status_code == 403
    assert (await native_hub.client().get("/hub/admin")).status_code == 302
    assert not (await user(native_hub, "ada")).admin


async def test_where_servers_are_is_told_unless_their_backend_is_away(hub: Any) -> None:
    root = await hub.browser("root")
    await (await hub.api("ada")).post("/hub/api/users/ada/server")
    address = (await hub.server("ada")).state["address"]
    assert f"On {address}" in " ".join(read(await root.get("/hub/admin")).words.split())
    hub.spawner.backend.away = True
    page = read(await root.get("/hub/admin"))
    assert "1 active server" in page.words and address not in page.words


async def test_the_list(native_hub: Any) -> None:
    await (await native_hub.api("ada")).post("/hub/api/users/ada/server")
    await native_hub.user(ODD)
    root = await native_hub.browser("root")
    page = read(await root.get("/hub/admin"))
    assert "3 users, 1 active server" in page.words
    assert ODD in page.words
    assert not page.has("b")
    assert page.has("a", href="/user/ada/")
    page = read(await root.get("/hub/admin?q=DA&page=1"))
    assert "1 user found" in page.words
    assert ODD not in page.words
    for query in ("page=-1", "page=x", "page=999999", "q=%00", "q=%25", "q=" + "x" * 5000):
        assert (await root.get(f"/hub/admin?{query}")).status_code == 200


async def test_pages_of_users(native_hub: Any) -> None:
    async with native_hub.store.write() as tx:
        for number in range(55):
            await users.create(tx, f"user{number:02}", now=1.0)
    root = await native_hub.browser("root")
    page = read(await root.get("/hub/admin?q=user"))
    assert "Page 1 of 2" in page.words
    assert "user54" not in page.words
    assert page.has("a", href="/hub/admin?q=user&page=2")
    assert "user54" in read(await root.get("/hub/admin?page=2&q=user")).words


def names_in(answer: Any) -> list[str]:
    """Return the users that the page lists, in its order."""
    tags = read(answer).tags
    return [
        given["aria-label"].removeprefix("What to do with ")
        for tag, given in tags
        if tag == "summary" and given.get("aria-label", "").startswith("What to do with ")
    ]


async def test_the_list_in_another_order_and_a_part_of_it(native_hub: Any) -> None:
    for at, name in ((30.0, "cleo"), (10.0, "ada"), (20.0, "bob")):
        async with native_hub.store.write() as tx:
            made = await users.create(tx, name, now=1.0)
            await users.touch_many(tx, {made.id: at})
    await (await native_hub.api("dora")).post("/hub/api/users/dora/server")
    root = await native_hub.browser("root")
    assert names_in(await root.get("/hub/admin")) == ["ada", "bob", "cleo", "dora", "root"]
    assert names_in(await root.get("/hub/admin?sort=-name")) == ["root", "dora", "cleo", "bob", "ada"]
    page = await root.get("/hub/admin?sort=-last_activity")
    assert [name for name in names_in(page) if len(name) < 5 and name not in ("dora", "root")] == ["cleo", "bob", "ada"]
    assert read(page).has("th", **{"aria-sort": "descending"})
    assert read(page).has("a", href="/hub/admin?sort=last_activity")
    assert names_in(await root.get("/hub/admin?state=active")) == ["dora"]
    assert names_in(await root.get("/hub/admin?state=inactive&q=o&sort=-name")) == ["root", "cleo", "bob"]
    page = read(await root.get("/hub/admin?state=active&q=ada"))
    assert "No user is like that." in page.words and page.has("a", href="/hub/admin")
    for odd in ("sort=id", "sort=--name", "state=ready", "sort=", "state=%00"):
        assert len(names_in(await root.get(f"/hub/admin?{odd}"))) == 5


async def test_what_is_done_leads_back_to_the_same_part_of_the_list(native_hub: Any) -> None:
    await native_hub.user("ada")
    root = await native_hub.browser("root")
    here = "/hub/admin?q=ad&sort=-last_activity"
    page = read(await root.get(here))
    answer = await submit(root, page.form("/hub/admin/set-admin", user="ada"))
    assert answer.headers["location"] == f"{here}&said=admin"
    answer = await post(root, "rename", user="ada", new_name="a/b", next=here)
    assert (answer.status_code, names_in(answer)) == (400, ["ada"])
    answer = await post(root, "set-admin", user="ada", next="https://elsewhere.test/?q=x")
    assert answer.headers["location"] == "/hub/admin?q=x&said=not-admin"


async def test_renaming_a_user(native_hub: Any) -> None:
    await native_hub.user("ada")
    await native_hub.user("bob")
    root = await native_hub.browser("root")
    before = await user(native_hub, "ada")
    form = read(await root.get("/hub/admin")).form("/hub/admin/rename", user="ada")
    assert form.fields["new_name"] == "ada"
    answer = await submit(root, form, new_name=" Ada-Lovelace ")
    assert answer.headers["location"] == "/hub/admin?said=renamed"
    assert (await user(native_hub, "ada-lovelace")).id == before.id
    assert await user(native_hub, "ada") is None
    answer = await post(root, "rename", user="ada-lovelace", new_name="bob")
    assert (answer.status_code, "The name bob is taken." in read(answer).words) == (400, True)
    await (await native_hub.api("bob")).post("/hub/api/users/bob/server")
    answer = await post(root, "rename", user="bob", new_name="rob")
    assert (answer.status_code, "Stop them before renaming" in read(answer).words) == (400, True)
    assert (await post(root, "rename", user="nobody", new_name="x")).status_code == 404


async def test_all_servers_are_stopped(native_hub: Any) -> None:
    root = await native_hub.browser("root")
    assert "Stop all servers" not in read(await root.get("/hub/admin")).words
    for name in ("ada", "bob"):
        await (await native_hub.api(name)).post(f"/hub/api/users/{name}/server")
    page = read(await root.get("/hub/admin"))
    assert "Stop 2 servers" in page.words
    answer = await submit(root, page.form("/hub/admin/stop-all"))
    assert answer.headers["location"] == "/hub/admin?said=stopping-all"

    async def stopped() -> bool:
        found = [await native_hub.server(name) for name in ("ada", "bob")]
        return not any(record.active or record.wanted for record in found)

    await native_hub.until(stopped)
    assert [note.sentence for _, note in native_hub.spawner.notes].count("Stopped by root") == 2


async def test_named_servers_of_others_are_removed(named_hub: Any) -> None:
    ada = await named_hub.api("ada")
    await ada.post("/hub/api/users/ada/servers/gpu")
    root = await named_hub.browser("root")
    page = read(await root.get("/hub/admin"))
    assert page.has("section", **{"aria-label": "Users"})
    assert not any("remove" in form.fields for form in page.forms)
    await ada.delete("/hub/api/users/ada/servers/gpu")

    async def stopped() -> bool:
        return not (await named_hub.server("ada", "gpu")).active

    await named_hub.until(stopped)
    form = read(await root.get("/hub/admin")).form("/hub/stop/ada/gpu", remove="1")
    assert (await submit(root, form)).headers["location"] == "/hub/admin"

    async def gone() -> bool:
        return "servers/gpu" not in str((await ada.get("/hub/api/users/ada?include_stopped_servers=1")).json())

    await named_hub.until(gone)


async def test_the_page_looks_again_while_something_is_on_its_way(native_hub: Any) -> None:
    root = await native_hub.browser("root")
    ada = await native_hub.api("ada")
    native_hub.spawner.stop_seconds = 3600
    await ada.post("/hub/api/users/ada/server")
    assert not read(await root.get("/hub/admin")).has("section", **{"data-refresh": "6"})
    await root.post("/hub/stop/ada", data={"_xsrf": root.cookies["_xsrf"]})
    assert read(await root.get("/hub/admin")).has("section", **{"data-refresh": "6"})
    refused = await post(root, "rename", user="ada", new_name="bob")
    assert not read(refused).has("section", **{"data-refresh": "6"})  # to load it again would be to send it again


async def test_starting_and_stopping_servers_of_others(native_hub: Any) -> None:
    await native_hub.user("ada")
    root = await native_hub.browser("root")
    page = read(await root.get("/hub/admin"))
    answer = await submit(root, page.form("/hub/spawn/ada"))
    assert answer.headers["location"] == "/hub/spawn-pending/ada?next=%2Fhub%2Fadmin"

    async def ready() -> bool:
        return bool((await native_hub.server("ada")).is_ready)

    await native_hub.until(ready)
    assert (await root.get(answer.headers["location"])).headers["location"] == "/hub/admin"
    answer = await submit(root, read(await root.get("/hub/admin")).form("/hub/stop/ada"))
    assert answer.headers["location"] == "/hub/admin"


async def test_an_invitation_from_link_to_log_in(native_hub: Any) -> None:
    root = await native_hub.browser("root")
    page = read(await root.get("/hub/admin"))
    answer = await submit(root, page.form("/hub/admin/invite"), name="Grace")
    where = link(answer)
    assert where.startswith("http://hub.test/hub/signup?code=")
    assert "1 link not used yet" in read(await root.get("/hub/admin")).words
    client = native_hub.client()
    form = read(await client.get(where)).form("/hub/signup")
    assert (await submit(client, form, password=PASSWORD, again=PASSWORD)).status_code == 303
    assert not (await user(native_hub, "grace")).admin
    assert "not used yet" not in read(await root.get("/hub/admin")).words


async def test_an_invitation_as_administrator_and_its_withdrawal(native_hub: Any) -> None:
    root = await native_hub.browser("root")
    where = link(await post(root, "invite", name="", admin="1"))
    assert "administrator" in read(await native_hub.client().get(where)).words
    answer = await submit(root, read(await root.get("/hub/admin")).form("/hub/admin/withdraw"))
    assert answer.headers["location"] == "/hub/admin?said=withdrawn"
    assert (await native_hub.client().get(where)).status_code == 404
    for number in ("", "x", "9" * 30):
        assert (await post(root, "withdraw", id=number)).status_code == 400


async def test_a_link_for_a_new_password(native_hub: Any) -> None:
    await native_hub.user("ada")
    root = await native_hub.browser("root")
    page = read(await root.get("/hub/admin"))
    where = link(await submit(root, page.form("/hub/admin/reset", user="ada")))
    client = native_hub.client()
    form = read(await client.get(where)).form("/hub/reset-password")
    assert (await submit(client, form, password=PASSWORD, again=PASSWORD)).status_code == 303


async def test_adding_users(native_hub: Any) -> None:
    root = await native_hub.browser("root")
    answer = await post(root, "add", names="Ada\n grace, \n\nada")
    page = read(answer)
    assert page.source.count("reset-password?code=") == 2
    assert await user(native_hub, "ada")
    again = await post(root, "add", names="new\nada")
    assert (again.status_code, "already" in read(again).words) == (409, True)
    assert await user(native_hub, "new") is None  # all or none
    for names in ("", "a/b", "x" * 300, "\n".join(f"u{n}" for n in range(501))):
        assert (await post(root, "add", names=names)).status_code == 400


async def test_adding_where_passwords_are_kept_elsewhere(hub: Any) -> None:
    root = await hub.browser("root")
    assert (await post(root, "add", names="ada", admin="1")).headers["location"] == "/hub/admin?said=added"
    assert (await user(hub, "ada")).admin
    page = read(await root.get("/hub/admin"))
    assert "Invite" not in page.words
    for action in ("invite", "reset"):
        assert (await post(root, action, user="ada")).status_code == 404


async def test_making_and_ending_administrators(native_hub: Any) -> None:
    await native_hub.user("ada")
    root = await native_hub.browser("root")
    await submit(root, read(await root.get("/hub/admin")).form("/hub/admin/set-admin", user="ada"))
    assert (await user(native_hub, "ada")).admin
    await submit(root, read(await root.get("/hub/admin")).form("/hub/admin/set-admin", user="ada"))
    assert not (await user(native_hub, "ada")).admin
    answer = await post(root, "set-admin", user="root")
    assert (answer.status_code, "your own" in read(answer).words) == (400, True)
    assert (await post(root, "set-admin", user="nobody", on="1")).status_code == 404
    assert (await post(root, "set-admin", user="a\x00b", on="1")).status_code == 404
    assert (await post(root, "nonsense", user="ada")).status_code == 404


async def test_deleting_a_user_with_a_running_server(native_hub: Any) -> None:
    await (await native_hub.api("ada")).post("/hub/api/users/ada/server")
    root = await native_hub.browser("root")
    answer = await submit(root, read(await root.get("/hub/admin")).form("/hub/admin/delete", user="ada"))
    assert answer.headers["location"] == "/hub/admin?said=deleted"
    assert await user(native_hub, "ada") is None
    assert (await post(root, "delete", user="root")).status_code == 400


async def test_who_manages_users_without_being_administrator_cannot_become_one(native_hub: Any) -> None:
    await native_hub.user("boss", admin=True)
    await native_hub.user("ada")
    await native_hub.user("former")
    native_hub.desk.authenticator.admin_users = {"root", "former"}  # whoever logs in under one of these is one
    browser = await native_hub.browser("manager")
    manager = await user(native_hub, "manager")
    async with native_hub.store.write() as tx:
        await grants.put_role(tx, "managers", scopes=("admin-ui", "admin:users"))
        await grants.give_role(tx, "managers", "user", [manager.name])
    assert (await browser.get("/hub/admin")).status_code == 200
    assert (await post(browser, "reset", user="ada")).status_code == 200
    for action, fields in (
        ("reset", {"user": "boss"}),
        ("reset", {"user": "former"}),
        ("invite", {"name": "Root"}),
        ("add", {"names": "eve, root"}),
        ("set-admin", {"user": "manager", "on": "1"}),
        ("invite", {"name": "eve", "admin": "1"}),
        ("add", {"names": "eve", "admin": "1"}),
        ("delete", {"user": "boss"}),
        ("rename", {"user": "boss", "new_name": "eve"}),
        ("rename", {"user": "ada", "new_name": "root"}),
    ):
        assert (await post(browser, action, **fields)).status_code == 403, action
    assert (await post(browser, "stop-all")).status_code == 404  # it may stop its own only
    api = await native_hub.api("manager")
    assert (await api.patch("/hub/api/users/ada", json={"name": "root"})).status_code == 403
    assert await user(native_hub, "boss")
    assert await user(native_hub, "eve") is None and await user(native_hub, "root") is None
