"""The cluster that the tests of this folder stand on, and what they get of it."""

from __future__ import annotations

import subprocess


def test_a_hub_may_do_what_it_needs_in_its_namespace_and_nothing_elsewhere(namespace):
    def may(verb, what, where=namespace.name):
        asked = ["kubectl", "--kubeconfig", str(namespace.kubeconfig), "auth", "can-i", verb, what, "-n", where]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == "yes"

    assert may("create", "pods")
    assert may("delete", "persistentvolumeclaims")
    assert not may("list", "pods", "default")
    assert not may("create", "namespaces")
    assert not may("get", "nodes")


def test_the_small_image_runs(namespace, small_image):
    namespace.kubectl(
        "run", "small", f"--image={small_image}", "--restart=Never", "--image-pull-policy=Never", "--", "true"
    )
    namespace.kubectl("wait", "pod/small", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=600s")
