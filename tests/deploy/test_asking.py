"""`nbhub kubernetes init` at a terminal: it asks for what was not given, and asks again when an answer cannot be."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import yaml

ANSWERS = [
    "Not A Namespace",  # asked again
    "science",
    "hub.example.org",
    "gihub",  # asked again
    "github",
    "",  # the cluster's StorageClass
    "registry.example.org/nbhub:7",
    "",  # the usual notebooks
]


def test_questions_are_asked_until_the_answers_can_be(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "nbhub", "kubernetes", "init", str(tmp_path / "hub"), "--database=sqlite"]
    asking = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    os.close(theirs)
    os.write(ours, "".join(f"{answer}\n" for answer in ANSWERS).encode())
    said, _ = asking.communicate(timeout=200)
    os.close(ours)
    assert asking.returncode == 0, said
    assert said.count("Namespace [nbhub]: ") == 2
    assert "'Not A Namespace' is not." in said
    assert "did you mean" in said.lower(), said
    assert "Database" not in said, "it was given"
    assert yaml.safe_load((tmp_path / "hub/base/kustomization.yaml").read_text())["namespace"] == "science"
    assert 'c.Hub.authenticator_class = "github"' in (tmp_path / "hub/base/nbhub_config.py").read_text()
    assert (tmp_path / "hub/base/ingress.yaml").exists()


def test_the_end_of_the_input_writes_nothing(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "nbhub", "kubernetes", "init", str(tmp_path / "hub")]
    asking = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    os.close(theirs)
    os.write(ours, b"science\n\x04")
    said, _ = asking.communicate(timeout=200)
    os.close(ours)
    assert asking.returncode == 2
    assert "Traceback" not in said
    assert "Nothing was written" in said
    assert not (tmp_path / "hub").exists()
