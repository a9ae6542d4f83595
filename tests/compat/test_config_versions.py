"""Settings of other versions of JupyterHub, older and newer: taken, or told of with what to do; never a failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbhub import config
from nbhub.app import Hub
from nbhub.commands.call import built

OLD = """
c.JupyterHub.admin_users = {"ada"}
c.Authenticator.whitelist = {"bob"}
c.Authenticator.blacklist = {"eve"}
c.LocalAuthenticator.group_whitelist = {"staff"}
c.JupyterHub.proxy_cmd = ["configurable-http-proxy"]
c.JupyterHub.proxy_api_ip = "127.0.0.1"
c.JupyterHub.proxy_auth_token = "t"
c.JupyterHub.extra_log_file = "/var/log/hub.log"
c.Spawner.oauth_roles = ["user"]
c.JupyterHub.hub_connect_port = 8081
"""
PROVIDERS = """
c.JupyterHub.authenticator_class = "github"
c.GitHubOAuthenticator.github_client_id = "ours"
c.GitHubOAuthenticator.github_organization_whitelist = {"lab"}
c.OAuthenticator.tls_verify = False
c.GenericOAuthenticator.username_key = "sub"
c.LocalGitHubOAuthenticator.extra_params = {"a": "b"}
c.OAuthenticator.http_request_kwargs = {"proxy_host": "gate"}
c.GoogleOAuthenticator.allowed_google_groups = {"x.org": ["lab"]}
"""
NEW = """
c.JupyterHub.of_a_later_version = 1
c.Spawner.evironment = {"A": "1"}
c.SomethingNew.setting = True
"""


def read(folder: Path, text: str) -> tuple[Hub, Any, list[str]]:
    (folder / "jupyterhub_config.py").write_text(text)
    hub, warnings = built(config.load([], folder=folder))
    return hub, config.build(hub.authenticator_class, hub.config, parent=hub), warnings


def test_older_names_are_taken_or_explained(tmp_path: Path) -> None:
    _, source, warnings = read(tmp_path, OLD)
    assert source.admin_users == {"ada"}
    assert (source.allowed_users, source.blocked_users, source.allowed_groups) == ({"bob"}, {"eve"}, {"staff"})
    text = "\n".join(warnings)
    for name in ("proxy_cmd", "proxy_api_ip", "proxy_auth_token", "extra_log_file", "oauth_roles"):
        assert text.count(f".{name} is ") == 1, name
    assert "replaced: name the scopes with c.Spawner.oauth_client_allowed_scopes" in text
    assert "whitelist" not in text


def test_older_names_of_providers(tmp_path: Path) -> None:
    hub, source, warnings = read(tmp_path, PROVIDERS)
    assert (source.client_id, source.allowed_organizations, source.validate_server_cert) == ("ours", {"lab"}, False)
    assert hub.config.GenericOAuthenticator.username_claim == "sub"
    assert hub.config.LocalGitHubOAuthenticator.token_params == {"a": "b"}
    assert len(warnings) == 2, warnings
    assert "c.GoogleOAuthenticator.allowed_google_groups is not supported: groups of Google" in " ".join(warnings)
    assert "the variable HTTPS_PROXY" in " ".join(warnings)


@pytest.mark.parametrize(("given", "strategy"), [(True, "on_connect"), (False, "before_bind")])
def test_older_names_of_ldap(tmp_path: Path, given: bool, strategy: str) -> None:
    text = (
        f"c.JupyterHub.authenticator_class = 'ldap'\nc.LDAPAuthenticator.use_ssl = {given}\n"
        "c.LDAPAuthenticator.escape_userdn = True\nc.LDAPAuthenticator.group_attributes = ['member']\n"
    )
    _, source, warnings = read(tmp_path, text)
    assert source.tls_strategy == strategy
    assert len(warnings) == 2, warnings


@pytest.mark.parametrize(
    "words",
    [
        "there is no setting c.Hub.of_a_later_version.",
        "there is no setting c.Spawner.evironment. Did you mean environment?",
        "there is no section c.SomethingNew",
    ],
)
def test_newer_names_are_told_of_and_change_nothing(tmp_path: Path, words: str) -> None:
    _, _, warnings = read(tmp_path, NEW)
    assert any(words in warning and warning.endswith("It is ignored.") for warning in warnings), warnings
