"""Which users the administration page shows, and in which order; it is kept in the address of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

Sort = Literal["name", "last_activity"]
State = Literal["active", "inactive"]

PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class View:
    """A part of a name, what their servers have to be like, an order, and the number of a page, from 1 on."""

    query: str = ""
    state: State | None = None
    sort: Sort = "name"
    descending: bool = False
    number: int = 1

    @property
    def offset(self) -> int:
        """How many users come on the pages before."""
        return (self.number - 1) * PER_PAGE

    @property
    def is_limited(self) -> bool:
        """Whether users may be left away."""
        return bool(self.query or self.state)

    def address(self, page: str) -> str:
        """Return the address of this view of the page."""
        asked = {
            "q": self.query,
            "state": self.state or "",
            "sort": "" if (self.sort, self.descending) == ("name", False) else self.order,
            "page": str(self.number) if self.number > 1 else "",
        }
        query = urlencode({key: value for key, value in asked.items() if value})
        return f"{page}?{query}" if query else page

    @property
    def order(self) -> str:
        """The order as the address says it: the column, with a dash before it when it descends."""
        return f"-{self.sort}" if self.descending else self.sort

    def turned_to(self, number: int) -> View:
        """Return another page of the same."""
        return replace(self, number=number)

    def sorted_by(self, sort: Sort) -> View:
        """Return the same ordered by a column; by the same column once more, the other way round."""
        first = sort == "last_activity"  # who was active last comes first
        return replace(self, sort=sort, descending=not self.descending if sort == self.sort else first, number=1)

    def direction_of(self, sort: Sort) -> str:
        """Return how a column is ordered, in the words of `aria-sort`; "" when it is another that counts."""
        if sort != self.sort:
            return ""
        return "descending" if self.descending else "ascending"


def of_query(asked: Mapping[str, str]) -> View:
    """Return the view that a query asks for; what makes no sense in it is as if it were not there."""
    query, state, sort = asked.get("q", "").strip()[:255], asked.get("state"), asked.get("sort", "")
    column = sort.removeprefix("-")
    known = column in ("name", "last_activity")
    return View(
        query=query if query.isprintable() else "",
        state=cast("State", state) if state in ("active", "inactive") else None,
        sort=cast("Sort", column) if known else "name",
        descending=known and sort.startswith("-"),
        number=_number(asked.get("page", "1")),
    )


def of_address(address: str) -> View:
    """Return the view that an address asks for."""
    return of_query(dict(parse_qsl(urlsplit(address).query)))


def _number(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 7 else 1
