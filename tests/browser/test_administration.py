"""The administration page in a real Chromium: parts of the list of users, and groups."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from browser.visits import Camera, Visit, first_link, pictures, sign_up
from servers.hub import HubProcess, running_hub

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900), pytest.mark.xdist_group("first-run")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(folder: Path) -> AsyncIterator[HubProcess]:
    """A hub that nobody has visited, with servers that take some seconds to start."""
    async with running_hub(folder, "c.Hub.spawner_class = 'fake'\nc.FakeSpawner.delay = 1\n") as running:
        yield running


async def test_parts_of_the_list_and_groups(hub: HubProcess, visit: Visit, tmp_path: Path) -> None:
    camera: Camera = pictures("administration", tmp_path / "pictures")
    ada = await visit()
    await sign_up(ada, await first_link(hub), "ada")
    await ada.goto("/hub/admin")
    await ada.get_by_text("Add users by name").click()
    await ada.get_by_label("Names, one in each line").fill(f"ursula\n{'u' * 64}")
    await ada.get_by_role("button", name="Add", exact=True).click()
    await expect(ada.locator("time[data-local]")).not_to_contain_text("UTC")
    await ada.goto("/hub/admin")
    await ada.get_by_role("link", name="User", exact=True).click()
    await expect(ada.get_by_role("columnheader", name="User")).to_have_attribute("aria-sort", "descending")
    await ada.get_by_label("Which users").select_option("Without an active server")
    await ada.get_by_label("Find users by a part of their name").fill("uu")
    await ada.get_by_role("button", name="Find").click()
    await expect(ada.get_by_text("1 user found")).to_be_visible()
    await ada.get_by_label(f"What to do with {'u' * 64}").click()
    await ada.get_by_text("Rename …").click()
    await ada.get_by_label("New name of").fill("uwe-uu")
    await camera.examine(ada, "rename")
    await ada.get_by_role("button", name="Rename").click()
    await expect(ada.get_by_role("status")).to_have_text("The user has the new name now.")
    await expect(ada.get_by_role("row", name="uwe-uu")).to_be_visible()

    await ada.get_by_role("link", name="Groups").click()
    await ada.get_by_label("Another group").fill("statistics")
    await ada.get_by_role("button", name="Make it").click()
    await ada.get_by_label("Names, one in each line").fill("ursula\nuwe-uu")
    await ada.get_by_role("button", name="Add").click()
    await camera.examine(ada, "group")
    await ada.get_by_label("Remove ursula from the group").click()
    await expect(ada.get_by_role("group", name="ursula")).to_have_count(0)
    await ada.get_by_role("link", name="All groups").click()
    await expect(ada.get_by_role("row", name="statistics")).to_contain_text("uwe-uu")
    await camera.examine(ada, "groups")

    await ada.goto("/hub/admin?q=ursula")
    row = ada.get_by_role("row", name="ursula")
    async with ada.expect_navigation():
        await row.get_by_role("button", name="Start").click()
    await ada.goto("/hub/admin?q=ursula")
    await expect(row).to_contain_text("Running")  # without being asked
