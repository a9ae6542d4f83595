"""What people and programs are told by Envoy itself when a server or the hub does not answer."""

from __future__ import annotations

import html
import json
from typing import Any

from nbhub.proxy.resources import DESTINATION

Resource = dict[str, Any]

_SERVER_AWAY = "The notebook server does not answer. It may have stopped, or be about to."
_HUB_AWAY = "The hub does not answer. It may be restarting; notebook servers that run stay reachable."
_RETRY = 3  # seconds

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex"><title>{title}</title><style>
:root{{color-scheme:light dark}}
body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}}
</style></head><body><main><h1>{title}</h1><p role="status">{text}</p>
<p>This page tries again every few seconds.</p>{link}</main></body></html>
"""


def local_replies(base_url: str) -> Resource:
    """Build the answers: JSON for programs, for browsers a page that comes back until the hub's own page takes over.

    A reload finds the route withdrawn soon after a server is gone, and then the hub's page that offers to start it.
    """
    home = f'<p><a href="{html.escape(base_url)}hub/home">Go to the hub</a></p>'
    to_server = {"header_filter": {"header": {"name": DESTINATION, "present_match": True}}}
    return {
        "mappers": [
            _reply([_UNREACHABLE, to_server, _WANTS_JSON], _json(_SERVER_AWAY)),
            _reply([_UNREACHABLE, to_server], _page("This server does not answer", _SERVER_AWAY, home)),
            _reply([_UNREACHABLE, _WANTS_JSON], _json(_HUB_AWAY)),
            _reply([_UNREACHABLE], _page("The hub does not answer", _HUB_AWAY, "")),
        ]
    }


_UNREACHABLE = {"response_flag_filter": {"flags": ["UF", "UC", "UH", "URX", "UO", "UT", "LR", "UR", "NC", "UPE"]}}


def _header(name: str, matcher: Resource) -> Resource:
    return {"header_filter": {"header": {"name": name, **matcher}}}


# As the hub itself tells programs from browsers: what they accept, or an API among the path's segments.
_WANTS_JSON = {
    "or_filter": {
        "filters": [
            _header("accept", {"string_match": {"prefix": "application/json", "ignore_case": True}}),
            _header(":path", {"string_match": {"safe_regex": {"regex": r"[^?]*/api(?:[/?].*)?"}}}),
        ]
    }
}


def _reply(conditions: list[Resource], reply: Resource) -> Resource:
    matching = conditions[0] if len(conditions) == 1 else {"and_filter": {"filters": conditions}}
    return {"filter": matching, **reply}


def _json(message: str) -> Resource:
    body = json.dumps({"message": message}) + "\n"
    return _answer(body, "application/json", [("retry-after", str(_RETRY))])


def _page(title: str, text: str, link: str) -> Resource:
    body = _PAGE.format(title=html.escape(title), text=html.escape(text), link=link)
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"
    headers = [("retry-after", str(_RETRY)), ("refresh", str(_RETRY)), ("content-security-policy", policy)]
    return _answer(body, "text/html; charset=utf-8", headers)


def _answer(body: str, content_type: str, headers: list[tuple[str, str]]) -> Resource:
    overwrite = "OVERWRITE_IF_EXISTS_OR_ADD"
    return {
        "body_format_override": {
            # Envoy reads % as the start of a command.
            "text_format_source": {"inline_string": body.replace("%", "%%")},
            "content_type": content_type,
        },
        "headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": overwrite}
            for key, value in [*headers, ("cache-control", "no-store")]
        ],
    }
