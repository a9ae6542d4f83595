"""The first tables.

Revision ID: 0001
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

ADMIN = (
    "admin-ui admin:users admin:servers admin:services tokens admin:groups list:services read:services read:hub proxy "
    "shutdown access:services access:servers read:roles read:metrics shares"
)
ROLES = (
    ("user", "Standard user privileges", "self"),
    ("admin", "Elevated privileges (can do anything)", ADMIN),
    ("server", "What a server may do with its own token", "users:activity!user access:servers!server"),
    ("token", "A token with all rights of its owner", "inherit"),
)


def where(condition: str) -> dict[str, Any]:
    """Return the options of an index over some rows only."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    """Make all tables, and the rows that always are there."""
    _people()
    _servers()
    _grants()
    _logins()
    _always_there()


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("last_activity", sa.Double(), nullable=True),
        sa.Column("user_info", sa.Text(), nullable=True),
        sa.Column("temporary", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "groups",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_groups"),
        sa.UniqueConstraint("name", name="uq_groups_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "roles",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
        sa.UniqueConstraint("name", name="uq_roles_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "services",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_services"),
        sa.UniqueConstraint("name", name="uq_services_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "user_groups",
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("group_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_user_groups_group_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user_groups_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "group_id", name="pk_user_groups"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_user_groups_group_id", "user_groups", ["group_id"])
    op.create_table(
        "user_roles",
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("role_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_user_roles_role_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user_roles_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "role_id", name="pk_user_roles"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_user_roles_role_id", "user_roles", ["role_id"])
    op.create_table(
        "group_roles",
        sa.Column("group_id", BigId, nullable=False),
        sa.Column("role_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_group_roles_group_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_group_roles_role_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group_id", "role_id", name="pk_group_roles"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_group_roles_role_id", "group_roles", ["role_id"])
    op.create_table(
        "service_roles",
        sa.Column("service_id", BigId, nullable=False),
        sa.Column("role_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_service_roles_role_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name="fk_service_roles_service_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("service_id", "role_id", name="pk_service_roles"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_service_roles_role_id", "service_roles", ["role_id"])


def _servers() -> None:
    op.create_table(
        "servers",
        sa.Column("id", BigId, nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("options", sa.Text(), nullable=True),
        sa.Column("removing", sa.Boolean(), nullable=False),
        sa.Column("due", sa.Double(), nullable=True),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("observed_generation", sa.BigInteger(), nullable=False),
        sa.Column("launched", sa.Boolean(), nullable=False),
        sa.Column("start_generation", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("log_tail", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("started", sa.Double(), nullable=True),
        sa.Column("ready", sa.Double(), nullable=True),
        sa.Column("stopped", sa.Double(), nullable=True),
        sa.Column("deadline", sa.Double(), nullable=True),
        sa.Column("last_activity", sa.Double(), nullable=True),
        sa.Column("former_route", sa.Text(), nullable=True),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("lease_holder", sa.Text(), nullable=True),
        sa.Column("lease_expires", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_servers_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_servers"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_servers_active",
        "servers",
        ["user_id", "phase", "wanted", "generation", "observed_generation"],
        **where("phase NOT IN ('stopped', 'failed') OR (wanted AND generation > observed_generation)"),
    )
    op.create_index("ix_servers_due", "servers", ["due"], **where("lease_expires IS NULL AND due IS NOT NULL"))
    op.create_index("ix_servers_lease_expires", "servers", ["lease_expires"], **where("lease_expires IS NOT NULL"))
    op.create_index("ix_servers_url", "servers", ["url"], **where("url IS NOT NULL"))
    op.create_index("uq_servers_user_id_name", "servers", ["user_id", "name"], unique=True)


def _grants() -> None:
    op.create_table(
        "oauth_clients",
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("allowed_scopes", sa.Text(), nullable=False),
        sa.Column("server_id", BigId, nullable=True),
        sa.Column("user_id", BigId, nullable=True),
        sa.Column("service_id", BigId, nullable=True),
        sa.ForeignKeyConstraint(["server_id"], ["servers.id"], name="fk_oauth_clients_server_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name="fk_oauth_clients_service_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_oauth_clients_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("identifier", name="pk_oauth_clients"),
    )
    op.create_index("ix_oauth_clients_server_id", "oauth_clients", ["server_id"])
    op.create_index("ix_oauth_clients_service_id", "oauth_clients", ["service_id"])
    op.create_index("ix_oauth_clients_user_id", "oauth_clients", ["user_id"])
    op.create_table(
        "oauth_codes",
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("code_challenge", sa.Text(), nullable=True),
        sa.Column("code_challenge_method", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["oauth_clients.identifier"], name="fk_oauth_codes_client_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_oauth_codes_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("code_hash", name="pk_oauth_codes"),
    )
    op.create_index("ix_oauth_codes_client_id", "oauth_codes", ["client_id"])
    op.create_index("ix_oauth_codes_expires_at", "oauth_codes", ["expires_at"])
    op.create_index("ix_oauth_codes_session_id", "oauth_codes", ["session_id"])
    op.create_index("ix_oauth_codes_user_id", "oauth_codes", ["user_id"])
    op.create_table(
        "tokens",
        sa.Column("id", BigId, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("user_id", BigId, nullable=True),
        sa.Column("service_id", BigId, nullable=True),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("last_activity", sa.Double(), nullable=True),
        sa.Column("server_id", BigId, nullable=True),
        sa.CheckConstraint("(user_id IS NULL) <> (service_id IS NULL)", name="ck_tokens_one_owner"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["oauth_clients.identifier"], name="fk_tokens_client_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["server_id"], ["servers.id"], name="fk_tokens_server_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name="fk_tokens_service_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_tokens_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tokens_client_id", "tokens", ["client_id"])
    op.create_index("ix_tokens_expires_at", "tokens", ["expires_at"])
    op.create_index("ix_tokens_server_id", "tokens", ["server_id"])
    op.create_index("ix_tokens_service_id", "tokens", ["service_id"])
    op.create_index("ix_tokens_session_id", "tokens", ["session_id"])
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])
    op.create_table(
        "sessions",
        sa.Column("id", BigId, nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("cookie_hash", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("cookie_hash", name="uq_sessions_cookie_hash"),
        sa.UniqueConstraint("session_id", name="uq_sessions_session_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])


def _logins() -> None:
    op.create_table(
        "passwords",
        sa.Column("user_id", BigId, autoincrement=False, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("must_change", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_passwords_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name="pk_passwords"),
    )
    op.create_table(
        "invitations",
        sa.Column("id", BigId, nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("token_hash", name="uq_invitations_token_hash"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_invitations_expires_at", "invitations", ["expires_at"])
    op.create_table(
        "login_failures",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.Double(), nullable=False),
        sa.Column("last", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name="pk_login_failures"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_login_failures_last", "login_failures", ["last"])


def _always_there() -> None:
    roles = sa.table("roles", sa.column("name"), sa.column("description"), sa.column("scopes"))
    rows = [{"name": n, "description": d, "scopes": json.dumps(s.split(), separators=(",", ":"))} for n, d, s in ROLES]
    op.bulk_insert(roles, rows)
    fields = ("identifier", "description", "secret_hash", "redirect_uri", "allowed_scopes")
    clients = sa.table("oauth_clients", *(sa.column(name) for name in fields))
    # The issuer of all plain API tokens.
    op.bulk_insert(clients, [dict(zip(fields, ("jupyterhub", "JupyterHub", "", "", "[]"), strict=True))])
