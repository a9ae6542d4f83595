"""From an empty namespace to JupyterLab in a pod and back, with rights in that namespace only: docs/deploy.md, walked.

The times of the steps are printed: pytest -s tests/cluster/test_walkthrough.py
"""

from __future__ import annotations

import urllib.parse

import pytest
from playwright.async_api import Page, async_playwright, expect

from browser import lab, visits
from cluster import walk
from servers import cluster_fixtures
from servers.cluster import ROOT
from servers.forwarding import forwarded
from servers.hub import until

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="session")
def builder_image(cluster) -> str:
    """An image with buildah: what deploy/build runs in."""
    folder = ROOT / "deploy" / "build" / "builder"
    return cluster_fixtures.image(cluster, "builder", folder / "Containerfile", folder, [])


async def test_from_nothing_to_a_notebook_and_back(cluster, empty_namespace, builder_image, notebook_image, tmp_path):
    if cluster.script is None:
        pytest.skip("needs the registry of the cluster that tests make themselves")
    owner = walk.Owner(empty_namespace.name, empty_namespace.kubeconfig, tmp_path)
    registry = walk.registry_of(cluster.script)
    steps = walk.Steps()

    with steps.step("build in the cluster, push"):
        image = walk.prepare_build(owner, registry, builder_image)
        if not registry.has(image):
            walk.build(owner)
    with steps.step("inspect"):
        labels = walk.labels(image)
    assert (labels["title"], labels["version"], labels["licenses"]) == ("nbhub", "0.1.0", "BSD-3-Clause")
    assert (labels["revision"], labels["source"]) == ("0123abc", "https://example.org/nbhub")

    with steps.step("write the manifests"):
        options = [f"--namespace={owner.namespace}", f"--image={image}", f"--notebook-image={notebook_image}"]
        owner.nbhub("kubernetes", "init", "hub", "--yes", *options)
    empty_namespace.kubectl("label", "namespace", owner.namespace, "pod-security.kubernetes.io/enforce=restricted")
    with steps.step("apply"):
        owner.kubectl("apply", "-f", "hub/secret.yaml")
        owner.kubectl("apply", "-k", "hub/single")
    with steps.step("rollout"):
        owner.kubectl("rollout", "status", "deployment/hub", "--timeout=10m")
    with steps.step("invite"):
        link = owner.kubectl(
            *("exec", "deployment/hub", "--"),
            *("nbhub", "invite", "ada", "--admin", "-f", "/etc/nbhub/nbhub_config.py"),
        ).split()[-1]

    with steps.step("doctor"):
        said = owner.kubectl(
            *("exec", "deployment/hub", "--", "nbhub", "doctor", "-f", "/etc/nbhub/nbhub_config.py"),
        )
    assert " 0 failed" in said

    with forwarded(owner.kubeconfig, owner.namespace, "service/nbhub", 80) as address:
        async with async_playwright() as playwright:
            browser = await visits.launch(playwright)
            page = await (await browser.new_context(base_url=address)).new_page()
            page.set_default_timeout(visits.PATIENCE)
            await a_day(page, urllib.parse.urlsplit(link), owner, steps)
            await browser.close()

    with steps.step("delete everything"):
        owner.kubectl("delete", "-k", "hub/single")
        owner.kubectl("delete", "-f", "hub/secret.yaml")
        owner.kubectl("delete", "pvc,secrets", "-l", "app=jupyterhub")
        owner.kubectl("delete", "--ignore-not-found", "-k", "build")
        owner.kubectl("delete", "--ignore-not-found", "configmap/certificates")
    await until(lambda: owner.left() == [], f"nothing is left of {owner.left()}", 300)


async def a_day(page: Page, link: urllib.parse.SplitResult, owner: walk.Owner, steps: walk.Steps) -> None:
    """Make the account, start, work in a kernel, stop, and see the pod come and go."""
    with steps.step("log in"):
        await visits.sign_up(page, f"{link.path}?{link.query}")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Hello, ada")
    with steps.step("start until JupyterLab can be used"):
        await page.get_by_role("button", name="Start").click()
        await lab.arrive(page, "/user/ada/lab")
    assert pods(owner) == ["pod/jupyter-ada"]
    with steps.step("run code in a kernel"):
        await lab.new_notebook(page)
        await lab.run_cell(page, "import socket; print(socket.gethostname(), 6 * 7)", "jupyter-ada 42")
    with steps.step("stop until the pod is gone"):
        await page.goto("/hub/home")
        card = page.get_by_role("group", name="My server")
        await card.get_by_role("button", name="Stop").click()
        await expect(card).to_contain_text("Stopped", timeout=60_000)
        await until(lambda: pods(owner) == [], "the pod is gone", 300)


def pods(owner: walk.Owner) -> list[str]:
    """The pods of users."""
    return owner.kubectl("get", "pods", "-l", "component=singleuser-server", "-o", "name").split()
