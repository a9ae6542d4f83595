"""The log-in page with everything that it can have: several sources, a provider, one-time passwords, sign-up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from browser.visits import Visit, pictures
from servers.hub import HubProcess, running_hub

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900), pytest.mark.xdist_group("log-in")]

SETTINGS = """
from jupyterhub.auth import Authenticator

class Staff(Authenticator):
    async def authenticate(self, handler, data):
        return data["username"] if (data["password"], data["otp"]) == ("staff only", "123456") else None

c.Hub.authenticator_class = "several"
c.Hub.spawner_class = "fake"
c.Hub.redirect_to_server = False
c.SeveralAuthenticator.sources = {
    "staff": {"class": Staff, "label": "your staff account", "allow_all": True,
              "request_otp": True, "otp_prompt": "Code of your token"},
    "guests": {"class": "shared-password", "label": "the course password", "prefix": "guest-",
               "user_password": "for guests only", "allow_all": True},
    "github": {"class": "github", "prefix": "github-", "client_id": "x", "client_secret": "y", "allow_all": True},
    "sso": {"class": "generic-oauth", "prefix": "sso-", "client_id": "x", "client_secret": "y", "allow_all": True,
            "issuer": "http://127.0.0.1:1", "login_service": "University of Example"},
}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(folder: Path) -> AsyncIterator[HubProcess]:
    """A hub with four ways to log in."""
    async with running_hub(folder, SETTINGS) as running:
        yield running


async def fill_in(page: Page, name: str, password: str, code: str, way: str) -> None:
    """Fill the form in and choose the way."""
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_label("Code of your token").fill(code)
    await page.get_by_role("button", name=f"Log in with {way}").click()


async def test_people_choose_how_to_log_in(
    hub: HubProcess, visit: Visit, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    camera = pictures("log-in", tmp_path / "pictures")
    page = await visit()
    await page.goto("/")
    await camera.examine(page, "several")
    await fill_in(page, "ada", "staff only", "000000", "your staff account")
    await expect(page.get_by_role("alert")).to_have_text("Name, password and code do not belong together.")
    await camera.examine(page, "refused")
    await fill_in(page, "ada", "staff only", "123456", "your staff account")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Hello, ada")
    guest = await visit()
    await guest.goto("/")
    await fill_in(guest, "ada", "for guests only", "", "the course password")
    await expect(guest.get_by_role("heading", level=1)).to_have_text("Hello, guest-ada")
    away = await visit()
    await away.goto("/")
    await expect(away.get_by_role("link", name="Log in with GitHub")).to_be_visible()
    await away.get_by_role("link", name="Log in with University of Example").click()
    await expect(away.get_by_role("alert")).to_contain_text("cannot be reached")
    await camera.examine(away, "provider-away")
