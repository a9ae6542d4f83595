"""How the database is, for those who examine a deployment."""

from __future__ import annotations

from sqlalchemy import Double, cast, func, select

from nbhub.store.statements import Statement
from nbhub.store.transaction import Reading

_NOW = Statement(select(cast(func.extract("epoch", func.now()), Double)))


async def server_time(tx: Reading) -> float | None:
    """Return what the clock of the database says, in seconds since the epoch."""
    row = await tx.fetchone(_NOW)
    return None if row is None else float(row[0])
