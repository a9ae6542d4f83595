"""Pages of long lists, as JupyterHub's clients ask for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from nbhub.errors import BadRequest
from nbhub.web import client
from nbhub.web.api.endpoints import Call, Reply, json

MEDIA_TYPE = "application/jupyterhub-pagination+json"


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for; `framed` says that the answer tells where the next part is."""

    offset: int
    limit: int
    framed: bool


def asked(call: Call) -> Page:
    """Read `offset` and `limit`; limits are clamped, other nonsense raises BadRequest."""
    settings = call.desk.settings
    accept = client.header(call.request.scope, b"accept").split(",")
    framed = any(kind.strip() == MEDIA_TYPE for kind in accept)
    default = settings.api_page_default_limit if framed else settings.api_page_max_limit
    offset, limit = call.number("offset", 0), call.number("limit", default)
    if offset < 0:
        raise BadRequest("The parameter offset has to be 0 or more.")
    return Page(offset, min(max(limit, 1), settings.api_page_max_limit), framed)


def answer(call: Call, page: Page, items: list[Any], total: int) -> Reply:
    """Return the items, with the frame that the client asked for."""
    if not page.framed:
        return json(items)
    return json({"items": items, "_pagination": frame(call, page, total)})


def frame(call: Call, page: Page, total: int) -> dict[str, Any]:
    """Return where the next part of a list of `total` items is."""
    following: dict[str, Any] | None = None
    after = page.offset + page.limit
    if after < total:
        following = {"offset": after, "limit": page.limit, "url": _url(call, after, page.limit)}
    return {"offset": page.offset, "limit": page.limit, "total": total, "next": following}


def _url(call: Call, offset: int, limit: int) -> str:
    scope = call.request.scope
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    query = [(name, value) for name, value in query if name not in ("offset", "limit")]
    query += [("limit", str(limit)), ("offset", str(offset))]
    return f"{client.origin(scope)}{client.uri(scope).partition('?')[0]}?{urlencode(query)}"
