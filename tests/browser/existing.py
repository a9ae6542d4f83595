"""Hubs that run with files as people have them for JupyterHub, and their visitors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from playwright.async_api import Browser, Page, expect

from browser.visits import Complaints, new_page
from servers.hub import HubProcess, until

CONFIGS = Path(__file__).parents[1] / "compat" / "configs"


class Started:
    """A hub that runs with one of the files, and its visitors."""

    def __init__(self, hub: HubProcess, prefix: str, browser: Browser, complaints: Complaints) -> None:
        self.hub = hub
        self.prefix = prefix
        self._browser = browser
        self._complaints = complaints

    async def visitor(self) -> Page:
        """Return the page of somebody new, at the hub's address."""
        self._complaints.prefix = f"{self.prefix}/hub/"
        page = await new_page(self._browser, self.hub, self._complaints)
        await page.goto(f"{self.prefix}/")
        return page

    async def serves(self, page: Page, name: str) -> None:
        """See the server that was started for the user, and the way back to the home page, where it runs."""
        await expect(page).to_have_url(re.compile(rf"{re.escape(self.prefix)}/user/{name}/"))
        await expect(page.locator("body")).to_contain_text(f"{self.prefix}/user/{name}/")
        await page.goto(f"{self.prefix}/hub/home")
        await expect(page.get_by_role("heading", level=1)).to_have_text(f"Hello, {name}")
        await expect(page.get_by_text("Running", exact=True)).to_be_visible()


@contextlib.asynccontextmanager
async def started(
    name: str, hub: HubProcess, browser: Browser, complaints: Complaints, *options: str, prefix: str = ""
) -> AsyncIterator[Started]:
    """Run a hub with one of the files until the end of the block."""
    hub.spawn("-f", str(CONFIGS / f"{name}.py"), *options)
    try:
        async with httpx.AsyncClient(verify=False, timeout=60) as client:

            async def answers() -> bool:
                assert hub.alive, hub.text()
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(f"{hub.url}{prefix}/hub/health")).status_code == 200
                return False

            await until(answers, "the hub answers", 60)
        yield Started(hub, prefix, browser, complaints)
    finally:
        assert await hub.stop() == 0, hub.text()
