"""What query functions are given: a transaction, whichever the database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbhub.store.statements import Statement

Row = Sequence[Any]


class Reading(ABC):
    """Executes statements that read. Every method raises DatabaseUnavailable when the database does not answer."""

    @abstractmethod
    async def fetch(self, statement: Statement, **params: Any) -> Sequence[Row]:
        """Return all rows."""

    @abstractmethod
    async def fetchone(self, statement: Statement, **params: Any) -> Row | None:
        """Return the first row, if any."""

    async def value(self, statement: Statement, **params: Any) -> Any:
        """Return the first column of the first row; None without a row."""
        row = await self.fetchone(statement, **params)
        return None if row is None else row[0]


class Writing(Reading):
    """A write transaction: all of it happens, or nothing; contains SQL and awaits nothing else."""

    clock: Callable[[], float]

    @abstractmethod
    async def execute(self, statement: Statement, **params: Any) -> int:
        """Execute and return the number of rows changed."""

    @abstractmethod
    async def execute_many(self, statement: Statement, many: Sequence[Mapping[str, Any]]) -> None:
        """Execute once for each set of parameters."""

    @abstractmethod
    async def lock(self, name: str) -> None:
        """Let only one transaction of all hubs be past this line at a time; needed to count and then write."""

    @abstractmethod
    def ring(self, *topics: str) -> None:
        """Tell all hubs about `topics` once this is committed."""
