"""A hub that cannot start says in one message what is wrong and what to do, exits with 2, leaves nothing half-done."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbhub.store import Store
from servers.hub import HubProcess, running_hub, until
from servers.machine import leaders_of, processes_of

NO_NOTEBOOKS = {"PATH": "/usr/bin:/bin"}  # where the tests' own are not
DUMMY = "c.Hub.authenticator_class = 'dummy'\nc.Hub.spawner_class = 'fake'\n"


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """A file system of its own, as large as that."""
    path.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount file systems")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.parametrize(
    ("settings", "option", "reason"),
    [
        ("c.Hub.prot = 80", "", "nbhub_config.py, line 1: there is no setting c.Hub.prot. Did you mean port?"),
        ("c.Hub.idle_timeout = 'long'", "", "nbhub_config.py, line 1: c.Hub.idle_timeout = 'long' is wrong: "),
        ("c.Hub.port = 80\n\nx = 1 / 0", "", "nbhub_config.py, line 3: ZeroDivisionError: division by zero"),
        ("", "--Hub.spawner_class=nothing.Here", "command line (--Hub.spawner_class): c.Hub.spawner_class"),
    ],
    ids=["unknown", "type", "broken", "class"],
)
def test_wrong_settings_touch_nothing(folder: Path, settings: str, option: str, reason: str) -> None:
    hub = HubProcess(folder / "hub", settings)
    ended = hub.refused(*filter(None, [option]))
    assert (ended.status, ended.out) == (2, "")
    assert reason in ended.reason
    assert not hub.data_dir.exists()


@pytest.mark.parametrize(
    ("option", "reasons"),
    [
        ("--Proxy.command=/nowhere/envoy", ["/nowhere/envoy", "Proxy.command"]),
        ("--Proxy.command=/bin/false", ["Envoy ended with status 1", "Proxy.command"]),
        ("--ip=192.0.2.1", ["192.0.2.1:", "not one of this machine"]),
        ("--Proxy.ssl_cert=/nowhere/cert.pem", ["ssl_cert and ssl_key belong together"]),
    ],
    ids=["missing", "refuses", "address", "certificate"],
)
def test_an_envoy_that_cannot_serve(folder: Path, option: str, reasons: list[str]) -> None:
    hub = HubProcess(folder / "hub", DUMMY)
    ended = hub.refused(option)
    assert ended.status == 2
    assert all(reason in ended.reason for reason in reasons), ended.reason
    assert "nbhub is at" not in ended.out
    assert not processes_of(folder)


def test_a_public_port_in_use_is_told_before_anything_is_installed(folder: Path) -> None:
    hub = HubProcess(folder / "hub", env=NO_NOTEBOOKS)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", hub.port))
        taken.listen()
        ended = hub.refused()
    assert ended.status == 2
    assert f"Another program listens on 127.0.0.1:{hub.port}. Stop it, or choose another port" in ended.reason
    assert not (hub.data_dir / "notebook-env").exists()


async def test_an_installation_that_is_interrupted(folder: Path) -> None:
    hub = HubProcess(folder / "hub", env=NO_NOTEBOOKS)
    hub.spawn()
    await until(lambda: "Installing JupyterLab" in hub.text(), "the installation to begin")
    hub.send(signal.SIGINT)
    assert await hub.ended() == 0
    assert "The installation of JupyterLab was interrupted; the next start begins it again.\nStopped.\n" in hub.text()
    assert "Traceback" not in hub.text()
    await until(lambda: not processes_of(folder), "what it had started ends too")


def test_the_command_of_servers_is_missing(folder: Path) -> None:
    settings = "c.Hub.spawner_class = 'simple'\nc.Spawner.cmd = ['no-such-notebook']\n"
    ended = HubProcess(folder / "hub", settings).refused()
    assert ended.status == 2
    assert "The command no-such-notebook, which starts servers (setting cmd), is not installed" in ended.reason
    assert not processes_of(folder)


def test_databases_that_cannot_be_used(folder: Path) -> None:
    hub = HubProcess(folder / "hub", DUMMY)
    asyncio.run(hub.token())  # makes the database
    path = hub.data_dir / "nbhub.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'r9999'")
    before = path.read_bytes()
    ended = hub.refused()
    assert ended.status == 2
    assert "newer" in ended.reason and str(path) in ended.reason
    assert path.read_bytes() == before

    path.write_bytes(b"this is no database, however long you look at it" * 100)
    ended = hub.refused()
    assert ended.status == 2
    assert "not an SQLite database" in ended.reason and str(path) in ended.reason

    ended = hub.refused("--db=postgresql://nbhub@127.0.0.1:9/nbhub?connect_timeout=2")
    assert ended.status == 2
    assert "postgresql://127.0.0.1:9/nbhub" in ended.reason
    ended = hub.refused("--db=mysql://somewhere")
    assert ended.status == 2
    assert "mysql" in ended.reason


def test_data_folders_that_cannot_be_used(folder: Path) -> None:
    hub = HubProcess(folder / "hub", DUMMY)
    taken = folder / "a-file"
    taken.write_text("not a folder")
    hub.data_dir = taken / "data"
    ended = hub.refused()
    assert ended.status == 2
    assert f"The data folder {hub.data_dir} cannot be used: Not a directory" in ended.reason

    if os.geteuid() != 0:  # root may write anywhere
        (folder / "locked").mkdir(mode=0o500)
        hub.data_dir = folder / "locked" / "data"
        ended = hub.refused()
        assert ended.status == 2
        assert f"The data folder {hub.data_dir} cannot be used: Permission denied. Make it writable" in ended.reason

    with small_disk(folder / "disk", "4m") as disk:
        hub.data_dir = disk
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ended = hub.refused()
        assert ended.status == 2
        assert f"The data folder {disk} cannot be used: Read-only file system. Make it writable" in ended.reason
    with small_disk(folder / "small", "64k") as disk:
        hub.data_dir = disk
        ended = hub.refused()
        assert ended.status == 2
        assert "full" in ended.reason and str(disk) in ended.reason
        # With room the same command works: nothing half-made is in the way.
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        asyncio.run(_open(hub.data_dir))


async def test_a_disk_that_fills_up_while_the_hub_runs(folder: Path, small_servers: str) -> None:
    with small_disk(folder / "disk", "12m") as disk:
        async with (
            running_hub(folder / "hub", small_servers, data_dir=disk) as hub,
            hub.client(await hub.token()) as api,
        ):
            for user in ("alice", "bob"):
                await api.post(f"/users/{user}")
            assert (await api.post("/users/alice/server")).status_code == 201
            (alice,) = leaders_of(folder)["alice"]
            ballast = disk / "ballast"
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            refused = await until(lambda: _refusal(api), "a full disk is told")
            assert "full" in refused
            assert (await api.get(f"{hub.url}/user/alice/api")).status_code == 200, "servers stay reachable"
            assert (await api.get("/users/alice")).json()["servers"][""]["ready"]
            # What is asked for now is refused, and nothing of it happens.
            for answer in (await api.post("/users/bob/server"), await api.delete("/users/alice/server")):
                assert answer.status_code == 503 and "full" in answer.json()["message"], answer.text
                assert answer.headers["retry-after"] == "5"
            assert {name: [leader.pid for leader in found] for name, found in leaders_of(folder).items()} == {
                "alice": [alice.pid]
            }

            ballast.unlink()
            await until(lambda: _works(api), "the hub works again once there is room")
            assert (await api.get("/users/alice")).json()["servers"][""]["ready"]
            assert (await api.get("/users/bob")).json()["servers"] == {}
            assert (await api.post("/users/bob/server")).status_code == 201
            assert (await api.delete("/users/alice/server")).status_code == 204
            assert list(leaders_of(folder)) == ["bob"]
            with contextlib.closing(sqlite3.connect(disk / "nbhub.sqlite")) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert not leaders_of(folder)


async def _open(data_dir: Path) -> None:
    await (await Store.open(str(data_dir / "nbhub.sqlite"))).close()


async def _refusal(api: object) -> str:
    answer = await api.post(f"/users/u{os.urandom(6).hex()}")  # type: ignore[attr-defined]
    return str(answer.json()["message"]) if answer.status_code == 503 else ""


async def _works(api: object) -> bool:
    answer = await api.post(f"/users/u{os.urandom(6).hex()}")  # type: ignore[attr-defined]
    return bool(answer.status_code == 201)


def test_a_folder_that_another_user_may_read_is_refused(folder: Path) -> None:
    hub = HubProcess(folder / "hub", DUMMY)
    asyncio.run(hub.token())
    secret = hub.data_dir / "secret"
    secret.write_text("ab" * 32)
    secret.chmod(0o644)
    ended = hub.refused()
    assert ended.status == 2
    assert f"{secret} can be read by everybody. Make it private: chmod 600 {secret}" in ended.reason
    shutil.rmtree(hub.data_dir)
