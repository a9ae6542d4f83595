"""The columns of each record, in the order in which `records` takes them, and conditions that several modules share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, literal_column, select

from nbhub.store.statements import word
from nbhub.store.tables import ACTIVE_SQL, ASKED_SQL, oauth_clients, roles, servers, services, tokens, users

USER: tuple[Any, ...] = tuple(users.c)
ROLE: tuple[Any, ...] = (roles.c.id, roles.c.name, roles.c.description, roles.c.scopes)
SERVICE: tuple[Any, ...] = (services.c.id, services.c.name, services.c.admin, services.c.url)
SERVICE_ENTRY: tuple[Any, ...] = (
    *SERVICE,
    services.c.info,
    services.c.display,
    services.c.command,
    services.c.oauth_no_confirm,
    services.c.from_config,
    services.c.process,
)
CLIENT: tuple[Any, ...] = tuple(oauth_clients.c)
TOKEN: tuple[Any, ...] = tuple(column for column in tokens.c if column.name != "hash")

_people = users.alias("owner")  # a name of its own, since SQLite's RETURNING names columns without their table
OWNER = select(_people.c.name).where(_people.c.id == servers.c.user_id).correlate(servers).scalar_subquery()
SERVER: tuple[Any, ...] = (
    servers.c.id,
    servers.c.user_id,
    OWNER,
    servers.c.name,
    servers.c.display_name,
    servers.c.wanted,
    servers.c.generation,
    servers.c.options,
    servers.c.removing,
    servers.c.due,
    servers.c.phase,
    servers.c.observed_generation,
    servers.c.launched,
    servers.c.start_generation,
    servers.c.state,
    servers.c.url,
    servers.c.message,
    servers.c.log_tail,
    servers.c.events,
    servers.c.started,
    servers.c.ready,
    servers.c.stopped,
    servers.c.deadline,
    servers.c.last_activity,
    servers.c.lease_token,
)

# As in `Server.asked_to_start` and `Server.active`; in the very words of the index `ix_servers_active`, or counting
# would not use it.
ASKED_TO_START: ColumnElement[Any] = literal_column(f"({ASKED_SQL})")
ACTIVE: ColumnElement[Any] = literal_column(f"({ACTIVE_SQL})")

# As in `Server.is_ready`.
READY: ColumnElement[bool] = and_(
    servers.c.phase == word("running"), servers.c.wanted, servers.c.start_generation == servers.c.generation
)
