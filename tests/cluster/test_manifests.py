"""The manifests before a real API server: every folder is valid, and may be applied by who owns one namespace."""

from __future__ import annotations

import subprocess

import pytest

from nbhub.deploy import choices, manifests

SECRETS = manifests.Secrets("0" * 64, "1" * 64)


@pytest.mark.parametrize("host", ["", "hub.example.org"])
def test_all_of_it_is_valid_and_allowed_in_one_namespace(empty_namespace, tmp_path, host):
    given = {"namespace": empty_namespace.name, "host": host, "ingress_class": "nginx", "storage_class": "standard"}
    manifests.write(tmp_path, manifests.render(choices.chosen(given), SECRETS))

    def apply(*what: str) -> str:
        command = ["kubectl", "--kubeconfig", str(empty_namespace.kubeconfig), "apply", "--validate=strict", *what]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        return done.stdout

    # For real, since a binding is not even tried for a Role that is not there.
    apply("-f", "base/rights.yaml", "-n", empty_namespace.name)
    apply("-f", "secret.yaml", "--dry-run=server")
    for overlay in ("single", "split", "replicas"):
        assert ("ingress" in apply("-k", overlay, "--dry-run=server")) == bool(host)
