"""Names of objects: the worked examples, rules of labels, fields, and that no two servers share one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbhub.errors import ConfigError, SpawnError
from nbhub.spawners.kubernetes import names, slugs
from nbhub.spawners.kubernetes.names import Names, Templates, Who

UUID = "03d1bf03-6c4c-4b0f-8364-c30a32f3fd47"
UUID_LETTER = "a3d1bf03-6c4c-4b0f-8364-c30a32f3fd47"

# user, server, the escape slug, the safe slug, the label of the user
EXAMPLES = [
    (UUID, "", "03d1bf03-2d6c4c-2d4b0f-2d8364-2dc30a32f3fd47", "x-03d1bf03-6c4c-4--x---dc564aff", UUID),
    (UUID, "gpu", "03d1bf03-2d6c4c-2d4b0f-2d8364-2dc30a32f3fd47--gpu", "x-03d1bf03-6c4c-4--gpu---e4556bc9", UUID),
    (UUID_LETTER, "", "a3d1bf03-2d6c4c-2d4b0f-2d8364-2dc30a32f3fd47", UUID_LETTER, UUID_LETTER),
    ("alice", "", "alice", "alice", "alice"),
    ("alice", "gpu", "alice--gpu", "alice--gpu", "alice"),
    ("user1", "my-server", "user1--my-2dserver", "user1--my-server", "user1"),
    ("user-name", "", "user-2dname", "user-name", "user-name"),
    (
        "User.Name@Example.com",
        "",
        "-55ser-2e-4eame-40-45xample-2ecom",
        "user-name-example-com---5b701344",
        "user-name-example-com---5b701344",
    ),
    (
        "user@example.com",
        "my server",
        "user-40example-2ecom--my-20server",
        "user-example-com--my-server---8d604eb3",
        "user-example-com---b4c9a289",
    ),
    ("user.with.dots", "srv", "user-2ewith-2edots--srv", "user-with-dots---e71d71ff--srv", "user.with.dots"),
    ("bob.smith", "", "bob-2esmith", "bob-smith---365b77fb", "bob.smith"),
    ("a_b", "", "a-5fb", "a-b---648fa9b3", "a_b"),
    ("a--b", "", "a-2d-2db", "a-b---90827a2e", "a-b---90827a2e"),
    ("-dash-", "", "-2ddash-2d", "dash---d02d5ecb", "dash---d02d5ecb"),
    ("_", "", "-5f", "x---d2e2adf7", "x---d2e2adf7"),
    ("1234", "", "1234", "x-1234---03ac6742", "1234"),
    ("UPPER", "", "-55-50-50-45-52", "upper---9cba1c65", "UPPER"),
    ("josé", "", "jos-c3-a9", "jos---d994e1d0", "jos---d994e1d0"),
    ("x" * 46, "", "x" * 46, "x" * 46, "x" * 46),
    ("x" * 47, "", "x" * 47, f"{'x' * 17}--x---cfcbdd85", "x" * 47),
    ("a" * 30, "b" * 30, f"{'a' * 30}--{'b' * 30}", f"{'a' * 17}--{'b' * 17}---583103a5", "a" * 30),
    ("alice", "Server 2", "alice---53erver-202", "alice--server-2---5dbf0d69", "alice"),
]
ANY_NAME = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=70) | st.text(
    st.sampled_from("ab-_.1X"), min_size=1, max_size=12
)
A_SERVER = st.just("") | ANY_NAME
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def resolved(user: str, server: str = "", kept: Mapping[str, str] | None = None, **templates: Any) -> Names:
    return names.resolve(
        Templates(**{"namespace": "hub", "hub_namespace": "hub", **templates}), Who(user, server, 7), kept
    )


@pytest.mark.parametrize(("user", "server", "escaped", "safe", "label"), EXAMPLES)
def test_worked_examples(user: str, server: str, escaped: str, safe: str, label: str) -> None:
    found = resolved(user, server)
    assert (found.pod, found.volume) == (f"jupyter-{safe}", f"claim-{safe}")
    assert slugs.label_value(user) == label
    assert slugs.escape_pair(user, server) == escaped
    if len(f"jupyter-{escaped}") <= 63:
        found = resolved(user, server, slug_scheme="escape")
        assert (found.pod, found.volume) == (f"jupyter-{escaped}", f"claim-{escaped}")
    # the templates of 0.12 to 6.x
    older = {"pod": "jupyter-{username}--{servername}", "volume": "claim-{username}--{servername}"}
    if len(f"jupyter-{escaped}") <= 63:
        assert resolved(user, server, slug_scheme="escape", **older).pod == f"jupyter-{escaped}"


def test_the_name_of_a_uuid_alone() -> None:
    fields = names.fields(Who(UUID), "safe", "hub")
    assert fields["username"] == fields["safe_username"] == "x-03d1bf03-6c4c-4b0f-8364-c30a32f3fd4---4d4b1826"


def test_a_name_too_long_for_kubernetes_is_refused_in_words() -> None:
    with pytest.raises(SpawnError, match=r"has 70 characters; Kubernetes takes 63.*slug_scheme = 'safe'"):
        resolved("a" * 30, "b" * 30, slug_scheme="escape")
    assert len(resolved("a" * 30, "b" * 30).pod) <= 63


@settings(max_examples=400)
@given(st.tuples(ANY_NAME, A_SERVER), st.tuples(ANY_NAME, A_SERVER))
def test_no_two_servers_share_an_object(one: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = resolved(*one), resolved(*other)
    assert (one == other) == (first.pod == second.pod) == (first.volume == second.volume)
    if one != other:
        assert slugs.escape_pair(*one) != slugs.escape_pair(*other)


@settings(max_examples=400)
@given(ANY_NAME, A_SERVER)
def test_every_name_is_one_that_kubernetes_takes(user: str, server: str) -> None:
    found = resolved(user, server)
    for name in (found.pod, found.volume, found.secret, found.service):
        assert DNS_LABEL.fullmatch(name) and len(name) <= 63
    for label in (slugs.label_value(user), slugs.label_value(server)):
        assert slugs.is_label_value(label)
    assert names.fields(Who(user, server), "safe", "hub")["userid"] == "0"


def test_labels_keep_what_is_readable() -> None:
    assert slugs.label_value("Ada.Lovelace_1") == "Ada.Lovelace_1"
    assert slugs.label_value("") == ""
    assert len(slugs.label_value("Ä" * 200)) <= 32


def test_fields_of_every_kind() -> None:
    fields = resolved("Ada L", "My Lab").fields
    assert fields["unescaped_username"] == "Ada L"
    assert fields["unescaped_servername"] == "My Lab"
    assert fields["escaped_username"] == "-41da-20-4c"
    assert fields["escaped_user_server"] == "-41da-20-4c---4dy-20-4cab"
    assert fields["safe_user_server"] == fields["user_server"] == "ada-l---7d981b26--my-lab---8c23cccc"
    assert (fields["userid"], fields["hubnamespace"], fields["namespace"]) == ("7", "hub", "hub")
    assert fields["pvc_name"] == f"claim-{fields['user_server']}"
    assert resolved("a", hub_namespace="default").fields["hubnamespace"] == "user"
    escaped = resolved("Ada L", "My Lab", slug_scheme="escape").fields
    assert (escaped["username"], escaped["safe_username"]) == ("-41da-20-4c", "ada-l---7d981b26")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("volume-{username}", "volume-ada"),
        ("{username}-{servername}", "ada"),  # what trails is cut off
        ("{username}--", "ada--"),  # unless it is meant
        ("{{username}}", "{username}"),
        ("plain", "plain"),
        ('{{"a": "{username}"}}', '{"a": "ada"}'),
    ],
)
def test_filling_in(template: str, text: str) -> None:
    assert names.expand(template, names.fields(Who("ada"), "safe", "hub")) == text


@pytest.mark.parametrize("template", ["{nobody}", "{0}", "{}", "{username.x}", "{", "{username!x}", '{"a": 1}'])
def test_what_cannot_be_filled_in_is_said(template: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"The text {template!a}")):
        names.expand(template, names.fields(Who("ada"), "safe", "hub"))


def test_the_known_fields_are_named() -> None:
    with pytest.raises(ConfigError, match=r"has the field \{user\}, .* Known are .*unescaped_username, user_server"):
        resolved("ada", pod="jupyter-{user}")


def test_structures_are_filled_in_but_for_their_keys() -> None:
    fields = names.fields(Who("ada"), "safe", "hub")
    given = {"{username}": ["a-{username}", {"b": "{username}", "c": 1, "d": None}]}
    assert names.expand_all(given, fields) == {"{username}": ["a-ada", {"b": "ada", "c": 1, "d": None}]}


def test_names_that_are_kept_win_over_templates() -> None:
    kept = {"pod": "jupyter-old", "volume": "claim-old", "namespace": "hub-old", "dns": "old.example"}
    found = resolved("ada", "", kept, pod="new-{username}", volume="new-{username}")
    assert (found.pod, found.volume, found.namespace, found.dns) == (
        "jupyter-old",
        "claim-old",
        "hub-old",
        "old.example",
    )
    assert (found.secret, found.fields["pvc_name"], found.fields["pod_name"]) == (
        "jupyter-old",
        "claim-old",
        "jupyter-old",
    )


def test_a_namespace_for_every_user() -> None:
    found = resolved("Ada L", namespace="{hubnamespace}-{username}", user_namespaces=True)
    assert (found.namespace, found.dns) == (
        "hub-ada-l---7d981b26",
        "jupyter-ada-l---7d981b26.hub-ada-l---7d981b26.svc.cluster.local",
    )


def test_names_that_cannot_be_are_refused() -> None:
    with pytest.raises(SpawnError, match=r"which Kubernetes does not take.*pod_name_template"):
        resolved("Ada L", pod="jupyter-{unescaped_username}")


def test_each_part_of_a_host_is_cut() -> None:
    fields = names.fields(Who("ada"), "safe", "hub")
    assert names.host("{username}--{servername}.{hubnamespace}.svc", fields) == "ada.hub.svc"
