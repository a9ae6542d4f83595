"""Commands that run a hub, or talk to one that runs: run, reload."""

from __future__ import annotations

from nbhub import config, inspection, operation
from nbhub.commands.call import Call, built, say


def run(call: Call) -> int:
    """Run a hub until it is told to stop."""
    return operation.run(call.hub(), say, reread=lambda: built(config.load(call.options)))


def reload(call: Call) -> int:
    """Let the running hub read its configuration again."""
    say(inspection.ask_to_reload(call.hub().folder))
    return 0
