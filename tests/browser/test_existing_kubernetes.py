"""A file with KubeSpawner from imported classes, started unchanged: visitors come in with Chromium, and get pods."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, expect

from browser.existing import started
from browser.visits import Complaints, from_account_menu, pictures
from servers.cluster_fixtures import cluster, namespace, small_image
from servers.hub import HubProcess, until

__all__ = ["cluster", "namespace", "small_image"]

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900), pytest.mark.xdist_group("cluster")]


async def test_every_visitor_gets_a_pod(
    folder: Path, browser: Browser, complaints: Complaints, tmp_path: Path, namespace: Any, small_image: str
) -> None:
    if namespace.cluster.script is None:
        pytest.skip("pods have to be reached from this machine, as in the cluster that tests make themselves")
    camera = pictures("files/tmp_kubernetes", tmp_path / "pictures")
    hub = HubProcess(folder / "kubernetes", env={"KUBECONFIG": str(namespace.kubeconfig)})
    options = [
        "--Hub.start_proxy=True",  # the file has its proxy apart
        f"--Hub.hub_connect_url=http://{urlsplit(namespace.cluster.server).hostname}:{hub.hub_port}",
        f"--KubeSpawner.namespace={namespace.name}",
        f"--KubeSpawner.image={small_image}",
        "--KubeSpawner.image_pull_policy=Never",
        "--KubeSpawner.cpu_guarantee=0.05",  # or a pod asks for as much as its limit, here all that a small node has
    ]
    async with started("tmp_kubernetes", hub, browser, complaints, *options) as files:
        page = await files.visitor()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Try it out")
        await camera.examine(page, "log-in")
        await page.get_by_role("button", name="Start a trial session").click()
        await page.get_by_label("Large").check()
        await camera.examine(page, "profiles")
        await page.get_by_role("button", name="Start", exact=True).click()
        await expect(page).to_have_url(re.compile(r"/user/trial-\w+/"), timeout=300_000)
        await expect(page.locator("body")).to_contain_text("ok")
        pod = namespace.get("pods")["items"][0]
        assert pod["metadata"]["labels"]["seen"] == "yes"  # modify_pod_hook
        assert pod["metadata"]["labels"]["purpose"] == "demo"
        container = pod["spec"]["containers"][0]
        assert container["resources"]["limits"]["cpu"] == "2"  # the profile
        assert {"name": "EXAMPLES", "value": "/srv/examples"} in container["env"]  # the file's own class
        await page.goto("/hub/home")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Your trial session")
        await expect(page.get_by_text("Running", exact=True)).to_be_visible()
        await camera.examine(page, "home")
        await from_account_menu(page, "Log out")
        await until(lambda: not namespace.names("pods"), "the pod is gone with the visitor", 300)
