"""The tables, as SQLAlchemy Core describes them; the migrations create them.

Times are seconds since the epoch, JSON is text, secrets are hashes. Ids are never given out twice, since the tokens of
servers are derived from them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    false,
    text,
    true,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BigId = BigInteger().with_variant(Integer(), "sqlite")

ASKED_SQL = "wanted AND generation > observed_generation"
ACTIVE_SQL = f"phase NOT IN ('stopped', 'failed') OR ({ASKED_SQL})"


def _id() -> Column[int]:
    return Column("id", BigId, primary_key=True)


def _refers(name: str, target: str, **options: Any) -> Column[Any]:
    return Column(name, ForeignKey(target, ondelete="CASCADE"), **options)


users = Table(
    "users",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("admin", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("last_activity", Double),
    Column("user_info", Text),
    Column("temporary", Boolean, nullable=False),
    sqlite_autoincrement=True,
)

groups = Table(
    "groups",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("properties", Text, nullable=False),
    sqlite_autoincrement=True,
)

roles = Table(
    "roles",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("from_config", Boolean, nullable=False, server_default=false()),
    Column("from_source", Boolean, nullable=False, server_default=false()),
    sqlite_autoincrement=True,
)

services = Table(
    "services",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("admin", Boolean, nullable=False),
    Column("url", Text),
    Column("info", Text, nullable=False, server_default="{}"),
    Column("display", Boolean, nullable=False, server_default=true()),
    Column("command", Text, nullable=False, server_default="[]"),
    Column("oauth_no_confirm", Boolean, nullable=False, server_default=false()),
    Column("from_config", Boolean, nullable=False, server_default=false()),
    Column("process", Text, nullable=False, server_default="{}"),
    # lease of the hub that keeps a managed service running
    Column("lease_holder", Text),
    Column("lease_expires", Double),
    sqlite_autoincrement=True,
)

user_groups = Table(
    "user_groups",
    metadata,
    _refers("user_id", "users.id", primary_key=True),
    _refers("group_id", "groups.id", primary_key=True, index=True),
    sqlite_with_rowid=False,
)

user_roles = Table(
    "user_roles",
    metadata,
    _refers("user_id", "users.id", primary_key=True),
    _refers("role_id", "roles.id", primary_key=True, index=True),
    sqlite_with_rowid=False,
)

group_roles = Table(
    "group_roles",
    metadata,
    _refers("group_id", "groups.id", primary_key=True),
    _refers("role_id", "roles.id", primary_key=True, index=True),
    sqlite_with_rowid=False,
)

service_roles = Table(
    "service_roles",
    metadata,
    _refers("service_id", "services.id", primary_key=True),
    _refers("role_id", "roles.id", primary_key=True, index=True),
    sqlite_with_rowid=False,
)

servers = Table(
    "servers",
    metadata,
    _id(),
    _refers("user_id", "users.id", nullable=False),
    Column("name", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    # spec
    Column("wanted", Boolean, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("options", Text),
    Column("removing", Boolean, nullable=False),
    Column("due", Double),
    # status
    Column("phase", Text, nullable=False),
    Column("observed_generation", BigInteger, nullable=False),
    Column("launched", Boolean, nullable=False),
    Column("start_generation", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("url", Text),
    Column("message", Text, nullable=False),
    Column("log_tail", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("started", Double),
    Column("ready", Double),
    Column("stopped", Double),
    Column("deadline", Double),
    Column("last_activity", Double),
    Column("former_route", Text),  # where the route led before the last write of status
    # lease
    Column("lease_token", BigInteger, nullable=False),
    Column("lease_holder", Text),
    Column("lease_expires", Double),
    Index("uq_servers_user_id_name", "user_id", "name", unique=True),
    sqlite_autoincrement=True,
)
# The indexes over some rows only are so on PostgreSQL too; saying it here would load its dialect into every hub.
Index(
    "ix_servers_due",
    servers.c.due,
    sqlite_where=text("lease_expires IS NULL AND due IS NOT NULL"),
)
Index(
    "ix_servers_lease_expires",
    servers.c.lease_expires,
    sqlite_where=text("lease_expires IS NOT NULL"),
)
Index(
    "ix_servers_url",
    servers.c.url,
    sqlite_where=text("url IS NOT NULL"),
)
Index(
    "ix_servers_active",
    servers.c.user_id,
    servers.c.phase,
    servers.c.wanted,
    servers.c.generation,
    servers.c.observed_generation,
    sqlite_where=text(ACTIVE_SQL),
)

oauth_clients = Table(
    "oauth_clients",
    metadata,
    Column("identifier", Text, primary_key=True),
    Column("description", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("allowed_scopes", Text, nullable=False),
    _refers("server_id", "servers.id", index=True),
    _refers("user_id", "users.id", index=True),
    _refers("service_id", "services.id", index=True),
)

oauth_codes = Table(
    "oauth_codes",
    metadata,
    Column("code_hash", Text, primary_key=True),
    _refers("client_id", "oauth_clients.identifier", nullable=False, index=True),
    _refers("user_id", "users.id", nullable=False, index=True),
    Column("redirect_uri", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("session_id", Text, index=True),
    Column("code_challenge", Text),
    Column("code_challenge_method", Text),
    Column("expires_at", Double, nullable=False, index=True),
)

tokens = Table(
    "tokens",
    metadata,
    _id(),
    Column("hash", Text, nullable=False, unique=True),
    _refers("user_id", "users.id", index=True),
    _refers("service_id", "services.id", index=True),
    _refers("client_id", "oauth_clients.identifier", nullable=False, index=True),
    Column("session_id", Text, index=True),
    Column("scopes", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires_at", Double, index=True),
    Column("last_activity", Double),
    _refers("server_id", "servers.id", index=True),
    CheckConstraint("(user_id IS NULL) <> (service_id IS NULL)", name="one_owner"),
    sqlite_autoincrement=True,
)

sessions = Table(
    "sessions",
    metadata,
    _id(),
    _refers("user_id", "users.id", nullable=False, index=True),
    Column("cookie_hash", Text, nullable=False, unique=True),
    Column("session_id", Text, nullable=False, unique=True),
    Column("created", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
    sqlite_autoincrement=True,
)

passwords = Table(
    "passwords",
    metadata,
    _refers("user_id", "users.id", primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
    Column("must_change", Boolean, nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    _id(),
    Column("token_hash", Text, nullable=False, unique=True),
    Column("name", Text),
    Column("admin", Boolean, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
    sqlite_autoincrement=True,
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("first", Double, nullable=False),
    Column("last", Double, nullable=False, index=True),
    sqlite_with_rowid=False,
)

identities = Table(
    "identities",
    metadata,
    _refers("user_id", "users.id", primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("auth_state", Text),
    Column("confirmed", Double, nullable=False),
)

choices = Table(
    "choices",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
