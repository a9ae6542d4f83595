"""A day with pods in a real Chromium: a profile chosen, JupyterLab at work, files that stay, a stop that is one."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, async_playwright, expect

from browser import lab, visits
from browser.visits import Camera, Complaints, first_link, pictures, sign_up
from servers.cluster_fixtures import Namespace
from servers.hub import HubProcess, running_hub, until

pytestmark = pytest.mark.timeout(1500)

PATIENCE = 300.0  # seconds for a pod; the machine may be busy
SETTINGS = """
c.Hub.spawner_class = "kubernetes"
c.Hub.hub_ip = {hub!r}
c.KubeSpawner.kubeconfig = {kubeconfig!r}
c.KubeSpawner.namespace = {namespace!r}
c.KubeSpawner.image = {image!r}
c.KubeSpawner.image_pull_policy = "Never"
c.KubeSpawner.default_url = "/lab"
c.KubeSpawner.start_timeout = 300
c.KubeSpawner.http_timeout = 300
c.KubeSpawner.fs_gid = 100
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "1Gi"
c.KubeSpawner.volumes = [{{"name": "home", "persistentVolumeClaim": {{"claimName": "{{pvc_name}}"}}}}]
c.KubeSpawner.volume_mounts = [{{"name": "home", "mountPath": "/home/jovyan"}}]
c.KubeSpawner.profile_list = [
    {{
        "display_name": "JupyterLab", "slug": "lab", "description": "Notebooks, a terminal, <b>your files</b>.",
        "profile_options": {{
            "size": {{
                "display_name": "Size",
                "choices": {{
                    "s": {{"display_name": "Small", "kubespawner_override": {{"mem_limit": "1G"}}}},
                    "m": {{
                        "display_name": "Medium",
                        "kubespawner_override": {{"mem_limit": "2G", "mem_guarantee": "256M", "cpu_guarantee": 0.1}},
                    }},
                }},
            }},
            "image": {{
                "display_name": "Image",
                "choices": {{
                    "usual": {{"display_name": "The usual one"}},
                    "absent": {{
                        "display_name": "One that is not there",
                        "kubespawner_override": {{"image": "localhost/nobody-has/this:1"}},
                    }},
                }},
            }},
        }},
    }},
    {{"display_name": "Something else", "description": "For others."}},
]
"""


@pytest.fixture
async def hub(namespace: Namespace, notebook_image: str, tmp_path: Path) -> AsyncIterator[HubProcess]:
    """A hub on this machine, outside of the cluster, whose pods reach it at the address of their node."""
    settings = SETTINGS.format(
        hub=address_for_pods(namespace),
        kubeconfig=str(namespace.kubeconfig),
        namespace=namespace.name,
        image=notebook_image,
    )
    async with running_hub(tmp_path / "hub", settings) as running:
        yield running


@pytest.fixture
async def page(hub: HubProcess, tmp_path: Path) -> AsyncIterator[Page]:
    """The page of a visitor; what the browser complains about fails the test."""
    complaints = Complaints()
    async with async_playwright() as playwright:
        browser = await visits.launch(playwright)
        opened = await visits.new_page(browser, hub, complaints)
        yield opened
        await pictures("cluster", tmp_path / "pictures").take(opened, "last-seen", whole=False)
        await browser.close()
    assert not complaints.found, "\n".join(complaints.found)


def address_for_pods(namespace: Namespace) -> str:
    """Return an address of this machine that pods reach; where there is none, the test is skipped."""
    nodes = json.loads(namespace.cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    for node in nodes:
        for address in (each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"):
            with socket.socket() as probe:
                if probe.connect_ex((address, 1)) is not None and _is_here(address):
                    return str(address)
    pytest.skip("The nodes are other machines, so that pods do not reach a hub on this one.")


def _is_here(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


async def test_a_day_with_pods(hub: HubProcess, page: Page, namespace: Namespace, tmp_path: Path) -> None:
    camera = pictures("cluster/day", tmp_path / "pictures")
    await sign_up(page, await first_link(hub), "ada")
    await choose(page, camera)
    await see_the_cluster_at_work(page, camera)
    await lab.arrive(page, "/user/ada/lab")
    await lab.new_notebook(page)
    await lab.run_cell(page, "import os; print(os.environ['MEM_LIMIT'], os.getuid())", f"{2 * 2**30} 1000")
    await lab.run_cell(page, "print(open('kept.txt', 'w').write('still here'))", "10")
    await lab.save(page, "day.ipynb")
    await camera.take(page, "lab", whole=False)
    await see_where_it_runs(hub, page, namespace, camera)
    await stop(page, namespace)
    await page.get_by_role("link", name="Start", exact=True).click()
    await expect(page.get_by_label("Medium")).to_be_checked()
    await page.get_by_role("button", name="Start", exact=True).click()
    await lab.arrive(page, "/user/ada/lab")
    await page.goto("/user/ada/lab/tree/day.ipynb")
    await lab.arrive(page, "/user/ada/lab/tree/day.ipynb")
    await lab.until_idle(page)
    await lab.run_cell(page, "print(open('kept.txt').read())", "still here")
    await camera.take(page, "lab-again", whole=False)
    await page.goto("/hub/home")
    await stop(page, namespace)
    assert namespace.names("pvc") == ["claim-ada"]


async def test_a_start_that_cannot_succeed_is_explained(
    hub: HubProcess, page: Page, namespace: Namespace, tmp_path: Path
) -> None:
    camera = pictures("cluster/failure", tmp_path / "pictures")
    await sign_up(page, await first_link(hub), "ada")
    await page.get_by_role("link", name="Start", exact=True).click()
    await page.get_by_label("One that is not there").check()
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        "Your server could not be started", timeout=PATIENCE * 1000
    )
    await expect(page.get_by_role("alert")).to_contain_text("The image localhost/nobody-has/this:1 is not on node")
    await camera.examine(page, "failed")
    failed = await until(lambda: [e for e in events(namespace) if e["reason"] == "Failed" and ours(e)], "it is noted")
    assert "localhost/nobody-has/this:1" in failed[0]["message"]
    await until(lambda: namespace.names("pods") == [], "the pod is gone", PATIENCE)


async def choose(page: Page, camera: Camera) -> None:
    """Choose profile and size on the page that asks."""
    await page.get_by_role("link", name="Start", exact=True).click()
    await expect(page.get_by_label("JupyterLab")).to_be_checked()
    await page.get_by_label("Medium").check()
    await camera.examine(page, "options")
    await page.get_by_role("button", name="Start", exact=True).click()


async def see_the_cluster_at_work(page: Page, camera: Camera) -> None:
    """See the start told as it goes on, with what the scheduler and the node say."""
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your server is starting")
    heard = ""
    while "/hub/spawn-pending/" in page.url:  # the page leads away by itself, at a moment that nobody knows
        try:
            heard = await page.locator("[data-story]").text_content(timeout=2000) or heard
        except PlaywrightError:
            continue
        if "The container is being made" in heard:
            await camera.take(page, "pending")
            break
        await asyncio.sleep(0.05)
    assert "Preparing the server's pod" in heard
    assert "The container is being made" in heard


async def see_where_it_runs(hub: HubProcess, page: Page, namespace: Namespace, camera: Camera) -> None:
    """See node, image and amounts on the administration page and in the list of the command line."""
    pod = namespace.get("pod", "jupyter-ada")
    node = pod["spec"]["nodeName"]
    resources = pod["spec"]["containers"][0]["resources"]
    assert (resources["limits"]["memory"], resources["requests"]["cpu"]) == (str(2 * 2**30), "100m")
    await page.goto("/hub/admin")
    row = page.get_by_role("row", name="ada")
    await expect(row).to_contain_text(f"On {node}")
    await expect(row).to_contain_text("0.1 CPU, 256 MB")
    await camera.examine(page, "administration")
    command = [*hub.command()[:3], "servers", "--json", *hub.command()[3:]]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=hub.folder, env=hub.env, capture_output=True, text=True, timeout=500, check=True
    )
    [listed] = json.loads(done.stdout)
    assert (listed["phase"], listed["node"], listed["object"]) == ("running", node, "jupyter-ada")
    assert listed["limits"] == {"memory": 2 * 2**30}
    await page.goto("/hub/home")


async def stop(page: Page, namespace: Namespace) -> None:
    """Stop the server on the home page; its pod goes, and Kubernetes knows who did it."""
    uid = namespace.get("pod", "jupyter-ada")["metadata"]["uid"]
    card = page.get_by_role("group", name="My server")
    await card.get_by_role("button", name="Stop").click()
    await expect(card).to_contain_text("Stopped", timeout=PATIENCE * 1000)
    assert namespace.names("pods") == []
    noted = {"Started", "Stopped"}
    said = await until(
        lambda: noted <= (found := told(namespace, uid)).keys() and found, "nbhub's own events are there"
    )
    assert said["Stopped"] == "Stopped by ada"
    assert said["Started"].startswith("The server answers")


def told(namespace: Namespace, uid: str) -> dict[str, str]:
    """Return what nbhub itself said about a pod, by the reason."""
    about = [event for event in events(namespace) if ours(event) and event["involvedObject"].get("uid") == uid]
    return {event["reason"]: event["message"] for event in about}


def events(namespace: Namespace) -> list[dict[str, Any]]:
    """Return the events of a namespace; of one reason about one pod the last is what counts."""
    return sorted(namespace.get("events")["items"], key=lambda event: event["metadata"]["creationTimestamp"])


def ours(event: dict[str, Any]) -> bool:
    """Say whether nbhub wrote it."""
    return event["source"].get("component") == "nbhub"
