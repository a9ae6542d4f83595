"""The command that lists servers."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from nbhub import roster
from nbhub.commands.call import Call, say
from nbhub.roster import Entry
from nbhub.spawners.details import Amount

COLUMNS = ("USER", "SERVER", "PHASE", "SINCE", "NODE", "IMAGE", "REQUESTS", "LIMITS", "USE", "MESSAGE")
LONGEST = {"IMAGE": 50, "MESSAGE": 90}  # letters on a line
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def servers(call: Call) -> int:
    """Print the servers as a table, or as JSON."""
    found = asyncio.run(roster.read(call.hub(), include_stopped="--all" in call.flags))
    if found.trouble:
        print(f"nbhub: {found.trouble}", file=sys.stderr)
    if "--json" in call.flags:
        say(json.dumps([_record(entry) for entry in found.entries], indent=2))
    elif found.entries:
        now = time.time()
        say(_table([_row(entry, now) for entry in found.entries]))
    else:
        say("There are no servers." if "--all" in call.flags else "No server runs. With --all: those that do not, too.")
    return 0


def _row(entry: Entry, now: float) -> tuple[str, ...]:
    server, details = entry.server, entry.details
    extra = "".join(f", {count} {name}" for name, count in sorted(details.extra.items()))
    return (
        server.user_name,
        server.name,
        server.phase.value,
        "" if entry.since is None else _span(max(0.0, now - entry.since)),
        details.node,
        details.image,
        str(details.requests),
        f"{details.limits}{extra}".removeprefix(", "),
        str(details.use),
        " ".join(entry.message.split()),
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out in columns; those that nobody has anything for are left away."""
    shown = [
        [_cut(row[number], LONGEST.get(name, 40)) for row in (COLUMNS, *rows)]
        for number, name in enumerate(COLUMNS)
        if number < 4 or any(row[number] for row in rows)
    ]
    widths = [max(len(text) for text in column) for column in shown]
    lines = zip(*shown, strict=True)
    return "\n".join("  ".join(f"{t:<{w}}" for t, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _span(seconds: float) -> str:
    size, unit = next((pair for pair in UNITS if seconds >= pair[0]), UNITS[-1])
    return f"{seconds / size:.0f} {unit}"


def _record(entry: Entry) -> dict[str, Any]:
    server, details = entry.server, entry.details
    return {
        "user": server.user_name,
        "server": server.name,
        "phase": server.phase.value,
        "since": entry.since,
        "last_activity": server.last_activity,
        "url": server.url,
        "object": details.object,
        "node": details.node,
        "image": details.image,
        "requests": _amount(details.requests),
        "limits": {**_amount(details.limits), **details.extra},
        "use": _amount(details.use),
        "message": entry.message,
    }


def _amount(amount: Amount) -> dict[str, Any]:
    given = {"cores": amount.cores, "memory": amount.memory}
    return {name: value for name, value in given.items() if value is not None}
