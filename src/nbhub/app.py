"""Hub: reads the configuration, builds every object, runs until told to stop; the only place where rooms are wired."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from traitlets import Bool, Bytes, Callable, Dict, Enum, Float, Int, List, Set, Unicode, Union, default, observe
from traitlets.config import Application

from nbhub.authenticators import known
from nbhub.config import Duration, Plugin, URLPrefix
from nbhub.core.launch import HubAddress
from nbhub.core.lifecycle import Limits
from nbhub.reconcile import Pace
from nbhub.reconcile.sweep import Habits
from nbhub.services import Declared, declare
from nbhub.spawners.base import Spawner
from nbhub.web.desk import WebSettings

AUTHENTICATORS = known.KNOWN
SPAWNERS = {
    "simple": "nbhub.spawners.process.SimpleLocalProcessSpawner",
    "localprocess": "nbhub.spawners.process.LocalProcessSpawner",
    "fake": "nbhub.spawners.fake.FakeSpawner",
    "kubernetes": "nbhub.spawners.kubernetes.spawner.KubeSpawner",
    "kubespawner": "nbhub.spawners.kubernetes.spawner.KubeSpawner",
}


class Hub(Application):
    """The settings of nbhub, under the names that JupyterHub gave them where the meaning is the same."""

    name = "nbhub"

    # where things are
    data_dir = Unicode(
        "nbhub-data",
        help="Folder for the database, the secret, logs and users' folders; made when missing. Back it up.",
    ).tag(config=True)
    db_url = Unicode(
        help="Database: empty for SQLite in data_dir, or postgresql://… to run several hubs side by side.",
    ).tag(config=True)

    # who listens where
    ip = Unicode("127.0.0.1", help="Public address to listen on; 0.0.0.0 for all of the machine.").tag(config=True)
    port = Int(8000, min=1, max=65535, help="Public port: the one that people use.").tag(config=True)
    base_url = URLPrefix("/", help="Path below which everything lives, when the address is shared.").tag(config=True)
    public_url = Unicode(
        help="Full address that people use, such as https://hub.example.org/, when it differs from ip and port.",
    ).tag(config=True)
    hub_ip = Unicode("127.0.0.1", help="Private address of the hub, for the proxy and for servers.").tag(config=True)
    hub_port = Int(
        8081, min=0, max=65535, help="Private port of the hub; 0 chooses a free one, which changes at every start."
    ).tag(config=True)
    hub_connect_ip = Unicode(
        help="Host name or address of the hub for servers, when hub_ip is a wildcard or not theirs to reach."
    ).tag(config=True)
    hub_connect_port = Int(
        0, help="Port at which servers reach the hub, when a proxy or a Kubernetes service changes it; 0: hub_port."
    ).tag(config=True)
    hub_connect_url = Unicode(
        help="Where servers reach the hub, such as http://hub:8081, when it is not http://hub_ip:hub_port.",
    ).tag(config=True)
    cookie_secret = Union(
        [Bytes(), Unicode(), List()],
        help="The hub's secret: 32 bytes, or their hexadecimal digits. By default the variable JPY_COOKIE_SECRET, or "
        "what is in cookie_secret_file. Every key is derived from it. Of a list, the first is used and the others, "
        "older ones, are still accepted.",
    ).tag(config=True)
    cookie_secret_file = Unicode(
        help="File with the hub's secret in hexadecimal digits, made when missing; {data_dir}/secret when empty. "
        "Further lines are older secrets that are still accepted: see `nbhub secret --help`."
    ).tag(config=True)
    start_proxy = Bool(True, help="Start and supervise Envoy; off when it runs apart (nbhub proxy).").tag(config=True)
    proxy_token_file = Unicode(
        help="File with the secret of proxies that run apart (nbhub proxy): one token a line, the first in use, all "
        "accepted. Empty: the variable CONFIGPROXY_AUTH_TOKEN, or, without start_proxy, {data_dir}/proxy-token, made "
        "when missing."
    ).tag(config=True)

    # who and how
    authenticator_class = Plugin(
        "native",
        base="nbhub.authenticators.base.Authenticator",
        group="nbhub.authenticators",
        known=AUTHENTICATORS,
        help="Where people's identities come from.",
    ).tag(config=True)
    spawner_class = Plugin(
        "simple",
        base="nbhub.spawners.base.Spawner",
        group="nbhub.spawners",
        known=SPAWNERS,
        help="How servers are run.",
    ).tag(config=True)

    # services and rights
    services = List(
        Dict(),
        help="Programs beside the hub, each a dict: name; url, to be reached at /services/NAME/; command, to be run "
        "and kept running by the hub (with cwd, environment, user); api_token; admin; info; display; timeout; "
        "oauth_no_confirm, oauth_client_id, oauth_redirect_uri, oauth_client_allowed_scopes. See docs/services.md.",
    ).tag(config=True)
    load_roles = List(
        Dict(),
        help="Roles, each a dict: name, description, scopes, and who has it: users, groups, services. A list that is "
        "given says it all; without it, who has the role is left as it is.",
    ).tag(config=True)
    load_groups = Dict(
        help="Groups by name, such as {'class-a': {'users': ['alice'], 'properties': {}}}. Users are added, never "
        "taken out; properties are replaced.",
    ).tag(config=True)
    custom_scopes = Dict(
        help="Scopes of services' own, by name: {'custom:grades:read': {'description': 'Read grades.', "
        "'subscopes': []}}.",
    ).tag(config=True)
    extra_user_scopes = Set(
        Unicode(), help="Scopes that every user has besides their own things, such as {'access:services'}."
    ).tag(config=True)

    # limits and habits
    allow_named_servers = Bool(False, help="Each user may have several servers.").tag(config=True)
    default_server_name = Unicode(help="Named server that is meant where no server is named.").tag(config=True)
    named_server_limit_per_user = Union(
        [Int(), Callable()],
        default_value=0,
        help="Named servers that a user may have; 0 sets no limit. Or a function of an object with current_user.",
    ).tag(config=True)
    active_server_limit = Int(0, help="Servers that may be active at once, whole hub; 0 sets no limit.").tag(
        config=True
    )
    concurrent_spawn_limit = Int(
        0, help="Starts that may be under way at once; more are refused for a while. 0 sets no limit."
    ).tag(config=True)
    idle_timeout = Duration(
        0,
        help="Stop servers without activity for so long, such as 1h; 0 never does. A hub that starts first listens for"
        " so long, for ten minutes at most.",
    ).tag(config=True)
    cookie_max_age_days = Float(14, help="Days that a login lasts.").tag(config=True)
    oauth_token_expires_in = Int(0, help="Seconds that a server's login lasts; 0: as long as the hub's.").tag(
        config=True
    )
    redirect_to_server = Bool(True, help="After login go to one's own server rather than home.").tag(config=True)
    default_url = Union(
        [Unicode(), Callable()],
        default_value="",
        help="Page after login, instead of one's own server or home; or a function of an object with current_user.",
    ).tag(config=True)
    user_redirect_hook = Callable(
        None,
        allow_none=True,
        help="Called with path, request, user and base_url for addresses below /hub/user-redirect/; returns where to "
        "go, or None for the user's default server.",
    ).tag(config=True)
    implicit_spawn_seconds = Duration(
        0, help="The page of a stopped server starts it by itself after so long; 0 waits for a click."
    ).tag(config=True)
    shutdown_on_logout = Bool(False, help="Logging out stops one's servers.").tag(config=True)
    authenticate_prometheus = Bool(True, help="Metrics need a token with read:metrics; off opens them.").tag(
        config=True
    )
    slow_spawn_timeout = Duration(10, help="How long a request that starts a server waits for it.").tag(config=True)
    slow_stop_timeout = Duration(10, help="How long a request that stops a server waits for it.").tag(config=True)
    route_timeout = Duration(
        2,
        help="How long, at most, a server that is ready is not yet said to be while a proxy does not lead to it. More "
        "suits proxies that are slow or overloaded; one that hangs holds up each start for so long.",
    ).tag(config=True)
    cookie_options = Dict(help="Further attributes of cookies, such as {'SameSite': 'None'}.").tag(config=True)
    response_headers = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="Further headers of the hub's answers. A Content-Security-Policy replaces the hub's own.",
    ).tag(config=True)
    oauth_require_pkce = Bool(False, help="Refuse services and servers that log people in without PKCE.").tag(
        config=True
    )
    token_expires_in_max_seconds = Int(
        0, help="Longest life of a new API token in seconds; 0 allows tokens that last for ever."
    ).tag(config=True)
    api_page_default_limit = Int(50, min=1, help="Entries of a page of the API where none are asked for.").tag(
        config=True
    )
    api_page_max_limit = Int(200, min=1, help="Most entries that a page of the API has.").tag(config=True)
    use_legacy_stopped_server_status_code = Bool(
        False, help="Answer 503 instead of 424 for stopped servers, as JupyterLab before 3.2 expects."
    ).tag(config=True)
    template_paths = List(
        Unicode(),
        help="Folders whose templates go before those of the same name that come with nbhub, which they reach as "
        "templates/NAME.html. Templates for JupyterHub do not fit; they are left out and told of.",
    ).tag(config=True)
    template_vars = Dict(help="Variables for templates; a function among them is called with the user.").tag(
        config=True
    )
    logo_file = Unicode(help="Picture to show instead of nbhub's; SVG, PNG or JPEG.").tag(config=True)
    trusted_proxies = Set(
        Unicode(), {"127.0.0.1", "::1"}, help="Addresses whose X-Forwarded headers the hub believes."
    ).tag(config=True)

    # stopping
    cleanup_servers = Bool(
        None,
        allow_none=True,
        help="Stop all servers when the hub stops; off leaves them running. By default on with SQLite, and off with "
        "PostgreSQL, where other hubs may look after them, and where the proxy runs apart and goes on serving them.",
    ).tag(config=True)
    cleanup_proxy = Bool(True, help="Stop Envoy when the hub stops; off leaves it serving running servers.").tag(
        config=True
    )
    shutdown_timeout = Duration(40, help="How long stopping may take before the rest is left to itself.").tag(
        config=True
    )

    # saying
    log_level = Enum(
        ("DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", 10, 20, 30, 40, 50),
        "INFO",
        help="From which level on the hub logs: DEBUG, INFO, WARNING, ERROR. DEBUG is for finding a fault.",
    ).tag(config=True)
    log_json = Bool(False, help="Log lines as JSON objects.").tag(config=True)

    @default("log")
    def _nbhub_log(self) -> logging.Logger:
        return logging.getLogger("nbhub")

    def _configure_logging(self) -> None:
        """Leave handlers and levels to `nbhub.log`."""

    @observe("log_level")
    def _observe_logging_change(self, change: Any) -> None:
        """Keep the level as it is given; the framework would set up handlers of its own."""

    @property
    def folder(self) -> Path:
        """data_dir as an absolute path."""
        return Path(self.data_dir).expanduser().absolute()

    @property
    def database(self) -> str:
        """URL of the database in force."""
        return self.db_url or f"sqlite:///{self.folder / 'nbhub.sqlite'}"

    @property
    def stops_servers(self) -> bool:
        """cleanup_servers, or what is right for the database."""
        if self.cleanup_servers is None:
            return self.start_proxy and not self.database.startswith("postgres")
        return bool(self.cleanup_servers)

    @property
    def address(self) -> str:
        """Address to tell people: public_url, or what ip and port make; ends with "/"."""
        if self.public_url:
            return self.public_url.rstrip("/") + "/"
        return self.local_address

    @property
    def local_address(self) -> str:
        """Where the proxy of this machine listens; ends with "/"."""
        scheme = "https" if self.config.Proxy.get("ssl_cert") else "http"
        return f"{scheme}://{url_host(self.ip)}:{self.port}{self.base_url}"

    def hub_address(self, hub_port: int) -> HubAddress:
        """Where servers and browsers reach the hub that listens on `hub_port`."""
        host, port = url_host(self.hub_connect_ip or self.hub_ip), self.hub_connect_port or hub_port
        connect = self.hub_connect_url.rstrip("/") or f"http://{host}:{port}"
        return HubAddress(
            base_url=self.base_url,
            api_url=f"{connect}{self.base_url}hub/api",
            public_url=self.public_url and self.address,
            cookie_options=dict(self.cookie_options),
        )

    def declared(self) -> Declared:
        """Services, roles and groups as the configuration has them; raises ConfigError."""
        return declare(
            services=self.services,
            roles=self.load_roles,
            groups=self.load_groups,
            custom_scopes=self.custom_scopes,
            user_scopes=self.extra_user_scopes,
        )

    def web_settings(self) -> WebSettings:
        """What the web has to know of the configuration."""
        return WebSettings(
            base_url=self.base_url,
            public_url=self.public_url and self.address,
            default_url=self.default_url,
            redirect_to_server=self.redirect_to_server,
            cookie_max_age=self.cookie_max_age_days * 86400,
            shutdown_on_logout=self.shutdown_on_logout,
            allow_named_servers=self.allow_named_servers,
            named_server_limit=self.named_server_limit_per_user,
            default_server_name=self.default_server_name,
            user_redirect_hook=self.user_redirect_hook,
            implicit_spawn_seconds=self.implicit_spawn_seconds,
            response_headers=tuple(self.response_headers.items()),
            oauth_require_pkce=self.oauth_require_pkce,
            token_expires_in_max=self.token_expires_in_max_seconds,
            api_page_default_limit=self.api_page_default_limit,
            api_page_max_limit=self.api_page_max_limit,
            use_legacy_stopped_server_status_code=self.use_legacy_stopped_server_status_code,
            template_paths=tuple(str(Path(path).expanduser().absolute()) for path in self.template_paths),
            template_vars=self.template_vars,
            logo_file=self.logo_file,
            active_server_limit=self.active_server_limit,
            concurrent_spawn_limit=self.concurrent_spawn_limit,
            slow_spawn_timeout=self.slow_spawn_timeout,
            slow_stop_timeout=self.slow_stop_timeout,
            oauth_token_expires_in=self.oauth_token_expires_in or self.cookie_max_age_days * 86400,
            authenticate_prometheus=self.authenticate_prometheus,
            trusted_proxies=tuple(self.trusted_proxies),
        )

    def pace(self, spawner: Spawner) -> Pace:
        """How often the reconciler looks."""
        grace = max(spawner.stop_timeout - 5, 1)  # the rest is for the backend's own kill
        return Pace(stop_grace=grace, limits=Limits(poll_interval=spawner.poll_interval))

    def habits(self) -> Habits:
        """What the sweep does."""
        return Habits(idle_timeout=self.idle_timeout)


def url_host(ip: str) -> str:
    """Return what stands for an address in a URL of this machine."""
    host = "127.0.0.1" if ip in ("", "*", "0.0.0.0", "::") else ip  # noqa: S104
    return f"[{host}]" if ":" in host else host
