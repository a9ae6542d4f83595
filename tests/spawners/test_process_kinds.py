"""Local processes: whose they are, what they see, and what is said when they cannot be."""

# ruff: noqa: ASYNC220, ASYNC240, RUF043 - small files, and patterns meant as such

from __future__ import annotations

import asyncio
import grp
import json
import logging
import os
import pwd
import resource
import stat
import subprocess
from pathlib import Path

import pytest

from nbhub.core import names
from nbhub.errors import ConfigError, SpawnError
from nbhub.spawners.process import LocalProcessSpawner, SimpleLocalProcessSpawner
from spawners.conftest import SYSTEM_GROUP, servers_of
from spawners.launches import GRACE, a_handle, a_launch, answers, bring_up, url_of


@pytest.fixture
async def simple(leave_nothing, tiny, spawners):
    return spawners(
        SimpleLocalProcessSpawner(data_dir=str(leave_nothing), cmd=tiny, interrupt_timeout=2, term_timeout=2)
    )


@pytest.fixture
async def local(leave_nothing, tiny, spawners, system_user):
    return spawners(LocalProcessSpawner(data_dir=str(leave_nothing), cmd=tiny, interrupt_timeout=2, term_timeout=2))


async def report_of(spawner, launch, home: Path):
    """Start a server that writes down what it is, and return that."""
    checkpoints = await bring_up(spawner, launch)
    await spawner.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)
    return json.loads((home / "report.json").read_text())


async def test_a_system_user_gets_own_identity_home_and_groups(local, system_user):
    entry = pwd.getpwnam(system_user)
    home = Path(entry.pw_dir)
    local.args = ["report"]
    facts = await report_of(local, a_launch(local, system_user), home)
    assert facts["uid"] == [entry.pw_uid] * 3
    assert facts["gid"] == [entry.pw_gid] * 3
    assert set(facts["groups"]) == {entry.pw_gid, grp.getgrnam(SYSTEM_GROUP).gr_gid}
    assert facts["cwd"] == entry.pw_dir
    environ = facts["environ"]
    assert (environ["USER"], environ["LOGNAME"], environ["HOME"], environ["SHELL"]) == (
        system_user,
        system_user,
        entry.pw_dir,
        "/bin/sh",
    )
    assert facts["session"]


async def test_nobody_becomes_root_by_the_name(local):
    with pytest.raises(SpawnError, match=r"root.*--allow-root"):
        await bring_up(local, a_launch(local, "root"))
    local.args = ["--allow-root"]
    assert local.account(a_launch(local, "root")).uid == 0


async def test_the_hubs_secrets_and_files_stay_with_the_hub(local, system_user, monkeypatch, leave_nothing):
    monkeypatch.setenv("NBHUB_SECRET", "do not tell")
    monkeypatch.setenv("DATABASE_PASSWORD", "do not tell")
    monkeypatch.setenv("VIRTUAL_ENV", "/opt/env")
    (leave_nothing / "secret").write_text("do not tell")
    with (leave_nothing / "secret").open() as secret:
        os.set_inheritable(secret.fileno(), True)
        local.args = ["report"]
        launch = a_launch(local, system_user)
        checkpoints = await bring_up(local, launch)
        pid = checkpoints[-1].state["pid"]
        opened = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
        await local.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)
    facts = json.loads((Path(pwd.getpwnam(system_user).pw_dir) / "report.json").read_text())
    assert "do not tell" not in json.dumps(facts)
    assert facts["environ"]["VIRTUAL_ENV"] == "/opt/env"
    known = set(launch.environment) | set(local.env_keep)
    known |= {"USER", "LOGNAME", "HOME", "SHELL", "NBHUB_SERVER", "JUPYTERHUB_SERVICE_URL", "PWD", "LC_CTYPE"}
    assert set(facts["environ"]) <= known
    assert not [name for name in opened if name.endswith("/secret")]
    assert sorted(Path(name).suffix for name in opened if name.startswith(str(leave_nothing))) == [
        ".lock",
        ".log",
        ".log",
    ]


async def test_users_cannot_read_or_write_what_the_hub_keeps(local, system_user, leave_nothing):
    launch = a_launch(local, system_user)
    checkpoints = await bring_up(local, launch)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (leave_nothing / "servers").rglob("*")}
    assert modes.pop("logs") == 0o700
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((leave_nothing / "servers").stat().st_mode) == 0o700
    await local.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)


async def test_no_such_system_user(local):
    with pytest.raises(SpawnError, match="no system user 'nobody-of-this-name'.*SimpleLocalProcessSpawner"):
        await bring_up(local, a_launch(local, "nobody-of-this-name"))


@pytest.mark.parametrize("name", ["a\0b", "../root", "\ud800", "x" * 1000, "root\n"])
async def test_odd_names_are_no_system_users(local, name):
    launch = a_launch(local, "alice")
    object.__setattr__(launch, "user", type(launch.user)(id=1, name=name))
    with pytest.raises(SpawnError, match="no system user"):
        await bring_up(local, launch)


async def test_a_missing_home_is_named(local):
    with pytest.raises(SpawnError, match="home folder /nonexistent of system user nobody.*mkhomedir_helper"):
        await bring_up(local, a_launch(local, "nobody"))


async def test_the_simple_kind_gives_each_user_a_folder(simple, leave_nothing):
    simple.args = ["report"]
    home = leave_nothing / "homes" / "alice"
    facts = await report_of(simple, a_launch(simple), home)
    assert facts["cwd"] == facts["environ"]["HOME"] == str(home)
    assert facts["environ"]["USER"] == "alice"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


ODD_NAMES = ["../../etc", "/etc/passwd", "..", ".", "a/b", "~root", "-rf", "Ünïcödé", "a b", "%2f", "x" * 1000, "a\nb"]


@pytest.mark.parametrize("template", ["{data_dir}/homes/{object_name}", "{data_dir}/people/{username}"])
@pytest.mark.parametrize("name", ODD_NAMES)
async def test_odd_names_do_not_leave_the_folder_of_homes(simple, leave_nothing, template, name):
    simple.home_dir_template = template
    launch = a_launch(simple, name)
    home = simple.account(launch).home
    folder = leave_nothing / template.split("/")[1]
    assert home.parent == home.resolve().parent == folder
    checkpoints = await bring_up(simple, launch)
    await simple.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)


def test_no_two_names_share_a_folder(simple):
    simple.home_dir_template = "{data_dir}/people/{username}"
    tricky = [*ODD_NAMES, *(names.object_name(name, "") for name in ODD_NAMES), "Alice", "alice", "al-ice", "alice-"]
    homes = {simple.account(a_launch(simple, name)).home for name in tricky}
    assert len(homes) == len(set(tricky))


async def test_a_folder_that_is_a_link_is_not_used(simple, leave_nothing):
    (leave_nothing / "homes").mkdir()
    (leave_nothing / "homes" / "alice").symlink_to("/etc")
    with pytest.raises(SpawnError, match="is a link or belongs to another"):
        await bring_up(simple, a_launch(simple))


async def test_a_folder_that_cannot_be_made_is_named(simple, leave_nothing):
    (leave_nothing / "homes").write_text("a file")
    with pytest.raises(SpawnError, match="homes/alice.*cannot be made"):
        await bring_up(simple, a_launch(simple))


async def test_output_is_kept_and_shown_with_the_exit_code_when_a_start_fails(simple, leave_nothing):
    simple.args, simple.http_timeout = ["noisy=100", "die=3"], 1000  # it is not waited for one that died
    launch = a_launch(simple)
    with pytest.raises(SpawnError, match="exited with code 3") as failure:
        await bring_up(simple, launch)
    lines = failure.value.log_tail.splitlines()
    assert lines[-1] == "something is wrong with this server"
    assert (len(lines), lines[-2]) == (40, "line 99")
    assert (await simple.log_tail(a_handle(launch), 2)).splitlines()[0] == "line 99"
    simple.args = []
    newer = a_launch(simple, generation=2)
    checkpoints = await bring_up(simple, newer)
    assert await simple.log_tail(a_handle(newer)) == ""
    assert "line 99" in (leave_nothing / "servers/logs/alice.log.1").read_text()
    await simple.stop(a_handle(newer, checkpoints[-1].state), grace=GRACE)


async def test_a_log_that_grows_too_large_keeps_its_end(simple, leave_nothing):
    simple.args, simple.log_limit = ["noisy=3000"], 10_000
    launch = a_launch(simple)
    checkpoints = await bring_up(simple, launch)
    await simple.poll([a_handle(launch, checkpoints[-1].state)])
    assert (leave_nothing / "servers/logs/alice.log").stat().st_size == 0
    assert "line 2999" in (leave_nothing / "servers/logs/alice.log.1").read_text()
    await simple.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)


async def test_a_process_that_lives_and_does_not_listen_is_told_from_one_that_died(simple):
    simple.args, simple.http_timeout = ["mute"], 0.5
    launch = a_launch(simple)
    with pytest.raises(
        SpawnError, match=r"process \d+ is alive, but it did not listen on port \d+ within .*http_timeout"
    ):
        await bring_up(simple, launch)
    assert (await simple.poll([a_handle(launch)]))[0].alive
    await simple.stop(a_handle(launch), grace=GRACE)


THIEF = (
    "import socket, sys, time; s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); "
    "print('mine', flush=True); time.sleep(60)"
)


@pytest.mark.skipif(os.geteuid() != 0, reason="acting as another user needs root")
async def test_a_port_that_another_user_took_meanwhile_is_noticed(simple, tiny):
    simple.args = ["mute"]
    launch = a_launch(simple)
    run = simple.start(launch)
    port = (await anext(run)).state["port"]
    with subprocess.Popen([tiny[0], "-c", THIEF, str(port)], user=65534, stdout=subprocess.PIPE) as thief:
        assert thief.stdout is not None
        thief.stdout.readline()
        try:
            with pytest.raises(SpawnError, match=r"was taken by another program of this machine \(user id 65534\)"):
                async for _ in run:
                    pass
        finally:
            thief.kill()
    await simple.stop(a_handle(launch), grace=GRACE)


async def test_a_command_that_is_not_there(simple):
    simple.cmd = ["jupyterhub-singleuser-of-nowhere"]
    with pytest.raises(ConfigError, match="jupyterhub-singleuser-of-nowhere.*setting cmd.*pip install"):
        await simple.check()
    with pytest.raises(SpawnError, match="jupyterhub-singleuser-of-nowhere.*alice.*was not found.*pip install"):
        await bring_up(simple, a_launch(simple))


async def test_a_command_that_is_not_executable(simple, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    simple.cmd = [str(script)]
    with pytest.raises(SpawnError, match="not executable.*chmod"):
        await bring_up(simple, a_launch(simple))


@pytest.mark.parametrize(
    ("text", "words"), [("#!/no/such/interpreter\n", "interpreter in its first line"), ("nonsense", "is no program")]
)
async def test_a_command_that_cannot_be_run(simple, tmp_path, text, words):
    script = tmp_path / "script"
    script.write_text(text)
    script.chmod(0o755)
    simple.cmd = [str(script)]
    with pytest.raises(SpawnError, match=words):
        await bring_up(simple, a_launch(simple))
    assert not servers_of(tmp_path)


async def test_too_many_processes_are_told_with_the_limit_to_raise(local, system_user):
    before = resource.getrlimit(resource.RLIMIT_NPROC)
    with subprocess.Popen(["sleep", "60"], user=system_user) as only_one:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, before[1]))  # root itself is exempt from it
        try:
            with pytest.raises(SpawnError, match="allows no further process for nbhubtest.*ulimit -u"):
                await bring_up(local, a_launch(local, system_user))
        finally:
            resource.setrlimit(resource.RLIMIT_NPROC, before)
            only_one.kill()


async def test_a_variable_that_cannot_be_passed_on(simple):
    simple.environment = {"X": "a\0b"}
    with pytest.raises(SpawnError, match="null byte.*environment"):
        await bring_up(simple, a_launch(simple))
    simple.environment = {"X": "a" * 300_000}
    with pytest.raises(SpawnError, match="too long"):
        await bring_up(simple, a_launch(simple))


async def test_a_shell_around_the_command(simple, leave_nothing):
    simple.shell_cmd, simple.args = ["/bin/sh", "-c"], ["report", "with space and 'quotes'"]
    facts = await report_of(simple, a_launch(simple), leave_nothing / "homes/alice")
    assert facts["argv"][1:] == ["report", "with space and 'quotes'"]
    simple.shell_cmd = ["/no/such/shell"]
    with pytest.raises(ConfigError, match="/no/such/shell.*shell_cmd"):
        await simple.check()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to be allowed")
async def test_root_is_allowed_in_trials_and_warned_about(simple, caplog):
    simple.cmd = ["jupyter-thing"]
    assert simple.command(a_launch(simple)) == ["jupyter-thing", "--allow-root"]
    simple.args = ["--allow-root"]
    assert simple.command(a_launch(simple)) == ["jupyter-thing", "--allow-root"]
    simple.cmd = ["sh"]
    with caplog.at_level(logging.WARNING, logger="traitlets"):
        await simple.check()
    assert "ALL SERVERS RUN AS ROOT" in caplog.text


async def test_settings_that_would_break_it_are_refused(simple):
    simple.cmd = ["sh"]
    simple.popen_kwargs = {"close_fds": False, "umask": 0o077}
    with pytest.raises(ConfigError, match="popen_kwargs has close_fds,"):
        await simple.check()
    simple.popen_kwargs = {}
    simple.port_first, simple.port_last = 30_000, 20_000
    with pytest.raises(ConfigError, match="port_first and port_last"):
        await simple.check()


async def test_a_run_dir_that_others_can_write_is_refused(simple, tmp_path):
    simple.cmd, simple.run_dir = ["sh"], str(tmp_path / "shared")
    Path(simple.run_dir).mkdir()
    Path(simple.run_dir).chmod(0o777)
    with pytest.raises(ConfigError, match="written by other users.*chmod 700"):
        await simple.check()
    (tmp_path / "file").write_text("")
    simple.run_dir = str(tmp_path / "file" / "below")
    with pytest.raises(ConfigError, match="file/below.*run_dir"):
        await simple.check()


async def test_popen_kwargs_reach_the_process(simple, leave_nothing):
    simple.popen_kwargs, simple.args = {"umask": 0o077}, ["report"]
    await report_of(simple, a_launch(simple), leave_nothing / "homes/alice")
    assert stat.S_IMODE((leave_nothing / "homes/alice/report.json").stat().st_mode) == 0o600


async def test_the_last_answer_comes_from_the_server_itself(simple):
    launch = a_launch(simple)
    checkpoints = await bring_up(simple, launch)
    assert await asyncio.to_thread(answers, url_of(checkpoints)), "at the first ask"
    await simple.stop(a_handle(launch, checkpoints[-1].state), grace=GRACE)
