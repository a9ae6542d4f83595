"""The sources of identities that nbhub brings along: the names that settings have for them, and where they are."""

from __future__ import annotations

KNOWN = {
    "native": "nbhub.authenticators.native.NativeAuthenticator",
    "dummy": "nbhub.authenticators.dummy.DummyAuthenticator",
    "tmp": "nbhub.authenticators.tmp.TmpAuthenticator",
    "shared-password": "nbhub.authenticators.shared.SharedPasswordAuthenticator",
    "pam": "nbhub.authenticators.pam.PAMAuthenticator",
    "generic-oauth": "nbhub.authenticators.oauth.GenericOAuthenticator",
    "github": "nbhub.authenticators.oauth_presets.GitHubOAuthenticator",
    "gitlab": "nbhub.authenticators.oauth_presets.GitLabOAuthenticator",
    "google": "nbhub.authenticators.oauth_presets.GoogleOAuthenticator",
    "azuread": "nbhub.authenticators.oauth_presets.AzureAdOAuthenticator",
    "keycloak": "nbhub.authenticators.oauth_presets.KeycloakOAuthenticator",
    "auth0": "nbhub.authenticators.oauth_presets.Auth0OAuthenticator",
    "cilogon": "nbhub.authenticators.oauth_presets.CILogonOAuthenticator",
    "ldap": "nbhub.authenticators.ldap.LDAPAuthenticator",
    **{
        f"local-{name}": f"nbhub.authenticators.oauth_local.Local{cls}OAuthenticator"
        for name, cls in (
            *(("generic-oauth", "Generic"), ("auth0", "Auth0"), ("azuread", "AzureAd"), ("cilogon", "CILogon")),
            *(("github", "GitHub"), ("gitlab", "GitLab"), ("google", "Google")),
        )
    },
    "null": "nbhub.authenticators.null.NullAuthenticator",
    "several": "nbhub.authenticators.several.SeveralAuthenticator",
}
