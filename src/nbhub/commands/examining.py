"""The command doctor: what is amiss with a deployment, and the remedy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from nbhub.app import Hub
from nbhub.commands.call import Call, say
from nbhub.core import findings
from nbhub.core.findings import Finding
from nbhub.doctor import report, visit
from nbhub.errors import ConfigError


def doctor(call: Call) -> int:
    """Examine everything that a hub needs; 1 when something failed."""
    found: list[Finding] = []
    as_json = "--json" in call.flags

    def tell(finding: Finding) -> None:
        found.append(finding)
        if not as_json:
            say(report.line(finding))

    try:
        hub = call.hub()
    except ConfigError as error:
        tell(findings.split("configuration", error.message))
    else:
        tell(findings.ok("configuration", "can be read"))
        asyncio.run(_examine(hub, call, tell))
    say(report.as_json(found) if as_json else f"\n{report.summary(found)}")
    return report.status(found)


async def _examine(hub: Hub, call: Call, tell: Callable[[Finding], None]) -> None:
    quick, image = "--quick" in call.flags, call.values.get("--image", "")
    async with aclosing(visit.examine(hub, quick=quick, image=image)) as examination:  # type: ignore[type-var]
        async for finding in examination:
            tell(finding)
