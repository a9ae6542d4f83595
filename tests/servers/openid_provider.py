"""A real OpenID provider (oidc-provider on Node.js), which the package manager of Node.js fetches once."""

from __future__ import annotations

import contextlib
import fcntl
import html
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx

from servers.ports import free_port

SOURCE = Path(__file__).parent / "openid"
FOLDER = Path(__file__).parents[2] / ".cache" / "openid-provider"


def available() -> bool:
    """Say whether the provider can be run, after fetching it if need be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:  # several test processes may ask at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _installed()


def _installed() -> bool:
    done = FOLDER / "installed"
    wanted = (SOURCE / "package.json").read_text()
    shutil.copy(SOURCE / "provider.mjs", FOLDER)
    if done.exists() and done.read_text() == wanted:
        return True
    shutil.rmtree(FOLDER / "node_modules", ignore_errors=True)  # half of one passes for a whole one
    shutil.copy(SOURCE / "package.json", FOLDER)
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
    if subprocess.run(command, cwd=FOLDER, timeout=300, check=False).returncode != 0:
        return False
    done.write_text(wanted)
    return True


@contextlib.contextmanager
def running(redirect: str, goodbye: str, method: str = "client_secret_basic", place: str = "") -> Iterator[str]:
    """Run a provider that knows the client `nbhub`, its addresses below `place` if so; yields its issuer."""
    port = free_port()
    command = ["node", "provider.mjs", str(port), redirect, goodbye, method, *([place] if place else [])]
    child = subprocess.Popen(command, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert child.stdout is not None
        while (line := child.stdout.readline()) and "listening" not in line:
            pass
        assert line, "the provider ended"
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(100)


async def log_in(url: str, name: str, until: str) -> str:
    """Do at the provider's pages what a person does; return the address of the hub that it sends back to."""
    async with httpx.AsyncClient(timeout=100) as browser:
        answer = await browser.get(url)
        for _ in range(12):
            if answer.is_redirect:
                place = urljoin(str(answer.url), answer.headers["location"])
                if place.startswith(until):
                    return place
                answer = await browser.get(place)
                continue
            action = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
            assert action, answer.text
            fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', answer.text))
            if 'name="login"' in answer.text:
                fields |= {"login": name, "password": "any"}
            answer = await browser.post(urljoin(str(answer.url), html.unescape(action[1])), data=fields)
    raise AssertionError("the provider never sent back")
