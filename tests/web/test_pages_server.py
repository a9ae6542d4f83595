"""Home, options, start, wait, failure, stop: the life of a server on the pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nbhub.core.model import Phase
from nbhub.errors import SpawnError
from nbhub.store import servers
from page_reader import read, submit

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


async def until_ready(hub: Any, user: str, name: str = "") -> None:
    async def ready() -> bool:
        return bool((await hub.server(user, name)).is_ready)

    await hub.until(ready)


async def until_failed(hub: Any, user: str, name: str = "") -> None:
    async def failed() -> bool:
        return (await hub.server(user, name)).phase == "failed"

    await hub.until(failed)


async def test_start_open_restart_stop_from_home(hub: Any) -> None:
    browser = await hub.browser("ada")
    home = read(await browser.get("/hub/home"))
    assert "Not started yet" in home.words
    answer = await submit(browser, home.form("/hub/spawn/ada"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/hub/spawn-pending/ada")
    await until_ready(hub, "ada")
    home = read(await browser.get("/hub/home"))
    assert home.has("a", href="/user/ada/")
    first = (await hub.server("ada")).start_generation
    answer = await submit(browser, home.form("/hub/restart/ada"))
    assert answer.headers["location"] == "/hub/spawn-pending/ada"
    await until_ready(hub, "ada")
    assert (await hub.server("ada")).start_generation > first
    answer = await submit(browser, read(await browser.get("/hub/home")).form("/hub/stop/ada"))
    assert answer.headers["location"] in ("/hub/home?said=stopped", "/hub/home?said=stopping")

    async def stopped() -> bool:
        return not (await hub.server("ada")).active

    await hub.until(stopped)
    assert "Stopped" in read(await browser.get("/hub/home")).words


async def test_who_did_what_to_a_server_is_noted_where_it_runs(hub: Any) -> None:
    ada, root = await hub.api("ada"), await hub.browser("root")
    assert (await ada.post("/hub/api/users/ada/server")).status_code == 201
    await submit(root, read(await root.get("/hub/admin")).form("/hub/stop/ada"))

    async def stopped() -> bool:
        return not (await hub.server("ada")).active

    await hub.until(stopped)
    await ada.delete("/hub/api/users/ada/server")  # nothing is to be stopped any more
    assert (await ada.post("/hub/api/users/ada/server", json={"fault": "fails"})).status_code == 500
    noted = [(name, note.word, note.is_trouble) for name, note in hub.spawner.notes]
    assert noted == [("ada", "Started", False), ("ada", "Stopped", False), ("ada", "Failed", True)]
    assert hub.spawner.notes[1][1].sentence == "Stopped by root"
    assert "failed on demand" in hub.spawner.notes[2][1].sentence


async def test_following_the_link_starts_and_leads_to_the_wait(hub: Any) -> None:
    hub.spawner.delay = 0.4
    browser = await hub.browser("ada")
    wanted = "next=%2Fuser%2Fada%2Flab%2Ftree%2Fx.ipynb"
    answer = await browser.get(f"/hub/spawn?{wanted}")
    assert (answer.status_code, answer.headers["location"]) == (302, f"/hub/spawn-pending/ada?{wanted}")
    page = read(await browser.get(answer.headers["location"]))
    assert "Your server is starting" in page.words
    wait = next(given for _, given in page.tags if "data-progress" in given)
    assert wait["data-destination"] == "/user/ada/lab/tree/x.ipynb"
    assert wait["data-progress"].startswith("/hub/api/users/ada/server/progress?_xsrf=")
    assert page.has("meta", **{"http-equiv": "refresh"})
    assert page.has("progress", max="100")
    told = await browser.get(wait["data-progress"], headers={"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"})
    assert '"ready":true' in told.text
    assert (await browser.get(f"/hub/spawn-pending/ada?{wanted}")).headers["location"] == "/user/ada/lab/tree/x.ipynb"
    assert (await browser.get(f"/hub/spawn/ada?{wanted}")).headers["location"] == "/user/ada/lab/tree/x.ipynb"
    assert (await browser.get("/hub/")).headers["location"] == "/user/ada/"


async def test_asking_twice_joins_the_start(hub: Any) -> None:
    hub.spawner.delay = 0.3
    browser = await hub.browser("ada")
    for _ in range(3):
        assert (await browser.get("/hub/spawn/ada")).headers["location"] == "/hub/spawn-pending/ada"
    form = {"_xsrf": browser.cookies["_xsrf"]}
    assert (await browser.post("/hub/spawn/ada", data=form)).headers["location"] == "/hub/spawn-pending/ada"
    await until_ready(hub, "ada")
    assert (await hub.server("ada")).generation == 1
    assert (await browser.post("/hub/spawn/ada", data=form)).headers["location"] == "/user/ada/"


async def test_cancelling_a_start(hub: Any) -> None:
    hub.spawner.delay = 30
    browser = await hub.browser("ada")
    await browser.get("/hub/spawn/ada")
    page = read(await browser.get("/hub/spawn-pending/ada"))
    await submit(browser, page.form("/hub/stop/ada"))

    async def stopped() -> bool:
        return not (await hub.server("ada")).active

    await hub.until(stopped)
    page = read(await browser.get("/hub/spawn-pending/ada"))
    assert "is not running" in page.words
    assert page.has("a", href="/hub/spawn/ada")


async def test_stopping_is_shown(hub: Any) -> None:
    hub.spawner.stop_seconds = 1.0
    browser = await hub.browser("ada")
    await browser.get("/hub/spawn/ada")
    await until_ready(hub, "ada")
    await submit(browser, read(await browser.get("/hub/home")).form("/hub/stop/ada"))
    page = read(await browser.get("/hub/spawn-pending/ada"))
    assert "is stopping" in page.words
    home = read(await browser.get("/hub/home"))
    assert home.has("section", **{"data-refresh": "3"})


async def test_a_failure_is_explained_with_the_log(hub: Any) -> None:
    hub.spawner.fault = "fails"
    browser = await hub.browser("ada")
    await browser.get("/hub/spawn/ada?next=%2Fuser%2Fada%2Flab")
    await until_failed(hub, "ada")
    answer = await browser.get("/hub/spawn-pending/ada?next=%2Fuser%2Fada%2Flab")
    assert answer.status_code == 500
    page = read(answer)
    assert "could not be started" in page.words
    assert "failed on demand at stage 1" in page.words
    assert "RuntimeError: failed on demand" in page.words
    assert page.has("a", href="/hub/spawn/ada?next=%2Fuser%2Fada%2Flab")
    assert "Failed" in read(await browser.get("/hub/home")).words
    hub.spawner.fault = ""
    assert (await browser.get("/hub/spawn/ada")).status_code == 302
    await until_ready(hub, "ada")


async def test_a_death_is_told_apart_from_a_failed_start(hub: Any) -> None:
    browser = await hub.browser("ada")
    await browser.get("/hub/spawn/ada")
    await until_ready(hub, "ada")
    now = hub.desk.clock()
    async with hub.store.write() as tx:
        (held,) = await servers.claim(tx, holder="a test", now=now + 3600, lease=60, limit=1)
        status = {"phase": Phase.FAILED, "message": HOSTILE, "log_tail": HOSTILE, "observed_generation": 1}
        assert await servers.record(tx, held.id, held.lease_token, **status)
        await servers.release(tx, held.id, held.lease_token, due=None, seen_generation=1)
    page = read(await browser.get("/hub/spawn-pending/ada"))
    assert "has ended" in page.words
    assert HOSTILE in page.words
    assert "onerror" not in "".join(str(given) for _, given in page.tags)
    assert not page.has("img", src="x")


async def test_the_details_of_a_failure_stand_apart_from_its_words(hub: Any) -> None:
    def refuse(_: Any) -> None:
        raise SpawnError("The hub is not allowed to create pods. Add this rule.\n\n- resources: [pods]\n\n  verbs: <b>")

    hub.spawner.pre_spawn_hook = refuse
    browser = await hub.browser("ada")
    await browser.get("/hub/spawn/ada")
    await until_failed(hub, "ada")
    page = read(await browser.get("/hub/spawn-pending/ada"))
    assert "Add this rule." in page.words
    assert "- resources: [pods]" in page.words and "verbs: <b>" in page.words
    assert page.has("pre", **{"aria-label": "Details"})
    home = read(await browser.get("/hub/home")).words
    assert "Add this rule." in home and "verbs" not in home


@pytest.mark.parametrize("path", ["/hub/spawn/bob", "/hub/spawn-pending/bob", "/hub/spawn/nobody", "/hub/spawn/bob/x"])
async def test_servers_of_others_do_not_exist_for_one(hub: Any, path: str) -> None:
    await hub.user("bob")
    assert (await (await hub.browser("ada")).get(path)).status_code == 404


async def test_stopping_or_restarting_others_is_refused(hub: Any) -> None:
    await (await hub.api("bob")).post("/hub/api/users/bob/server")
    browser = await hub.browser("ada")
    for action in ("stop", "restart", "spawn"):
        answer = await browser.post(f"/hub/{action}/bob", data={"_xsrf": browser.cookies["_xsrf"]})
        assert answer.status_code == 404
    assert (await hub.server("bob")).is_ready


@pytest.mark.parametrize(
    "path", ["/hub/spawn/" + "x" * 300, "/hub/spawn/a%00b", "/hub/spawn-pending/%ff", "/hub/spawn/..%2f"]
)
async def test_odd_names_in_addresses(hub: Any, path: str) -> None:
    assert (await (await hub.browser("root")).get(path)).status_code == 404


async def test_without_xsrf_nothing_starts(hub: Any) -> None:
    browser = await hub.browser("ada")
    for path in ("spawn", "spawn/ada", "stop/ada", "restart/ada", "new-server"):
        answer = await browser.post(f"/hub/{path}", data={"name": "x"})
        assert answer.status_code == 403
        assert "Load the page again" in read(answer).words


# -- options ---------------------------------------------------------------------------------------------------------

FORM = '<label for="size">Size</label><select id="size" name="ready_after"><option value="0">small</option></select>'


async def test_options_are_asked_for_and_kept(hub: Any) -> None:
    hub.spawner.options_form = FORM
    browser = await hub.browser("ada")
    home = read(await browser.get("/hub/home"))
    assert home.has("a", href="/hub/spawn/ada")
    page = read(await browser.get("/hub/spawn/ada?next=%2Fuser%2Fada%2Flab"))
    assert "Choose your server" in page.words
    answer = await submit(browser, page.form("/hub/spawn/ada"), ready_after="0")
    assert answer.headers["location"] == "/hub/spawn-pending/ada?next=%2Fuser%2Fada%2Flab"
    assert (await hub.server("ada")).options == {"ready_after": "0"}


async def test_wrong_options_show_the_form_again(hub: Any) -> None:
    hub.spawner.options_form = FORM
    browser = await hub.browser("ada")
    page = read(await browser.get("/hub/spawn/ada"))
    answer = await submit(browser, page.form("/hub/spawn/ada"), ready_after=HOSTILE)
    assert answer.status_code == 400
    page = read(answer)
    assert page.has("p", role="alert")
    assert not page.has("img", src="x")
    assert page.form("/hub/spawn/ada")


@pytest.mark.parametrize("query", ["ready_after=0.1", "opt-ready_after=0.1&ignored=1"])
async def test_options_in_the_address_start_at_once(hub: Any, query: str) -> None:
    hub.spawner.options_form = FORM
    browser = await hub.browser("ada")
    answer = await browser.get(f"/hub/spawn/ada?{query}&next=%2Fuser%2Fada%2F")
    assert answer.headers["location"].startswith("/hub/spawn-pending/ada")
    assert (await hub.server("ada")).options == {"ready_after": "0.1"}


async def test_another_kind_of_body_is_refused(hub: Any) -> None:
    browser = await hub.browser("ada")
    headers = {"X-XSRFToken": browser.cookies["_xsrf"], "Content-Type": "application/json"}
    assert (await browser.post("/hub/spawn/ada", content=b"{}", headers=headers)).status_code == 415
    broken = {"X-XSRFToken": browser.cookies["_xsrf"], "Content-Type": "multipart/form-data; boundary=x"}
    assert (await browser.post("/hub/spawn/ada", content=b"--y\r\nnonsense", headers=broken)).status_code == 400


async def test_a_multipart_form_works_too(hub: Any) -> None:
    hub.spawner.options_form = FORM
    browser = await hub.browser("ada")
    form = {"_xsrf": (None, browser.cookies["_xsrf"]), "ready_after": (None, "0"), "upload": ("x.txt", b"hello")}
    assert (await browser.post("/hub/spawn/ada", files=form)).status_code == 303
    assert (await hub.server("ada")).options == {"ready_after": "0"}


async def test_a_body_that_is_too_large(hub: Any) -> None:
    browser = await hub.browser("ada")
    answer = await browser.post("/hub/spawn/ada", data={"x": "y" * 2_000_000})
    assert answer.status_code == 413
    assert "too large" in read(answer).words


async def test_limits_are_told(hub_with: Callable[..., Any]) -> None:
    async with hub_with(active_server_limit=1) as hub:
        await (await hub.api("bob")).post("/hub/api/users/bob/server")
        answer = await (await hub.browser("ada")).get("/hub/spawn/ada")
        assert answer.status_code == 429
        assert "as many servers as it may" in read(answer).words


# -- named servers ---------------------------------------------------------------------------------------------------


async def test_named_servers(named_hub: Any) -> None:
    browser = await named_hub.browser("ada")
    form = read(await browser.get("/hub/home")).form("/hub/new-server")
    assert (await submit(browser, form, name="Not Good")).status_code == 400
    answer = await submit(browser, form, name="gpu")
    assert answer.headers["location"] == "/hub/spawn/ada/gpu"
    assert (await browser.get("/hub/spawn/ada/gpu")).headers["location"] == "/hub/spawn-pending/ada/gpu"
    await until_ready(named_hub, "ada", "gpu")
    home = read(await browser.get("/hub/home"))
    assert home.has("a", href="/user/ada/gpu/")
    await submit(browser, home.form("/hub/stop/ada/gpu"))

    async def stopped() -> bool:
        return not (await named_hub.server("ada", "gpu")).active

    await named_hub.until(stopped)
    await submit(browser, read(await browser.get("/hub/home")).form("/hub/stop/ada/gpu", remove="1"))

    async def gone() -> bool:
        return "gpu" not in read(await browser.get("/hub/home")).words.split()

    await named_hub.until(gone)


async def test_no_named_servers_where_they_are_off(hub: Any) -> None:
    browser = await hub.browser("ada")
    assert "new-server" not in (await browser.get("/hub/home")).text
    answer = await browser.get("/hub/spawn/ada/gpu")
    assert answer.status_code == 400
    assert "not enabled" in read(answer).words


# -- ways to servers -------------------------------------------------------------------------------------------------


async def test_a_link_for_everybody_leads_to_ones_own_server(hub: Any) -> None:
    browser = await hub.browser("ada")
    answer = await browser.get("/hub/user-redirect/git-pull?repo=https%3A%2F%2Fx.test%2Fy&branch=main")
    where = "/user/ada/git-pull?repo=https%3A%2F%2Fx.test%2Fy&branch=main"
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/hub/spawn/ada?next=")
    await browser.get(answer.headers["location"])
    await until_ready(hub, "ada")
    assert (await browser.get(answer.headers["location"])).headers["location"] == where
    stranger = await hub.client().get("/hub/user-redirect/lab")
    assert stranger.headers["location"] == "/hub/login?next=%2Fhub%2Fuser-redirect%2Flab"


async def test_an_address_of_a_stopped_server_offers_to_start_it(hub: Any) -> None:
    browser = await hub.browser("ada")
    answer = await browser.get("/hub/user/ada/lab/tree/x.ipynb")
    assert answer.status_code == 424
    page = read(answer)
    assert "Your server is not running" in page.words
    start = "/hub/spawn/ada?next=%2Fhub%2Fuser%2Fada%2Flab%2Ftree%2Fx.ipynb"
    assert page.has("a", href=start)
    await browser.get(start)
    await until_ready(hub, "ada")
    assert (await browser.get(start)).headers["location"] == "/user/ada/lab/tree/x.ipynb"


async def test_the_way_in_follows_the_settings(hub_with: Callable[..., Any]) -> None:
    async with hub_with(redirect_to_server=False) as hub:
        assert (await (await hub.browser("ada")).get("/hub/")).headers["location"] == "/hub/home"
        assert (await hub.client().get("/hub/")).headers["location"] == "/hub/login?next=%2Fhub%2F"
    async with hub_with(default_url="/services/portal/") as hub:
        assert (await hub.client().get("/hub/")).headers["location"] == "/services/portal/"


async def test_everything_below_another_base(hub_with: Callable[..., Any]) -> None:
    async with hub_with(base_url="/jupyter/") as hub:
        browser = await hub.browser("ada")
        page = read(await browser.get("/jupyter/hub/home"))
        assert page.form("/jupyter/hub/spawn/ada")
        links = [given.get("href") or given.get("src") or "" for _, given in page.tags]
        assert all(link.startswith(("/jupyter/", "#")) for link in links if link)
        answer = await submit(browser, page.form("/jupyter/hub/spawn/ada"))
        assert answer.headers["location"] == "/jupyter/hub/spawn-pending/ada"
