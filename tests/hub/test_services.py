"""Managed services of a whole hub: the unmodified idle culler, a service that people log in to, hubs that die."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers import notebooks
from servers.hub import PATIENCE, PATIENT, HubProcess, running_hub, until
from servers.ports import free_port

WHOAMI = Path(__file__).parents[1] / "servers" / "whoami_service.py"
OPEN = (
    f"{PATIENT}c.Hub.authenticator_class = 'dummy'\n"
    "c.DummyAuthenticator.allow_all = True\nc.Hub.spawner_class = 'fake'\n"
)
CULLER_ROLE = """
c.JupyterHub.load_roles = [{
    'name': 'idle-culler',
    'scopes': ['list:users', 'read:users:activity', 'read:servers', 'delete:servers'],
    'services': ['idle-culler'],
}]
"""


def culler(*options: str) -> str:
    command = [sys.executable, "-m", "jupyterhub_idle_culler", *options]
    return f"c.JupyterHub.services = [{{'name': 'idle-culler', 'command': {command!r}}}]\n"


def service_log(hub: HubProcess, name: str) -> str:
    path = hub.data_dir / "services" / "logs" / f"service.{name}.log"
    return path.read_text(errors="replace") if path.exists() else ""


async def pid_of(api: httpx.AsyncClient, name: str) -> int:
    answer = await api.get(f"/services/{name}")
    return int(answer.json()["pid"]) if answer.status_code == 200 else 0


async def running(api: httpx.AsyncClient, name: str, *, but: int = 0) -> int:
    """Wait until the service runs, as another process than `but`, and return its pid."""

    async def looked() -> int:
        pid = await pid_of(api, name)
        return pid if pid != but else 0

    return int(await until(looked, f"service {name} runs"))


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_the_unmodified_idle_culler_culls(folder: Path) -> None:
    settings = OPEN + culler("--timeout=3", "--cull-every=1") + CULLER_ROLE
    async with running_hub(folder / "hub", settings) as hub, hub.client(await hub.token()) as api:
        pid = await running(api, "idle-culler")
        await api.post("/users/alice")
        assert (await api.post("/users/alice/server")).status_code == 201

        async def stopped() -> bool:
            return (await api.get("/users/alice")).json()["servers"] == {}

        await until(stopped, "alice's server is culled")
        log = service_log(hub, "idle-culler")
        assert "Culling server alice" in log, log
        assert await pid_of(api, "idle-culler") == pid
    assert not lives(pid)


async def test_a_token_without_scopes_is_refused(folder: Path) -> None:
    settings = OPEN + "c.JupyterHub.services = [{'name': 'plain', 'api_token': 'a-secret-of-plain'}]\n"
    async with running_hub(folder / "hub", settings) as hub, hub.client("a-secret-of-plain") as plain:
        assert (await plain.get("/user")).json()["name"] == "plain"
        for method, path in (("GET", "/users"), ("POST", "/users/x"), ("GET", "/services"), ("GET", "/proxy")):
            answer = await plain.request(method, path)
            assert answer.status_code == 403, path
            assert "requires any of [" in answer.json()["message"]
        assert hub.text().count("ERROR") == 0


def whoami_settings(folder: Path, port: int, **more: Any) -> str:
    spec = {
        "name": "whoami",
        "url": f"http://127.0.0.1:{port}",
        "command": [str(notebooks.commands() / "python"), str(WHOAMI)],
        "cwd": str(folder),
        "environment": {"PYTHONUNBUFFERED": "1"},
        **more,
    }
    return OPEN + (
        f"c.JupyterHub.services = [{spec!r}]\n"
        "c.JupyterHub.load_roles = [{'name': 'user', 'scopes': ['self', 'access:services!service=whoami']}]\n"
    )


async def log_in(browser: httpx.AsyncClient, name: str) -> None:
    page = await browser.get("/hub/login")
    found = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert found
    form = {"username": name, "password": "x", "_xsrf": found[1], "next": "/hub/home"}
    answer = await browser.post("/hub/login", data=form)
    assert answer.status_code in (302, 303), answer.text


@pytest.mark.timeout(900)
async def test_people_log_in_to_a_service(folder: Path) -> None:
    settings = whoami_settings(folder, free_port(), oauth_no_confirm=True)
    async with running_hub(folder / "hub", settings) as hub, hub.client(await hub.token()) as api:
        await until(lambda: "service=whoami answers" in hub.text(), "whoami answers")
        async with httpx.AsyncClient(base_url=hub.url, timeout=PATIENCE) as browser:
            await log_in(browser, "alice")
            assert 'href="/services/whoami/"' in (await browser.get("/hub/home")).text
            answer = await browser.get("/services/whoami/", follow_redirects=True)
            assert answer.status_code == 200, answer.text
            assert answer.json()["name"] == "alice"
            assert "access:services!service=whoami" in answer.json()["scopes"]
        assert answer.json()["pid"] == await pid_of(api, "whoami")
        async with httpx.AsyncClient(base_url=hub.url, timeout=PATIENCE) as stranger:
            answer = await stranger.get("/services/whoami/", follow_redirects=True)
            assert answer.url.path == "/hub/login"

        # What dies is launched again, and found at the same address.
        pid = await pid_of(api, "whoami")
        await until(lambda: lives(pid), "it lives")
        os.kill(pid, signal.SIGKILL)
        await running(api, "whoami", but=pid)
        assert "service=whoami ended by itself, killed by signal 9" in hub.text()


async def test_a_killed_hubs_service_is_taken_over_or_replaced(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os, time; print(os.environ['WHAT']); time.sleep(1000)"]

    def settings(what: str) -> str:
        spec = {"name": "sleeper", "command": command, "environment": {"WHAT": what}}
        return OPEN + f"c.JupyterHub.services = [{spec!r}]\n"

    hub = HubProcess(folder / "hub", settings("one"))
    await hub.start()
    try:
        token = await hub.token()
        async with hub.client(token) as api:
            first = await running(api, "sleeper")
            hub.kill()
            assert lives(first)
            await hub.start()
            await until(lambda: "service=sleeper found running" in hub.text(), "it is taken over")
            assert await running(api, "sleeper") == first
            hub.kill()
            (hub.folder / "nbhub_config.py").write_text(settings("two"))
            await hub.start()
            second = await running(api, "sleeper", but=first)
            await until(lambda: not lives(first), "the old one ends")
            hub.kill()
            (hub.folder / "nbhub_config.py").write_text(OPEN)
            await hub.start()
            await until(lambda: not lives(second), "one that is declared no longer ends")
            assert (await api.get("/services")).json() == {}
    finally:
        await hub.stop()


async def test_one_of_two_hubs_runs_it(folder: Path, postgresql_url: str) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(1000)"]
    settings = OPEN + f"c.JupyterHub.services = [{{'name': 'sleeper', 'command': {command!r}}}]\n"
    one = HubProcess(folder / "one", settings, db_url=postgresql_url)
    two = HubProcess(folder / "two", settings, db_url=postgresql_url)
    await one.start()
    try:
        async with one.client(await one.token()) as api:
            first = await running(api, "sleeper")
            await two.start()
            await one.stop()
            assert not lives(first)
        async with two.client(await two.token()) as api:
            second = await running(api, "sleeper", but=first)
            assert lives(second)
            assert "service=sleeper launched" in two.text()
    finally:
        for hub in (one, two):
            await hub.stop()
    assert not lives(second)


@pytest.mark.timeout(900)
async def test_another_hub_takes_over_from_a_killed_one(folder: Path, postgresql_url: str) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(1000)"]
    settings = OPEN + f"c.JupyterHub.services = [{{'name': 'sleeper', 'command': {command!r}}}]\n"
    one = HubProcess(folder / "one", settings, db_url=postgresql_url)
    two = HubProcess(folder / "two", settings, db_url=postgresql_url)
    await one.start()
    await two.start()
    try:
        async with two.client(await two.token()) as api:
            first = await running(api, "sleeper")
            one.kill()
            second = await running(api, "sleeper", but=first)
            assert lives(first)
            # The hub of that machine comes back, finds that it has nothing to run, and tidies up.
            await one.start()
            await until(lambda: not lives(first), "what the killed hub left ends")
            assert await pid_of(api, "sleeper") == second
            assert lives(second)
    finally:
        for hub in (one, two):
            await hub.stop()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("c.Hub.services = [{'name': 'x', 'comand': ['y']}]", "Did you mean command?"),
        ("c.Hub.load_roles = [{'name': 'abc', 'services': ['x']}]", "there is no service 'x'"),
        ("c.Hub.load_roles = [{'name': 'ab'}]", "'ab' cannot be the name of a role"),
    ],
)
def test_a_hub_with_wrong_settings_does_not_start(folder: Path, settings: str, words: str) -> None:
    ended = HubProcess(folder / "hub", OPEN + settings).refused()
    assert ended.status == 2
    assert words in ended.reason, json.dumps(ended.reason)
