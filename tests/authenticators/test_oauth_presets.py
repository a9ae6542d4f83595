"""Presets: each talks to its provider's addresses in its own way, and takes names where that provider tells them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from nbhub.authenticators.oauth import GenericOAuthenticator, OAuthenticator
from nbhub.authenticators.oauth_presets import (
    Auth0OAuthenticator,
    AzureAdOAuthenticator,
    CILogonOAuthenticator,
    GitHubOAuthenticator,
    GitLabOAuthenticator,
    GoogleOAuthenticator,
    KeycloakOAuthenticator,
)
from nbhub.errors import ConfigError, Forbidden
from servers import faulty_provider
from servers.faulty_provider import CLIENT, SECRET, FaultyProvider

CALLBACK = "http://hub.test/hub/oauth_callback"


@pytest.fixture
async def provider() -> AsyncIterator[FaultyProvider]:
    async with faulty_provider.running() as running:
        yield running


def of(cls: type[OAuthenticator], **settings: Any) -> Any:
    return cls(**({"client_id": CLIENT, "client_secret": SECRET} | settings))


async def come(attach: Any, source: OAuthenticator, provider: FaultyProvider) -> Any:
    """Log in; return what lets people in and who came."""
    let_in = await attach(source)
    await source.check()
    departure = await source.begin(CALLBACK)
    assert departure.url.startswith(provider.issuer)
    provider.log_in(departure.url)
    try:
        return let_in, await source.finish({"code": "c"}, departure.memory, CALLBACK)
    finally:
        await source.close()


def github(provider: FaultyProvider, **settings: Any) -> Any:
    provider.replies["/login/oauth/access_token"] = JSONResponse({"access_token": "at", "scope": "read:org,user"})
    provider.replies["/api/v3/user"] = JSONResponse({"login": "Ann-GH", "id": 77, "name": "Ann"})
    return of(GitHubOAuthenticator, github_url=provider.issuer, enable_auth_state=True, **settings)


async def test_github(attach: Any, provider: FaultyProvider) -> None:
    let_in, found = await come(attach, github(provider, allow_all=True), provider)
    assert (found.name, found.subject) == ("ann-gh", "77")
    user = await let_in.admit(found)
    state = await let_in.state_of(user)
    assert state["github_user"]["login"] == "Ann-GH"
    assert state["scope"] == ["read:org", "user"]


@pytest.mark.parametrize(
    ("organizations", "replies", "enters"),
    [
        ({"acme"}, {"/api/v3/orgs/acme/members/Ann-GH": Response(status_code=204)}, True),
        ({"acme"}, {"/api/v3/orgs/acme/members/Ann-GH": Response(status_code=404)}, False),
        ({"acme:core"}, {"/api/v3/orgs/acme/teams/core/memberships/Ann-GH": JSONResponse({"state": "active"})}, True),
        ({"acme:core"}, {"/api/v3/orgs/acme/teams/core/memberships/Ann-GH": JSONResponse({"state": "pending"})}, False),
        ({"../user"}, {}, False),
    ],
)
async def test_github_organizations(
    attach: Any, provider: FaultyProvider, organizations: set[str], replies: dict[str, Response], enters: bool
) -> None:
    source = github(provider, allowed_organizations=organizations)
    provider.replies |= replies
    let_in, found = await come(attach, source, provider)
    assert source.warning() == ""
    if enters:
        assert (await let_in.admit(found)).name == "ann-gh"
    else:
        with pytest.raises(Forbidden):
            await let_in.admit(found)
    await source.close()


@pytest.mark.parametrize(("level", "enters"), [(30, True), (20, False)])
async def test_gitlab(attach: Any, provider: FaultyProvider, level: int, enters: bool) -> None:
    provider.replies["/oauth/token"] = JSONResponse({"access_token": "at"})
    provider.replies["/api/v4/user"] = JSONResponse({"username": "ann", "id": 5})
    provider.replies["/api/v4/projects/9/members/all/5"] = JSONResponse({"access_level": level})
    source = of(GitLabOAuthenticator, gitlab_url=provider.issuer, allowed_project_ids={9}, enable_auth_state=True)
    let_in, found = await come(attach, source, provider)
    if enters:
        assert (await let_in.admit(found)).name == "ann"
    else:
        with pytest.raises(Forbidden):
            await let_in.admit(found)
    await source.close()


@pytest.mark.parametrize(
    ("told", "name", "refused"),
    [
        ({"email": "Ann@example.org", "email_verified": True, "hd": "example.org"}, "ann", ""),
        ({"email": "ann@example.org", "email_verified": False, "hd": "example.org"}, "", "not verified"),
        ({"email": "ann@evil.example", "email_verified": True}, "", "may not log in here"),
        ({"email": "ann@example.org", "email_verified": True, "hd": "evil.example"}, "", "may not log in here"),
        ({"email": "ann@example.org", "email_verified": True}, "", "may not log in here"),
    ],
)
async def test_google(attach: Any, provider: FaultyProvider, told: dict[str, Any], name: str, refused: str) -> None:
    provider.userinfo = told
    source = of(GoogleOAuthenticator, issuer=provider.issuer, hosted_domain=["example.org"])
    if refused:
        with pytest.raises(Forbidden, match=refused):
            await come(attach, source, provider)
    else:
        assert (await come(attach, source, provider))[1].name == name


async def test_azure_with_a_tenant_in_the_issuer(attach: Any, provider: FaultyProvider) -> None:
    metadata = provider._metadata() | {"issuer": f"{provider.issuer}/{{tenantid}}/v2.0"}
    provider.replies["/.well-known/openid-configuration"] = JSONResponse(metadata)
    provider.claims = {"iss": f"{provider.issuer}/t1/v2.0", "tid": "t1", "name": "Ann", "groups": ["g1"]}
    source = of(AzureAdOAuthenticator, tenant_id="common", issuer=provider.issuer)
    _, found = await come(attach, source, provider)
    assert (found.name, found.groups) == ("ann", ("g1",))
    assert "/userinfo" not in provider.calls
    provider.claims["tid"] = "t2"
    with pytest.raises(Forbidden, match="another provider"):
        await come(attach, of(AzureAdOAuthenticator, tenant_id="common", issuer=provider.issuer), provider)


@pytest.mark.parametrize("cls", [KeycloakOAuthenticator, Auth0OAuthenticator])
async def test_plain_openid_presets(attach: Any, provider: FaultyProvider, cls: type[OAuthenticator]) -> None:
    provider.userinfo = {"email": "ann@example.org", "email_verified": True}
    settings = {"auth0_domain": "tenant.example"} if cls is Auth0OAuthenticator else {}
    _, found = await come(attach, of(cls, issuer=provider.issuer, **settings), provider)
    assert found.name == ("ann@example.org" if cls is Auth0OAuthenticator else "ann")


@pytest.mark.parametrize("verified", [False, None, "true"])
async def test_an_address_that_nobody_has_verified(attach: Any, provider: FaultyProvider, verified: Any) -> None:
    provider.userinfo = {"email": "boss@example.org", "email_verified": verified}
    auth0 = {"issuer": provider.issuer, "auth0_domain": "tenant.example"}
    with pytest.raises(Forbidden, match="has not verified your email address"):
        await come(attach, of(Auth0OAuthenticator, **auth0), provider)
    _, found = await come(attach, of(Auth0OAuthenticator, allow_unverified_email=True, **auth0), provider)
    assert found.name == "boss@example.org"
    assert not of(Auth0OAuthenticator, allow_unverified_email=True, allow_all=False).allows_somebody()
    generic = of(GenericOAuthenticator, issuer=provider.issuer, username_claim="email")
    if verified is False:  # said by the provider itself; many say nothing
        with pytest.raises(Forbidden, match="has not verified your email address"):
            await come(attach, generic, provider)


IDP = "https://idp.example.org/shibboleth"


@pytest.mark.parametrize(
    ("rule", "idp", "name"),
    [
        ({"username_claim": "email", "action": "strip_idp_domain", "domain": "example.org"}, IDP, "ann"),
        ({"username_claim": "email", "action": "prefix", "prefix": "ex"}, IDP, "ex:ann@example.org"),
        ({"username_claim": "email"}, IDP, "ann@example.org"),
        ({"username_claim": "email"}, "https://other.example", ""),
        ({"username_claim": "eppn"}, IDP, ""),
    ],
)
async def test_cilogon(attach: Any, provider: FaultyProvider, rule: dict[str, str], idp: str, name: str) -> None:
    provider.userinfo = {"email": "ann@example.org", "idp": idp}
    allowed = {IDP: {"username_derivation": rule, "allow_all": True}}
    source = of(CILogonOAuthenticator, issuer=provider.issuer, allowed_idps=allowed, enable_auth_state=True)
    assert source.extra_authorize_params == {"selected_idp": IDP}
    if name:
        let_in, found = await come(attach, source, provider)
        assert (await let_in.admit(found)).name == name
    else:
        with pytest.raises(Forbidden, match=r"[Ii]nstitution"):
            await come(attach, source, provider)


@pytest.mark.parametrize(
    ("cls", "settings", "named"),
    [
        (AzureAdOAuthenticator, {}, "tenant_id"),
        (KeycloakOAuthenticator, {}, "issuer"),
        (Auth0OAuthenticator, {}, "auth0_domain"),
        (CILogonOAuthenticator, {}, "allowed_idps"),
        (CILogonOAuthenticator, {"allowed_idps": {"x": {}}}, "username_derivation"),
        (
            CILogonOAuthenticator,
            {"allowed_idps": {"x": {"username_derivation": {"username_claim": "email", "action": "prefix"}}}},
            "username_derivation",
        ),
    ],
)
async def test_what_is_missing_is_named(cls: type[OAuthenticator], settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        await of(cls, **settings).check()


def test_addresses_and_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("OAUTH_CLIENT_ID", "id"),
        ("OAUTH_CLIENT_SECRET", "secret"),
        ("OAUTH_CALLBACK_URL", "https://hub.example/hub/oauth_callback"),
        ("GITHUB_HOST", "github.example"),
        ("GITLAB_URL", "https://gitlab.example/"),
        ("AAD_TENANT_ID", "tenant"),
        ("AUTH0_SUBDOMAIN", "sub"),
    ):
        monkeypatch.setenv(name, value)
    hub = GitHubOAuthenticator()
    assert (hub.client_id, hub.client_secret) == ("id", "secret")
    assert hub.oauth_callback_url == "https://hub.example/hub/oauth_callback"
    assert hub.authorize_url == "https://github.example/login/oauth/authorize"
    assert hub.userdata_url == "https://github.example/api/v3/user"
    assert GitLabOAuthenticator().token_url == "https://gitlab.example/oauth/token"
    assert AzureAdOAuthenticator().issuer == "https://login.microsoftonline.com/tenant/v2.0"
    assert Auth0OAuthenticator().issuer == "https://sub.auth0.com/"
    monkeypatch.delenv("GITHUB_HOST")
    assert GitHubOAuthenticator().userdata_url == "https://api.github.com/user"
