"""The JSON Schema of all settings: it is one, and has a form for each that JSON can hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nbhub import cli, reference, schema
from nbhub.commands.call import all_classes

DOCUMENT: dict[str, Any] = json.loads(schema.document(all_classes()))


def form(section: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["$defs"][section]["properties"][name]
    return found


def test_every_section_is_there_with_the_settings_of_its_bases() -> None:
    assert set(DOCUMENT["properties"]) == set(DOCUMENT["$defs"])
    assert {cls.__name__ for cls in reference.sections(all_classes())} == set(DOCUMENT["$defs"])
    assert "allowed_users" in DOCUMENT["$defs"]["GitHubOAuthenticator"]["properties"]
    for section in DOCUMENT["$defs"].values():
        assert all(setting["description"] for setting in section["properties"].values())


@pytest.mark.parametrize(
    ("section", "name", "part"),
    [
        ("Hub", "port", {"type": "integer", "default": 8000}),
        ("Hub", "api_page_max_limit", {"minimum": 1}),
        ("Hub", "allow_named_servers", {"type": "boolean"}),
        ("Hub", "idle_timeout", {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}),
        ("Hub", "named_server_limit_per_user", {"type": "integer"}),  # or a function, in Python
        ("Hub", "services", {"type": "array", "items": {"type": "object"}}),
        ("NativeAuthenticator", "signup", {"enum": ["closed", "approval", "open", None]}),
        ("Authenticator", "allowed_users", {"type": "array", "uniqueItems": True, "default": []}),
        ("Authenticator", "username_map", {"type": "object", "additionalProperties": {"type": "string"}}),
        (
            "Spawner",
            "mem_limit",
            {"anyOf": [{"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}, {"type": "null"}]},
        ),
    ],
)
def test_what_a_setting_takes(section: str, name: str, part: dict[str, Any]) -> None:
    found = form(section, name)
    assert {key: found.get(key) for key in part} == part


def test_functions_have_no_form() -> None:
    assert "pre_spawn_hook" not in DOCUMENT["$defs"]["Spawner"]["properties"]
    assert "post_auth_hook" not in DOCUMENT["$defs"]["Authenticator"]["properties"]


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == DOCUMENT
