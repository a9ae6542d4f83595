"""Where the classes are that stand for those of JupyterHub and its extensions. Only texts."""

from __future__ import annotations

from collections.abc import Mapping

_AUTH = "nbhub.authenticators"

# By the name of the class, wherever a file imports it from.
AUTHENTICATOR_CLASSES: Mapping[str, str] = {
    "DummyAuthenticator": f"{_AUTH}.dummy.DummyAuthenticator",
    "TmpAuthenticator": f"{_AUTH}.tmp.TmpAuthenticator",
    "NativeAuthenticator": f"{_AUTH}.native.NativeAuthenticator",
    "SharedPasswordAuthenticator": f"{_AUTH}.shared.SharedPasswordAuthenticator",
    "NullAuthenticator": f"{_AUTH}.null.NullAuthenticator",
    "PAMAuthenticator": f"{_AUTH}.pam.PAMAuthenticator",
    "LDAPAuthenticator": f"{_AUTH}.ldap.LDAPAuthenticator",
    "OAuthenticator": f"{_AUTH}.oauth.OAuthenticator",
    "GenericOAuthenticator": f"{_AUTH}.oauth.GenericOAuthenticator",
    "Auth0OAuthenticator": f"{_AUTH}.oauth_presets.Auth0OAuthenticator",
    "AzureAdOAuthenticator": f"{_AUTH}.oauth_presets.AzureAdOAuthenticator",
    "CILogonOAuthenticator": f"{_AUTH}.oauth_presets.CILogonOAuthenticator",
    "GitHubOAuthenticator": f"{_AUTH}.oauth_presets.GitHubOAuthenticator",
    "GitLabOAuthenticator": f"{_AUTH}.oauth_presets.GitLabOAuthenticator",
    "GoogleOAuthenticator": f"{_AUTH}.oauth_presets.GoogleOAuthenticator",
    **{
        f"Local{name}OAuthenticator": f"{_AUTH}.oauth_local.Local{name}OAuthenticator"
        for name in ("Generic", "Auth0", "AzureAd", "CILogon", "GitHub", "GitLab", "Google")
    },
}
# Providers without a class of their own here: files that name them load, their start is refused with what to use.
OTHER_PROVIDERS = frozenset(
    f"{local}{name}OAuthenticator"
    for local in ("", "Local")
    for name in ("Bitbucket", "Globus", "MW", "Okpy", "OpenShift")
)
# Names that packages for JupyterHub register for classes without a counterpart here.
ENTRY_POINTS: Mapping[str, str] = {
    "docker": "dockerspawner.DockerSpawner",
    "docker-swarm": "dockerspawner.SwarmSpawner",
    "docker-system-user": "dockerspawner.SystemUserSpawner",
    "systemd": "systemdspawner.SystemdSpawner",
    "systemdspawner": "systemdspawner.SystemdSpawner",
    "sudospawner": "sudospawner.SudoSpawner",
    "yarn-spawner": "yarnspawner.YarnSpawner",
    "firstuse": "firstuseauthenticator.FirstUseAuthenticator",
    "firstuseauthenticator": "firstuseauthenticator.FirstUseAuthenticator",
    "lti11": "ltiauthenticator.LTI11Authenticator",
    "lti13": "ltiauthenticator.LTI13Authenticator",
    **{
        f"{local}{name}": f"oauthenticator.{name}.{local.title().rstrip('-')}{cls}OAuthenticator"
        for local in ("", "local-")
        for name, cls in (
            *(("bitbucket", "Bitbucket"), ("globus", "Globus"), ("mediawiki", "MW"), ("okpy", "Okpy")),
            ("openshift", "OpenShift"),
        )
    },
}
