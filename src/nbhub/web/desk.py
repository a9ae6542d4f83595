"""Desk: everything that the handlers of requests need, built once by the application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbhub.core import feed

if TYPE_CHECKING:
    from nbhub.authenticators.base import Authenticator
    from nbhub.core.secrets import Keys
    from nbhub.metrics import Metrics
    from nbhub.spawners.base import Spawner
    from nbhub.store import Store


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What the configuration says about the web. Times in seconds; a limit of 0 means none."""

    base_url: str = "/"  # starts and ends with "/"
    public_url: str = ""  # full public URL of base_url, ending in "/"; empty when unknown
    default_url: str | Callable[..., Any] = ""  # where a login without a destination leads; empty: own server or home
    redirect_to_server: bool = True  # False: home instead of own server
    default_server_name: str = ""
    implicit_spawn_seconds: float = 0.0  # a page of a stopped server starts it by itself after so long; 0: never
    cookie_max_age: float = 14 * 86400.0
    secure_cookies: bool | None = None  # None: whenever the request came over https or public_url says https
    shutdown_on_logout: bool = False
    allow_named_servers: bool = False
    named_server_limit: int | Callable[..., Any] = 0  # per user
    active_server_limit: int = 0
    concurrent_spawn_limit: int = 0
    spawn_retry_after: int = 30  # told to clients when concurrent_spawn_limit is reached
    slow_spawn_timeout: float = 10.0
    slow_stop_timeout: float = 10.0
    oauth_token_expires_in: float = 14 * 86400.0
    oauth_require_pkce: bool = False
    token_expires_in_max: float = 0.0  # longest life of an API token; 0: for ever
    authenticate_prometheus: bool = True
    user_redirect_hook: Callable[..., Any] | None = None
    response_headers: tuple[tuple[str, str], ...] = ()
    template_paths: tuple[str, ...] = ()  # folders of templates that go before our own
    template_vars: Mapping[str, Any] = field(default_factory=dict)
    logo_file: str = ""
    use_legacy_stopped_server_status_code: bool = False  # 503 instead of 424, for JupyterLab before 3.2
    api_page_default_limit: int = 50
    api_page_max_limit: int = 200
    max_body_bytes: int = 1_000_000
    trusted_proxies: tuple[str, ...] = ("127.0.0.1",)  # whose X-Forwarded-* headers are believed

    @property
    def hub_prefix(self) -> str:
        """Path below which the hub's own pages live, such as "/hub/"."""
        return f"{self.base_url}hub/"

    @property
    def public_origin(self) -> str:
        """Return `scheme://host[:port]` of public_url, or nothing."""
        scheme, separator, rest = self.public_url.partition("://")
        return f"{scheme}{separator}{rest.partition('/')[0]}" if separator else ""


@dataclass(slots=True, eq=False)
class Desk:
    """What handlers work with. `clock` gives seconds since the epoch; `settings` change when they are read again."""

    store: Store
    spawner: Spawner
    authenticator: Authenticator
    settings: WebSettings
    keys: Keys
    clock: Callable[[], float]
    metrics: Metrics
    proxy_tokens: tuple[str, ...] = ()  # any of them lets a proxy that runs apart follow the routes
    is_open: bool = True  # not while the hub's own proxy does not listen yet
    proxy_words: tuple[str, ...] = field(init=False)  # what such proxies say of themselves with what they pass on

    def __post_init__(self) -> None:
        """Derive what follows from the rest."""
        self.proxy_words = tuple(feed.word(token) for token in self.proxy_tokens)
