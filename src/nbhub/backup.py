"""Backups: everything that the database holds, and if wanted the hub's secrets, in one file, and back from it.

A backup of either kind of database can be restored to either kind: that is also the way from SQLite to PostgreSQL.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nbhub import __version__, archive, secret
from nbhub.app import Hub
from nbhub.archive import FORMAT, Examined, Header
from nbhub.core import secrets
from nbhub.errors import Conflict
from nbhub.store import portable
from nbhub.store.portable import Snapshot

Say = Callable[[str], None]
STDIO = "-"


async def make(hub: Hub, file: str, *, with_secrets: bool, force: bool, say: Say) -> None:
    """Write a backup of the hub's database to `file`, "-" for standard output, while the hub runs or not.

    Raises Conflict for a file that is there already, unless `force`.
    """
    path = None if file == STDIO else _new_file(file, force)
    kept = _secrets_there(hub)
    if with_secrets and not kept:
        raise Conflict("This hub has no secret yet; start it once, or leave out --with-secrets.")

    def copy(snapshot: Snapshot) -> None:
        header = Header(
            format=FORMAT,
            revision=snapshot.revision,
            version=__version__,
            made=time.time(),
            secret=secrets.fingerprint(kept[0]) if kept else "",
            secrets=tuple(one.hex() for one in kept) if with_secrets else (),
        )
        count = archive.write(path, sys.stdout.buffer, header, snapshot.parts(), _told(say))
        say(f"{count:,} rows in {path or 'the output'}. {_WITH if with_secrets else _WITHOUT}")

    async with portable.reading(hub.database) as read:
        await read(copy)


def _new_file(name: str, force: bool) -> Path:
    path = Path(name).expanduser().absolute()
    if path.exists() and not force:
        raise Conflict(f"{path} is there already. Name another file, or repeat with --force to replace it.")
    return path


_WITH = "The hub's secrets are in it: keep it where nobody else can read it."
_WITHOUT = (
    "The hub's secret is not in it (--with-secrets): keep that apart; `nbhub secret status` says which one it is."
)


async def restore(hub: Hub, file: str, *, force: bool, say: Say, clock: Callable[[], float] = time.time) -> None:
    """Make the hub's database what the backup says. Raises NbhubError, and has then changed nothing."""
    found = archive.examine(Path(file))
    header = found.header
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(header.made))
    say(f"{file}: made {made} by nbhub {header.version}, {sum(found.rows.values()):,} rows, whole.")
    before = await portable.write(hub.database, header.revision, found.parts(_told(say)), replace=force, now=clock())
    if before:
        say(before)
    for words in _secrets_restored(hub, found):
        say(words)
    say("Restored. Start the hub: it finds out which servers still run. What was revoked since is valid again.")


def _secrets_restored(hub: Hub, found: Examined) -> list[str]:
    """Put the secrets of the backup in their file, and return what is to be said about them."""
    header, there = found.header, _secrets_there(hub)
    path = secret.place(hub.cookie_secret, hub.cookie_secret_file, hub.folder, os.environ)
    names = [secrets.fingerprint(one) for one in there]
    if header.secret in names or not header.secret:
        return []
    ours = [bytes.fromhex(one) for one in header.secrets]
    if ours and path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret.write(path, list(dict.fromkeys([*ours, *there]))[: secret.MOST])
        return [f"The hub's secret is in {path}."]
    where = path or f"c.Hub.cookie_secret or the variable {secret.VARIABLE}"
    return [
        f"The backup belongs to the secret {header.secret}, which {'is in the backup but ' if ours else ''}is not in "
        f"{where}. Put it there before the hub starts, as the first or a further line. Without it, servers that were "
        "just starting have to be started again, and what identity providers told of people is unknown until they "
        "log in; passwords, tokens, log-ins and running servers do not need it."
    ]


def _secrets_there(hub: Hub) -> secret.Secrets:
    """Return the hub's secrets; none, and none are made, where there are none yet."""
    path = secret.place(hub.cookie_secret, hub.cookie_secret_file, hub.folder, os.environ)
    if path is not None and not path.exists():
        return ()
    return secret.find(hub.cookie_secret, hub.cookie_secret_file, hub.folder, os.environ)


def _told(say: Say) -> archive.Progress:
    def progress(table: str, count: int) -> None:
        if count:
            say(f"  {table}: {count:,}")

    return progress
