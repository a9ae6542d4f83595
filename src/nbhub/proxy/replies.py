"""What people and programs are told by Envoy itself when a server or the hub does not answer."""

from __future__ import annotations

import html
import json
from typing import Any

from nbhub.proxy.resources import DESTINATION

Resource = dict[str, Any]

_SERVER_AWAY = "The server at this address does not answer. It may have stopped, or be about to."
_HUB_AWAY = "The hub does not answer. It may be restarting; notebook servers that run stay reachable."
_RETRY = 3  # seconds

# In the colours of the hub's own pages, which cannot be asked for here.
_STYLE = """
:root{color-scheme:light dark;--ground:#f5f7f9;--card:#fff;--line:#dde3e9;--text:#17212b;--quiet:#566473;
--accent:#0b7a75;--on-accent:#fff;font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
@media(prefers-color-scheme:dark){:root{--ground:#0f151b;--card:#18212a;--line:#2b3844;--text:#e8eef3;--quiet:#9cabba;
--accent:#3cc4b6;--on-accent:#06211f}}
body{margin:0;padding:15vh 1rem 2rem;background:var(--ground);color:var(--text);text-align:center}
main{max-width:30rem;margin:auto;padding:1.5rem;background:var(--card);border:1px solid var(--line);border-radius:14px}
h1{font-size:1.5rem;line-height:1.25;margin:.3rem 0 .8rem}
.quiet{color:var(--quiet)}
a{display:inline-block;padding:.5rem 1.2rem;border-radius:10px;background:var(--accent);color:var(--on-accent);
font-weight:550;text-decoration:none}
a:focus-visible{outline:3px solid var(--text);outline-offset:2px}
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{title}</title><style>{style}</style></head>
<body><main><h1>{title}</h1><p role="status">{text}</p>
<p class="quiet">This page tries again every few seconds.</p>{link}</main></body></html>
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
    body = _PAGE.format(title=html.escape(title), text=html.escape(text), link=link, style=_STYLE)
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
