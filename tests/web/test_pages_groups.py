"""The pages of groups: who may, and what they do."""

from __future__ import annotations

from typing import Any

from nbhub.store import grants, groups
from page_reader import read, submit

ODD = "<b>o'odd & co</b>".replace("/", "")


async def post(browser: Any, address: str, **fields: str) -> Any:
    return await browser.post(f"/hub/admin/groups{address}", data={"_xsrf": browser.cookies["_xsrf"], **fields})


async def members(hub: Any, name: str) -> tuple[str, ...] | None:
    async with hub.store.read() as tx:
        group = await groups.get_group(tx, name)
        return None if group is None else (await groups.members_of(tx, [group.id]))[group.id]


async def test_a_group_from_its_making_to_its_end(hub: Any) -> None:
    for name in ("ada", "bob", "cleo"):
        await hub.user(name)
    root = await hub.browser("root")
    page = read(await root.get("/hub/admin/groups"))
    assert "There are no groups yet." in page.words
    answer = await submit(root, page.form("/hub/admin/groups"), name=" course ")
    assert answer.headers["location"] == "/hub/admin/groups/course?said=group-made"
    page = read(await root.get(answer.headers["location"]))
    assert "Nobody is in this group yet." in page.words
    answer = await submit(root, page.form("/hub/admin/groups/course/add"), names="Ada\nbob,ada")
    assert answer.headers["location"] == "/hub/admin/groups/course?said=members-added"
    assert await members(hub, "course") == ("ada", "bob")
    assert "ada, bob" in read(await root.get("/hub/admin/groups")).words
    assert read(await root.get("/hub/admin?q=bob")).has("a", href="/hub/admin/groups/course")
    page = read(await root.get("/hub/admin/groups/course"))
    await submit(root, page.form("/hub/admin/groups/course/remove", user="ada"))
    assert await members(hub, "course") == ("bob",)
    answer = await submit(root, page.form("/hub/admin/groups/course/delete"))
    assert answer.headers["location"] == "/hub/admin/groups?said=group-deleted"
    assert await members(hub, "course") is None


async def test_mistakes_are_told_and_change_nothing(hub: Any) -> None:
    await hub.user("ada")
    root = await hub.browser("root")
    for name in ("", "a/b", "..", "x" * 256, "a\x00b"):
        answer = await post(root, "", name=name)
        assert (answer.status_code, "cannot be the name" in read(answer).words) == (400, True), name
    await post(root, "", name="course")
    again = await post(root, "", name="course")
    assert (again.status_code, "already" in read(again).words) == (409, True)
    answer = await post(root, "/course/add", names="ada\nnobody")
    page = read(answer)
    assert (answer.status_code, "There is no user 'nobody'." in page.words, "ada nobody" in page.words) == (
        400,
        True,
        True,
    )
    assert (await post(root, "/course/add", names=" \n ")).status_code == 400
    assert await members(hub, "course") == ()
    for address in ("/none", "/%00", "/" + "x" * 256):
        assert (await root.get(f"/hub/admin/groups{address}")).status_code == 404
    for address in ("/none/add", "/none/remove", "/none/delete"):
        assert (await post(root, address, names="ada", user="ada")).status_code == 404


async def test_names_are_only_words(hub: Any) -> None:
    root = await hub.browser("root")
    answer = await post(root, "", name=ODD)
    page = read(await root.get(answer.headers["location"]))
    assert ODD in page.words and not page.has("b")
    answer = await submit(root, page.form("/delete"))
    assert await members(hub, ODD) is None


async def test_groups_of_the_log_in_source_are_only_shown(hub: Any) -> None:
    root = await hub.browser("root")
    await hub.user("ada")
    await post(root, "", name="course")
    await post(root, "/course/add", names="ada")
    hub.desk.authenticator.manage_groups = True
    for address in ("", "/course"):
        page = read(await root.get(f"/hub/admin/groups{address}"))
        assert "manage_groups" in page.words
        assert not any(form.action.startswith("/hub/admin/groups") for form in page.forms)
    for address, fields in (
        ("", {"name": "x"}),
        ("/course/add", {"names": "root"}),
        ("/course/remove", {"user": "ada"}),
    ):
        assert (await post(root, address, **fields)).status_code == 400
    assert (await post(root, "/course/delete")).status_code == 400
    assert await members(hub, "course") == ("ada",)


async def test_who_may(hub: Any) -> None:
    root = await hub.browser("root")
    for name in ("course", "staff"):
        await post(root, "", name=name)
    stranger = await hub.browser("eve")
    teacher = await hub.browser("tess")
    async with hub.store.write() as tx:
        await grants.put_role(tx, "teachers", scopes=("admin-ui", "list:users", "groups!group=course"))
        await grants.give_role(tx, "teachers", "user", ["tess"])
    assert (await hub.client().get("/hub/admin/groups")).status_code == 302
    assert (await stranger.get("/hub/admin/groups")).status_code == 403
    assert (await post(stranger, "/course/add", names="eve")).status_code == 403
    page = read(await teacher.get("/hub/admin/groups"))
    assert "course" in page.words and "staff" not in page.words and "Another group" not in page.words
    page = read(await teacher.get("/hub/admin/groups/course"))
    assert "Delete the group" not in page.words
    await submit(teacher, page.form("/hub/admin/groups/course/add"), names="eve")
    assert await members(hub, "course") == ("eve",)
    for address, fields in (("/staff/add", {"names": "tess"}), ("/staff/delete", {}), ("/course/delete", {})):
        assert (await post(teacher, address, **fields)).status_code in (403, 404)
    assert (await post(teacher, "", name="mine")).status_code == 403
    assert (await teacher.get("/hub/admin/groups/staff")).status_code == 404
    assert (await root.post("/hub/admin/groups/course/delete")).status_code == 403  # without the XSRF token
    assert await members(hub, "staff") == ()


async def test_roles_of_a_group_and_a_long_list_of_users(hub: Any) -> None:
    for number in range(11):
        await hub.user(f"user{number:02}")
    root = await hub.browser("root")
    await post(root, "", name="course")
    await post(root, "/course/add", names="\n".join(f"user{number:02}" for number in range(11)))
    async with hub.store.write() as tx:
        await grants.put_role(tx, "graders", scopes=("read:servers",))
        await grants.give_role(tx, "graders", "group", ["course"])
    page = read(await root.get("/hub/admin/groups"))
    assert "user07 and 3 more" in page.words and "graders" in page.words
    assert "graders" in read(await root.get("/hub/admin/groups/course")).words
