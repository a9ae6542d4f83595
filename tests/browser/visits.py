"""What tests need around a real browser: where it is, what it complains about, pictures of what a person sees."""

from __future__ import annotations

import importlib.resources
import os
import re
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Playwright,
    Response,
    WebError,
    expect,
)

from servers.hub import HubProcess, until

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
DESKTOP = (1280, 800)
PHONE = (390, 844)
SIZES = {"phone": PHONE, "desktop": DESKTOP}
SCHEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")
LOOKS = Path(__file__).with_name("looks.js").read_text()
AXE = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
NO_TIMERS = "for (let timer = setTimeout(() => {}, 0); timer > 0; timer -= 1) clearTimeout(timer)"
VIOLATIONS = """async () => {
  const found = await axe.run({ resultTypes: ["violations"] });
  return found.violations.flatMap(({ id, help, nodes }) => nodes.map(({ html }) => `${id} (${help}): ${html}`));
}"""
PATIENCE = 90_000  # milliseconds that anything on a page may take; the machine may be busy
PASSWORD = "correct horse battery"

expect.set_options(timeout=PATIENCE)


def program() -> str:
    """Return the path of Chromium; without one the test is skipped, or fails where everything has to be tested."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        words = "Chromium is not installed: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)
    return found


async def launch(playwright: Playwright) -> Browser:
    """Start a Chromium with a profile of its own, which is gone with it."""
    return await playwright.chromium.launch(executable_path=program(), args=list(ARGUMENTS))


@dataclass
class Complaints:
    """What a browser finds wrong with the hub's pages: errors, warnings, scripts that broke, policies violated.

    Pages of notebook servers are not ours and not judged.
    """

    prefix: str = "/hub/"
    found: list[str] = field(default_factory=list)
    _refused: set[str] = field(default_factory=set)

    def listen(self, context: BrowserContext) -> None:
        """Hear of everything that goes wrong in this context from now on."""
        context.on("console", self._console)
        context.on("weberror", self._broken)
        context.on("response", self._response)

    def _response(self, response: Response) -> None:
        # Chromium calls a page with an error status an error; the tests look at those pages themselves.
        if response.status >= 400 and response.request.is_navigation_request():
            self._refused.add(response.url)

    def _console(self, message: ConsoleMessage) -> None:
        where = message.location["url"]
        page = message.page.url if message.page is not None else ""
        if message.type not in ("error", "warning") or not self._is_ours(page):
            return
        if not (message.text.startswith("Failed to load resource") and where in self._refused):
            self.found.append(f"{message.type} at {page}: {message.text} ({where})")

    def _broken(self, error: WebError) -> None:
        page = error.page.url if error.page is not None else ""
        if self._is_ours(page):
            self.found.append(f"script at {page}: {error.error}")

    def _is_ours(self, url: str) -> bool:
        return urlsplit(url).path.startswith(self.prefix)


@dataclass(frozen=True)
class Camera:
    """Takes pictures into a folder, numbered in the order of the visit."""

    folder: Path

    async def take(self, page: Page, name: str, *, whole: bool = True) -> Path:
        """Take a picture of what a person sees now; `whole` takes what is below the window too."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{len(list(self.folder.glob('*.png'))) + 1:02}-{name}.png"
        await page.screenshot(path=path, full_page=whole, animations="disabled")
        return path

    async def examine(self, page: Page, name: str) -> None:
        """Take pictures in both colour schemes at both widths, and find nothing wrong with what they show.

        Rules of ours are asked each time, those of axe, which take longer, once.
        """
        wrong = []
        for width, size in SIZES.items():
            await page.set_viewport_size({"width": size[0], "height": size[1]})
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme)
                await self.take(page, f"{name}-{width}-{scheme}")
                wrong += [f"{name}, {width}, {scheme}: {what}" for what in await page.evaluate(LOOKS)]
        wrong += [f"{name}: {what}" for what in await _violations(page)]
        await page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        assert not wrong, "\n".join(wrong)


async def _violations(page: Page) -> list[str]:
    """Return what axe finds wrong with a page; one that would load itself anew meanwhile is kept from it."""
    for _ in range(5):
        try:
            await page.evaluate(NO_TIMERS)
            await page.evaluate(AXE)
            found: list[str] = await page.evaluate(VIOLATIONS)
        except Error as error:  # it had begun to load before
            if "context was destroyed" not in error.message:
                raise
            await page.wait_for_load_state()
        else:
            return found
    raise AssertionError(f"{page.url} does not stand still")


def pictures(kept_as: str, otherwise: Path) -> Camera:
    """Return a camera whose pictures are kept where NBHUB_SCREENSHOTS says, if it does."""
    kept = os.environ.get("NBHUB_SCREENSHOTS")
    return Camera(Path(kept).resolve() / kept_as if kept else otherwise)


Visit = Callable[..., Awaitable[Page]]


async def new_page(browser: Browser, hub: HubProcess, complaints: Complaints, size: tuple[int, int] = DESKTOP) -> Page:
    """Return a page of somebody who has not been here before: no cookies, nothing remembered. Paths are the hub's."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="light",
        base_url=hub.url,
        ignore_https_errors=hub.url.startswith("https:"),  # certificates of tests are their own
    )
    context.set_default_timeout(PATIENCE)
    complaints.listen(context)
    return await context.new_page()


async def first_link(hub: HubProcess) -> str:
    """Return the link that the hub prints at its first start."""
    found = await until(lambda: re.search(r"(http\S+/hub/signup\?code=\S+)", hub.text()), "the first link is printed")
    return str(found[1])


async def sign_up(page: Page, link: str, name: str = "", password: str = PASSWORD) -> None:
    """Follow a link to a new account, choose name and password, and arrive at home."""
    await page.goto(link)
    if name:
        await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_label("The same password again").fill(password)
    await page.get_by_role("button", name="Make the account").click()
    await page.wait_for_url(re.compile(r"/hub/(home|admin/who)$"))
    if page.url.endswith("/who"):  # the first administrator
        await page.get_by_label("Only people you invite").check()
        await page.get_by_role("button", name="Go on").click()
        await page.wait_for_url(re.compile(r"/hub/admin(\?|$)"))
        await page.goto("/hub/home")


async def invite(admin: Page, name: str = "") -> str:
    """Make a link to a new account on the administration page; returns it."""
    await admin.goto("/hub/admin")
    await admin.get_by_label("Name (empty: they choose it)").fill(name)
    await admin.get_by_role("button", name="Make a link").click()
    return await admin.get_by_label(f"For {name or 'whoever gets it first'}").input_value()


async def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Fill in the log-in page that the browser shows, send it, and wait for the page that comes back."""
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_label("Password", exact=True).fill(password)
    async with page.expect_navigation():
        await page.get_by_role("button", name="Log in").click()


async def from_account_menu(page: Page, button: str) -> None:
    """Open the menu of the account and press one of its buttons."""
    await page.locator("details.account summary").click()
    await page.get_by_role("button", name=button, exact=True).click()
