"""A day at the hub: a real hub, Envoy, JupyterLab, kernel and Chromium, from the first link to the next log-in."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, expect

from browser import lab
from browser.visits import Camera, Visit, first_link, from_account_menu, invite, log_in, pictures, sign_up
from servers import notebooks
from servers.hub import HubProcess, running_hub

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

ROWS = 20_000
PROGRESS = """() => [
  Array.from(document.querySelectorAll("[data-story] li"), (line) => line.textContent.trim().replace(/\\s+/g, " ")),
  document.querySelector("progress").value > 0,
]"""
ENVIRONMENTS = {"jupyterhub-6": notebooks.commands, "jupyterhub-4": notebooks.older_commands}


@pytest_asyncio.fixture(loop_scope="module")
async def hub(folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[HubProcess]:
    """A hub as it is without any settings, whose servers are those of the environment that the parameter names."""
    commands = await asyncio.to_thread(ENVIRONMENTS[request.param])
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    async with running_hub(folder / request.param, env={"PATH": path}) as running:
        yield running


@pytest.mark.parametrize("hub", ["jupyterhub-6"], indirect=True)
async def test_a_day(hub: HubProcess, visit: Visit, tmp_path: Path) -> None:
    camera = pictures("day", tmp_path / "pictures")
    page = await visit()
    await morning(page, hub, camera)
    await work(page, tmp_path, camera)
    home = await lab.open_control_panel(page)
    await others_stay_outside(home, visit, camera)
    await stop(home, camera)
    await come_back_where_one_was(page, camera)
    await evening(home, camera)


@pytest.mark.parametrize("hub", ["jupyterhub-4"], indirect=True)
async def test_a_short_day_with_an_older_notebook_server(hub: HubProcess, visit: Visit, tmp_path: Path) -> None:
    camera = pictures("older", tmp_path / "pictures")
    page = await visit()
    await morning(page, hub, camera)
    await lab.new_notebook(page)
    await lab.run_cell(page, "import jupyterhub; print(jupyterhub.version_info[0])", "4")
    home = await lab.open_control_panel(page)
    await stop(home, camera)
    await evening(home, camera)


async def morning(page: Page, hub: HubProcess, camera: Camera) -> None:
    """Make the first account with the printed link, and start the server."""
    await page.goto(await first_link(hub))
    await camera.take(page, "first-link")
    await sign_up(page, page.url, "Ada")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Hello, ada")
    await camera.take(page, "home-before-the-start")
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your server is starting")
    await see_progress(page)
    await camera.take(page, "pending")
    await lab.arrive(page, "/user/ada/lab")
    await camera.take(page, "lab", whole=False)


async def see_progress(page: Page) -> None:
    """See the story grow and the bar move, without anybody loading the page again."""
    story, moved = [], False
    while "/hub/spawn-pending/" in page.url and not (moved and len(story) >= 2):  # it leads away when it can
        with contextlib.suppress(PlaywrightError):
            story, moved = await page.evaluate(PROGRESS)
        await asyncio.sleep(0.02)
    assert moved and len(story) >= 2
    assert story[0] == "Server requested"


async def work(page: Page, tmp_path: Path, camera: Camera) -> None:
    """Run code in a kernel, a command in a terminal, and upload a file that the kernel then reads."""
    await lab.new_notebook(page)
    await lab.run_cell(page, "print('the answer is', 6 * 7)", "the answer is 42")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(f"{number},{number**2}" for number in range(ROWS)))
    await lab.upload(page, table)
    await lab.turn_to(page, "Untitled.ipynb")
    await lab.run_cell(page, "print(sum(1 for row in open('table.csv')))", str(ROWS))
    await camera.take(page, "notebook", whole=False)
    await lab.open_launcher(page)
    await lab.run_in_terminal(page, "expr 1234 '*' 5678; pwd", str(1234 * 5678))
    await camera.take(page, "terminal", whole=False)


async def others_stay_outside(admin: Page, visit: Visit, camera: Camera) -> None:
    """Invite somebody, who makes an account and is refused by the server of the first user."""
    guest = await visit()
    await sign_up(guest, await invite(admin, "Grace"))
    await guest.goto("/user/ada/lab")
    await expect(guest.get_by_role("alert")).to_be_visible()
    assert guest.url.startswith(f"{await guest.evaluate('location.origin')}/hub/api/oauth2/authorize")
    await camera.take(guest, "refused")
    await admin.goto("/hub/home")


async def stop(page: Page, camera: Camera) -> None:
    """Stop the server on the home page."""
    await page.wait_for_url("**/hub/home")
    card = page.get_by_role("group", name="My server")
    await expect(card).to_contain_text("Running")
    await camera.take(page, "home-running")
    await card.get_by_role("button", name="Stop").click()
    await expect(card).to_contain_text("Stopped", timeout=60_000)
    await expect(page.get_by_text("The server is stopping.")).to_have_count(0)
    await camera.take(page, "home-stopped")


async def come_back_where_one_was(page: Page, camera: Camera) -> None:
    """Open a file of the stopped server by its address: the page there starts it and leads to the file."""
    await page.goto("/user/ada/lab/tree/table.csv")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your server is not running")
    await camera.take(page, "not-running")
    await page.get_by_role("link", name="Start the server").click()
    await lab.arrive(page, "/user/ada/lab/tree/table.csv")
    await expect(page.locator(".jp-CSVViewer")).to_be_visible(timeout=lab.LOAD)
    await camera.take(page, "where-one-wanted-to-go", whole=False)


async def evening(page: Page, camera: Camera) -> None:
    """Log out and in again; without a log-in nothing is shown."""
    await from_account_menu(page, "Log out")
    await page.wait_for_url("**/hub/login")
    await camera.take(page, "logged-out")
    await page.goto("/hub/home")
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()
    await log_in(page, "ada")
    await page.wait_for_url("**/hub/home")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Hello, ada")
