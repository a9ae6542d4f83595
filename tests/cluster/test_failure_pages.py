"""What people see of starts that wait and fail: a whole hub outside of the cluster, and a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from browser import visits
from servers.cluster_fixtures import Namespace
from servers.hub import HubProcess, running_hub

# What goes wrong with a server depends on who starts it.
SETTINGS = """
c.Hub.authenticator_class = "dummy"
c.Hub.spawner_class = "kubernetes"
c.Hub.hub_ip = "0.0.0.0"
c.KubeSpawner.namespace = {namespace!r}
c.KubeSpawner.kubeconfig = {kubeconfig!r}
c.KubeSpawner.image = {image!r}
c.KubeSpawner.image_pull_policy = "Never"
c.KubeSpawner.cmd = ["jupyterhub-singleuser"]
c.KubeSpawner.missing_object_timeout = 1
c.KubeSpawner.start_timeout = 300

def fail(spawner):
    match spawner.user.name:
        case "crash":
            spawner.args = ["die=3"]
        case "image":
            spawner.image = "localhost/nothing:1"
        case "late":
            spawner.mem_guarantee, spawner.start_timeout = "500G", 5
        case "right":
            spawner.namespace = "kube-public"
        case "security":
            spawner.privileged = True
        case "waits":
            spawner.mem_guarantee = "500G"

c.KubeSpawner.pre_spawn_hook = fail
"""


@pytest.fixture
async def hub(namespace: Namespace, small_image: str, tmp_path: Path) -> AsyncIterator[HubProcess]:
    """A hub whose servers fail."""
    namespace.cluster.kubectl("label", "ns", namespace.name, "pod-security.kubernetes.io/enforce=baseline")
    settings = SETTINGS.format(namespace=namespace.name, kubeconfig=str(namespace.kubeconfig), image=small_image)
    async with running_hub(tmp_path / "hub", settings) as hub:
        yield hub


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await visits.launch(playwright)
        yield started
        await started.close()


async def start(browser: Browser, hub: HubProcess, complaints: visits.Complaints, name: str) -> Page:
    """Log in as somebody and start their server."""
    page = await visits.new_page(browser, hub, complaints)
    await page.goto("/hub/login")
    await page.get_by_label("Name", exact=True).fill(name)
    async with page.expect_navigation():
        await page.get_by_role("button", name="Log in").click()
    await page.goto("/hub/spawn")
    return page


async def seen_failing(page: Page, words: str) -> str:
    """Wait for the page of a failure, and return what it says besides its words."""
    await expect(page.get_by_role("alert")).to_contain_text(words, timeout=visits.PATIENCE)
    await page.reload()
    await expect(page.get_by_role("alert")).to_contain_text(words)
    return "\n".join(await page.locator("pre").all_inner_texts())


FAILURES = {
    "crash": ("exited with code 3. It was tried ", "something is wrong with this server"),
    "image": ("The image localhost/nothing:1 is not on node", ""),
    "late": ("could not be brought up within 5 s. The last that was heard of it: Waiting for a node: ", ""),
    "right": ("The hub is not allowed to create secrets in namespace kube-public.", 'resources: ["secrets"]'),
    "security": ("breaks the Pod Security rules (baseline:latest)", "privileged"),
}


async def test_failures_are_explained_on_the_page_and_kept(hub: HubProcess, browser: Browser, tmp_path: Path) -> None:
    camera, complaints = visits.pictures("failures", tmp_path / "pictures"), visits.Complaints()
    pages = {name: await start(browser, hub, complaints, name) for name in FAILURES}
    for name, (words, details) in FAILURES.items():
        page = pages[name]
        assert details in await seen_failing(page, words)
        await camera.examine(page, name)
        await page.goto("/hub/home")
        await expect(page.locator(".server")).to_contain_text(words[:50])
        await expect(page.locator(".server")).not_to_contain_text("apiGroups")
    admin = hub.client(await hub.token())
    async with admin:
        told = await admin.get("/users/right/server/progress")
        last = [json.loads(line.removeprefix("data: ")) for line in told.text.splitlines() if line.startswith("data")]
        assert last[-1]["failed"] is True
        assert "not allowed to create secrets" in last[-1]["message"]
        assert 'resources: ["secrets"]' in last[-1]["message"]
    assert not complaints.found


async def test_a_wait_is_told_as_it_is(hub: HubProcess, browser: Browser, tmp_path: Path) -> None:
    camera, complaints = visits.pictures("waits", tmp_path / "pictures"), visits.Complaints()
    page = await start(browser, hub, complaints, "waits")
    await expect(page.locator("[data-now]")).to_contain_text(
        "short of memory (500Gi asked for)", timeout=visits.PATIENCE
    )
    await page.locator("details.more summary").click()
    await expect(page.locator("[data-story]")).to_contain_text("Preparing the server's pod")
    await camera.examine(page, "waits")
    await page.get_by_role("button", name="Cancel the start").click()
    await page.wait_for_url(re.compile("/hub/home"))
    assert not complaints.found
