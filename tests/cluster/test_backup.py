"""A hub in a namespace is backed up while it works, and made again what it was, by who owns the namespace."""

from __future__ import annotations

import subprocess

import httpx
import pytest

from cluster import walk
from nbhub.deploy import choices, manifests
from servers.forwarding import forwarded
from servers.hub import until

pytestmark = pytest.mark.timeout(1500)
CONFIG = ("-f", "/etc/nbhub/nbhub_config.py")


async def test_there_and_back(empty_namespace, hub_image, tmp_path):
    owner = walk.Owner(empty_namespace.name, empty_namespace.kubeconfig, tmp_path)
    given = {"namespace": owner.namespace, "image": hub_image}
    manifests.write(tmp_path, manifests.render(choices.chosen(given), manifests.Secrets("0" * 64, "1" * 64)))
    owner.kubectl("apply", "-f", "secret.yaml")
    owner.kubectl("apply", "-k", "single")
    owner.kubectl("rollout", "status", "deployment/hub", "--timeout=10m")
    before = token(owner, "before")
    made = piped(owner, b"", "exec", "deployment/hub", "--", "nbhub", "backup", "-", *CONFIG)
    after = token(owner, "after")
    assert await asked(owner, before, after) == [200, 200]

    owner.kubectl("scale", "deployment/hub", "--replicas=0")
    owner.kubectl("wait", "pods", "-l", "app.kubernetes.io/component=hub", "--for=delete", "--timeout=10m")
    owner.kubectl("apply", "-f", "restore.yaml")
    owner.kubectl("wait", "pod/restore", "--for=condition=Ready", "--timeout=10m")
    piped(owner, made, "attach", "-i", "pod/restore")
    # What it says may be over before kubectl listens; the pod keeps it.
    ended = ("get", "pod/restore", "-o", "jsonpath={.status.phase}")
    await until(lambda: owner.kubectl(*ended) in ("Succeeded", "Failed"), "the pod ends", 300)
    said = owner.kubectl("logs", "pod/restore")
    assert owner.kubectl(*ended) == "Succeeded" and "Restored. Start the hub" in said, said
    assert "is kept as /data/nbhub.sqlite.before-restore" in said and "belongs to the secret" not in said
    owner.kubectl("delete", "-f", "restore.yaml")
    owner.kubectl("scale", "deployment/hub", "--replicas=1")
    owner.kubectl("rollout", "status", "deployment/hub", "--timeout=10m")
    assert await asked(owner, before, after) == [200, 403]


def piped(owner: walk.Owner, given: bytes, *arguments: str) -> bytes:
    """Run kubectl with this on its standard input, and return what it writes."""
    command = ["kubectl", "--kubeconfig", str(owner.kubeconfig), "-n", owner.namespace, *arguments]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def token(owner: walk.Owner, name: str) -> str:
    return owner.kubectl("exec", "deployment/hub", "--", "nbhub", "token", name, "--admin", *CONFIG).strip()


async def asked(owner: walk.Owner, *tokens: str) -> list[int]:
    """Ask the hub who the tokens are of; return the statuses."""
    with forwarded(owner.kubeconfig, owner.namespace, "service/nbhub", 80) as address:
        async with httpx.AsyncClient(base_url=address, timeout=300) as client:
            headers = [{"Authorization": f"token {token}"} for token in tokens]
            return [(await client.get("/hub/api/user", headers=one)).status_code for one in headers]
