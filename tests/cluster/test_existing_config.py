"""A jupyterhub_config.py for KubeSpawner and TmpAuthenticator, unchanged: in a ConfigMap, and on a workstation."""

from __future__ import annotations

import json
import urllib.parse
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from browser import lab, visits
from servers.forwarding import forwarded
from servers.hub import HubProcess

pytestmark = pytest.mark.timeout(1500)

CONFIG = Path(__file__).parent / "existing" / "jupyterhub_config.py"


def deployment(hub_image: str, notebook_image: str) -> list[dict]:
    """The objects that go with such a file, as they are written by hand."""
    labels = {"app": "jupyterhub", "component": "hub"}
    container = {
        "name": "hub",
        "image": hub_image,
        "command": ["jupyterhub", "-f", "/etc/jupyterhub/jupyterhub_config.py"],
        "workingDir": "/srv/jupyterhub",
        "env": [
            {"name": "NOTEBOOK_IMAGE", "value": notebook_image},
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "ports": [{"containerPort": 8000}, {"containerPort": 8081}],
        "readinessProbe": {"httpGet": {"path": "/hub/health", "port": 8081}, "periodSeconds": 1},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/jupyterhub"},
            {"name": "data", "mountPath": "/srv/jupyterhub"},
        ],
    }
    spec = {
        "serviceAccountName": "hub",
        "securityContext": {"fsGroup": 1000},
        "containers": [container],
        "volumes": [
            {"name": "config", "configMap": {"name": "config"}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "hub"}},
        ],
    }
    template = {"metadata": {"labels": labels}, "spec": spec}
    selector = {"matchLabels": labels}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    ports = [{"name": "hub", "port": 8081}, {"name": "public", "port": 8000}]
    return [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "hub"}, "spec": claim},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "hub"},
            "spec": {"selector": selector, "strategy": {"type": "Recreate"}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "hub"},
            "spec": {"selector": labels, "ports": ports},
        },
    ]


async def visit(address: str, pods) -> None:
    """Come as anybody, be led to one's own JupyterLab, and see the pod that it runs in."""
    async with async_playwright() as playwright:
        browser = await visits.launch(playwright)
        page = await (await browser.new_context(base_url=address)).new_page()
        page.set_default_timeout(visits.PATIENCE)
        await page.goto("/")
        for name in ("Log in", "Sign in", "Enter", "Start"):
            button = page.get_by_role("button", name=name)
            if await button.count():
                await button.first.click()
        await lab.arrive(page, "/user/*/lab")
        await lab.new_notebook(page)
        await lab.run_cell(page, "print(6 * 7)", "42")
        await browser.close()
    [pod] = pods()
    assert pod.startswith("jupyter-")


async def test_in_the_cluster_from_a_config_map(namespace, hub_image, notebook_image):
    namespace.kubectl("create", "configmap", "config", f"--from-file={CONFIG}")
    objects = {"apiVersion": "v1", "kind": "List", "items": deployment(hub_image, notebook_image)}
    namespace.kubectl("apply", "-f", "-", text=json.dumps(objects))
    namespace.kubectl("rollout", "status", "deployment/hub", "--timeout=10m")
    with forwarded(namespace.cluster.kubeconfig, namespace.name, "service/hub", 8000) as address:
        await visit(address, lambda: namespace.names("pods", "-l", "component=singleuser-server"))
    files = namespace.kubectl("exec", "deployment/hub", "--", "ls", "/srv/jupyterhub")
    assert {"jupyterhub.sqlite", "jupyterhub_cookie_secret"} <= set(files.split())


async def test_on_a_workstation(namespace, notebook_image, tmp_path):
    if namespace.cluster.script is None:
        pytest.skip("pods have to reach this machine, as they do in the cluster that tests make themselves")
    settings = {
        "HUB_DATA": str(tmp_path),
        "NOTEBOOK_IMAGE": notebook_image,
        "POD_NAMESPACE": namespace.name,
        "KUBECONFIG": str(namespace.kubeconfig),
    }
    hub = HubProcess(tmp_path, env=settings)
    objects = {"apiVersion": "v1", "kind": "List", "items": leading_here(namespace.cluster.server, hub.hub_port)}
    namespace.kubectl("apply", "-f", "-", text=json.dumps(objects))
    await hub.start("-f", str(CONFIG))
    try:
        await visit(hub.url, lambda: namespace.names("pods", "-l", "component=singleuser-server"))
    finally:
        await hub.stop()
    assert len(namespace.names("pods")) == 1, "c.JupyterHub.cleanup_servers = False"


def leading_here(server: str, port: int) -> list[dict]:
    """The Service called hub, leading to this machine, whose address is that of the API server."""
    slice_of = {"kubernetes.io/service-name": "hub"}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hub"}, "spec": {"ports": [{"port": port}]}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "hub-here", "labels": slice_of},
            "addressType": "IPv4",
            "ports": [{"port": port}],
            "endpoints": [{"addresses": [urllib.parse.urlsplit(server).hostname]}],
        },
    ]
