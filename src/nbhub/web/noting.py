"""Who asked for what: said in the log, and to the place where the servers run."""

from __future__ import annotations

import logging

from nbhub.core.model import Server
from nbhub.core.principal import Principal
from nbhub.spawners.base import Handle, Note
from nbhub.web.desk import Desk

log = logging.getLogger("nbhub.servers")


def stop_asked(desk: Desk, record: Server, asking: Principal) -> None:
    """Have it remembered who asked a server to stop."""
    who = asking.name if asking.kind == "user" else f"service {asking.name}"
    log.info("server=%s/%s asked to stop by=%s", record.user_name, record.name, who)
    desk.spawner.note(Handle.of(record), Note("Stopped", f"Stopped by {who}"))
