"""Commands about backups: backup, restore."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from nbhub import backup as backups
from nbhub.commands.call import Call


def backup(call: Call) -> int:
    """Write a backup, also while the hub runs."""
    flags = call.flags
    work = backups.make(
        call.hub(), call.words[0], with_secrets="--with-secrets" in flags, force="--force" in flags, say=_say
    )
    asyncio.run(work)
    return 0


def restore(call: Call) -> int:
    """Make the database what a backup says."""
    hub, force = call.hub(), "--force" in call.flags
    if call.words[0] != backups.STDIO:
        asyncio.run(backups.restore(hub, call.words[0], force=force, say=_say))
        return 0
    # It is read twice: once to see that it is whole.
    with tempfile.NamedTemporaryFile(prefix="nbhub-restore-") as file:
        while block := sys.stdin.buffer.read(1 << 20):
            file.write(block)
        file.flush()
        asyncio.run(backups.restore(hub, str(Path(file.name)), force=force, say=_say))
    return 0


def _say(text: str) -> None:
    """Tell the person at the terminal; the output may be the backup itself."""
    print(text, file=sys.stderr, flush=True)
