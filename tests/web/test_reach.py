"""What is said to be ready can be reached: answers wait until the proxies lead to the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from nbhub.core.model import Route
from nbhub.store import servers
from nbhub.store.reach import TOPIC

NAVIGATION = {"Accept": "text/html,application/xhtml+xml"}


@contextlib.asynccontextmanager
async def a_proxy(hub: Any, name: str) -> AsyncIterator[asyncio.Event]:
    """A proxy that has all routes in force while the event is set."""
    in_force = asyncio.Event()
    hub.store.reach.tell(name, ())

    async def follow() -> None:
        async with hub.store.wakeup.listen("routes") as bell:
            while True:
                await in_force.wait()
                async with hub.store.read() as tx:
                    hub.store.reach.tell(name, await servers.routes(tx, "/"))
                await bell.wait()

    task = asyncio.create_task(follow())
    try:
        yield in_force
    finally:
        task.cancel()
        hub.store.reach.forget(name)


async def _story(hub: Any, api: Any) -> str:
    """The events of the start, as a program reads them."""
    await hub.until(lambda: _active(hub))
    return str((await api.get("/hub/api/users/ada/server/progress")).text)


async def _active(hub: Any) -> bool:
    async with hub.store.read() as tx:
        found = await servers.get(tx, "ada", "")
    return found is not None and found.active


async def ready(hub: Any, user: str) -> bool:
    async with hub.store.read() as tx:
        found = await servers.get(tx, user, "")
    return found is not None and found.is_ready


async def test_a_start_is_answered_when_every_proxy_leads_there(hub: Any) -> None:
    api = await hub.api("ada")
    hub.store.reach.patience = 100
    async with a_proxy(hub, "one") as one, a_proxy(hub, "two") as two:
        answer = asyncio.create_task(api.post("/hub/api/users/ada/server"))
        told = asyncio.create_task(_story(hub, api))
        await hub.until(lambda: ready(hub, "ada"))
        one.set()
        async with hub.store.wakeup.listen(TOPIC) as bell:
            while not hub.store.reach._told["one"]:
                await bell.wait(5)
        record = await hub.server("ada")
        assert not hub.store.reach.leads_to(record)
        assert not answer.done() and not told.done()
        two.set()
        assert (await answer).status_code == 201
        assert hub.store.reach.leads_to(record)
        assert '"ready":true' in await told


async def test_a_proxy_that_stays_away_holds_up_nobody_for_long(hub: Any) -> None:
    api = await hub.api("ada")
    hub.store.reach.patience = 0.2
    async with a_proxy(hub, "away"):
        assert (await api.post("/hub/api/users/ada/server")).status_code == 201
        answer = await api.get("/user/ada/api/contents?x=1")
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert "does not lead to it yet" in answer.json()["message"]
    # Nobody waits for one that is forgotten.
    assert hub.store.reach.leads_to(await hub.server("ada"))


async def test_a_proxy_that_hangs_holds_up_one_answer_not_all(hub: Any) -> None:
    api, reach = await hub.api("ada"), hub.store.reach
    async with a_proxy(hub, "hangs") as in_force, a_proxy(hub, "works") as works:
        works.set()
        assert (await api.post("/hub/api/users/ada/server")).status_code == 201
        record = await hub.server("ada")
        async with asyncio.timeout(30):
            reach.patience = 3600
            assert not await reach.until_led_to(record)  # not true, but nobody waits for it
            in_force.set()
            async with hub.store.wakeup.listen(TOPIC) as bell:
                while not reach.leads_to(record):
                    await bell.wait()


async def test_programs_that_come_too_early_are_asked_to_come_again(hub: Any) -> None:
    api, browser = await hub.api("ada"), await hub.browser("ada")
    async with a_proxy(hub, "one") as in_force:
        hub.store.reach.patience = 0.05
        await api.post("/hub/api/users/ada/server")
        hub.store.reach.patience = 100
        early = [
            asyncio.create_task(api.get("/user/ada/api/contents?x=a%20b")),
            asyncio.create_task(api.post("/user/ada/api/kernels", json={"name": "python3"})),
            asyncio.create_task(browser.get("/user/ada/api/kernels", headers=NAVIGATION)),
        ]
        async with hub.store.wakeup.listen("never") as bell:
            await bell.wait(0.05)
        assert not any(task.done() for task in early)
        in_force.set()
        answers = [await task for task in early]
        assert [answer.status_code for answer in answers] == [307] * 3
        assert [answer.headers["location"] for answer in answers] == [
            "/user/ada/api/contents?x=a%20b",
            "/user/ada/api/kernels",
            "/user/ada/api/kernels",
        ]


async def test_whoever_spells_an_address_in_another_way_is_led_to_the_one_that_the_proxy_knows(named_hub: Any) -> None:
    api, browser = await named_hub.api("a+b"), await named_hub.browser("a+b")
    await api.post("/hub/api/users/a%2Bb/server")
    await api.post("/hub/api/users/a%2Bb/servers/gpu")
    async with a_proxy(named_hub, "one") as in_force:
        in_force.set()
        for path, canonical in (
            ("/user/a+b/api?x=%2B", "/user/a%2Bb/api?x=%2B"),
            ("/user/a%2Bb", "/user/a%2Bb/"),
            ("/user/a+b?x=1", "/user/a%2Bb/?x=1"),
            ("/user/a+b/gpu", "/user/a%2Bb/gpu/"),
            ("/user/a+b/g%70u/api//", "/user/a%2Bb/gpu/api//"),
        ):
            answer = await api.get(path)
            assert (path, answer.status_code, answer.headers["location"]) == (path, 307, canonical)
        back = await browser.get("/hub/user/a+b/gpu/lab?reset", headers=NAVIGATION)
        assert (back.status_code, back.headers["location"]) == (302, "/user/a%2Bb/gpu/lab?reset=&redirects=1")


async def test_after_a_restart_programs_wait_for_a_proxy_to_follow(hub: Any) -> None:
    api = await hub.api("ada")
    hub.store.reach.patience = 100
    await api.post("/hub/api/users/ada/server")
    early = asyncio.create_task(api.get("/user/ada/api/contents"))
    async with hub.store.wakeup.listen("never") as bell:
        await bell.wait(0.5)  # longer than a proxy that is known is given
    assert not early.done()
    async with a_proxy(hub, "late") as in_force:
        in_force.set()
        assert (await early).status_code == 307


async def test_pages_that_come_too_early_go_through_the_hub(hub: Any) -> None:
    browser = await hub.browser("ada")
    async with a_proxy(hub, "one") as in_force:
        in_force.set()
        await browser.get("/hub/spawn/ada")
        await hub.until(lambda: ready(hub, "ada"))
        answer = await browser.get("/user/ada/lab", headers=NAVIGATION)
        assert (answer.status_code, answer.headers["location"]) == (302, "/hub/user/ada/lab")
        back = await browser.get("/hub/user/ada/lab", headers=NAVIGATION)
        assert (back.status_code, back.headers["location"]) == (302, "/user/ada/lab?redirects=1")


async def test_programs_are_told_what_they_were_when_no_server_runs(hub: Any) -> None:
    api = await hub.api("ada")
    answer = await api.get("/user/ada/api/contents")
    assert (answer.status_code, answer.headers["location"]) == (302, "/hub/user/ada/api/contents")
    assert (await api.post("/user/ada/api/kernels")).status_code == 424
    assert (await api.get("/user/%2f%ff/api")).status_code == 302


def test_services_are_not_waited_for(hub: Any) -> None:
    hub.store.reach.tell("one", [Route("/services/x/", "http://127.0.0.1:1", service="x")])
    assert hub.store.reach._told["one"] == {}
