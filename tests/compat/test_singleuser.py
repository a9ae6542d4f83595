"""An unmodified jupyterhub-singleuser, of 6.x and 4.x: login through OAuth, kernels over the websocket, activity."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from servers import notebooks
from servers.hub import HubProcess, running_hub, until
from servers.machine import leaders_of, processes_of

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("notebooks")]

SETTINGS = """
c.Hub.authenticator_class = 'dummy'
c.Hub.spawner_class = 'simple'
c.Spawner.http_timeout = 90
c.Spawner.environment = {'JUPYTERHUB_ACTIVITY_INTERVAL': '1'}
"""


@pytest.fixture(params=["6", "4"])
def commands(request: pytest.FixtureRequest) -> Path:
    """The commands of a notebook environment of each kind."""
    return notebooks.commands() if request.param == "6" else notebooks.older_commands()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for the hub; nothing that was started from it is left at the end."""
    path = Path(tempfile.mkdtemp(prefix=f"nbhub-test-{os.getpid()}-"))
    yield path
    left = processes_of(path)
    for process in left:
        process.kill()
    shutil.rmtree(path, ignore_errors=True)
    assert not left, f"processes outlived the test: {left}"


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """What a browser does of interest here: keeps cookies by path and follows redirects."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def test_work_in_a_real_notebook_server(folder: Path, commands: Path) -> None:
    env = {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    async with (
        running_hub(folder, SETTINGS, env=env) as hub,
        browser() as alice,
        browser() as bob,
        aiohttp.ClientSession(headers={"Authorization": f"token {await hub.token()}"}) as admin,
    ):
        await log_in(hub, alice, "alice")
        await log_in(hub, bob, "bob")
        await start(hub, admin, "alice")
        await enters(hub, alice)
        assert await calculates(hub, alice, "print(6 * 7)") == "42\n"
        await is_kept_out(hub, bob)
        await activity_arrives(hub, admin, alice)
        await tokens_end_with_the_server(hub, admin, alice)
        await start(hub, admin, "alice")
        await enters(hub, alice)
        assert await calculates(hub, alice, "print(7 * 7)") == "49\n"
    assert "Traceback" not in hub.text(), hub.text()


async def log_in(hub: HubProcess, visitor: aiohttp.ClientSession, name: str) -> None:
    """Fill in the login page, as a person would."""
    async with visitor.get(f"{hub.url}/hub/login") as page:
        found = re.search(r'name="_xsrf" value="([^"]+)"', await page.text())
        assert found is not None
    form = {"username": name, "password": "", "_xsrf": found[1]}
    async with visitor.post(f"{hub.url}/hub/login", data=form, allow_redirects=False) as answer:
        assert answer.status in (302, 303), await answer.text()
    async with visitor.get(f"{hub.url}/hub/home") as page:
        assert page.status == 200 and name in await page.text()


async def start(hub: HubProcess, admin: aiohttp.ClientSession, user: str) -> None:
    """Start a server over the API and wait until it is ready."""
    async with admin.post(f"{hub.url}/hub/api/users/{user}/server") as answer:
        assert answer.status in (201, 202), await answer.text()
    await until(lambda: shown(hub, admin, user), "the server is ready", 300)


async def shown(hub: HubProcess, admin: aiohttp.ClientSession, user: str) -> dict[str, Any] | None:
    """Return the server as the API shows it, once it is ready."""
    async with admin.get(f"{hub.url}/hub/api/users/{user}") as answer:
        found: dict[str, Any] | None = (await answer.json())["servers"].get("")
    assert found, f"the server of {user} failed:\n{hub.text()}"
    return found if found["ready"] else None


async def enters(hub: HubProcess, visitor: aiohttp.ClientSession) -> None:
    """The owner comes to JupyterLab: over the hub and back by OAuth, without being asked anything."""
    async with visitor.get(f"{hub.url}/user/alice/lab") as page:
        assert page.status == 200, await page.text()
        assert page.url.path == "/user/alice/lab"
        passed = [step.url.path for step in page.history]
        assert "/hub/api/oauth2/authorize" in passed and "/user/alice/oauth_callback" in passed
        assert "jupyter-config-data" in await page.text()


async def calculates(hub: HubProcess, visitor: aiohttp.ClientSession, code: str) -> str:
    """Start a kernel, execute code over its websocket, and return what it prints."""
    base = f"{hub.url}/user/alice"
    headers = {"X-XSRFToken": cookie(visitor, f"{base}/", "_xsrf")}
    async with visitor.post(f"{base}/api/kernels", json={"name": "python3"}, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        kernel = (await answer.json())["id"]
    session = uuid.uuid4().hex
    async with (
        asyncio.timeout(300),
        visitor.ws_connect(f"{base}/api/kernels/{kernel}/channels?session_id={session}") as channel,
    ):
        asked = uuid.uuid4().hex
        header = {"msg_id": asked, "msg_type": "execute_request", "username": "", "session": session, "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        await channel.send_json(
            {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
        )
        said = ""
        async for message in channel:
            told = message.json()
            if told["parent_header"].get("msg_id") != asked:
                continue
            if told["msg_type"] == "stream":
                said += told["content"]["text"]
            if told["msg_type"] == "execute_reply":
                assert told["content"]["status"] == "ok", told
            if told["msg_type"] == "status" and told["content"]["execution_state"] == "idle":
                return said
    raise AssertionError("the websocket was closed")


async def is_kept_out(hub: HubProcess, other: aiohttp.ClientSession) -> None:
    """Somebody who is logged in, but may not use this server, comes no further than the hub's refusal."""
    async with other.get(f"{hub.url}/user/alice/lab") as page:
        assert page.status == 403
        assert page.url.path == "/hub/api/oauth2/authorize"
    async with other.get(f"{hub.url}/user/alice/api/contents") as answer:
        assert answer.status == 403
    token = {"Authorization": f"token {await hub.token('bob', admin=False)}"}
    async with aiohttp.ClientSession() as program:
        async with program.get(f"{hub.url}/user/alice/api/contents", headers=token) as answer:
            assert answer.status == 403
        own = {"Authorization": f"token {await hub.token('alice', admin=False)}"}
        async with program.get(f"{hub.url}/user/alice/api/contents", headers=own) as answer:
            assert answer.status == 200


async def activity_arrives(hub: HubProcess, admin: aiohttp.ClientSession, visitor: aiohttp.ClientSession) -> None:
    """What a person does in the server becomes the server's last activity at the hub."""
    before = await shown(hub, admin, "alice")
    assert before is not None

    async def moved() -> bool:
        async with visitor.get(f"{hub.url}/user/alice/api/contents") as answer:
            assert answer.status == 200
        now = await shown(hub, admin, "alice")
        return now is not None and now["last_activity"] > before["last_activity"]

    await until(moved, "activity arrives at the hub")


async def tokens_end_with_the_server(
    hub: HubProcess, admin: aiohttp.ClientSession, visitor: aiohttp.ClientSession
) -> None:
    """The server's own token, its OAuth client and the tokens that it got for visitors end when it is stopped."""
    (server,) = leaders_of(hub.folder)["alice"]
    own = {"Authorization": f"token {server.environment['JUPYTERHUB_API_TOKEN']}"}
    async with aiohttp.ClientSession(headers=own) as program:
        async with program.get(f"{hub.url}/hub/api/user") as answer:
            assert answer.status == 200 and (await answer.json())["name"] == "alice"
        assert all(count > 0 for count in grants(hub))
        async with admin.delete(f"{hub.url}/hub/api/users/alice/server") as answer:
            assert answer.status in (202, 204)
        await until(lambda: not leaders_of(hub.folder), "the server is stopped")
        await until(lambda: grants(hub) == (0, 0, 0), "its grants are revoked")
        async with program.get(f"{hub.url}/hub/api/user") as answer:
            assert answer.status == 403
    async with visitor.get(f"{hub.url}/user/alice/lab") as page:
        assert page.url.path.startswith("/hub/"), "the hub offers to start it"


def grants(hub: HubProcess) -> tuple[int, int, int]:
    """Count the tokens that servers run with, their OAuth clients, and the tokens that these got."""
    queries = (
        "SELECT count(*) FROM tokens WHERE server_id IS NOT NULL",
        "SELECT count(*) FROM oauth_clients WHERE server_id IS NOT NULL",
        "SELECT count(*) FROM tokens WHERE client_id LIKE 'jupyterhub-user-%'",
    )
    with contextlib.closing(sqlite3.connect(hub.data_dir / "nbhub.sqlite")) as connection:
        one, two, three = (connection.execute(query).fetchone()[0] for query in queries)
    return one, two, three


def cookie(visitor: aiohttp.ClientSession, url: str, name: str) -> str:
    """Return a cookie that would be sent to that address."""
    return visitor.cookie_jar.filter_cookies(aiohttp.client.URL(url))[name].value
