"""System users that servers run as."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from nbhub.errors import SpawnError


@dataclass(frozen=True, slots=True)
class Account:
    """Who a server runs as and where. `switch` is False when that is the hub's own user."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: Path
    shell: str
    switch: bool = True


def system_account(name: str) -> Account:
    """Return the system user of this name; blocks on the machine's user directory. Raises SpawnError."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError, UnicodeError):
        raise SpawnError(
            f"There is no system user {name[:100]!r} on the hub's machine to run the server as. "
            "Create the account, or use SimpleLocalProcessSpawner, which needs none."
        ) from None
    own = os.geteuid()
    if own not in (0, entry.pw_uid):
        raise SpawnError(
            f"The hub runs as {own_name()} and may not start servers as the system user {name}. "
            "Run the hub as root, or use SimpleLocalProcessSpawner."
        )
    return Account(
        name=name,
        uid=entry.pw_uid,
        gid=entry.pw_gid,
        groups=tuple(os.getgrouplist(name, entry.pw_gid)),
        home=Path(entry.pw_dir),
        shell=entry.pw_shell or "/bin/sh",
        switch=own == 0,
    )


def own_account(name: str, home: Path) -> Account:
    """Return an account for `name` that is the hub's own user with a home of its own."""
    return Account(name, os.geteuid(), os.getegid(), (), home, "/bin/bash", switch=False)


def own_name() -> str:
    """Return the name of the hub's own system user."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"
