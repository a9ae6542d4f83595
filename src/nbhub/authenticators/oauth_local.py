"""Log-ins at a provider by people who have accounts on this machine, which are made when missing.

Groups in rules are the provider's, as those of the classes without Local.
"""

from __future__ import annotations

from nbhub.authenticators.local import LocalAuthenticator
from nbhub.authenticators.oauth import GenericOAuthenticator
from nbhub.authenticators.oauth_presets import (
    Auth0OAuthenticator,
    AzureAdOAuthenticator,
    CILogonOAuthenticator,
    GitHubOAuthenticator,
    GitLabOAuthenticator,
    GoogleOAuthenticator,
)


class LocalGenericOAuthenticator(LocalAuthenticator, GenericOAuthenticator):
    """Any provider, for accounts of this machine."""


class LocalAuth0OAuthenticator(LocalAuthenticator, Auth0OAuthenticator):
    """Auth0, for accounts of this machine."""


class LocalAzureAdOAuthenticator(LocalAuthenticator, AzureAdOAuthenticator):
    """Microsoft Entra ID, for accounts of this machine."""


class LocalCILogonOAuthenticator(LocalAuthenticator, CILogonOAuthenticator):
    """CILogon, for accounts of this machine."""


class LocalGitHubOAuthenticator(LocalAuthenticator, GitHubOAuthenticator):
    """GitHub, for accounts of this machine."""


class LocalGitLabOAuthenticator(LocalAuthenticator, GitLabOAuthenticator):
    """GitLab, for accounts of this machine."""


class LocalGoogleOAuthenticator(LocalAuthenticator, GoogleOAuthenticator):
    """Google, for accounts of this machine."""
