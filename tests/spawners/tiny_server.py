"""A server in the place of jupyterhub-singleuser: answers every path at JUPYTERHUB_SERVICE_URL.

Words on the command line change its manners: die=CODE at once, deaf (ignores SIGINT), stubborn (and SIGTERM),
child (one grandchild that ignores both), apart (one grandchild in a session of its own), noisy=N lines of output,
mute (never listens), report (write who and where to report.json in the home).
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import urllib.parse
from pathlib import Path

GRANDCHILD = (
    "import signal, time; signal.signal(2, signal.SIG_IGN); signal.signal(15, signal.SIG_IGN); "
    "print('grandchild', flush=True); time.sleep(600)"
)


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    words = dict(word.partition("=")[::2] for word in sys.argv[1:])
    for number in range(int(words.get("noisy", 0))):
        print(f"line {number}", flush=True)
    if "deaf" in words or "stubborn" in words:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "child" in words or "apart" in words:
        with subprocess.Popen([sys.executable, "-c", GRANDCHILD], start_new_session="apart" in words) as child:
            print(f"child {child.pid}", flush=True)
            serve(words)
    serve(words)


def serve(words: dict[str, str]) -> None:
    if "report" in words:
        report()
    if "die" in words:
        print("something is wrong with this server", file=sys.stderr, flush=True)
        os._exit(int(words["die"]))
    if "mute" in words:
        signal.pause()
    address = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    http.server.ThreadingHTTPServer((address.hostname or "", address.port or 0), Answer).serve_forever()


def report() -> None:
    facts = {
        "uid": os.getresuid(),
        "gid": os.getresgid(),
        "groups": sorted(os.getgroups()),
        "cwd": str(Path.cwd()),
        "environ": dict(os.environ),
        "argv": sys.argv,
        "session": os.getsid(0) == os.getpid(),
    }
    Path("report.json.new").write_text(json.dumps(facts))
    Path("report.json.new").replace("report.json")


if __name__ == "__main__":
    main()
