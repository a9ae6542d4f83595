"""What a trial pod runs: it tries what a user's server would try, and tells by HTTP and as its last words.

Stands alone: it is sent as text into an image that has Python and nothing of ours.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

SECONDS = 4
LIFE = 60
LAST_WORDS = "/dev/termination-log"


def run(plan: dict[str, Any]) -> None:
    """Answer at the port of the plan, try what it says, and wait to be asked or for a minute."""
    told: dict[str, Any] = {"time": time.time()}
    asked = threading.Event()

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            if self.path == "/end":
                asked.set()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("", plan["port"]), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if plan.get("api_url"):
        told["hub"] = ask(plan["api_url"])
    if plan.get("folder"):
        told["folder"] = write(plan["folder"])
    told["reached"] = [name for name, host, port in plan["forbidden"] if reach(os.path.expandvars(host), port)]
    told["done"] = True
    with contextlib.suppress(OSError):
        Path(LAST_WORDS).write_text(json.dumps(told))
    asked.wait(LIFE if plan["forbidden"] else 10 * LIFE)
    time.sleep(0.2)


def ask(url: str) -> dict[str, Any]:
    """Say how far a request to the hub gets: name, connection, answer."""
    host = urllib.parse.urlsplit(url).hostname
    try:
        address = socket.getaddrinfo(host, None)[0][4][0]
    except OSError as error:
        return {"failed": "name", "host": host, "words": str(error)}
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=3 * SECONDS) as answer:
            version = answer.headers.get("X-JupyterHub-Version")
            return {"address": address, "version": version, "failed": "" if version else "stranger"}
    except Exception as error:
        status = getattr(error, "code", None)
        return {"failed": "answer" if status else "connection", "address": address, "host": host, "words": str(error)}


def write(folder: str) -> str:
    """Say why a file cannot be written; empty if it can."""
    path = Path(folder, ".nbhub-doctor")
    try:
        path.write_bytes(b"x" * 65536)
        path.unlink()
    except OSError as error:
        return str(error)
    return ""


def reach(host: str, port: int) -> bool:
    """Say whether something can be connected to."""
    try:
        socket.create_connection((host, port), SECONDS).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    run(json.loads(os.environ["NBHUB_TRIAL"]))
