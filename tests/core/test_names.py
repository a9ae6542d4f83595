"""Names in URLs, client ids and objects."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbhub.core import names

LONG = os.environ.get("NBHUB_LONG") == "1"
NAMES = st.one_of(
    st.text("ab-", max_size=6),
    st.text("aA1-_.@", max_size=6),
    st.text(max_size=60),
    st.text("a", min_size=40, max_size=60),
)
PAIRS = st.tuples(NAMES.filter(bool), NAMES).map(
    lambda pair: tuple(part.encode("utf-8", "replace").decode() for part in pair)
)


@pytest.mark.parametrize(
    ("user", "server", "name"),
    [
        ("alice", "", "alice"),
        ("alice", "gpu", "alice--gpu"),
        ("a1-b2", "c", "a1-b2--c"),
        ("x" * 48, "", "x" * 48),
    ],
)
def test_plain_names_stay_readable(user: str, server: str, name: str) -> None:
    assert names.object_name(user, server) == name


@pytest.mark.parametrize(
    ("user", "server", "start"),
    [
        ("Alice", "", "alice---"),
        ("alice@example.org", "", "alice-example-org---"),
        ("alice", "1", "alice-1---"),
        ("a--b", "", "a-b---"),
        ("a-", "b", "a-b---"),
        ("é", "", "x---"),
        ("1", "", "x-1---"),
        ("..", "", "x---"),
        ("a/../b", "", "a-b---"),
        ("x" * 49, "", "x" * 29 + "---"),
        ("x" * 1000, "y" * 1000, "x" * 29 + "---"),
        ("1", "0" * 60, "x-1-" + "0" * 25 + "---"),
        ("x" * 28, "y" * 28, "x" * 28 + "---"),
    ],
)
def test_other_names_are_cut_and_carry_a_hash(user: str, server: str, start: str) -> None:
    name = names.object_name(user, server)
    assert name.startswith(start)
    assert re.fullmatch(r"[a-z2-7]{16}", name.removeprefix(start))


@settings(max_examples=500 if LONG else 25, deadline=None, database=None)
@given(st.sets(PAIRS, min_size=2, max_size=6))
def test_no_two_servers_share_a_name_and_all_are_safe(servers: set[tuple[str, str]]) -> None:
    given_names = [names.object_name(user, server) for user, server in servers]
    assert len(set(given_names)) == len(servers)
    assert all(len(name) <= 48 and re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name) for name in given_names)


@pytest.mark.parametrize(
    ("user", "server", "prefix", "client"),
    [
        ("alice", "", "/user/alice/", "jupyterhub-user-alice"),
        ("alice", "gpu", "/user/alice/gpu/", "jupyterhub-user-alice-gpu"),
        ("al@x.y", "n1", "/user/al@x.y/n1/", "jupyterhub-user-al%40x.y-n1"),
        ("a b", "", "/user/a%20b/", "jupyterhub-user-a%20b"),
        ("é~", "", "/user/%C3%A9~/", "jupyterhub-user-%C3%A9~"),
        ("a%2fb", "", "/user/a%252fb/", "jupyterhub-user-a%252fb"),
        ("a?b#c", "", "/user/a%3Fb%23c/", "jupyterhub-user-a%3Fb%23c"),
    ],
)
def test_names_in_addresses_are_encoded_as_clients_expect(user: str, server: str, prefix: str, client: str) -> None:
    assert names.server_prefix("/", user, server) == prefix
    assert names.server_prefix("/hub-1/", user, server) == "/hub-1" + prefix
    assert names.server_client_id(user, server) == client
