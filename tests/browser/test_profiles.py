"""Choosing among profiles in a real Chromium: with the mouse, with keys alone, without scripts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from browser.visits import Camera, Complaints, Visit, first_link, log_in, new_page, pictures, sign_up
from nbhub.spawners.kubernetes.browser_pattern import browser_pattern
from servers.hub import HubProcess, running_hub
from servers.profiled_hub import SETTINGS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900), pytest.mark.xdist_group("profiles")]

IMAGE = "quay.io/jupyter/r-notebook:2025-03-14"
AT_THE_SERVER = re.compile(r"/user/ada/")
PATTERNS = {
    r"[\w./-]+:[\w.-]+": ["quay.io/a-b/c:1", "größe:1", "a b:1", "x:", "y:-.", ""],
    r"^.+:.+$": ["a:b", ":", "a:b:c"],
    r"[^\s\d]{2,3}|-": ["ab", "a1", "abcd", "-", "٣٤"],
    r"\[x\]|[]^-]+|a\-b": ["[x]", "]-^", "a-b", "a\\-b"],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(folder: Path) -> AsyncIterator[HubProcess]:
    """A hub whose users choose among profiles."""
    async with running_hub(folder, SETTINGS) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def account(hub: HubProcess, browser: Browser) -> str:
    """The name of somebody who has an account."""
    page = await new_page(browser, hub, Complaints())
    await sign_up(page, await first_link(hub), "ada")
    await page.context.close()
    return "ada"


@pytest_asyncio.fixture(loop_scope="module")
async def ada(hub: HubProcess, account: str, visit: Visit) -> AsyncIterator[Page]:
    """The page of somebody who is logged in, has no server, and has chosen nothing before."""
    page = await visit()
    await page.goto("/hub/home")
    await log_in(page, account)
    await page.wait_for_url("**/hub/home")
    yield page
    async with hub.client(await hub.token(account)) as api:
        await api.delete(f"/users/{account}/server")
        await api.patch(f"/users/{account}/server", json={"user_options": {}})


@pytest.fixture
def camera(request: pytest.FixtureRequest, tmp_path: Path) -> Camera:
    """A camera with a folder for this test."""
    return pictures(f"profiles/{request.node.name.removeprefix('test_')}", tmp_path / "pictures")


async def options(hub: HubProcess) -> Any:
    """Return what the server was asked to start with."""
    async with hub.client(await hub.token("ada")) as api:
        return (await api.get("/users/ada?include_stopped_servers=1")).json()["servers"][""]["user_options"]


async def start(page: Page) -> None:
    """Send the form."""
    await page.get_by_role("button", name="Start", exact=True).click()


async def test_choosing_a_profile_and_an_image_of_ones_own(hub: HubProcess, ada: Page, camera: Camera) -> None:
    await ada.get_by_role("link", name="Start", exact=True).click()
    await expect(ada.get_by_label("Python for everybody")).to_be_checked()
    await expect(ada.get_by_role("group", name="Size")).to_be_hidden()
    await camera.examine(ada, "first")
    await ada.get_by_text("Python and R with everything for statistics.").click(force=True)
    await expect(ada.get_by_label("Data science")).to_be_checked()
    await expect(ada.get_by_label("Medium")).to_be_checked()
    await ada.get_by_label("Large").check()
    own = ada.get_by_label("Image of your own")
    await expect(own).to_be_hidden()
    await ada.locator("select").select_option(label="Another image ...")
    await own.fill("not an image")
    await camera.examine(ada, "own-image")
    await start(ada)  # the browser itself says what is wrong
    await expect(own).to_be_focused()
    assert not await own.evaluate("field => field.checkValidity()")

    await own.evaluate("field => field.removeAttribute('pattern')")  # as if it could not
    await start(ada)
    refusal = ada.get_by_role("alert")
    await expect(refusal).to_have_text(re.compile("Image: 'not an image' is not allowed. Its name and tag, such as"))
    await expect(ada.get_by_label("Large")).to_be_checked()
    await expect(own).to_have_value("not an image")
    await camera.examine(ada, "refused")
    await own.fill(IMAGE)
    await start(ada)
    await ada.wait_for_url(AT_THE_SERVER)
    assert await options(hub) == {"profile": "data", "size": "l", "year--unlisted-choice": IMAGE}

    await ada.goto("/hub/home")
    await ada.get_by_role("button", name="Stop").click()
    await ada.get_by_role("link", name="Start", exact=True).click()
    await expect(ada.get_by_label("Data science")).to_be_checked()
    await expect(ada.get_by_label("Large")).to_be_checked()
    await expect(own).to_have_value(IMAGE)


async def test_groups_decide_what_is_offered(hub: HubProcess, ada: Page, camera: Camera) -> None:
    await ada.goto("/hub/spawn")
    await expect(ada.get_by_label("Graphics card")).to_have_count(0)
    async with hub.client(await hub.token("ada")) as api:
        assert (await api.post("/users/ada/server", json={"profile": "gpu"})).status_code == 400
        await api.post("/groups/gpu")
        assert (await api.post("/groups/gpu/users", json={"users": ["ada"]})).status_code == 200
    await ada.reload()
    await ada.get_by_label("Graphics card").check()
    await ada.get_by_label("Bring your own image").check()
    await ada.get_by_label("Other...").check()
    await camera.examine(ada, "own")
    await ada.get_by_label("Graphics card").check()  # what is wrong with another profile stops nobody
    await start(ada)
    await ada.wait_for_url(AT_THE_SERVER)
    assert await options(hub) == {"profile": "gpu"}


async def test_with_keys_alone(hub: HubProcess, ada: Page) -> None:
    await ada.goto("/hub/spawn")
    await ada.get_by_role("radio", name="Python for everybody").focus()
    await ada.keyboard.press("Space")
    await ada.keyboard.press("ArrowDown")
    await expect(ada.get_by_label("Data science")).to_be_checked()
    await ada.keyboard.press("Tab")
    await ada.keyboard.press("ArrowLeft")
    await expect(ada.get_by_label("Small")).to_be_checked()
    await ada.keyboard.press("Tab")
    await expect(ada.locator("select")).to_be_focused()
    await ada.keyboard.press("ArrowDown")
    await ada.keyboard.press("Tab")  # nothing that is hidden is in the way
    await expect(ada.get_by_role("button", name="Start", exact=True)).to_be_focused()
    await ada.keyboard.press("Enter")
    await ada.wait_for_url(AT_THE_SERVER)
    assert (await options(hub))["size"] == "s"


async def test_without_scripts(hub: HubProcess, ada: Page, browser: Browser) -> None:
    context = await browser.new_context(
        base_url=hub.url, java_script_enabled=False, storage_state=await ada.context.storage_state()
    )
    page = await context.new_page()
    await page.goto("/hub/spawn")
    await page.get_by_label("Data science").check()
    await page.locator("select").select_option(label="Another image ...")
    await page.get_by_label("Image of your own").fill(IMAGE)
    await page.locator("select").select_option(label="Course of 2020")
    await start(page)
    await page.wait_for_url(re.compile("/hub/spawn-pending/ada|/user/ada/"))
    assert await options(hub) == {"profile": "data", "size": "m", "year": "y2020"}
    await context.close()


async def test_browsers_read_patterns_as_python_does(ada: Page) -> None:
    for pattern, texts in PATTERNS.items():
        found = await ada.evaluate(
            "([pattern, texts]) => texts.map((text) => new RegExp(`^(?:${pattern})$`, 'v').test(text))",
            [browser_pattern(pattern), texts],
        )
        assert found == [re.fullmatch(pattern, text) is not None for text in texts], pattern
