"""JupyterLab as a person uses it: notebooks, terminals, uploads."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Locator, Page, WebSocket, expect

from browser.visits import PATIENCE
from servers.hub import until

LOAD = 300_000  # milliseconds until JupyterLab stands or a kernel answers; both are large, and the machine may be busy


async def arrive(page: Page, address: str) -> None:
    """Wait until the browser has been led to a JupyterLab below this address, and it is ready to be used."""
    await page.wait_for_url(f"**{address}*", timeout=LOAD)
    await expect(page.locator("#jp-main-dock-panel")).to_be_visible(timeout=LOAD)
    await expect(page.locator("#jupyterlab-splash")).to_have_count(0, timeout=LOAD)


async def new_notebook(page: Page) -> None:
    """Open a new notebook from the launcher; its kernel is up afterwards."""
    await page.locator('.jp-LauncherCard[data-category="Notebook"]:visible').first.click()
    await until_idle(page)


async def until_idle(page: Page) -> None:
    """Wait until the open notebook has a kernel that is up and has nothing to do."""
    # The circle beside the name of the kernel is idle before there is one; the status bar is not.
    await expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=LOAD)


async def save(page: Page, name: str) -> None:
    """Save the open notebook for the first time, under this name."""
    await page.keyboard.press("Control+s")
    await page.locator(".jp-Dialog input[type=text], .jp-Dialog input:not([type])").first.fill(name)
    await page.get_by_role("button", name="Rename and Save").click()
    await expect(page.locator("#jp-main-dock-panel .lm-TabBar-tab.jp-mod-dirty")).to_have_count(0, timeout=PATIENCE)


async def run_cell(page: Page, code: str, shown: str) -> None:
    """Run code in the last cell of the open notebook, and see that the kernel answers with `shown`."""
    notebook = page.locator(".jp-NotebookPanel:visible")
    await notebook.locator(".jp-CodeCell .cm-content").last.click()
    await page.keyboard.insert_text(code)
    await page.keyboard.press("Shift+Enter")
    await expect(notebook.locator(".jp-OutputArea-output").last).to_have_text(shown, timeout=LOAD)


async def turn_to(page: Page, title: str) -> None:
    """Bring an open document to the front."""
    await page.locator("#jp-main-dock-panel .lm-TabBar-tab", has_text=title).click()


async def open_launcher(page: Page) -> None:
    """Open a new launcher."""
    await page.locator("#jp-main-dock-panel .lm-TabBar-addButton:visible").first.click()
    await expect(page.locator(".jp-Launcher:visible")).to_be_visible()


async def run_in_terminal(page: Page, command: str, shown: str) -> None:
    """Open a terminal from the launcher, run a command in it, and see its output arrive."""
    said: list[str] = []  # the terminal paints pixels, so its text is read where it comes in

    def hear(socket: WebSocket) -> None:
        if "/terminals/websocket/" in socket.url:
            socket.on("framereceived", lambda frame: said.append(str(frame)))

    page.on("websocket", hear)
    await page.locator('.jp-LauncherCard[data-category="Other"]:visible', has_text="Terminal").click()
    await until(lambda: "stdout" in "".join(said), "the terminal shows a prompt", LOAD / 1000)
    await page.locator(".jp-Terminal:visible").click()
    await page.keyboard.type(f"{command}\n")
    await until(lambda: shown in "".join(said), f"the terminal shows {shown}", PATIENCE / 1000)


async def upload(page: Page, path: Path) -> None:
    """Upload a file with the button of the file browser, and see it listed."""
    async with page.expect_file_chooser() as asked:
        await page.locator('[data-command="filebrowser:upload"], .jp-id-upload').first.click()
    await (await asked.value).set_files(path)
    await expect(entry(page, path.name)).to_be_visible(timeout=PATIENCE)


def entry(page: Page, name: str) -> Locator:
    """Return the line of the file browser that shows this file."""
    return page.locator(".jp-DirListing-item", has_text=name)


async def open_control_panel(page: Page) -> Page:
    """Choose "Hub Control Panel" in the File menu, and return the page that opens."""
    await page.get_by_role("menuitem", name="File", exact=True).click()
    async with page.context.expect_page() as opened:
        await page.get_by_role("menuitem", name="Hub Control Panel").click()
    return await opened.value
