"""Backups of a whole hub: made while people work, restored to either kind of database, refused where harmful."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from nbhub import secret
from nbhub.core import secrets
from servers.hub import HubProcess, running_hub, until
from servers.machine import leaders_of

NATIVE = "c.Hub.authenticator_class = 'native'\nc.Hub.cleanup_servers = False\n"
PASSWORD = "correct horse battery"


@pytest.fixture(params=["sqlite", "postgresql"])
def db_url(request: pytest.FixtureRequest) -> str:
    """Empty for the file in the data folder, or a PostgreSQL database."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgresql_url"))


async def test_back_to_how_it_was(folder: Path, small_servers: str, db_url: str) -> None:
    """Made while rows are written all the time; afterwards one server still runs, another is found to be gone."""
    hub = HubProcess(folder / "hub", small_servers + NATIVE, db_url=db_url)
    file = folder / "hub.backup"
    await hub.start()
    await _join(hub, "ada")
    token = await hub.token()
    async with hub.client(token) as api:
        for user in ("ada", "bob"):
            await api.post(f"/users/{user}")
            assert (await api.post(f"/users/{user}/server")).status_code == 201
        async with _writing(api) as written:
            await until(lambda: written() > 5, "others write")
            status, said = await asyncio.to_thread(hub.call, "backup", str(file))
            assert status == 0 and "The hub's secret is not in it" in said, said
            seen = written()
            await until(lambda: written() > seen, "others still write")
        assert file.stat().st_mode & 0o777 == 0o600
        assert (await api.delete("/users/ada")).status_code == 204  # and with the user their server
        assert (await api.post("/users/late")).status_code == 201
    status, said = hub.call("restore", str(file), "--force")
    assert status != 0 and re.search(r"Another hub .* uses the database|A hub uses the database", said), said
    assert await hub.stop() == 0
    (bob,) = leaders_of(folder)["bob"]
    assert "ada" not in leaders_of(folder)

    status, said = hub.call("restore", str(file))
    assert status == 1 and "is not empty" in said and "--force" in said, said
    status, said = hub.call("restore", str(file), "--force")
    assert status == 0 and "users: " in said and "finds out which servers still run" in said, said
    await hub.start()
    async with hub.client(token) as api:
        names = {user["name"] for user in (await api.get("/users", params={"limit": 200})).json()}
        assert {"ada", "bob", "w0", "w5"} <= names and "late" not in names
        await until(lambda: _stopped(api, "ada"), "the server that is gone is found to be")
        assert (await api.get("/users/bob")).json()["servers"][""]["ready"]
        assert [leader.pid for leader in leaders_of(folder)["bob"]] == [bob.pid]
        async with hub.client(bob.environment["JUPYTERHUB_API_TOKEN"]) as own:
            assert (await own.get("/user")).json()["name"] == "bob"
        await _log_in(hub, "ada")
        assert (await api.post("/users/ada/server")).status_code == 201
        for user in ("ada", "bob"):
            assert (await api.delete(f"/users/{user}/server")).status_code == 204
    assert await hub.stop() == 0


async def test_from_one_machine_and_kind_of_database_to_another(
    folder: Path, small_servers: str, postgresql_url: str
) -> None:
    """With the secrets in it, a backup is all that a new machine needs; and it is the way to PostgreSQL and back."""
    old = HubProcess(folder / "old", small_servers + NATIVE)
    async with running_hub(folder / "old", small_servers + NATIVE, data_dir=old.data_dir) as hub:
        await _join(hub, "ada")
        token = await hub.token()
        status, said = hub.call("backup", str(folder / "whole"), "--with-secrets")
        assert status == 0 and "The hub's secrets are in it" in said, said
        status, said = hub.call("backup", str(folder / "bare"))
        assert status == 0
    kept = secret.read(old.data_dir / "secret")
    assert kept[0].hex() in gzip.decompress((folder / "whole").read_bytes()).decode()
    assert kept[0].hex() not in gzip.decompress((folder / "bare").read_bytes()).decode()

    new = HubProcess(folder / "new", small_servers + NATIVE, db_url=postgresql_url)
    status, said = new.call("restore", str(folder / "bare"))
    assert status == 0, said
    assert f"belongs to the secret {secrets.fingerprint(kept[0])}" in said and "Without it, servers that" in said
    status, said = new.call("restore", "-", "--force", given=(folder / "whole").read_bytes())
    assert status == 0 and f"The hub's secret is in {new.data_dir}/secret" in said, said
    assert secret.read(new.data_dir / "secret") == kept
    async with running_hub(folder / "new", small_servers + NATIVE, db_url=postgresql_url) as hub:
        await _log_in(hub, "ada")
        async with hub.client(token) as api:
            assert (await api.get("/user")).json()["name"] == "admin"
            assert (await api.post("/users/ada/server")).status_code == 201
            assert (await api.delete("/users/ada/server")).status_code == 204
        assert hub.call("backup", str(folder / "back"))[0] == 0
    status, said = HubProcess(folder / "third", small_servers).call("restore", str(folder / "back"))
    assert status == 0, said


def test_what_is_refused(folder: Path, small_servers: str) -> None:
    hub = HubProcess(folder / "hub", small_servers)
    file = folder / "file"
    status, said = hub.call("backup", str(file))
    assert status == 1 and "There is no database" in said and "--data-dir" in said
    asyncio.run(hub.token())
    assert hub.call("backup", str(file))[0] == 0
    status, said = hub.call("backup", str(file))
    assert status == 1 and "is there already" in said and "--force" in said
    assert hub.call("backup", str(file), "--force")[0] == 0
    status, said = hub.call("backup", str(folder / "no" / "file"))
    assert status == 1 and "cannot be written: No such file or directory" in said

    whole = file.read_bytes()
    before = (hub.data_dir / "nbhub.sqlite").read_bytes()
    for damaged, words in (
        (whole[: len(whole) // 2], "damaged or cut short"),
        (b"something else", "is not a backup of nbhub"),
        (gzip.compress(gzip.decompress(whole).replace(b'backup":1', b'backup":2')), "which is newer"),
    ):
        file.write_bytes(damaged)
        status, said = hub.call("restore", str(file), "--force")
        assert status == 1 and words in said and "Traceback" not in said, said
    assert (hub.data_dir / "nbhub.sqlite").read_bytes() == before
    assert hub.call("backup")[0] == 2


async def _join(hub: HubProcess, name: str) -> None:
    """Make an account by invitation."""
    status, said = await asyncio.to_thread(hub.call, "invite", name)
    assert status == 0, said
    code = re.search(r"code=([\w-]+)", said)
    assert code is not None
    async with httpx.AsyncClient(base_url=hub.url, timeout=60) as browser:
        page = await browser.get("/hub/signup", params={"code": code[1]})
        form = {"code": code[1], "username": name, "password": PASSWORD, "_xsrf": _xsrf(page.text)}
        answer = await browser.post("/hub/signup", data={**form, "again": PASSWORD})
        assert answer.status_code == 303, answer.text


async def _log_in(hub: HubProcess, name: str) -> None:
    async with httpx.AsyncClient(base_url=hub.url, timeout=60) as browser:
        page = await browser.get("/hub/login")
        form = {"username": name, "password": PASSWORD, "_xsrf": _xsrf(page.text)}
        assert (await browser.post("/hub/login", data=form)).status_code == 303


def _xsrf(page: str) -> str:
    found = re.search(r'name="_xsrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


@contextlib.asynccontextmanager
async def _writing(api: httpx.AsyncClient) -> AsyncIterator[Callable[[], int]]:
    """Make users one after the other; gives how many there are."""
    made = 0

    async def write() -> None:
        nonlocal made
        while True:
            assert (await api.post(f"/users/w{made}")).status_code == 201
            made += 1

    task = asyncio.create_task(write())
    try:
        yield lambda: made
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def _stopped(api: httpx.AsyncClient, user: str) -> bool:
    return (await api.get(f"/users/{user}")).json()["servers"] == {}
