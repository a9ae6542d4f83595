"""Users and groups of the machine, as its name service knows them. All of it may block."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Sequence

from nbhub.errors import Unavailable

COMMAND_SECONDS = 60.0


Account = pwd.struct_passwd


def find(name: str) -> Account | None:
    """Return the system user of that name."""
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None


def name_of(name: str) -> str:
    """Return the name that the name service itself uses for the user; `name` where it knows none."""
    found = find(name)
    return name if found is None else pwd.getpwuid(found.pw_uid).pw_name


def groups_of(name: str) -> tuple[str, ...]:
    """Return the names of the system groups that the user is in, also by its account."""
    found = find(name)
    if found is None:
        return ()
    names = []
    for number in os.getgrouplist(name, found.pw_gid):
        try:
            names.append(grp.getgrgid(number).gr_name)
        except KeyError:
            continue
    return tuple(sorted(set(names)))


def create(command: Sequence[str], name: str, uid: int | None) -> None:
    """Make a system user with a command such as adduser; raises Unavailable in words when it fails."""
    words = [word.replace("USERNAME", name) for word in command]
    if uid is not None:
        words += ["--uid", str(uid)]
    try:
        done = subprocess.run(
            [*words, name],
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"The account {name} could not be made on this machine: {error}") from error
    if done.returncode != 0 and find(name) is None:  # somebody else may have made it at the same moment
        said = (done.stderr or done.stdout).strip()[-300:]
        raise Unavailable(f"The account {name} could not be made on this machine: {words[0]} said {said!r}.")
