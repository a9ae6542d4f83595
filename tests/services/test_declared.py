"""What the settings may say of services, roles, groups and scopes, and the words for what they may not."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.errors import ConfigError
from nbhub.services import declare
from nbhub.services.declared import RoleSpec, ServiceSpec


def test_a_service_with_everything() -> None:
    [service] = declare(
        services=[
            {
                "name": "web", "admin": True, "url": "http://127.0.0.1:1", "api_token": "12345678", "command": "run",
                "cwd": "/", "environment": {"A": 1}, "user": "www", "info": {"b": 2}, "display": False, "timeout": 3,
                "oauth_no_confirm": True, "oauth_client_id": "service-x", "oauth_redirect_uri": "/y",
                "oauth_client_allowed_scopes": ["read:users!user"],
            }
        ]
    ).services  # fmt: skip
    assert service == ServiceSpec(
        "web", True, "http://127.0.0.1:1", "12345678", ("run",), "/", {"A": "1"}, "www", {"b": 2}, False, 3.0, True,
        "service-x", "/y", ("read:users!user",),
    )  # fmt: skip


def test_a_role_leaves_alone_what_it_does_not_say() -> None:
    declared = declare(roles=[{"name": "one", "scopes": ["list:users"], "groups": []}, {"name": "user"}])
    assert declared.roles == (RoleSpec("one", None, ("list:users",), None, (), None), RoleSpec("user"))


def test_old_and_new_forms_of_groups() -> None:
    declared = declare(groups={"a": ["x"], "b": {"users": ["y"], "properties": {"p": 1}}, "c": {}})
    assert [(g.name, g.users, g.properties) for g in declared.groups] == [
        ("a", ("x",), None), ("b", ("y",), {"p": 1}), ("c", (), None),
    ]  # fmt: skip


def test_custom_scopes_can_be_used_in_roles() -> None:
    custom = {
        "custom:g:read": {"description": "Read."},
        "custom:g:write": {"description": "W.", "subscopes": ["custom:g:read"]},
    }
    declared = declare(custom_scopes=custom, roles=[{"name": "grader", "scopes": ["custom:g:write!user=a"]}])
    assert declared.custom_scopes["custom:g:write"].implies == ("custom:g:read",)


SERVICE, ROLE = {"name": "web"}, {"name": "reader"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"services": [{"nam": "x"}]}, "without a name"),
        ({"services": ["x"]}, "each item is a dict"),
        ({"services": [SERVICE | {"comand": "x"}]}, "there is no key 'comand'. Did you mean command?"),
        ({"services": [SERVICE | {"oauth_roles": []}]}, "oauth_client_allowed_scopes"),
        ({"services": [{"name": "a/b"}]}, "cannot be the name of a service"),
        ({"services": [{"name": ".."}]}, "cannot be the name of a service"),
        ({"services": [{"name": "a%2fb"}]}, "cannot be the name of a service"),
        ({"services": [SERVICE, SERVICE]}, "'web' twice"),
        ({"services": [SERVICE | {"url": "https://x"}]}, "not of the form http://host:port"),
        ({"services": [SERVICE | {"url": "http://x:99999"}]}, "not of the form http://host:port"),
        ({"services": [SERVICE | {"api_token": "short"}]}, "8 to 64 characters"),
        ({"services": [SERVICE | {"admin": "yes"}]}, "admin is 'yes'; it has to be True or False"),
        ({"services": [SERVICE | {"command": 3}]}, "command is 3"),
        ({"services": [SERVICE | {"environment": {"A": None}}]}, "environment has 'A'"),
        ({"services": [SERVICE | {"timeout": 0}]}, "timeout is 0"),
        ({"services": [SERVICE | {"oauth_client_id": "web"}]}, "begin with 'service-'"),
        ({"services": [SERVICE | {"oauth_client_allowed_scopes": ["read:user"]}]}, "Did you mean read:users?"),
        ({"roles": [{"name": "ab"}]}, "'ab' cannot be the name of a role"),
        ({"roles": [ROLE | {"scope": []}]}, "there is no key 'scope'. Did you mean scopes?"),
        ({"roles": [ROLE | {"scopes": ["list:user"]}]}, "Did you mean list:users?"),
        ({"roles": [ROLE | {"scopes": ["all"]}]}, "There is no scope 'all'"),
        ({"roles": [ROLE | {"scopes": "list:users"}]}, "scopes is 'list:users'; it has to be a list"),
        ({"roles": [ROLE | {"scopes": ["custom:x:y"]}]}, "Declare it in the setting custom_scopes first"),
        ({"roles": [{"name": "admin", "scopes": ["self"]}]}, "only who has it"),
        ({"roles": [ROLE, ROLE]}, "'reader' twice"),
        ({"groups": {"g": 3}}, "this is 3"),
        ({"groups": {"g": {"user": []}}}, "Did you mean users?"),
        ({"groups": {"a/b": []}}, "without a slash"),
        ({"custom_scopes": {"custom:x:y": {}}}, "say in words"),
        ({"custom_scopes": {"x": {"description": "d"}}}, "is called custom:"),
        ({"custom_scopes": {"custom:x:y": {"description": "d", "subscopes": ["custom:x:z"]}}}, "is not declared"),
        ({"custom_scopes": {"custom:x:y": {"description": "d", "subscopes": ["custom:x:y"]}}}, "round in a circle"),
        ({"user_scopes": ["access:service"]}, "Did you mean access:services?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        declare(**settings)
    assert words in caught.value.message
