"""The contract between the reconciler and a backend that runs servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from traitlets import Any as AnyValue
from traitlets import Bool, Callable, Dict, Enum, Float, Int, List, Unicode, Union
from traitlets.config import LoggingConfigurable

from nbhub.core import names
from nbhub.core.findings import Finding
from nbhub.core.launch import HubAddress, Launch, LaunchTemplate
from nbhub.core.lifecycle import Observation
from nbhub.core.model import Server
from nbhub.spawners.details import Details
from nbhub.spawners.one_server import ForOneServer, Subject, guarded, one_server, read_form, template_of
from nbhub.traits import Command, MemorySize


@dataclass(frozen=True, slots=True)
class Handle:
    """What identifies one server's object at the backend. `state` is the last saved Checkpoint's."""

    server_id: int
    object_name: str
    user_name: str
    generation: int  # the start that the object was built for
    state: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, server: Server) -> Handle:
        """Return what the backend knows a server by."""
        return cls(
            server_id=server.id,
            object_name=names.object_name(server.user_name, server.name),
            user_name=server.user_name,
            generation=server.start_generation,
            state=server.state,
        )


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was done to a server: one word, such as Stopped, and a sentence, such as "Stopped by alice"."""

    word: str
    sentence: str
    is_trouble: bool = False


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


class Spawner(ForOneServer, LoggingConfigurable):
    """A driver for one backend: one instance per process, without any state of its own about servers."""

    # Settings that a hook can change for one start: those of the launch, and those that the driver looks up in it.
    IN_TEMPLATE: ClassVar[frozenset[str]] = frozenset(
        {
            *("cmd", "args", "environment", "default_url", "notebook_dir", "debug", "disable_user_config"),
            *("mem_limit", "mem_guarantee", "cpu_limit", "cpu_guarantee"),
            *("server_token_scopes", "oauth_client_allowed_scopes", "hub_connect_url"),
        }
    )
    PER_START: ClassVar[frozenset[str]] = frozenset()
    TIMEOUTS: ClassVar[frozenset[str]] = frozenset({"start_timeout", "http_timeout"})  # as well, for every driver
    # Names of settings in older files, and names beside the settings that overrides may assign.
    RENAMED: ClassVar[Mapping[str, str]] = {}
    ASSIGNED: ClassVar[frozenset[str]] = frozenset()
    # Whether the backend takes variables that say where their value is, as dicts, beside those with a value.
    FETCHES: ClassVar[bool] = False

    cmd = Command(["jupyterhub-singleuser"], help="Command that starts a server: a list, or one word.").tag(config=True)
    args = List(Unicode(), help="Arguments after the command; {username} and {base_url} are filled in.").tag(
        config=True
    )
    environment = Dict(
        key_trait=Unicode(),
        help="Environment variables for servers; they override all others. A value may be a function of the spawner.",
    ).tag(config=True)
    mem_limit = MemorySize(
        None, allow_none=True, help='Memory that a server may use, such as "2G"; local processes are only told of it.'
    ).tag(config=True)
    mem_guarantee = MemorySize(None, allow_none=True, help="Memory that a server is sure to get.").tag(config=True)
    cpu_limit = Float(
        None, allow_none=True, help="Cores that a server may use; local processes are only told of it."
    ).tag(config=True)
    cpu_guarantee = Float(None, allow_none=True, help="Cores that a server is sure to get.").tag(config=True)
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
    hub_connect_url = Unicode(
        None, allow_none=True, help="Where servers reach the hub, when that is not the hub's own hub_connect_url."
    ).tag(config=True)
    server_token_scopes = Union(
        [List(Unicode()), Callable()],
        default_value=[],
        help="Further scopes of the token that a server is started with, as far as its owner has them; a list, or a "
        "function of the spawner.",
    ).tag(config=True)
    oauth_client_allowed_scopes = Union(
        [List(Unicode()), Callable()],
        default_value=[],
        help="Further scopes that a server may ask of its visitors; a list, or a function of the spawner.",
    ).tag(config=True)
    consecutive_failure_limit = Int(
        0, min=0, help="The hub ends after so many failed starts in a row, for a supervisor to restart it; 0: never."
    ).tag(config=True)

    # choices before a start
    options_form = Union(
        [Unicode(), Callable()],
        default_value="",
        help="HTML fields shown before a start, or a function of the spawner that returns them; none starts at once.",
    ).tag(config=True)
    options_from_form = Union(
        [Enum(("passthrough", "simple")), Callable()],
        default_value="passthrough",
        help="How submitted fields become options: passthrough (lists of texts), simple (the first text of each), or a "
        "function of the form, or of the form and the spawner.",
    ).tag(config=True)
    apply_user_options = Union(
        [Dict(), Callable()],
        default_value=None,
        allow_none=True,
        help="What options change: {option: setting}, or a function of the spawner and the options.",
    ).tag(config=True)

    # functions of one start; each may be async, and gets the spawner as it is for this one server
    pre_spawn_hook = Callable(
        None, allow_none=True, help="Called with the spawner before each start; what it assigns holds for this start."
    ).tag(config=True)
    post_stop_hook = Callable(None, allow_none=True, help="Called with the spawner after each stop.").tag(config=True)
    auth_state_hook = Callable(
        None, allow_none=True, help="Called before pre_spawn_hook with the spawner and what the authenticator keeps."
    ).tag(config=True)
    group_overrides = Union(
        [Dict(), Callable()],
        default_value={},
        help="Settings for members of groups: {key: {'groups': [...], 'spawner_override': {setting: value}}}, applied "
        "in the order of the keys; or a function of the spawner that returns that.",
    ).tag(config=True)

    before_start = AnyValue(None, help="Called with the user and the spawner before all hooks.")
    after_stop = AnyValue(None, help="Called with the user and the spawner after post_stop_hook.")

    def template(self) -> LaunchTemplate:
        """Return what the configuration says about every server."""
        return template_of(self, self.environment, self.args)

    def setting(self, launch: Launch, name: str) -> Any:
        """Return a setting of the driver, as hooks left it for this start."""
        return launch.settings.get(name, getattr(self, name))

    async def stopped(self, subject: Subject) -> None:
        """Tell the configuration's functions that a server has stopped; raises SpawnError if one fails."""
        if self.post_stop_hook is None and self.after_stop is None:
            return
        one = one_server(self, subject)
        await guarded(subject, "post_stop_hook", self.post_stop_hook, one)
        await guarded(subject, "post_spawn_stop", self.after_stop, one.user, one)

    def check_settings(self) -> None:
        """Raise ConfigError for what is wrong with the settings by themselves, wherever the hub will run."""

    async def check(self) -> None:
        """Raise ConfigError if servers cannot be started here at all; called once before the hub serves."""
        self.check_settings()

    def examine(self, hub: HubAddress, *, quick: bool, image: str) -> AsyncIterator[Finding]:
        """Say how the place is where servers run, for `nbhub doctor`; leaves nothing behind.

        `quick` starts nothing there; `image` is one to try instead of that of the settings, where servers have any.
        """
        return _no_findings()

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

    async def rename(self, handle: Handle, user_name: str) -> None:
        """The user of a stopped server gets another name: write that on what outlives a stop; called before it holds.

        Whoever gets the old name next must not find it. Safe to repeat. Raises SpawnError or BackendUnavailable, and
        then the user is not renamed.
        """

    async def log_tail(self, handle: Handle, lines: int = 40) -> str:
        """Return the last lines that the server wrote; empty where the backend keeps none."""
        return ""

    async def details(self, handles: Sequence[Handle]) -> Sequence[Details]:
        """Say where servers are and what they take, in the order of the handles, for pages and operators.

        Cheap enough to be asked for by every page. Empty for backends that know nothing of the kind. Raises
        BackendUnavailable.
        """
        return [Details() for _ in handles]

    def note(self, handle: Handle, note: Note) -> None:
        """Write down at the backend what was done to a server and by whom, if it has a place for that.

        Returns at once and never fails.
        """

    def watch(self) -> AsyncIterator[int]:
        """Yield ids of servers whose objects changed; only a hint, so a backend without one yields nothing."""
        return _nothing()

    async def form(self, subject: Subject) -> str:
        """Return the HTML fields of the options page; empty when there is nothing to choose. Raises SpawnError."""
        if isinstance(self.options_form, str) and type(self).get_options_form is ForOneServer.get_options_form:
            return self.options_form
        one = one_server(self, subject)
        return str(await guarded(subject, "options_form", one.get_options_form) or "")

    async def read_form(self, subject: Subject, fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Turn submitted form fields (each a list of values) into options; raises BadRequest."""
        return await read_form(self, one_server(self, subject), fields)

    async def validate_options(self, subject: Subject, options: Mapping[str, Any]) -> dict[str, Any]:
        """Check options whichever way they came (form, API) and return them normalised; raises BadRequest."""
        return dict(options)

    @property
    def asks_options(self) -> bool:
        """Say whether a start from a page may ask something first; `form` knows whether it does."""
        return bool(self.options_form) or type(self).get_options_form is not ForOneServer.get_options_form

    async def close(self) -> None:
        """Release connections. Servers stay as they are."""


async def _nothing() -> AsyncIterator[int]:
    return
    yield 0


async def _no_findings() -> AsyncIterator[Finding]:
    return
    yield
