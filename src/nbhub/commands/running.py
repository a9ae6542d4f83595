"""Commands that run a hub or a proxy, or talk to one that runs: run, proxy, reload."""

from __future__ import annotations

from collections.abc import Callable

from nbhub import apart, config, inspection, log, operation
from nbhub.app import Hub
from nbhub.commands.call import Call, built, say
from nbhub.errors import ConfigError, NbhubError
from nbhub.proxy import Proxy

Say = Callable[[str], None]


def run(call: Call) -> int:
    """Run a hub until it is told to stop."""
    return _told(call.hub(), lambda hub, say: operation.run(hub, say, reread=lambda: built(config.load(call.options))))


def reload(call: Call) -> int:
    """Let the running hub read its configuration again."""
    say(inspection.ask_to_reload(call.hub().folder))
    return 0


def proxy(call: Call) -> int:
    """Run a proxy apart from the hub until it is told to stop."""
    values = call.values
    order = apart.Order(
        hub_url=values.get("--hub-url", ""),
        token_file=values.get("--token-file", ""),
        folder=values.get("--folder", ""),
        health=values.get("--health", ""),
        linger=_seconds(values.get("--linger", "0")),
    )
    return _told(_settings_of_proxy(call), lambda hub, say: apart.run(hub, order, say))


def _settings_of_proxy(call: Call) -> Hub:
    loaded = config.load(call.options)
    loaded.check_values([Hub, Proxy])  # the rest of a hub's file is none of the proxy's business
    hub = config.build(Hub, loaded.config)
    log.configure(str(hub.log_level), as_json=hub.log_json)
    return hub


def _told(hub: Hub, work: Callable[[Hub, Say], int]) -> int:
    """Do the work; with JSON logs, whatever it writes, and why it fails, is a line of JSON."""
    if not hub.log_json:
        return work(hub, say)
    log.leave_nothing_out()
    try:
        return work(hub, log.tell)
    except NbhubError as error:
        log.tell(error.message, "critical")
        return 2 if isinstance(error, ConfigError) else 1


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise ConfigError(f"--linger={text[:50]} is no number of seconds from 0 to 3600.")
    return seconds
