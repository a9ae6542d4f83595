"""A hub moves to a new secret: log-ins, pages, running servers and what providers told live on, until it is retired."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from nbhub import secret
from nbhub.core import secrets
from nbhub.core.secrets import Keys
from nbhub.store import Store, identities, users
from servers.hub import HubProcess, running_hub, until
from servers.machine import leaders_of

HOOKS = """
async def keep(authenticator, handler, model):
    return {**model, "auth_state": {"colour": "teal"}}

def told(spawner, state):
    with open("states.log", "a") as file:
        file.write(f"{state}\\n")

c.Hub.allow_named_servers = True
c.Authenticator.enable_auth_state = True
c.Authenticator.post_auth_hook = keep
c.Spawner.auth_state_hook = told
"""


@contextlib.asynccontextmanager
async def logged_in(hub: HubProcess) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A browser that is logged in, and the `_xsrf` of its page."""
    async with httpx.AsyncClient(base_url=hub.url, timeout=60) as browser:
        login = await browser.get("/hub/login")
        form = {"username": "ada", "password": "x", "_xsrf": xsrf(login.text), "next": "/hub/token"}
        assert (await browser.post("/hub/login", data=form)).status_code == 303
        page = await browser.get("/hub/token")
        assert page.status_code == 200
        yield browser, xsrf(page.text)


def xsrf(page: str) -> str:
    found = re.search(r'name="_xsrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def reread(hub: HubProcess) -> int:
    return hub.text().count("Changed: the hub's secret")


async def change(browser: httpx.AsyncClient, page_token: str) -> int:
    """Change something from a page that was opened earlier; return the status."""
    answer = await browser.post(
        "/hub/api/users/ada/tokens", json={"note": "from a page"}, headers={"X-XSRFToken": page_token}
    )
    return answer.status_code


async def test_a_new_secret_while_people_work(folder: Path, small_servers: str) -> None:
    async with running_hub(folder, small_servers + HOOKS) as hub, logged_in(hub) as (browser, page):
        async with hub.client(await hub.token()) as api:
            assert (await api.post("/users/ada/server")).status_code == 201
        (server,) = leaders_of(folder)["ada"]
        file = hub.data_dir / "secret"
        before = secret.read(file)

        status, said = hub.call("secret", "rotate")
        assert status == 0 and f"The hub (process {hub.pid}) takes it over now" in said, said
        await until(lambda: reread(hub) == 1, "the hub has the new secret")
        assert secret.read(file)[1:] == before
        assert file.stat().st_mode & 0o777 == 0o600
        await everything_works(hub, browser, page, server.environment["JUPYTERHUB_API_TOKEN"])
        assert [leader.pid for leader in leaders_of(folder)["ada"]] == [server.pid]
        assert (await browser.get("/hub/home")).status_code == 200

        status, said = hub.call("secret", "status")
        assert status == 0 and "1 auth state(s) are sealed with an older secret" in said, said
        assert secrets.fingerprint(before[0]) in said and before[0].hex() not in said

        status, said = hub.call("secret", "retire")
        assert status == 0 and "1 older secret(s) taken out" in said, said
        await until(lambda: reread(hub) == 2, "the hub is without the older secret")
        assert len(secret.read(file)) == 1
        await until(lambda: _refused(browser, page), "a page of the older secret has to be loaded again")
        fresh = xsrf((await browser.get("/hub/token")).text)
        await everything_works(hub, browser, fresh, server.environment["JUPYTERHUB_API_TOKEN"])
        assert "There is no older secret" in hub.call("secret", "status")[1]
        assert set((folder / "states.log").read_text().split("\n")) == {"{'colour': 'teal'}", ""}


async def everything_works(hub: HubProcess, browser: httpx.AsyncClient, page: str, server_token: str) -> None:
    """The log-in, an open page, the running server's token, and what is known of the person when a server starts."""
    assert await change(browser, page) == 201
    async with hub.client(server_token) as server:
        assert (await server.get("/user")).json()["name"] == "ada"
    known = (hub.folder / "states.log").read_text().count("teal")
    async with hub.client(await hub.token()) as api:
        assert (await api.post("/users/ada/servers/other")).status_code == 201
        assert (await api.delete("/users/ada/servers/other", params={"remove": True})).status_code in (202, 204)
    assert (hub.folder / "states.log").read_text().count("teal") == known + 1


async def _refused(browser: httpx.AsyncClient, page: str) -> bool:
    return await change(browser, page) == 403


async def test_a_secret_that_was_just_replaced(folder: Path, small_servers: str) -> None:
    """Without the older secret, what it sealed is lost and told so; log-ins and running servers live on."""
    settings = small_servers + HOOKS + "c.Hub.cleanup_servers = False\n"
    async with running_hub(folder, settings) as hub, logged_in(hub) as (browser, page):
        async with hub.client(await hub.token()) as api:
            assert (await api.post("/users/ada/server")).status_code == 201
        (server,) = leaders_of(folder)["ada"]
        await hub.stop()
        secret.write(hub.data_dir / "secret", [secret.new()])
        assert "1 auth state(s) were sealed with none of these" in hub.call("secret", "status")[1]
        await hub.start()
        assert (await browser.get("/hub/home")).status_code == 200
        assert await change(browser, page) == 403
        async with hub.client(server.environment["JUPYTERHUB_API_TOKEN"]) as own:
            assert (await own.get("/user")).status_code == 200
        async with hub.client(await hub.token()) as api:
            assert (await api.delete("/users/ada/server")).status_code == 204
            assert (await api.post("/users/ada/server")).status_code == 201
            assert (await api.delete("/users/ada/server")).status_code == 204
        assert (folder / "states.log").read_text().splitlines()[-1] == "None"


def test_a_secret_that_is_not_in_a_file(folder: Path) -> None:
    hub = HubProcess(folder, "c.Hub.cookie_secret = ['ab' * 32, 'cd' * 32]\n")
    status, said = hub.call("secret", "rotate")
    assert status == 2 and "c.Hub.cookie_secret" in said and "openssl rand -hex 32" in said
    found = secret.find(["ab" * 32, "cd" * 32], "", folder, os.environ)
    assert found == (b"\xab" * 32, b"\xcd" * 32)
    assert Keys.from_secrets(*found).former == (Keys.from_secret(found[1]),)
    assert "Did you mean rotate?" in hub.call("secret", "rotat")[1]


def test_older_secrets_do_not_pile_up(folder: Path) -> None:
    hub = HubProcess(folder, "")
    asyncio.run(hub.token())
    hub.data_dir.joinpath("secret").unlink(missing_ok=True)
    secret.write(hub.data_dir / "secret", [secret.new() for _ in range(secret.MOST)])
    status, said = hub.call("secret", "rotate")
    assert status == 1 and "holds 8 secrets already" in said and "nbhub secret retire" in said
    assert hub.call("secret", "retire")[0] == 0
    assert hub.call("secret", "rotate")[0] == 0
    assert len(secret.read(hub.data_dir / "secret")) == 2


def test_a_secret_that_is_a_variable(folder: Path) -> None:
    """As on Kubernetes: `retire` seals anew all the same, and says where the older one is to be taken out."""
    old, new = secret.new(), secret.new()
    hub = HubProcess(folder, "", env={"JPY_COOKIE_SECRET": old.hex()})
    asyncio.run(_seal_one(hub, old))
    hub.env["JPY_COOKIE_SECRET"] = f"{new.hex()};{old.hex()}"
    assert "1 auth state(s) are sealed with an older secret" in hub.call("secret", "status")[1]
    status, said = hub.call("secret", "retire")
    assert status == 2 and "the variable JPY_COOKIE_SECRET, so it is changed there" in said, said
    assert "are sealed with" not in hub.call("secret", "status")[1]
    hub.env["JPY_COOKIE_SECRET"] = new.hex()
    assert hub.call("secret", "status") == (0, f"in use: {secrets.fingerprint(new)}\nThere is no older secret.\n")
    hub.env["JPY_COOKIE_SECRET"] = old.hex()
    assert "1 auth state(s) were sealed with none of these" in hub.call("secret", "status")[1]


async def _seal_one(hub: HubProcess, key: bytes) -> None:
    await hub.token("ada")
    store = await Store.open(str(hub.data_dir / "nbhub.sqlite"))
    async with store.write() as tx:
        ada = await users.get(tx, "ada")
        assert ada is not None
        state = Keys.from_secrets(key).auth_state_box().encrypt(b"{}").decode()
        await identities.put(tx, ada.id, identities.IdentityRecord("", "", state, 1.0))
    await store.close()
