"""What settings of existing files do: each is set as such a file sets it, and its effect is looked at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nbhub import config, secret
from nbhub.app import Hub
from nbhub.core import launch
from nbhub.core.model import Server, User
from nbhub.errors import ConfigError
from nbhub.spawners.one_server import Subject, prepare
from web_hub import running_hub

PREFIX = "c.JupyterHub.authenticator_class = 'dummy'\nc.JupyterHub.spawner_class = 'simple'\n"


def hub_of(folder: Path, text: str, *argv: str) -> Hub:
    (folder / "jupyterhub_config.py").write_text(PREFIX + text)
    return config.build(Hub, config.load(argv, folder=folder).config)


def spawner_of(folder: Path, text: str) -> Any:
    hub = hub_of(folder, text)
    return config.build(hub.spawner_class, hub.config, parent=hub)


async def environment_of(folder: Path, text: str) -> dict[str, str]:
    """The environment that a server gets."""
    hub = hub_of(folder, text)
    spawner = config.build(hub.spawner_class, hub.config, parent=hub)
    user = User(1, "ada", admin=True)
    found = await prepare(spawner, Subject(user, ("g",), options={"size": 2}))
    address = hub.hub_address(hub.hub_port)
    address = address.reached_at(found.hub_connect_url) if found.hub_connect_url else address
    built = launch.build(Server(1, 1, "ada", ""), user, ("g",), address, found.template, "t", found.settings)
    return dict(built.environment)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", "http://127.0.0.1:8000/"),
        ("c.JupyterHub.port = 9000\nc.JupyterHub.ip = '192.0.2.1'", "http://192.0.2.1:9000/"),
        ("c.JupyterHub.bind_url = 'http://:9000/pre'", "http://127.0.0.1:9000/pre/"),
        ("c.JupyterHub.bind_url = 'http://[::1]:9000'", "http://[::1]:9000/"),
        ("c.JupyterHub.bind_url = 'http://*:9000'\nc.JupyterHub.port = 9001", "http://127.0.0.1:9001/"),
        ("c.JupyterHub.base_url = 'pre'", "http://127.0.0.1:8000/pre/"),
        (
            "c.JupyterHub.ssl_cert = '/x'\nc.JupyterHub.ssl_key = '/y'\nc.JupyterHub.port = 443",
            "https://127.0.0.1:443/",
        ),
        ("c.JupyterHub.public_url = 'https://hub.example.org'", "https://hub.example.org/"),
        ("c.JupyterHub.ssl_cert = ''\nc.JupyterHub.ssl_key = ''", "http://127.0.0.1:8000/"),
    ],
)
def test_the_public_address(tmp_path: Path, text: str, address: str) -> None:
    assert hub_of(tmp_path, text).address == address


@pytest.mark.parametrize(
    ("text", "api"),
    [
        ("", "http://127.0.0.1:8081/hub/api"),
        ("c.JupyterHub.hub_ip = '0.0.0.0'\nc.JupyterHub.hub_port = 9", "http://127.0.0.1:9/hub/api"),
        ("c.JupyterHub.hub_ip = ''\nc.JupyterHub.hub_connect_ip = 'hub'", "http://hub:8081/hub/api"),
        ("c.JupyterHub.hub_bind_url = 'http://192.0.2.1:9'", "http://192.0.2.1:9/hub/api"),
        ("c.JupyterHub.hub_connect_url = 'http://hub:8'\nc.JupyterHub.base_url = '/x/'", "http://hub:8/x/hub/api"),
        ("c.Spawner.hub_connect_url = 'http://gate:7'", "http://gate:7/hub/api"),
        ("c.JupyterHub.hub_connect_ip = 'hub'\nc.JupyterHub.hub_connect_port = 80", "http://hub:80/hub/api"),
        ("c.KubeSpawner.hub_connect_port = 8082", "http://127.0.0.1:8082/hub/api"),
    ],
)
async def test_where_servers_reach_the_hub(tmp_path: Path, text: str, api: str) -> None:
    assert (await environment_of(tmp_path, text))["JUPYTERHUB_API_URL"] == api


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("c.Spawner.mem_limit = '1.5G'", "MEM_LIMIT", "1610612736"),
        ("c.Spawner.mem_guarantee = 512", "MEM_GUARANTEE", "512"),
        ("c.Spawner.cpu_limit = 2", "CPU_LIMIT", "2.0"),
        ("c.Spawner.cpu_guarantee = 0.5", "CPU_GUARANTEE", "0.5"),
        ("c.Spawner.default_url = '/tree/{username}'", "JUPYTERHUB_DEFAULT_URL", "/tree/ada"),
        ("c.Spawner.notebook_dir = '~/{username}'", "JUPYTERHUB_ROOT_DIR", "~/ada"),
        ("c.Spawner.debug = True", "JUPYTERHUB_DEBUG", "1"),
        ("c.Spawner.disable_user_config = True", "JUPYTERHUB_DISABLE_USER_CONFIG", "1"),
        ("c.Spawner.environment = {'X': lambda s: s.user.groups[0].name}", "X", "g"),
        ("c.Spawner.environment.update({'X': 1})", "X", "1"),
        ("c.LocalProcessSpawner.environment = {'X': 'no'}\nc.Spawner.environment = {'X': 'yes'}", "X", "yes"),
        ("c.SimpleLocalProcessSpawner.environment = {'X': 'own'}\nc.Spawner.environment = {'X': 'all'}", "X", "own"),
        ("c.Spawner.oauth_client_allowed_scopes = ['self']", "JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES", '["self"]'),
        ("c.Spawner.apply_user_options = {'size': 'cpu_limit'}", "CPU_LIMIT", "2.0"),
        ("def h(s):\n    s.mem_limit = '1K'\nc.Spawner.pre_spawn_hook = h", "MEM_LIMIT", "1024"),
        (
            "c.Spawner.group_overrides = {'a': {'groups': ['g'], 'spawner_override': {'cpu_limit': 4}}}",
            "CPU_LIMIT",
            "4.0",
        ),
        (
            "c.JupyterHub.tornado_settings = {'cookie_options': {'SameSite': 'None'}}",
            "JUPYTERHUB_COOKIE_OPTIONS",
            '{"SameSite": "None"}',
        ),
    ],
)
async def test_what_servers_get(tmp_path: Path, text: str, name: str, value: str) -> None:
    assert (await environment_of(tmp_path, text))[name] == value


def test_lists_are_appended_to_the_defaults_of_the_class(tmp_path: Path) -> None:
    text = "c.Spawner.env_keep.append('A')\nc.Spawner.env_keep.extend(['B'])\nc.Spawner.args.prepend(['--x'])\n"
    (tmp_path / "more.py").write_text("c.Spawner.args.insert(0, '--first')\n")
    spawner = spawner_of(tmp_path, text + "load_subconfig('more.py')\n")
    assert spawner.env_keep[-2:] == ["A", "B"] and "PATH" in spawner.env_keep
    assert set(spawner.args) == {"--x", "--first"}


def test_commands_and_timeouts(tmp_path: Path) -> None:
    spawner = spawner_of(
        tmp_path,
        "c.Spawner.cmd = 'lab'\nc.LocalProcessSpawner.shell_cmd = 'sh'\nc.Spawner.start_timeout = 5\n"
        "c.Spawner.http_timeout = 6\nc.Spawner.poll_interval = 7\nc.Spawner.ip = '0.0.0.0'\nc.Spawner.port = 8888\n",
    )
    assert (spawner.cmd, spawner.start_timeout, spawner.http_timeout) == (["lab"], 5, 6)
    assert (spawner.poll_interval, spawner.ip, spawner.port) == (7, "0.0.0.0", 8888)


def test_the_secret_and_where_it_comes_from(tmp_path: Path) -> None:
    given, named, kept = b"g" * 32, "6e" * 32, tmp_path / "cookie_secret"
    assert secret.find(given, "", tmp_path, {}) == (given,)
    assert secret.find("6e" * 32, "", tmp_path, {secret.VARIABLE: "6f" * 32}) == (bytes.fromhex(named),)
    assert secret.find("", str(kept), tmp_path, {secret.VARIABLE: "6f" * 32}) == (bytes.fromhex("6f" * 32),)
    made = secret.find("", str(kept), tmp_path, {})
    assert made == (bytes.fromhex(kept.read_text()),) == secret.find("", str(kept), tmp_path, {})
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by everybody"):
        secret.find("", str(kept), tmp_path, {})
    with pytest.raises(ConfigError, match="cookie_secret has to be 64"):
        secret.find("short", "", tmp_path, {})
    assert hub_of(tmp_path, "c.JupyterHub.cookie_secret = b'g' * 32\n").cookie_secret == given
    hub = hub_of(tmp_path, f"c.JupyterHub.cookie_secret = {named!r}\n")
    assert secret.find(hub.cookie_secret, "", tmp_path, os.environ) == (bytes.fromhex(named),)


def test_the_web_is_told(tmp_path: Path) -> None:
    settings = hub_of(
        tmp_path,
        "c.JupyterHub.tornado_settings = {'slow_spawn_timeout': 1, 'slow_stop_timeout': 2, 'headers': {'X-A': 'b'}}\n"
        "c.JupyterHub.implicit_spawn_seconds = 3\nc.JupyterHub.default_server_name = 'd'\n"
        "c.JupyterHub.oauth_require_pkce = True\nc.JupyterHub.active_server_limit = 4\n"
        "c.JupyterHub.concurrent_spawn_limit = 5\nc.JupyterHub.redirect_to_server = False\n"
        "c.JupyterHub.shutdown_on_logout = True\nc.JupyterHub.authenticate_prometheus = False\n"
        "c.JupyterHub.cookie_max_age_days = 1\nc.JupyterHub.allow_named_servers = True\n",
    ).web_settings()
    assert (settings.slow_spawn_timeout, settings.slow_stop_timeout) == (1, 2)
    assert settings.response_headers == (("X-A", "b"),)
    assert (settings.implicit_spawn_seconds, settings.default_server_name) == (3, "d")
    assert (settings.active_server_limit, settings.concurrent_spawn_limit) == (4, 5)
    assert settings.oauth_require_pkce and settings.shutdown_on_logout and settings.allow_named_servers
    assert not settings.redirect_to_server and not settings.authenticate_prometheus
    assert settings.cookie_max_age == 86400


def test_the_proxy_is_started_or_not(tmp_path: Path) -> None:
    assert hub_of(tmp_path, "").start_proxy
    for section in ("ConfigurableHTTPProxy", "Proxy"):
        assert not hub_of(tmp_path, f"c.{section}.should_start = False").start_proxy


def test_what_every_user_may_besides(tmp_path: Path) -> None:
    hub = hub_of(tmp_path, "c.JupyterHub.extra_user_scopes = {'access:services'}")
    assert hub.declared().user_scopes == ("access:services",)


async def test_headers_pages_and_functions_of_a_visit(tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "not_running.html").write_text(
        "{% extends 'templates/not_running.html' %}{% block title %}{{ word }} of {{ who }}{% endblock %}"
    )
    (folder / "home.html").write_text("{% extends 'page.html' %}")  # as for JupyterHub
    (folder / "error.html").write_text("{% broken")
    logo = tmp_path / "logo.png"
    logo.write_bytes(b"\x89PNG\r\n\x1a\n")

    async def redirect(path: str, request: Any, user: Any, base_url: str) -> str | None:
        return f"{base_url}elsewhere/{user.name}/{path}" if path.startswith("course") else None

    settings = {
        "response_headers": (("X-Own", "1"), ("Content-Security-Policy", "frame-ancestors 'self'")),
        "template_paths": (str(folder),),
        "template_vars": {"word": "Rest", "who": lambda user: user.name if user else "nobody"},
        "logo_file": str(logo),
        "user_redirect_hook": redirect,
        "default_url": lambda handler: f"/start/{handler.current_user.name}",
        "implicit_spawn_seconds": 4.0,
        "allow_named_servers": True,
        "named_server_limit": lambda handler: 1 if handler.current_user.admin else 0,
    }
    async with running_hub(tmp_path, **settings) as hub:
        await hub.user("ada")
        browser = await hub.browser("ada")
        page = await browser.get("/hub/spawn-pending/ada")
        assert "<title>Rest of ada" in page.text and 'data-follow="4.0"' in page.text
        assert page.headers["x-own"] == "1"
        assert page.headers["content-security-policy"] == "frame-ancestors 'self'"
        assert (await browser.get("/hub/home")).status_code == 200
        assert (await browser.get("/hub/nothing-here")).status_code == 404
        picture = await browser.get("/hub/logo")
        assert picture.headers["content-type"] == "image/png" and picture.content.startswith(b"\x89PNG")
        assert (await browser.get("/hub/user-redirect/course/1")).headers["location"] == "/elsewhere/ada/course/1"
        assert "/hub/spawn/ada" in (await browser.get("/hub/user-redirect/lab")).headers["location"]
        assert (await browser.get("/hub/")).headers["location"] == "/start/ada"
        name = "root"
        root = await hub.api(name)
        assert (await root.put(f"/hub/api/users/{name}/servers/one")).status_code == 201
        refused = await root.put(f"/hub/api/users/{name}/servers/two")
        assert refused.status_code == 400 and "already has 1 named servers" in refused.text


def test_the_web_is_told_of_what_few_files_set(tmp_path: Path) -> None:
    settings = hub_of(
        tmp_path,
        "c.JupyterHub.oauth_token_expires_in = 77\nc.JupyterHub.token_expires_in_max_seconds = 100\n"
        "c.JupyterHub.api_page_default_limit = 3\nc.JupyterHub.api_page_max_limit = 4\n"
        "c.JupyterHub.use_legacy_stopped_server_status_code = True\n",
    ).web_settings()
    assert (settings.oauth_token_expires_in, settings.token_expires_in_max) == (77, 100)
    assert (settings.api_page_default_limit, settings.api_page_max_limit) == (3, 4)
    assert settings.use_legacy_stopped_server_status_code
    assert hub_of(tmp_path, "c.JupyterHub.cookie_max_age_days = 2").web_settings().oauth_token_expires_in == 2 * 86400


@pytest.mark.parametrize(("legacy", "status"), [(True, 503), (False, 424)])
async def test_what_programs_hear_of_stopped_servers(tmp_path: Path, legacy: bool, status: int) -> None:
    async with running_hub(tmp_path, use_legacy_stopped_server_status_code=legacy) as hub:
        await hub.user("ada")
        browser = await hub.browser("ada")
        assert (await browser.get("/hub/user/ada/api/contents")).status_code == status


async def test_pages_of_the_api(tmp_path: Path) -> None:
    async with running_hub(tmp_path, api_page_default_limit=1, api_page_max_limit=2) as hub:
        for name in ("ada", "bob", "eve"):
            await hub.user(name)
        api = await hub.api("root")
        paging = {"Accept": "application/jupyterhub-pagination+json"}
        assert len((await api.get("/hub/api/users", headers=paging)).json()["items"]) == 1
        assert (
            len((await api.get("/hub/api/users")).json()) == 2
        )  # for those who know nothing of pages: as many as may be
        assert len((await api.get("/hub/api/users", params={"limit": 50})).json()) == 2


@pytest.mark.parametrize(
    ("text", "signup"),
    [
        ("c.NativeAuthenticator.open_signup = True", "open"),
        ("c.NativeAuthenticator.open_signup = False", "approval"),
        ("c.NativeAuthenticator.enable_signup = False", "closed"),
        ("c.NativeAuthenticator.enable_signup = True", None),
    ],
)
def test_who_may_sign_up(tmp_path: Path, text: str, signup: str | None) -> None:
    hub = hub_of(tmp_path, "c.JupyterHub.authenticator_class = 'nativeauthenticator.NativeAuthenticator'\n" + text)
    assert config.build(hub.authenticator_class, hub.config, parent=hub).signup == signup


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("c.JupyterHub.debug_proxy = True", "debug"),
        ("c.ConfigurableHTTPProxy.debug = True", "debug"),
        ("c.ConfigurableHTTPProxy.log_level = 'warn'", "warning"),
        ("c.ConfigurableHTTPProxy.debug = False", None),
    ],
)
def test_how_much_the_proxy_says(tmp_path: Path, text: str, level: str | None) -> None:
    assert hub_of(tmp_path, text).config.Proxy.get("log_level") == level


def test_whom_gitlab_lets_in_by_older_names(tmp_path: Path) -> None:
    text = (
        "c.JupyterHub.authenticator_class = 'gitlab'\nc.GitLabOAuthenticator.gitlab_group_whitelist = {'lab'}\n"
        "c.GitLabOAuthenticator.gitlab_project_id_whitelist = {7}\n"
    )
    hub = hub_of(tmp_path, text)
    source = config.build(hub.authenticator_class, hub.config, parent=hub)
    assert (source.allowed_gitlab_groups, source.allowed_project_ids) == ({"lab"}, {7})
