"""A way to a Service for a test: `kubectl port-forward`, which needs no more rights than whoever asks has."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def forwarded(kubeconfig: Path, namespace: str, what: str, port: int) -> Iterator[str]:
    """Yield http://127.0.0.1:N that leads to a port of `what` (service/NAME, pod/NAME) until the block ends."""
    command = ["kubectl", "--kubeconfig", str(kubeconfig), "-n", namespace, "port-forward", what, f":{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()  # one line for each address, or the error
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found, line
        # It says something of each connection, and would wait for a reader in the end.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.terminate()
        process.wait(timeout=100)
