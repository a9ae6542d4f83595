"""A hub's first hour in a real Chromium: the first administrator, who may come in, somebody who asks to be let in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from browser.visits import PASSWORD, PHONE, Camera, Visit, first_link, log_in, pictures
from servers.hub import PATIENT, HubProcess, running_hub

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900), pytest.mark.xdist_group("first-run")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(folder: Path) -> AsyncIterator[HubProcess]:
    """A hub that nobody has visited."""
    async with running_hub(folder, f"{PATIENT}c.Hub.spawner_class = 'fake'\n") as running:
        yield running


async def fill_in(page: Page, name: str, button: str) -> None:
    """Choose a name and a password on the page of a new account."""
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_label("The same password again").fill(PASSWORD)
    await page.get_by_role("button", name=button).click()


async def test_from_the_first_link_to_somebody_who_is_let_in(
    hub: HubProcess, visit: Visit, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    camera: Camera = pictures("first-run", tmp_path / "pictures")
    ada = await visit()
    await ada.goto(await first_link(hub))
    await fill_in(ada, "ada", "Make the account")
    await expect(ada.get_by_role("heading", level=1)).to_have_text("Who may come in?")
    await expect(ada.get_by_label("Only people you invite")).to_be_checked()
    await camera.examine(ada, "who")
    await ada.get_by_label("Anybody may ask").check()
    await ada.get_by_role("button", name="Go on").click()
    await expect(ada.get_by_role("status")).to_contain_text("Anybody may ask for an account now")
    address = await ada.get_by_label("Here people make their accounts").input_value()
    await camera.examine(ada, "address-to-hand-out")

    eve = await visit(PHONE)
    await eve.goto(address)
    await expect(eve.get_by_text("An administrator lets you in afterwards.")).to_be_visible()
    await camera.examine(eve, "asking")
    await fill_in(eve, "eve", "Ask for an account")
    await expect(eve.get_by_role("status")).to_contain_text("once an administrator has let you in")
    await log_in(eve, "eve")
    await expect(eve.get_by_role("alert")).to_contain_text("waiting for an administrator")

    await ada.goto("/hub/admin")
    await expect(ada.get_by_role("heading", name="1 waits to be let in")).to_be_visible()
    await camera.examine(ada, "waiting")
    await ada.get_by_role("group", name="eve", exact=True).get_by_role("button", name="Let in").click()
    await expect(ada.get_by_role("status")).to_have_text("The user can log in now.")
    await expect(ada.get_by_role("heading", name="1 waits to be let in")).to_have_count(0)
    await log_in(eve, "eve")
    await expect(eve).to_have_url(f"{hub.url}/user/eve/")
    await ada.goto("/hub/admin")
    await ada.get_by_role("link", name="Change who may come in").click()
    await ada.get_by_label("Only people you invite").check()
    await ada.get_by_role("button", name="Save").click()
    await expect(ada.get_by_role("status")).to_contain_text("by invitation only")
    stranger = await visit()
    await stranger.goto(address)
    await expect(stranger.get_by_text("Accounts of this hub are by invitation.")).to_be_visible()
