"""The records that all rooms share: frozen, and as the database remembers them.

Times are seconds since the epoch (UTC) as float, None when unknown. Ids are the database's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """Where a server is in its life, as last recorded by the reconciler."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class User:
    """A person (or a visit, when `temporary`) who may own servers."""

    id: int
    name: str
    admin: bool = False
    created: float = 0.0
    last_activity: float | None = None
    user_info: dict[str, Any] | None = None
    temporary: bool = False  # deleted by the sweep once its servers are gone


@dataclass(frozen=True, slots=True)
class Group:
    """A named set of users."""

    id: int
    name: str
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Role:
    """A named list of scopes, as written (not expanded)."""

    id: int
    name: str
    description: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A program beside the hub that uses its API or is reached through it."""

    id: int
    name: str
    admin: bool = False
    url: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceEntry(Service):
    """A service with all that is kept of it."""

    info: dict[str, Any] = field(default_factory=dict)
    display: bool = True  # shown in the menu of services
    command: tuple[str, ...] = ()  # not empty: a hub starts it and keeps it running
    oauth_no_confirm: bool = False
    from_config: bool = False
    process: dict[str, Any] = field(default_factory=dict)  # of a managed one: what was launched last


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """One line of the story of a start."""

    at: float
    progress: int
    message: str


@dataclass(frozen=True, slots=True)
class Server:
    """One notebook server: what is wanted of it (spec), what was last seen (status), and who works on it (lease).

    The API writes spec, the reconciler writes status under the lease; nobody writes both.
    """

    id: int
    user_id: int
    user_name: str
    name: str  # "" is the default server
    display_name: str = ""

    # spec
    wanted: bool = False
    generation: int = 0  # grows with every ask: start, stop, restart
    options: dict[str, Any] | None = None  # None: never given
    removing: bool = False  # delete the row once stopped
    due: float | None = None  # when a reconciler has to look next; None: not before somebody asks

    # status
    phase: Phase = Phase.STOPPED
    observed_generation: int = 0  # the last ask that was answered
    launched: bool = False  # spawner.start() ran to its end for `start_generation`
    start_generation: int = 0  # the ask that the running object was built for
    state: dict[str, Any] = field(default_factory=dict)  # what the spawner needs to find its object again
    url: str | None = None  # http://host:port, without a path
    message: str = ""  # why it failed or what it is doing, fit for the user
    log_tail: str = ""  # last lines of its log when it failed
    events: tuple[ProgressEvent, ...] = ()
    started: float | None = None  # when the current or last start began
    ready: float | None = None  # when it was first seen to answer
    stopped: float | None = None
    deadline: float | None = None  # until when the start may take
    last_activity: float | None = None

    # lease
    lease_token: int = 0

    @property
    def active(self) -> bool:
        """Something of it runs or is about to: neither stopped nor failed, or asked to start and not yet looked at."""
        return self.phase not in (Phase.STOPPED, Phase.FAILED) or self.asked_to_start

    @property
    def asked_to_start(self) -> bool:
        """A start was asked for that no reconciler has answered yet."""
        return self.wanted and self.generation > self.observed_generation

    @property
    def is_ready(self) -> bool:
        """It runs, answers, and nobody asked for anything else since."""
        return self.phase is Phase.RUNNING and self.wanted and self.start_generation == self.generation


@dataclass(frozen=True, slots=True)
class Token:
    """An API token or an OAuth access token; the secret itself is kept as a hash only."""

    id: int
    user_id: int | None
    service_id: int | None
    client_id: str  # OAuth client that issued it; "jupyterhub" for plain API tokens
    session_id: str | None
    scopes: tuple[str, ...]  # as granted, not expanded
    note: str
    created: float
    expires_at: float | None
    last_activity: float | None
    server_id: int | None = None  # set for the token that a server was started with


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A party that may ask users to sign in: each active server, each service."""

    identifier: str
    description: str
    secret_hash: str
    redirect_uri: str
    allowed_scopes: tuple[str, ...]
    server_id: int | None = None
    user_id: int | None = None  # owner of that server
    service_id: int | None = None


@dataclass(frozen=True, slots=True)
class OAuthCode:
    """A one-time authorization code, by its hash."""

    code_hash: str
    client_id: str
    user_id: int
    redirect_uri: str
    scopes: tuple[str, ...]
    session_id: str | None
    code_challenge: str | None
    code_challenge_method: str | None
    expires_at: float


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that logged in; its cookie is kept as a hash only."""

    id: int
    user_id: int
    session_id: str  # the public half: the cookie jupyterhub-session-id, on every OAuth token of this login
    created: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Route:
    """A path prefix of the public address and the origin that answers below it."""

    prefix: str  # percent-encoded, starts and ends with "/"
    target: str  # http://host:port
    user: str = ""
    server: str = ""
    service: str = ""
