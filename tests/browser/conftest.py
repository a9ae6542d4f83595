"""A real Chromium, and a place for hubs; no process of either outlives its test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from browser import visits
from servers.hub import HubProcess
from servers.machine import processes_of

FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for hubs and their data. The tests fail if any process of it is left at their end."""
    path = Path(tempfile.mkdtemp(prefix=f"nbhub-browser-{os.getpid()}-"))
    yield path
    left = processes_of(path)
    for process in left:
        process.kill()
    shutil.rmtree(path, ignore_errors=True)
    assert not left, f"processes outlived the tests: {left}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for the tests of a file; each visitor gets a context of their own."""
    async with async_playwright() as playwright:
        started = await visits.launch(playwright)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visit(
    hub: HubProcess, browser: Browser, complaints: visits.Complaints, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[visits.Visit]:
    """Call it for the page of a new visitor of `hub`; when a test fails, there are pictures of what they saw last."""

    async def visit(size: tuple[int, int] = visits.DESKTOP) -> Page:
        return await visits.new_page(browser, hub, complaints, size)

    yield visit
    for context in browser.contexts:
        if request.node.stash.get(FAILED, False):
            camera = visits.pictures(f"failed-{request.node.name}", tmp_path / "failed")
            for page in context.pages:
                print(f"{page.url}: {await camera.take(page, 'last-seen', whole=False)}")
        await context.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures know whether the test failed."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture
def complaints() -> Iterator[visits.Complaints]:
    """What the browser complained about; the test fails if there was anything."""
    heard = visits.Complaints()
    yield heard
    assert not heard.found, "\n".join(heard.found)
