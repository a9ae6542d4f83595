"""The command: what it takes, what it prints, what it says about mistakes."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import nbhub
from nbhub import __version__, accounts, cli, config
from nbhub.app import Hub
from nbhub.authenticators.dummy import DummyAuthenticator
from nbhub.authenticators.native import NativeAuthenticator
from nbhub.commands.table import COMMANDS
from nbhub.core import secrets
from nbhub.store import Store, grants, users
from nbhub.traits import import_path

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the command in an empty folder; gives its status, output and errors."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before, level = root.handlers, root.level

    def runs(*words: str) -> tuple[int, str, str]:
        status = cli.main(words)
        out, err = capsys.readouterr()
        return status, out, err

    yield runs
    root.handlers = before
    root.setLevel(level)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The settings that the command finds in the empty folder, with a database as a hub leaves it."""
    monkeypatch.chdir(tmp_path)
    found = config.build(Hub, config.load().config)
    found.folder.mkdir()
    asyncio.run(_make(found.database))
    return found


async def _make(database: str, names: Sequence[str] = ()) -> None:
    store = await Store.open(database)
    async with store.write() as tx:
        for name in names:
            await users.create(tx, name, now=time.time())
    await store.close()


def test_help_has_examples(run: Run) -> None:
    for words in (["--help"], ["-h"], ["help"], ["run", "--help"], ["token", "-h"]):
        status, out, err = run(*words)
        assert (status, err) == (0, "")
        assert "Examples" in out
    listed = run("--help")[1]
    assert all(f"nbhub {name}" in listed for name in COMMANDS if name != "run")


WITHOUT_EXTRAS = (
    "import sys; sys.modules.update(dict.fromkeys(['aiohttp', 'httpx', 'joserfc', 'ldap3', 'lightkube', 'yaml']));"
    "from nbhub import cli; sys.exit(cli.main(sys.argv[1:]))"
)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["settings"], 0, "left out, since what they need is not installed: pip install 'nbhub[kubernetes]'; pip"),
        (["config", "generate"], 0, "nbhub: KubeSpawner and "),
        (["config", "schema"], 0, "nbhub: KubeSpawner and "),
        (["--Hub.spawner_class=kubernetes"], 2, "KubeSpawner needs packages that are not installed: pip install"),
        (["--Hub.authenticator_class=github"], 2, "pip install 'nbhub[oauth]'"),
    ],
)
def test_what_is_not_installed_is_told(tmp_path: Path, words: list[str], status: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(nbhub.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (status, True, False), done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(run: Run, name: str) -> None:
    status, out, _ = run(name, "--help")
    assert status == 0
    assert out.startswith(f"Usage: nbhub {COMMANDS[name].usage}")
    assert f"Examples\n  nbhub{'' if name == 'run' else ' ' + name}" in out
    assert callable(import_path(COMMANDS[name].run))


def test_version(run: Run) -> None:
    assert run("version")[1].startswith(f"nbhub {__version__} ")
    assert run("--version")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rum"], "There is no command 'rum'. Did you mean run?"),
        (["--prot=9000"], "There is no option --prot. Did you mean --port?"),
        (["backup", "x", "--with-secret"], "There is no option --with-secret. Did you mean --with-secrets?"),
        (["run", "now"], "Usage: nbhub run [OPTIONS]. 'now' is too much."),
        (["token"], "Usage: nbhub token NAME"),
        (["invite", "a", "b"], "'b' is too much"),
        (["--Hub.prot=9000"], "command line (--Hub.prot): there is no setting c.Hub.prot. Did you mean port?"),
        (["--port=many"], "command line (--port): c.Hub.port = 'many' is wrong: expected an int."),
        (["--port=70000"], "command line (--port): c.Hub.port = '70000' is wrong: expected an int from 1 to 65535."),
        (["--Hub.hub_port=-1"], "c.Hub.hub_port = '-1' is wrong: expected an int from 0 to 65535."),
        (["--Hub.api_page_max_limit=0"], "c.Hub.api_page_max_limit = '0' is wrong: expected an int of 1 or more."),
        (["--Hub.authenticator_class=nativ"], "there is none named 'nativ'. Did you mean native?"),
        (["--Hub.spawner_class=no_such.Spawner"], "no Python package 'no_such'"),
        (["-f", "gone.py"], "There is no configuration file"),
        (["--Sqawner.cmd=x"], "there is no section c.Sqawner"),
        (["--Hub.hub_port=0", "--db=mysql://x/y"], "'mysql'"),
    ],
)
def test_mistakes_are_one_message_and_status_2(run: Run, words: list[str], message: str) -> None:
    status, out, err = run(*words)
    assert status == 2
    assert out == ""
    assert err.startswith("nbhub: ")
    assert message in err
    assert "Traceback" not in err


def test_a_mistake_in_the_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "nbhub_config.py").write_text("c.Hub.port = 8000\nc.Hub.prot = 9000\n")
    status, _, err = run()
    assert (status, err) == (2, "nbhub: nbhub_config.py, line 2: there is no setting c.Hub.prot. Did you mean port?\n")


def test_no_secret_is_shown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "nbhub_config.py").write_text(
        "c.Hub.authenticator_class = 'shared-password'\n"
        "c.Hub.db_url = 'postgresql://hub:hush1@db:5432/hub?sslpassword=hush2&sslmode=require'\n"
        "c.SharedPasswordAuthenticator.password_groups = {'hush3 of the class': ['class']}\n"
        "c.SharedPasswordAuthenticator.manage_groups = True\n"
        "c.Spawner.environment = {'API_KEY': 'hush4', 'GRADES_URL': 'https://ada:hush5@grades.example/x', 'A': 'b'}\n"
        "c.Hub.services = [{'name': 'grades', 'api_token': 'hush6hush6'}]\n"
    )
    words = ["--Hub.hub_connect_url=http://eve:hush7@hub:8081", "--DummyAuthenticator.password=hush8"]
    status, out, err = run("config", "show", *words)
    assert (status, "hush" in out + err) == (0, False), out + err
    assert "'postgresql://hub:(hidden)@db:5432/hub?sslpassword=(hidden)&sslmode=require'" in out
    assert "'https://ada:(hidden)@grades.example/x', 'A': 'b'" in out
    (tmp_path / "nbhub_config.py").write_text("c.SharedPasswordAuthenticator.user_password = ['hush9']\n")
    status, out, err = run("config", "check")
    assert (status, "hush" in out + err) == (2, False), out + err


def test_a_port_in_use(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, _, err = run("--Hub.spawner_class=fake", f"--Hub.hub_port={port}")
    assert status == 2
    assert f"Another program listens on 127.0.0.1:{port}" in err


def test_a_data_folder_that_is_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "nbhub-data").write_text("")
    status, _, err = run("--Hub.spawner_class=fake")
    assert status == 2
    assert "--data-dir" in err


def test_settings_are_listed(run: Run) -> None:
    status, out, _ = run("settings")
    assert status == 0
    assert "c.Hub.port = 8000\n" in out
    assert run("settings", "--markdown")[1].startswith("# Settings")


# -- accounts ----------------------------------------------------------------------------------------------------


async def _owner(database: str, token: str) -> grants.TokenOwner | None:
    store = await Store.open(database)
    try:
        async with store.read() as tx:
            return await grants.find_token(tx, secrets.hash_token(token), time.time())
    finally:
        await store.close()


async def _invitations(database: str) -> list[users.Invitation]:
    store = await Store.open(database)
    try:
        async with store.read() as tx:
            return await users.list_invitations(tx, time.time())
    finally:
        await store.close()


def test_a_token_is_printed_alone_and_works(run: Run, hub: Hub) -> None:
    asyncio.run(_make(hub.database, ["alice"]))
    status, out, err = run("token", "alice")
    assert (status, err) == (0, "")
    owner = asyncio.run(_owner(hub.database, out.strip()))
    assert owner is not None
    assert owner.user is not None
    assert (owner.user.name, owner.user.admin) == ("alice", False)


def test_a_token_for_nobody(run: Run, hub: Hub) -> None:
    status, out, err = run("token", "bob")
    assert (status, out) == (1, "")
    assert err == "nbhub: There is no user 'bob'. Invite one: nbhub invite bob\n"


def test_a_token_for_a_program_of_the_operator(run: Run, hub: Hub) -> None:
    _, out, _ = run("token", "deploy", "--admin")
    owner = asyncio.run(_owner(hub.database, out.strip()))
    assert owner is not None
    assert owner.user is not None
    assert owner.user.admin


def test_an_invitation(run: Run, hub: Hub) -> None:
    status, out, err = run("invite", "Alice", "--admin")
    assert status == 0
    assert out.startswith("http://127.0.0.1:8000/hub/")
    assert "It works once, until" in err
    [invitation] = asyncio.run(_invitations(hub.database))
    assert (invitation.name, invitation.admin, invitation.purpose) == ("alice", True, "signup")
    assert run("invite")[0] == 0
    assert len(asyncio.run(_invitations(hub.database))) == 2


def test_an_invitation_for_somebody_who_is_there(run: Run, hub: Hub) -> None:
    asyncio.run(_make(hub.database, ["alice"]))
    status, _, err = run("invite", "alice")
    assert status == 1
    assert "link for a new password" in err


def test_an_invitation_with_an_impossible_name(run: Run, hub: Hub) -> None:
    status, _, err = run("invite", "a/b")
    assert status == 1
    assert "may not contain a slash" in err


def test_a_password_reset(run: Run, hub: Hub) -> None:
    asyncio.run(_make(hub.database, ["alice"]))
    status, out, _ = run("reset-password", "alice", "--base-url=/x")
    assert status == 0
    assert out.startswith("http://127.0.0.1:8000/x/hub/")
    [invitation] = asyncio.run(_invitations(hub.database))
    assert (invitation.name, invitation.purpose) == ("alice", "reset")


def test_links_are_only_for_passwords_kept_here(run: Run, hub: Hub) -> None:
    status, _, err = run("invite", "--Hub.authenticator_class=dummy")
    assert status == 2
    assert "DummyAuthenticator" in err


def test_beside_a_running_hub(run: Run, hub: Hub) -> None:
    """The database of a running hub is locked against another hub, and takes a row from the command all the same."""

    async def while_running() -> str:
        store = await Store.open(hub.database)
        try:
            return await accounts.new_token(hub, "deploy", admin=True)
        finally:
            await store.close()

    token = asyncio.run(while_running())
    assert asyncio.run(_owner(hub.database, token)) is not None


def test_before_the_first_start_the_database_is_made(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("invite")
    assert status == 0
    assert out.startswith("http://")


def test_a_foreign_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, " * 100)
    status, _, err = run("token", "alice", "--db=sqlite:///notes.txt")
    assert status != 0
    assert "not an SQLite database" in err
    assert "Traceback" not in err


async def test_the_first_link(hub: Hub) -> None:
    store = await Store.open(hub.database)
    source = NativeAuthenticator(parent=hub)
    source.attach(store, lambda: 1000.0)
    first = await accounts.first_link(hub, store, source, 1000.0)
    second = await accounts.first_link(hub, store, source, 2000.0)
    assert first is not None
    assert second is not None
    async with store.write() as tx:
        [invitation] = await users.list_invitations(tx, 2000.0)
        assert invitation.admin
        program = await users.create(tx, "deploy", admin=True, now=2000.0)
    assert await accounts.first_link(hub, store, source, 3000.0) is not None  # nobody can log in yet
    async with store.write() as tx:
        await users.set_password(tx, program.id, "a hash")
    assert await accounts.first_link(hub, store, source, 3000.0) is None
    assert await accounts.first_link(hub, store, DummyAuthenticator(parent=hub), 3000.0) is None
    await store.close()


def run_loading(folder: Path, meanwhile: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Run nbhub, below the command `before` it, with a module among those that it loads which does something."""
    (folder / "traitlets.py").write_text(meanwhile)
    return subprocess.run(
        [*before, sys.executable, "-m", "nbhub", "version"],
        env={**os.environ, "PYTHONPATH": f"{folder}:{Path(nbhub.__file__).parents[1]}"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_ctrl_c_while_it_is_loaded_leaves_without_a_traceback(tmp_path: Path) -> None:
    """However early it comes once the program's own first lines have run."""
    done = run_loading(tmp_path, "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n")
    assert (done.returncode, done.stderr) == (130, "nbhub: interrupted before it began.\n")


def test_the_first_process_of_a_container_ends_when_told_to_while_it_is_loaded(tmp_path: Path) -> None:
    """The kernel keeps SIGTERM from a first process that has not asked for it, and a pod would wait for its end."""
    apart = ["unshare", "--pid", "--fork", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs unshare, and the right to process ids of its own")
    ends = "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nraise SystemExit('not heard')\n"
    done = run_loading(tmp_path, ends, *apart)
    assert (done.returncode, done.stderr) == (143, "nbhub: interrupted before it began.\n")
