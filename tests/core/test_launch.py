"""The environment and command that a server is launched with."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from nbhub.core import launch
from nbhub.core.launch import HubAddress, Launch, LaunchTemplate
from nbhub.core.model import Server, User

HUB = HubAddress(base_url="/", api_url="http://127.0.0.1:8081/hub/api")
TOKEN = "0123456789abcdef0123456789abcdef"
ALWAYS = {
    "JUPYTERHUB_API_TOKEN",
    "JPY_API_TOKEN",
    "JUPYTERHUB_CLIENT_ID",
    "JUPYTERHUB_HOST",
    "JUPYTERHUB_OAUTH_CALLBACK_URL",
    "JUPYTERHUB_OAUTH_SCOPES",
    "JUPYTERHUB_OAUTH_ACCESS_SCOPES",
    "JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES",
    "JUPYTERHUB_USER",
    "JUPYTERHUB_SERVER_NAME",
    "JUPYTERHUB_API_URL",
    "JUPYTERHUB_ACTIVITY_URL",
    "JUPYTERHUB_BASE_URL",
    "JUPYTERHUB_SERVICE_PREFIX",
    "JUPYTERHUB_PUBLIC_URL",
    "JUPYTERHUB_PUBLIC_HUB_URL",
    "JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED",
}


def a_launch(user: str = "alice", server: str = "", hub: HubAddress = HUB, **template: Any) -> Launch:
    """The launch of a server's second generation."""
    record = Server(5, 1, user, server, wanted=True, generation=2, options={"image": "x"}, state={"pid": 7})
    return launch.build(record, User(1, user), ("g",), hub, LaunchTemplate(**template), TOKEN)


def test_the_default_server_of_a_plain_user() -> None:
    access = '["access:servers!server=alice/", "access:servers!user=alice"]'
    assert a_launch().bound_to("127.0.0.1", 4242).environment == {
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "JPY_API_TOKEN": TOKEN,
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-alice",
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_OAUTH_CALLBACK_URL": "/user/alice/oauth_callback",
        "JUPYTERHUB_OAUTH_SCOPES": access,
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": access,
        "JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES": "[]",
        "JUPYTERHUB_USER": "alice",
        "JUPYTERHUB_SERVER_NAME": "",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
        "JUPYTERHUB_ACTIVITY_URL": "http://127.0.0.1:8081/hub/api/users/alice/activity",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/alice/",
        "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:4242/user/alice/",
        "JUPYTERHUB_PUBLIC_URL": "",
        "JUPYTERHUB_PUBLIC_HUB_URL": "",
        "JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED": "0",
    }


@pytest.mark.parametrize(
    ("user", "server", "prefix", "client", "activity"),
    [
        ("alice", "gpu", "/user/alice/gpu/", "jupyterhub-user-alice-gpu", "alice"),
        ("al@x.y", "n1", "/user/al@x.y/n1/", "jupyterhub-user-al%40x.y-n1", "al@x.y"),
        ("a b", "", "/user/a%20b/", "jupyterhub-user-a%20b", "a%20b"),
        ("é", "ü", "/user/%C3%A9/%C3%BC/", "jupyterhub-user-%C3%A9-%C3%BC", "%C3%A9"),
        ('q"?#%', "", "/user/q%22%3F%23%25/", "jupyterhub-user-q%22%3F%23%25", "q%22%3F%23%25"),
    ],
)
def test_odd_names_are_encoded_in_addresses_and_raw_elsewhere(
    user: str, server: str, prefix: str, client: str, activity: str
) -> None:
    hub = HubAddress(base_url="/pre/", api_url="http://hub:8081/pre/hub/api")
    environment = a_launch(user, server, hub).bound_to("10.0.0.1", 8888).environment
    prefix = f"/pre{prefix}"
    assert environment["JUPYTERHUB_SERVICE_PREFIX"] == prefix
    assert environment["JUPYTERHUB_OAUTH_CALLBACK_URL"] == f"{prefix}oauth_callback"
    assert environment["JUPYTERHUB_SERVICE_URL"] == f"http://10.0.0.1:8888{prefix}"
    assert environment["JUPYTERHUB_CLIENT_ID"] == client
    assert environment["JUPYTERHUB_ACTIVITY_URL"] == f"http://hub:8081/pre/hub/api/users/{activity}/activity"
    assert environment["JUPYTERHUB_BASE_URL"] == "/pre/"
    assert environment["JUPYTERHUB_USER"] == user
    assert environment["JUPYTERHUB_SERVER_NAME"] == server
    access = [f"access:servers!server={user}/{server}", f"access:servers!user={user}"]
    assert json.loads(environment["JUPYTERHUB_OAUTH_SCOPES"]) == access
    assert json.loads(environment["JUPYTERHUB_OAUTH_ACCESS_SCOPES"]) == access


@pytest.mark.parametrize("server", ["", "gpu"])
def test_what_is_always_there_is_there_and_nothing_else(server: str) -> None:
    assert a_launch("alice", server).environment.keys() == ALWAYS


@pytest.mark.parametrize(
    ("public_url", "host"),
    [
        ("https://hub.example.org/", "https://hub.example.org"),
        ("https://hub.example.org:8443/pre/", "https://hub.example.org:8443"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("", ""),
        ("/pre/", ""),
    ],
)
def test_the_origin_of_the_public_address(public_url: str, host: str) -> None:
    assert HubAddress(public_url=public_url).public_host == host


def test_public_addresses_and_cookie_options_are_passed_on() -> None:
    hub = HubAddress("/pre/", HUB.api_url, "https://hub.example.org/pre/", {"SameSite": "Lax"})
    environment = a_launch("a b", "gpu", hub).environment
    assert environment["JUPYTERHUB_HOST"] == "https://hub.example.org"
    assert environment["JUPYTERHUB_PUBLIC_URL"] == "https://hub.example.org/pre/user/a%20b/gpu/"
    assert environment["JUPYTERHUB_PUBLIC_HUB_URL"] == "https://hub.example.org/pre/hub/"
    assert json.loads(environment["JUPYTERHUB_COOKIE_OPTIONS"]) == {"SameSite": "Lax"}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ({"notebook_dir": "~/{username}"}, {"JUPYTERHUB_ROOT_DIR": "~/alice"}),
        ({"default_url": "/lab/tree/{username}"}, {"JUPYTERHUB_DEFAULT_URL": "/lab/tree/alice"}),
        ({"debug": True}, {"JUPYTERHUB_DEBUG": "1"}),
        ({"disable_user_config": True}, {"JUPYTERHUB_DISABLE_USER_CONFIG": "1"}),
        ({"mem_limit": 1610612736}, {"MEM_LIMIT": "1610612736"}),
        ({"mem_limit": 0, "mem_guarantee": 0, "cpu_limit": 0, "cpu_guarantee": 0.0}, {}),
        ({"cpu_limit": 8}, {"CPU_LIMIT": "8.0"}),
        ({"cpu_guarantee": 0.5}, {"CPU_GUARANTEE": "0.5"}),
        ({"oauth_allowed_scopes": ("tokens!user",)}, {"JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES": '["tokens!user"]'}),
        ({"environment": {"X": "{username}", "JUPYTERHUB_DEBUG": "0"}}, {"X": "{username}", "JUPYTERHUB_DEBUG": "0"}),
        (
            {"environment": {"JUPYTERHUB_USER": "other"}, "debug": True},
            {"JUPYTERHUB_USER": "other", "JUPYTERHUB_DEBUG": "1"},
        ),
    ],
)
def test_what_the_configuration_adds(template: dict[str, Any], expected: dict[str, str]) -> None:
    plain, environment = dict(a_launch().environment), a_launch(**template).environment
    assert environment == plain | expected


def test_names_are_filled_in_only_where_they_are_meant() -> None:
    fields = {"username": "alice", "base_url": "/user/alice/"}
    assert launch.expand("{username} {base_url}x {other} {} {{username}} ${HOME}", fields) == (
        "alice /user/alice/x {other} {} {alice} ${HOME}"
    )
    built = a_launch("a b", arguments=("--at={base_url}", "-c", '{"a": {}}'), command=("run",))
    assert built.arguments == ("--at=/user/a%20b/", "-c", '{"a": {}}')
    assert built.command == ("run",)


def test_a_name_cannot_smuggle_fields_in() -> None:
    assert (
        a_launch("{base_url}", notebook_dir="/data/{username}").environment["JUPYTERHUB_ROOT_DIR"] == "/data/{base_url}"
    )


@pytest.mark.parametrize(
    ("ip", "origin"), [("127.0.0.1", "http://127.0.0.1:1"), ("::1", "http://[::1]:1"), ("", "http://:1")]
)
def test_the_address_to_listen_on(ip: str, origin: str) -> None:
    assert a_launch().bound_to(ip, 1).environment["JUPYTERHUB_SERVICE_URL"] == f"{origin}/user/alice/"


def test_a_launch_is_the_same_every_time_and_never_changed() -> None:
    first = a_launch()
    assert first == a_launch()
    assert first.with_environment({"X": "1"}).environment["X"] == "1"
    assert "X" not in first.environment
    assert replace(first, command=("x",)) != first
    assert (first.server_id, first.generation, first.object_name, first.groups) == (5, 2, "alice", ("g",))
    assert (first.options, first.state, first.server_name) == ({"image": "x"}, {"pid": 7}, "")


def test_options_that_were_never_given_are_none_at_all() -> None:
    record = Server(5, 1, "alice", "", options=None)
    assert launch.build(record, User(1, "alice"), (), HUB, LaunchTemplate(), TOKEN).options == {}
