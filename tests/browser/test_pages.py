"""The pages in a real Chromium: what can be done with them, that all can use them, that they are fit to be seen.

Servers are fake, so that they start at once and fail on demand. Whatever the browser complains about fails the test.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from browser.visits import (
    PASSWORD,
    PHONE,
    Camera,
    Complaints,
    Visit,
    first_link,
    from_account_menu,
    invite,
    log_in,
    new_page,
    pictures,
    sign_up,
)
from servers.hub import PATIENT, HubProcess, running_hub

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900), pytest.mark.xdist_group("pages")]

SETTINGS = f"""{PATIENT}
c.Hub.spawner_class = "fake"
c.Hub.allow_named_servers = True
c.Hub.named_server_limit_per_user = 3
c.Hub.cleanup_servers = False
c.Hub.services = [{{
    "name": "whoami", "url": "http://127.0.0.1:1", "api_token": "0123456789abcdef",
    "oauth_client_allowed_scopes": ["read:users:name!user", "list:users"],
}}]
c.Hub.load_roles = [{{"name": "user", "scopes": ["self", "access:services!service=whoami"]}}]
c.Spawner.options_form = '''
<div class="field">
  <label for="fault">What goes wrong</label>
  <select id="fault" name="fault">
    <option value="">Nothing</option>
    <option value="fails">It fails</option>
    <option value="stubborn">It does not want to stop</option>
    <option value="tired">Something unheard of</option>
  </select>
</div>
<div class="field">
  <label for="delay">Seconds that each stage takes</label>
  <input id="delay" name="delay" type="number" min="0" step="0.1" value="0">
</div>
'''
"""
ADMIN = "ada"
SLOW_DOWN = re.compile(r"^Too many wrong passwords\. Try again in \d+ seconds?\.$")
FOCUS_IS_SEEN = """() => {
  const style = getComputedStyle(document.activeElement);
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return outlined || document.activeElement === document.body;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(folder: Path) -> AsyncIterator[HubProcess]:
    """A hub with fake servers and an options form, for all tests of this file."""
    async with running_hub(folder, SETTINGS) as running:
        yield running


@pytest.fixture
def camera(request: pytest.FixtureRequest, tmp_path: Path) -> Camera:
    """A camera with a folder for this test."""
    return pictures(f"pages/{request.node.name.removeprefix('test_')}", tmp_path / "pictures")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def administrator(hub: HubProcess, browser: Browser) -> str:
    """The name of the first user, who has an account from now on."""
    page = await new_page(browser, hub, Complaints())
    await sign_up(page, await first_link(hub), ADMIN)
    await page.context.close()
    return ADMIN


@pytest_asyncio.fixture(loop_scope="module")
async def ada(visit: Visit, administrator: str) -> Page:
    """The administrator's page, logged in and at home."""
    page = await visit()
    await page.goto("/hub/home")
    await log_in(page, administrator)
    await page.wait_for_url("**/hub/home")
    return page


async def newcomer(admin: Page, visit: Visit, name: str) -> Page:
    """Return the page of a new user, logged in and at home."""
    page = await visit()
    await sign_up(page, await invite(admin, name))
    return page


async def start(page: Page, server: str = "", fault: str = "Nothing", delay: str = "0") -> None:
    """Start a server of one's own with these options; leaves the options page."""
    await page.goto(f"/hub/spawn{server}")
    await page.get_by_label("What goes wrong").select_option(fault)
    await page.get_by_label("Seconds that each stage takes").fill(delay)
    await page.get_by_role("button", name="Start", exact=True).click()


def server(address: str) -> re.Pattern[str]:
    """Match an address of a server; a browser that was faster than the proxy has been sent there once more."""
    return re.compile(rf"{re.escape(address)}([?&]redirects=\d)?$")


def heading(page: Page) -> Locator:
    """Return the first heading of a page."""
    return page.get_by_role("heading", level=1)


# -- coming in -------------------------------------------------------------------------------------------------------


async def test_who_is_invited_makes_an_account(ada: Page, visit: Visit, camera: Camera) -> None:
    await ada.goto("/hub/admin")
    await ada.get_by_label("Name (empty: they choose it)").fill("Grace")
    await ada.get_by_role("button", name="Make a link").click()
    await camera.examine(ada, "link")
    link = await ada.get_by_label("For Grace").input_value()

    grace = await visit()
    await grace.goto(link)
    await expect(grace.get_by_text("You were invited by ada.")).to_be_visible()
    await camera.examine(grace, "sign-up")
    await grace.get_by_label("Password", exact=True).fill(PASSWORD)
    await grace.get_by_label("The same password again").fill(f"{PASSWORD}!")
    await grace.get_by_role("button", name="Make the account").click()
    await expect(grace.get_by_role("alert")).to_have_text("The two passwords are not the same. Enter them once more.")
    await camera.examine(grace, "sign-up-again")
    await sign_up(grace, link)
    await expect(heading(grace)).to_have_text("Hello, grace")
    await expect(grace.get_by_role("link", name="Administration")).to_have_count(0)

    third = await visit()
    await third.goto(link)
    await expect(third.get_by_role("alert")).to_contain_text("This link does not work any more")
    await camera.examine(third, "link-used-up")


async def test_wrong_passwords(administrator: str, visit: Visit, camera: Camera) -> None:
    page = await visit()
    await page.goto("/hub/login")
    await camera.examine(page, "log-in")
    for _ in range(5):
        await log_in(page, administrator, "wrong")
        await expect(page.get_by_role("alert")).to_have_text("Name and password do not belong together.")
    await expect(page.get_by_label("Name", exact=True)).to_have_value(administrator)
    await expect(page.get_by_label("Password", exact=True)).to_be_focused()
    await expect(page.get_by_label("Password", exact=True)).to_have_value("")
    await camera.examine(page, "wrong-password")
    # Each wait is twice as long as the one before, so however slow the machine is, one attempt comes too soon.
    for _ in range(4):
        await log_in(page, administrator, "wrong")
        if await page.get_by_text("Too many wrong passwords.").is_visible():
            break
    await expect(page.get_by_role("alert")).to_have_text(SLOW_DOWN)
    await camera.examine(page, "too-many")
    # The owner of the account comes in nevertheless, from where they were before, after a short wait.
    async with asyncio.timeout(300):
        while "/hub/login" in page.url:
            await log_in(page, administrator)


async def test_with_the_keyboard_alone(ada: Page, visit: Visit) -> None:
    await (await newcomer(ada, visit, "kay")).context.close()
    page = await visit()
    await page.goto("/hub/home")
    await expect(page.get_by_label("Name", exact=True)).to_be_focused()
    await page.keyboard.type("kay")
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/hub/home")

    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await tab_to(page, page.get_by_role("link", name="Start", exact=True))
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/hub/spawn/kay")
    await tab_to(page, page.get_by_role("button", name="Start", exact=True))
    await page.keyboard.press("Enter")
    await page.wait_for_url(server("/user/kay/"))

    await page.goto("/hub/home")
    menu = page.get_by_label("Account of kay")
    await tab_to(page, menu)
    await page.keyboard.press("Enter")
    await tab_to(page, page.get_by_role("button", name="Log out", exact=True))
    await page.keyboard.press("Escape")
    await expect(menu).to_be_focused()
    await expect(page.get_by_role("button", name="Log out", exact=True)).to_be_hidden()
    await page.keyboard.press("Enter")
    await tab_to(page, page.get_by_role("button", name="Log out", exact=True))
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/hub/login")


async def tab_to(page: Page, goal: Locator) -> None:
    """Press Tab until the goal has the focus; wherever the focus goes on the way, it can be seen."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        assert await page.evaluate(FOCUS_IS_SEEN), await page.evaluate("document.activeElement.outerHTML")
        if await goal.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Tab does not lead to {goal}")


async def test_log_out_everywhere(ada: Page, visit: Visit) -> None:
    here = await newcomer(ada, visit, "eve")
    there = await visit()
    await there.goto("/hub/home")
    await log_in(there, "eve")
    await there.wait_for_url("**/hub/home")
    await from_account_menu(here, "Log out everywhere")
    await here.wait_for_url("**/hub/login")
    await there.get_by_role("link", name="Tokens").click()
    await expect(there.get_by_role("button", name="Log in")).to_be_visible()
    await ada.reload()
    await expect(ada.get_by_label("Account of ada")).to_be_visible()


async def test_passwords_are_changed_and_reset(ada: Page, visit: Visit, camera: Camera) -> None:
    page = await newcomer(ada, visit, "pat")
    await page.goto("/hub/password")
    await camera.examine(page, "change")
    await page.get_by_label("Current password").fill("another one")
    await choose(page, "a much better one", "Change password")
    await expect(page.get_by_role("alert")).to_have_text("Your current password is another one.")
    await page.get_by_label("Current password").fill(PASSWORD)
    await choose(page, "a much better one", "Change password")
    await expect(page.get_by_role("status")).to_contain_text("Your password is changed.")

    await ada.goto("/hub/admin?q=pat")
    await ada.get_by_label("What to do with pat").click()
    await ada.get_by_role("button", name="Link for a new password").click()
    await page.context.clear_cookies()
    await page.goto(await ada.get_by_label("For pat").input_value())
    await camera.examine(page, "reset")
    await choose(page, "the best one of all", "Set the password")
    await page.wait_for_url("**/hub/home")


async def choose(page: Page, password: str, button: str) -> None:
    """Fill in a new password twice, and send it."""
    await page.get_by_label(re.compile("^(New p|P)assword$")).fill(password)
    await page.get_by_label("The same password again").fill(password)
    await page.get_by_role("button", name=button).click()


# -- servers ---------------------------------------------------------------------------------------------------------


async def test_a_server_from_start_to_stop(ada: Page, visit: Visit, camera: Camera) -> None:
    page = await newcomer(ada, visit, "sam")
    await camera.examine(page, "home-stopped")
    await page.get_by_role("link", name="Start", exact=True).click()
    await camera.examine(page, "options")
    await start(page, fault="Something unheard of")
    await expect(page.get_by_role("alert")).to_contain_text("Option fault is 'tired'")
    await start(page, delay="30")
    await expect(heading(page)).to_have_text("Your server is starting")
    await expect(page.get_by_role("status")).to_have_text("Finding a place for the server")
    await page.get_by_text("What happened so far").click()
    await camera.examine(page, "pending")
    await page.get_by_role("link", name="Home").first.click()
    await expect(page.get_by_role("group", name="My server")).to_contain_text("Starting")
    await camera.examine(page, "home-starting")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("group", name="My server")).to_contain_text("Stopped")

    await start(page, fault="It does not want to stop")
    await page.wait_for_url(server("/user/sam/"))
    await page.goto("/hub/home")
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_role("group", name="My server")).to_contain_text("Stopping")
    await camera.examine(page, "home-stopping")
    await page.get_by_role("link", name="Watch").click()
    await expect(heading(page)).to_have_text("Your server is stopping")
    await camera.examine(page, "stopping")


async def test_several_servers(ada: Page, visit: Visit, camera: Camera) -> None:
    page = await newcomer(ada, visit, "max")
    await page.get_by_label("Another server").fill("gpu-work")
    await page.get_by_role("button", name="Start it").click()
    await page.get_by_role("button", name="Start", exact=True).click()
    await page.wait_for_url(server("/user/max/gpu-work/"))
    await start(page)
    await page.wait_for_url(server("/user/max/"))
    await start(page, "/max/broken", fault="It fails")
    await expect(heading(page)).to_have_text("Your server “broken” could not be started")
    await page.goto("/hub/home")
    await camera.examine(page, "home")
    named = page.get_by_role("group", name="gpu-work")
    await named.get_by_role("button", name="Stop").click()
    await named.get_by_label("Remove gpu-work").click()
    await expect(named).to_contain_text("the files in it are deleted")
    await camera.examine(page, "before-a-removal")
    await named.get_by_role("button", name="Remove gpu-work").click()
    await expect(named).to_have_count(0)


async def test_a_start_that_fails(ada: Page, visit: Visit, camera: Camera) -> None:
    page = await newcomer(ada, visit, "fay")
    await page.goto("/user/fay/lab/tree/notes.md?line=3")
    await expect(heading(page)).to_have_text("Your server is not running")
    await camera.examine(page, "not-running")
    await page.get_by_role("link", name="Start the server").click()
    await page.get_by_label("What goes wrong").select_option("It fails")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(heading(page)).to_have_text("Your server could not be started")
    await expect(page.get_by_role("alert")).to_contain_text("failed on demand at stage 1")
    await expect(page.locator("pre")).to_contain_text("RuntimeError: failed on demand")
    await camera.examine(page, "failed")
    await page.get_by_role("link", name="Try again").click()
    await page.get_by_role("button", name="Start", exact=True).click()
    await page.wait_for_url(server("/user/fay/lab/tree/notes.md?line=3"))


async def test_others_are_refused_at_ones_server(ada: Page, visit: Visit, camera: Camera) -> None:
    page = await newcomer(ada, visit, "mallory")
    for address in ("/user/ada/", "/hub/spawn/ada", "/hub/spawn-pending/ada", "/hub/admin"):
        answer = await page.goto(address)
        assert answer is not None and answer.status in (403, 404), address
        await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_text("Your account does not have the right that this needs.")
    await camera.examine(page, "refused")
    await page.goto("/hub/nowhere")
    await camera.examine(page, "nowhere")


async def test_a_service_asks_who_one_is(ada: Page, visit: Visit, camera: Camera) -> None:
    page = await newcomer(ada, visit, "zoe")
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    await page.get_by_text("Services").click()
    await page.get_by_role("link", name="whoami").click(trial=True)  # nothing lies over it or cuts it off
    await camera.examine(page, "menu")
    callback = "/services/whoami/oauth_callback"
    where = {"client_id": "service-whoami", "redirect_uri": callback, "response_type": "code", "state": "a-state"}
    for button, answer in (("Allow", "code="), ("Do not allow", "error=access_denied")):
        await page.goto(f"/hub/api/oauth2/authorize?{urlencode(where)}")
        await expect(page.get_by_text("to be allowed to do this in your name")).to_be_visible()
        await camera.examine(page, "question")
        async with page.expect_request(lambda request: urlsplit(request.url).path == callback) as asked:
            await page.get_by_role("button", name=button, exact=True).click()
        went = urlsplit((await asked.value).url).query
        assert answer in went and "state=a-state" in went
        await expect(heading(page)).to_have_text("This server does not answer")
    await camera.examine(page, "service-away")


# -- tokens and administration ---------------------------------------------------------------------------------------


async def test_tokens(hub: HubProcess, ada: Page, visit: Visit, camera: Camera) -> None:
    page = await newcomer(ada, visit, "tom")
    await page.get_by_role("link", name="Tokens").click()
    await page.get_by_label("What is it for?").fill("nightly report")
    await page.get_by_role("button", name="Make the token").click()
    token = await page.get_by_label("Your new token").input_value()
    async with hub.client(token) as api:
        assert (await api.get("/user")).json()["name"] == "tom"
        await camera.examine(page, "made")
        await page.get_by_role("link", name="Tokens").click()
        await expect(page.get_by_role("cell", name="nightly report", exact=True)).to_be_visible()
        assert token not in await page.content()
        await camera.examine(page, "tokens")
        await page.get_by_label("Revoke nightly report").click()
        await expect(page.get_by_role("status")).to_have_text("The token is revoked.")
        await expect(page.get_by_role("cell", name="nightly report", exact=True)).to_have_count(0)
        assert (await api.get("/user")).status_code == 403


async def test_administration(ada: Page, camera: Camera) -> None:
    await ada.goto("/hub/admin")
    await ada.get_by_text("Add users by name").click()
    await ada.get_by_label("Names, one in each line").fill("ann\nanton\na-user-with-quite-a-long-name-for-a-person")
    await ada.get_by_role("button", name="Add", exact=True).click()
    await expect(heading(ada)).to_have_text("Their links to choose a password")
    await camera.examine(ada, "links")
    await ada.get_by_role("link", name="Back to the administration").click()

    row = ada.get_by_role("row", name="anton")
    await row.get_by_role("link", name="Start").click()
    await ada.get_by_role("button", name="Start", exact=True).click()
    await ada.wait_for_url("**/hub/admin")
    await expect(row).to_contain_text("Running")
    await camera.examine(ada, "administration")
    await row.get_by_role("button", name="Stop").click()
    await expect(row).to_contain_text("Stopped")

    await act(ada, "anton", "Make administrator")
    await expect(row).to_contain_text("admin")
    await act(ada, "anton", "End administration")
    await expect(ada.get_by_role("status")).to_have_text("The user is no longer an administrator.")
    await ada.get_by_label("What to do with anton").click()
    await camera.examine(ada, "menu")
    await ada.keyboard.press("Escape")

    await ada.get_by_label("Find users by a part of their name").fill("long")
    await ada.get_by_role("button", name="Find").click()
    await expect(ada.get_by_role("row", name="a-user-with")).to_be_visible()
    await expect(row).to_have_count(0)
    await ada.get_by_label("What to do with a-user-with").click()
    await ada.get_by_text("Delete …").click()
    await ada.get_by_role("button", name="Delete a-user-with").click()
    await expect(ada.get_by_role("status")).to_have_text("The user is deleted.")
    await expect(ada.get_by_text("a-user-with")).to_have_count(0)

    await ada.get_by_text("not used yet").click()
    await camera.examine(ada, "links-not-used")
    await ada.get_by_role("row", name="ann ").get_by_role("button", name="Withdraw").click()
    await expect(ada.get_by_role("status")).to_have_text("The link no longer works.")


async def act(admin: Page, name: str, button: str) -> None:
    """Do something with a user by their menu."""
    await admin.get_by_label(f"What to do with {name}").click()
    await admin.get_by_role("row", name=name).get_by_role("button", name=button).click()
