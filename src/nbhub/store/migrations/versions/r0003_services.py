"""Services that hubs run, and what of the rights comes from the configuration.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns."""
    op.add_column("roles", sa.Column("from_config", sa.Boolean(), nullable=False, server_default=sa.false()))
    for column in (
        sa.Column("info", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("display", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("command", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("oauth_no_confirm", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("from_config", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("process", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("lease_holder", sa.Text(), nullable=True),
        sa.Column("lease_expires", sa.Double(), nullable=True),
    ):
        op.add_column("services", column)
