"""The manifests before a real API server: every folder is valid, and may be applied by who owns one namespace."""

from __future__ import annotations

import subprocess

import pytest

from nbhub.deploy import choices, manifests


@pytest.mark.parametrize("overlay", ["single", "split", "replicas"])
@pytest.mark.parametrize("host", ["", "hub.example.org"])
def test_all_of_it_is_valid_and_allowed_in_one_namespace(empty_namespace, tmp_path, overlay, host):
    given = {"namespace": empty_namespace.name, "host": host, "ingress_class": "nginx", "storage_class": "standard"}
    manifests.write(tmp_path, manifests.render(choices.chosen(given), manifests.Secrets("0" * 64, "1" * 64)))
    for what in (["-f", "secret.yaml"], ["-k", overlay]):
        done = subprocess.run(
            [
                "kubectl",
                "--kubeconfig",
                str(empty_namespace.kubeconfig),
                "apply",
                "--dry-run=server",
                "--validate=strict",
                *what,
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
    assert ("ingress" in done.stdout) == bool(host)
