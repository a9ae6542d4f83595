"""Routes of the pages; none yet."""

from __future__ import annotations

from starlette.routing import Route

from nbhub.web.desk import Desk


def routes(desk: Desk) -> list[Route]:
    """Return the routes below /hub."""
    return []
