"""Spelling of prefixes and targets."""

import pytest

from nbhub.core import names
from nbhub.core.model import Route
from nbhub.errors import BadRequest
from nbhub.proxy import paths, routes

AWKWARD = ["alice", "a@b.c", "o'brien", "Zoë", "a b", "a%b", "a;b", "a~b", "x*y(z)!", "..a", "日本", "a+b", "a&b=c?d#e"]


@pytest.mark.parametrize("name", AWKWARD)
def test_what_names_quotes_is_canonical(name: str) -> None:
    prefix = names.server_prefix("/", name, name)
    assert paths.normalise_prefix(prefix, "/") == prefix


@pytest.mark.parametrize(
    ("spelled", "canonical"),
    [
        ("/user/%61lice/", "/user/alice/"),
        ("/user/a%40b.c/", "/user/a@b.c/"),
        ("/user/%c3%a9/", "/user/%C3%A9/"),
        ("/user/a b/", "/user/a%20b/"),
        ("/services/x/", "/services/x/"),
    ],
)
def test_one_spelling(spelled: str, canonical: str) -> None:
    assert paths.normalise_prefix(spelled, "/") == canonical


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "/", "user/alice/", "/user/alice", "/hub/", "/hub/x/", "/%68ub/", "//", "/user//", "/user/../x/"),
        *("/user/%2e%2e/", "/user/a%2fb/", "/user/a%5cb/", "/user/a\\b/", "/user/a\nb/", "/user/a%00b/", "/user/./"),
    ],
)
def test_refused_prefixes(prefix: str) -> None:
    with pytest.raises(BadRequest):
        paths.normalise_prefix(prefix, "/")


def test_prefix_below_the_base_url() -> None:
    assert paths.normalise_prefix("/jupyter/user/a/", "/jupyter/") == "/jupyter/user/a/"
    for outside in ("/user/a/", "/jupyter/hub/", "/jupyter/", "/jupyterx/user/a/"):
        with pytest.raises(BadRequest):
            paths.normalise_prefix(outside, "/jupyter/")


@pytest.mark.parametrize(
    ("target", "canonical"),
    [
        ("http://10.0.0.1:8888", "http://10.0.0.1:8888"),
        ("http://10.0.0.1:8888/", "http://10.0.0.1:8888"),
        ("http://[fe80::1]:80", "http://[fe80::1]:80"),
        ("HTTP://Localhost:80", "http://localhost:80"),
    ],
)
def test_targets(target: str, canonical: str) -> None:
    assert paths.normalise_target(target) == canonical


@pytest.mark.parametrize(
    "target",
    [
        "",
        "10.0.0.1:80",
        "https://10.0.0.1:80",
        "http://10.0.0.1",
        "http://10.0.0.1:80/x",
        "http://:80",
        "http://h:99999",
    ],
)
def test_refused_targets(target: str) -> None:
    with pytest.raises(BadRequest):
        paths.normalise_target(target)


def test_plain_names_have_one_spelling() -> None:
    assert paths.aliases("/user/alice/gpu-1.x_y~z/") == []


def test_aliases_are_what_browsers_and_scripts_write() -> None:
    assert paths.aliases("/user/a@b.c/") == ["/user/a%40b.c/"]
    assert set(paths.aliases("/user/o%27%C3%A9/")) == {"/user/o%27%c3%a9/", "/user/o'%C3%A9/", "/user/o'%c3%a9/"}


def test_bad_routes_are_left_out_and_the_others_kept(caplog: pytest.LogCaptureFixture) -> None:
    good = Route("/user/a/", "http://127.0.0.1:1")
    chosen = routes.choose([Route("/hub/", "http://127.0.0.1:2"), good, Route("/user/b/", "ftp://x"), good], "/")
    assert chosen == [good]
    assert "/hub/" in caplog.text
    assert "ftp://x" in caplog.text


async def test_names_become_addresses() -> None:
    found = await routes.resolve([Route("/a/", "http://localhost:1"), Route("/b/", "http://[::1]:2")])
    assert [route.target for route in found] == ["http://127.0.0.1:1", "http://[::1]:2"]


async def test_a_name_without_address_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    found = await routes.resolve([Route("/a/", "http://no-such-host.invalid:1"), Route("/b/", "http://127.0.0.1:2")])
    assert [route.prefix for route in found] == ["/b/"]
    assert "no-such-host.invalid" in caplog.text
