"""What has to be in order before local servers can be started at all; each check raises ConfigError with the remedy."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbhub.errors import ConfigError
from nbhub.spawners import ports

OURS = frozenset(
    [
        "args",
        "env",
        "stdin",
        "stdout",
        "stderr",
        "close_fds",
        "pass_fds",
        "start_new_session",
        "process_group",
        "user",
        "group",
        "extra_groups",
        "text",
        "encoding",
        "errors",
        "universal_newlines",
        "bufsize",
        "pipesize",
        "executable",
        "shell",
    ]
)


def platform() -> None:
    """The kernel has what finding and signalling processes needs."""
    if sys.platform != "linux" or not Path("/proc/self/stat").exists() or not hasattr(os, "pidfd_open"):
        raise ConfigError(
            "Local servers need Linux with /proc mounted. On another system run nbhub in a container, "
            "or let spawner_class run the servers in containers."
        )


def command(words: Sequence[str], shell_cmd: Sequence[str], path: str) -> None:
    """The command that starts servers is installed."""
    name = next(iter(shell_cmd or words), "")
    if not name:
        raise ConfigError("The setting cmd, the command that starts servers, is empty. Remove it to use the default.")
    if shutil.which(name, path=path) is None:
        setting = "shell_cmd" if shell_cmd else "cmd"
        raise ConfigError(
            f"The command {name}, which starts servers (setting {setting}), is not installed, or not on the PATH of "
            "the hub. Install it (pip install jupyterhub jupyterlab), or set cmd to its full path."
        )


def folder(run_folder: Path) -> None:
    """Locks and logs can be written, and by nobody else."""
    try:
        run_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = run_folder.stat()
        writable = os.access(run_folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise ConfigError(
            f"The folder {run_folder} for servers' locks and logs cannot be used: {error.strerror}. "
            "Correct its permissions or the setting run_dir."
        ) from None
    if not writable:
        raise ConfigError(
            f"The folder {run_folder} for servers' locks and logs is read-only. "
            "Correct its permissions or the setting run_dir."
        )
    _lockable(run_folder)
    if found.st_mode & 0o022 or found.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"The folder {run_folder} for servers' locks and logs can be written by other users, who could so take "
            f"over servers. Run: chown {os.geteuid()} {run_folder} && chmod 700 {run_folder}"
        )


def _lockable(run_folder: Path) -> None:
    try:
        descriptor = os.open(run_folder / ".try.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(
            f"Files in {run_folder} cannot be locked: {error.strerror}. Set run_dir to a folder on a local disk."
        ) from None


def popen_kwargs(given: Mapping[str, Any]) -> None:
    """No argument is given that would undo what the hub does itself."""
    taken = sorted(OURS & given.keys())
    if taken:
        raise ConfigError(
            f"The setting popen_kwargs has {', '.join(taken)}, which nbhub sets itself. Remove it; "
            "use environment, cmd or args instead."
        )


def port_range(port: int, first: int, last: int) -> None:
    """There are ports to give out."""
    if not port and not (0 < first <= last < 65_536 and ports.usable(first, last)):
        raise ConfigError(
            f"The settings port_first and port_last ({first} to {last}) leave no port for servers: they have to be "
            "in ascending order, between 1 and 65535, and not all within /proc/sys/net/ipv4/ip_local_port_range."
        )
