"""Run one command as one user, with nothing of the hub's but what is meant for it."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbhub.core.launch import Launch
from nbhub.errors import SpawnError
from nbhub.spawners import processes
from nbhub.spawners.accounts import Account
from nbhub.spawners.process_files import Record, ServerFiles

# Changing into the folder as root fails on network drives that trust no foreign root; then the user does it.
ENTER_HOME = ("/bin/sh", "-c", 'cd -- "$1" || exit 1; shift; exec "$@"', "sh")
DEFAULT_UMASK = 0o022


@dataclass(frozen=True, slots=True)
class Order:
    """Everything about one launch."""

    launch: Launch
    account: Account
    command: Sequence[str]
    environment: Mapping[str, str]  # of the user; the launch's own comes on top
    inherited: tuple[int, ...]  # descriptors that the server keeps for its life
    popen_kwargs: Mapping[str, Any]


def words(launch: Launch, shell_cmd: Sequence[str], more: Sequence[str] = ()) -> list[str]:
    """Return the command line of a launch; with a shell it becomes one quoted text."""
    plain = [*launch.command, *(word for word in more if word not in launch.arguments), *launch.arguments]
    return [*shell_cmd, shlex.join(plain)] if shell_cmd else plain


def identity_of(account: Account) -> dict[str, str]:
    """Return the variables that say who somebody is."""
    return {"USER": account.name, "LOGNAME": account.name, "HOME": str(account.home), "SHELL": account.shell}


def make_home(home: Path) -> None:
    """Make the folder when missing. Raises SpawnError, also when something else lies there or it is somebody else's."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = home.lstat()
    except OSError as error:
        raise SpawnError(
            f"The folder {home} for the server cannot be made: {error.strerror}. "
            "Ask your administrator to look at the setting home_dir_template."
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise SpawnError(
            f"The folder {home} for the server is a link or belongs to another system user, so it is not used. "
            "Ask your administrator to remove it or to correct the setting home_dir_template."
        )


def run(
    order: Order, files: ServerFiles, record: Record, place: contextlib.ExitStack
) -> tuple[subprocess.Popen[bytes], Record]:
    """Launch, and write down who it became; `place` (the hub's own hold of lock and port) is left at the end.

    Blocks for a few milliseconds. Raises SpawnError naming what is wrong with the command or the machine.
    """
    with place:
        environment = {
            **order.environment,
            **order.launch.environment,
            "NBHUB_SERVER": files.name,
        }
        command = _resolve(order, environment)
        log = files.open_log()
        try:
            child = _popen(order, command, environment, log)
        finally:
            os.close(log)
        process = processes.identify(child.pid)  # is there, if only as a zombie: nobody else reaps it
        assert process is not None
        record = record.launched_as(process)
        files.write_record(record)
        return child, record


def _popen(order: Order, command: Sequence[str], environment: Mapping[str, str], log: int) -> subprocess.Popen[bytes]:
    account = order.account
    arguments: dict[str, Any] = {"cwd": account.home, "umask": DEFAULT_UMASK}
    if account.switch:
        arguments |= {"user": account.uid, "group": account.gid, "extra_groups": account.groups}
    if account.switch and not os.access(account.home, os.X_OK):
        command = [*ENTER_HOME, str(account.home), *command]
        arguments["cwd"] = "/"
    arguments |= order.popen_kwargs
    try:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            close_fds=True,
            pass_fds=order.inherited,
            start_new_session=True,
            **arguments,
        )
    except (OSError, TypeError, ValueError, subprocess.SubprocessError) as error:
        raise _refused(order, command, error) from None


def _resolve(order: Order, environment: Mapping[str, str]) -> list[str]:
    """Find the command on the PATH that the server will have."""
    name = order.command[0]
    found = shutil.which(name, path=environment.get("PATH"))
    if found is not None:
        return [found, *order.command[1:]]
    if "/" in name and Path(name).exists():
        raise SpawnError(
            f"The command {name}, which should start server {order.launch.object_name}, is not executable. "
            f"Ask your administrator to run: chmod +x {name}"
        )
    raise SpawnError(
        f"The command {name}, which should start server {order.launch.object_name}, was not found. "
        "Ask your administrator to install it (pip install jupyterhub jupyterlab) or to correct the setting cmd."
    )


def _refused(order: Order, command: Sequence[str], error: Exception) -> SpawnError:
    name, user = order.launch.object_name, order.account.name
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.EAGAIN, errno.ENOMEM):
        why = f"the machine allows no further process for {user} ({os.strerror(code or 0)}). Stop something, or raise "
        why += "the limit of processes (ulimit -u, TasksMax of the hub's systemd unit) or the memory."
    elif code == errno.EACCES:
        why = f"{user} may not run {command[0]} in {order.account.home}. Correct the permissions of the two."
    elif code == errno.ENOENT:
        why = f"{command[0]}, the interpreter in its first line, or the folder {order.account.home} is missing. "
        why += "Install the command again, or correct the setting cmd."
    elif code == errno.ENOEXEC:
        why = f"{command[0]} is no program: its first line has to name an interpreter."
    elif code == errno.E2BIG:
        why = "its environment or arguments are too long. Shorten the settings environment and args."
    else:
        why = f"{error}. Look at the settings cmd, args, environment and popen_kwargs."
    return SpawnError(f"The process of server {name} could not be launched: {why}")
