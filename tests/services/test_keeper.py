"""Managed services as real processes: told what they need, kept running, ended whole, on one hub at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pwd
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select

from nbhub.core import secrets
from nbhub.core.launch import HubAddress
from nbhub.services import Keeper, Workshop, apply, declare
from nbhub.services.keeper import Pace
from nbhub.store import Store, grants, services, tables
from nbhub.store.statements import Statement

HUB = HubAddress(api_url="http://127.0.0.1:8081/hub/api")
PACE = Pace(lease=1.5, look=0.1, first_pause=0.05, longest_pause=0.4, settled=60)
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STAY = "import time; time.sleep(600)"
TELL = "import json, os, sys; json.dump([dict(os.environ), os.getcwd(), os.getuid()], open(sys.argv[1], 'w'));"


@contextlib.asynccontextmanager
async def kept(
    store: Store,
    folder: Path,
    *items: dict[str, Any],
    holder: str = "one",
    alone: bool = True,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[asyncio.Task[None]]:
    """Run the services until left."""
    declared = declare(services=items)
    await apply(store, declared, base_url="/", now=time.time())
    workshop = Workshop(folder, HUB)
    keeper = Keeper(store, declared.services, workshop, holder=holder, clock=clock, alone=alone, pace=PACE)
    task = asyncio.create_task(keeper.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Any], what: str, seconds: float = 100) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        found = await found if asyncio.iscoroutine(found) else found
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


async def pid(store: Store, name: str = "web", but: int = 0) -> int:
    """Wait until the service runs as another process than `but`."""

    async def look() -> int:
        async with store.read() as tx:
            entry = await services.get(tx, name)
        found = 0 if entry is None else int(entry.process.get("pid", 0))
        return found if found != but else 0

    return int(await until(look, f"{name} runs"))


async def renewed(store: Store, until_then: float) -> bool:
    """Whether the lease of the service holds until then."""
    async with store.read() as tx:
        row = await tx.fetchone(Statement(select(tables.services.c.lease_expires)))
    return row is not None and (row[0] or 0) >= until_then


def alive(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path / "services"


async def test_what_a_service_is_told(store: Store, folder: Path, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    item = {
        "name": "web", "url": "http://127.0.0.1:9",
        "command": [sys.executable, "-c", TELL + STAY, str(told)],
        "cwd": str(tmp_path), "environment": {"MINE": 1, "JUPYTERHUB_HOST": "changed"}, "timeout": 0.1,
    }  # fmt: skip
    os.environ["NBHUB_SECRET_OF_THE_HUB"] = "x"
    async with kept(store, folder, item):
        await until(lambda: told.exists() and told.read_text().endswith("]"), "it tells")
        environment, cwd, _ = json.loads(told.read_text())
        assert cwd == str(tmp_path)
        assert "NBHUB_SECRET_OF_THE_HUB" not in environment
        expected = {
            "JUPYTERHUB_SERVICE_NAME": "web", "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:9", "JUPYTERHUB_USER": "",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/web/", "JUPYTERHUB_CLIENT_ID": "service-web", "MINE": "1",
            "JUPYTERHUB_OAUTH_CALLBACK_URL": "/services/web/oauth_callback", "JUPYTERHUB_HOST": "changed",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:services", "access:services!service=web"]',
            "JUPYTERHUB_API_URL": HUB.api_url, "JUPYTERHUB_BASE_URL": "/", "JUPYTERHUB_SERVER_NAME": "",
        }  # fmt: skip
        assert {name: environment.get(name) for name in expected} == expected
        assert "JUPYTERHUB_ACTIVITY_URL" not in environment
        async with store.read() as tx:
            found = await grants.find_token(tx, secrets.hash_token(environment["JUPYTERHUB_API_TOKEN"]), time.time())
            client = await grants.get_client(tx, "service-web")
        assert found is not None and found.owner.name == "web"
        assert client is not None and client.secret_hash == secrets.hash_token(environment["JUPYTERHUB_API_TOKEN"])
    del os.environ["NBHUB_SECRET_OF_THE_HUB"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_a_service_of_another_system_user(store: Store, folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(place, nobody.pw_uid, nobody.pw_gid)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(parent.stat().st_mode | 0o055)
    python = "/usr/bin/python3"
    told = place / "told.json"
    item = {"name": "web", "user": "nobody", "cwd": str(place), "command": [python, "-c", TELL, str(told)]}
    async with kept(store, folder, item):
        await until(lambda: told.exists() and told.read_text().endswith("]"), "it tells")
    environment, cwd, uid = json.loads(told.read_text())
    assert (cwd, uid, environment["USER"]) == (str(place), nobody.pw_uid, "nobody")
    assert environment["HOME"] == nobody.pw_dir


async def test_it_is_launched_again_ever_slower(
    store: Store, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nbhub.services")
    starts = tmp_path / "starts"
    script = "import sys, time; open(sys.argv[1], 'a').write('x'); print('out of luck', file=sys.stderr); sys.exit(3)"
    item = {"name": "web", "command": [sys.executable, "-c", script, str(starts)]}
    async with kept(store, folder, item):
        await until(lambda: starts.exists() and len(starts.read_text()) >= 5, "five launches")
    pauses = [line.rpartition(" ")[2] for line in caplog.text.splitlines() if "launched again in" in line]
    assert pauses[:4] == ["0.1s", "0.1s", "0.2s", "0.4s"]
    assert "service=web ended by itself, exit status 3; its log: 'out of luck" in caplog.text


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"command": ["no-such-program"]}, "The command no-such-program"),
        ({"command": ["sleep", "1"], "cwd": "/no/such/folder"}, "its folder /no/such/folder does not exist"),
        ({"command": ["sleep", "1"], "user": "no-such-user"}, "There is no system user 'no-such-user'"),
    ],
)
async def test_what_cannot_be_launched_is_told(
    store: Store, folder: Path, caplog: pytest.LogCaptureFixture, item: dict[str, Any], words: str
) -> None:
    async with kept(store, folder, {"name": "web", **item}, {"name": "well", "command": SLEEP}):
        await until(lambda: words in caplog.text, "it is told")
        await pid(store, "well")


async def test_an_address_without_an_answer_is_told(
    store: Store, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    managed = {"name": "web", "command": SLEEP, "url": "http://127.0.0.1:9", "timeout": 0.3}
    async with kept(store, folder, managed, {"name": "far", "url": "http://127.0.0.1:9", "timeout": 0.3}) as task:
        await until(lambda: "service=web does not answer at http://127.0.0.1:9" in caplog.text, "web is told of")
        await until(lambda: "service=far does not answer" in caplog.text, "far is told of")
        assert alive(await pid(store))
        assert not task.done()


async def test_all_that_it_started_ends_with_it(store: Store, folder: Path, tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = (
        "import signal, subprocess, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True);"
        "open(sys.argv[1], 'w').write(str(child.pid)); child.wait()"
    )
    async with kept(store, folder, {"name": "web", "command": [sys.executable, "-c", script, str(child)]}):
        leader = await pid(store)
        number = int(await until(lambda: child.exists() and child.read_text(), "the child runs"))
        assert alive(number)
    assert not alive(leader)
    assert not alive(number)


async def test_one_of_two_hubs_runs_it(store: Store, folder: Path) -> None:
    item, now = {"name": "web", "command": SLEEP}, [time.time()]
    async with kept(store, folder / "b", item, holder="b", alone=False, clock=lambda: now[0]):
        first = await pid(store)
        async with kept(store, folder / "a", item, holder="a", alone=False, clock=lambda: now[0]):
            for _ in range(4):  # longer than one lease; time goes on when it was renewed
                now[0] += PACE.lease * 0.6
                await until(lambda: renewed(store, now[0] + PACE.lease), "the lease is renewed")
                await asyncio.sleep(PACE.look * 2)  # the other one looks meanwhile
            assert await pid(store) == first
            assert not (folder / "a").exists() or not list((folder / "a").glob("*.json"))
    assert not alive(first)


async def test_who_loses_the_lease_ends_its_process(store: Store, folder: Path) -> None:
    item = {"name": "web", "command": SLEEP}
    async with kept(store, folder, item, alone=False):
        first = await pid(store)
        async with store.write() as tx:
            entry = await services.get(tx, "web")
            assert entry is not None
            await services.end_all(tx, time.time())
            assert await services.take(tx, entry.id, holder="other", now=time.time() + 1, lease=600)
        await until(lambda: not alive(first), "the process ends")


async def test_the_settings_change_while_it_runs(store: Store, folder: Path) -> None:
    same, other, new = ({"name": name, "command": SLEEP} for name in ("same", "other", "new"))
    await apply(store, first := declare(services=[same, other]), base_url="/", now=time.time())
    keeper = Keeper(
        store, first.services, Workshop(folder, HUB), holder="one", clock=time.time, alone=True, pace=PACE
    )  # fmt: skip
    task = asyncio.create_task(keeper.run())
    try:
        stays, goes = await pid(store, "same"), await pid(store, "other")
        changed = [same, {**other, "environment": {"X": "1"}}, new]
        await apply(store, second := declare(services=changed), base_url="/", now=time.time())
        keeper.change(second.services)
        await until(lambda: not alive(goes), "the one with other settings is ended")
        again, added = await pid(store, "other", but=goes), await pid(store, "new")
        assert psutil.Process(again).environ()["X"] == "1"
        await apply(store, third := declare(services=[same]), base_url="/", now=time.time())
        keeper.change(third.services)
        await until(lambda: not alive(again) and not alive(added), "those that are gone are ended")
        assert await pid(store, "same") == stays and alive(stays)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not alive(stays)
