"""What administrators choose on pages where the configuration leaves it to them; each choice is one word."""

from __future__ import annotations

from sqlalchemy import Text, bindparam, select

from nbhub.store.statements import Statement
from nbhub.store.tables import choices
from nbhub.store.transaction import Reading, Writing

_c = choices.c

_GET = Statement(select(_c.value).where(_c.name == bindparam("name")))
_PUT = Statement(
    lambda insert: (
        insert(choices)
        .values(name=bindparam("new_name"), value=bindparam("new_value", type_=Text))
        .on_conflict_do_update(index_elements=["name"], set_={"value": bindparam("new_value", type_=Text)})
    )
)


async def get(tx: Reading, name: str) -> str:
    """Return what was chosen, "" where nothing was."""
    row = await tx.fetchone(_GET, name=name)
    return "" if row is None else str(row[0])


async def put(tx: Writing, name: str, value: str) -> None:
    """Remember a choice in place of an earlier one."""
    await tx.execute(_PUT, new_name=name, new_value=value)
