"""The command about the hub's secret: secret rotate, status, retire."""

from __future__ import annotations

import asyncio

from nbhub import rotation
from nbhub.app import Hub
from nbhub.commands.call import Call, say
from nbhub.errors import ConfigError
from nbhub.traits import did_you_mean


def secret(call: Call) -> int:
    """Move to a new secret, step by step."""
    steps = {"rotate": _rotate, "status": _status, "retire": _retire}
    doing = call.words[0]
    if doing not in steps:
        near = did_you_mean(doing, list(steps))
        raise ConfigError(f"There is no command secret {doing[:64]!r}{near} See nbhub secret --help.")
    return steps[doing](call.hub())


def _rotate(hub: Hub) -> int:
    pid = rotation.rotate(hub)
    say("A new secret is in use; the older one is still accepted.")
    say(_told(pid))
    say("When `nbhub secret status` says that nothing needs the older one: nbhub secret retire")
    return 0


def _status(hub: Hub) -> int:
    found = asyncio.run(rotation.dependence(hub))
    say(f"in use: {found.names[0]}")
    for name in found.names[1:]:
        say(f"still accepted: {name}")
    if found.lost:
        say(f"{found.lost} auth state(s) were sealed with none of these; they are unknown until those people log in.")
    if len(found.names) == 1:
        say("There is no older secret.")
        return 0
    if found.sealed:
        say(f"{found.sealed} auth state(s) are sealed with an older secret; `nbhub secret retire` seals them anew.")
    if found.starting:
        say(f"{found.starting} server(s) are being started with a token of an older secret; wait until they run.")
        return 1
    say("The older secret can be taken out once every hub has read the new one: nbhub secret retire")
    return 0


def _retire(hub: Hub) -> int:
    count, pid = asyncio.run(rotation.retire(hub))
    if not count:
        say("There is no older secret.")
        return 0
    say(f"{count} older secret(s) taken out. Pages opened under them have to be loaded again.")
    say(_told(pid))
    return 0


def _told(pid: int | None) -> str:
    if pid is None:
        return "No hub runs with this data folder here; hubs elsewhere take it over at `nbhub reload` or a restart."
    return f"The hub (process {pid}) takes it over now."
