"""The contract between the reconciler and a backend that runs servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from traitlets import Bool, Dict, Float, Int, List, Unicode
from traitlets.config import LoggingConfigurable

from nbhub.core.launch import Launch, LaunchTemplate
from nbhub.core.lifecycle import Observation
from nbhub.core.model import User


@dataclass(frozen=True, slots=True)
class Handle:
    """What identifies one server's object at the backend. `state` is the last saved Checkpoint's."""

    server_id: int
    object_name: str
    user_name: str
    generation: int  # the start that the object was built for
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A point that a start has reached; saved before the next stage runs.

    `state` replaces what was saved before. `url` (http://host:port) is set as soon as it is known, at the latest by
    the last checkpoint. `message` is for the user; `progress` is 0 to 90. `deadline` in seconds from now, if the
    stage is known to need more than the start was given.
    """

    state: Mapping[str, Any]
    message: str = ""
    progress: int | None = None
    url: str | None = None
    deadline: float | None = None


class Spawner(LoggingConfigurable):
    """A driver for one backend: one instance per process, without any state of its own about servers."""

    cmd = List(Unicode(), ["jupyterhub-singleuser"], help="Command that starts a server.").tag(config=True)
    args = List(Unicode(), help="Arguments after the command; {username} and {base_url} are filled in.").tag(
        config=True
    )
    environment = Dict(
        key_trait=Unicode(), value_trait=Unicode(), help="Environment variables for servers; they override all others."
    ).tag(config=True)
    default_url = Unicode(help="Page that a server opens first, below its own address, such as /lab.").tag(config=True)
    notebook_dir = Unicode(help="Root folder that servers show; ~ and {username} are filled in.").tag(config=True)
    debug = Bool(False, help="Servers log in detail.").tag(config=True)
    disable_user_config = Bool(False, help="Servers ignore configuration in users' homes.").tag(config=True)
    ip = Unicode("127.0.0.1", help="Address that servers listen on.").tag(config=True)
    port = Int(0, help="Port that servers listen on; 0 chooses a free one for each.").tag(config=True)
    start_timeout = Float(60, help="Seconds that a start may take until the server is launched.").tag(config=True)
    http_timeout = Float(30, help="Seconds that a launched server may take until it answers.").tag(config=True)
    stop_timeout = Float(70, help="Seconds that a stop may take before it is tried again.").tag(config=True)
    poll_interval = Float(30, help="Seconds between looks at a running server.").tag(config=True)
    options_form = Unicode(help="HTML fields shown before a start; none starts at once.").tag(config=True)

    def template(self) -> LaunchTemplate:
        """Return what the configuration says about every server."""
        return LaunchTemplate(
            command=tuple(self.cmd),
            arguments=tuple(self.args),
            environment=dict(self.environment),
            default_url=self.default_url,
            notebook_dir=self.notebook_dir,
            debug=self.debug,
            disable_user_config=self.disable_user_config,
        )

    async def check(self) -> None:
        """Raise ConfigError if servers cannot be started here at all; called once before the hub serves."""

    def start(self, launch: Launch) -> AsyncIterator[Checkpoint]:
        """Bring the server up, yielding what is reached.

        Safe to repeat: an object of this generation is adopted, an older one replaced. Each checkpoint is saved
        before the next stage runs; stop() gets the last one. Cancelling may leave the object behind: stop() or the
        next start() takes care of it. Raises SpawnError, with the log's tail where there is one.
        """
        raise NotImplementedError

    async def poll(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        """Look at many servers with as few calls as the backend allows; observations in the order of the handles.

        Raises BackendUnavailable if nothing can be known.
        """
        raise NotImplementedError

    async def stop(self, handle: Handle, *, grace: timedelta) -> None:
        """Take the object away, also one of a later generation than the handle's. A no-op when absent."""
        raise NotImplementedError

    async def forget(self, handle: Handle) -> None:
        """The server itself is deleted: remove what outlives a stop, as configured (volumes, logs)."""

    async def log_tail(self, handle: Handle, lines: int = 40) -> str:
        """Return the last lines that the server wrote; empty where the backend keeps none."""
        return ""

    def watch(self) -> AsyncIterator[int]:
        """Yield ids of servers whose objects changed; only a hint, so a backend without one yields nothing."""
        return _nothing()

    async def form(self, user: User) -> str:
        """Return the HTML fields of the options page for this user; empty when there is nothing to choose."""
        return self.options_form

    async def options_from_form(self, fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Turn submitted form fields (each a list of values) into options; raises BadRequest."""
        return {name: list(values) for name, values in fields.items()}

    async def validate_options(self, user: User, options: Mapping[str, Any]) -> dict[str, Any]:
        """Check options whichever way they came (form, API) and return them normalised; raises BadRequest."""
        return dict(options)

    async def close(self) -> None:
        """Release connections. Servers stay as they are."""


async def _nothing() -> AsyncIterator[int]:
    return
    yield 0
