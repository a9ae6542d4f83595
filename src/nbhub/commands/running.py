"""Commands that run a hub or a proxy, or talk to one that runs: run, proxy, reload."""

from __future__ import annotations

from nbhub import apart, config, inspection, log, operation
from nbhub.app import Hub
from nbhub.commands.call import Call, built, say
from nbhub.errors import ConfigError
from nbhub.proxy import Proxy


def run(call: Call) -> int:
    """Run a hub until it is told to stop."""
    return operation.run(call.hub(), say, reread=lambda: built(config.load(call.options)))


def reload(call: Call) -> int:
    """Let the running hub read its configuration again."""
    say(inspection.ask_to_reload(call.hub().folder))
    return 0


def proxy(call: Call) -> int:
    """Run a proxy apart from the hub until it is told to stop."""
    loaded = config.load(call.options)
    loaded.check_values([Hub, Proxy])  # the rest of a hub's file is none of the proxy's business
    hub = config.build(Hub, loaded.config)
    log.configure(str(hub.log_level), as_json=hub.log_json)
    values = call.values
    order = apart.Order(
        hub_url=values.get("--hub-url", ""),
        token_file=values.get("--token-file", ""),
        folder=values.get("--folder", ""),
        health=values.get("--health", ""),
        linger=_seconds(values.get("--linger", "0")),
    )
    return apart.run(hub, order, say)


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise ConfigError(f"--linger={text[:50]} is no number of seconds from 0 to 3600.")
    return seconds
