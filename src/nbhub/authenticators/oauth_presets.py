"""Providers that many organisations use, under the names that existing files have for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from traitlets import Bool, Dict, List, Set, Unicode, Union, default

from nbhub.authenticators.base import Identity
from nbhub.authenticators.oauth import OAuthenticator, from_environment
from nbhub.errors import ConfigError, Forbidden

_DEVELOPER = 30  # GitLab's access level from which on somebody belongs to a project


class GitHubOAuthenticator(OAuthenticator):
    """GitHub, or a GitHub Enterprise server. People are known by their login names."""

    label = "GitHub"

    github_url = Unicode(help="Address of GitHub. Default: https://$GITHUB_HOST, or https://github.com.").tag(
        config=True
    )
    github_api = Unicode(help="Address of its API. Default: $GITHUB_API, or made of github_url.").tag(config=True)
    allowed_organizations = Set(
        Unicode(),
        help="Organisations, or organisation:team, whose members may enter; needs the scope read:org to see those "
        "who are no public members.",
    ).tag(config=True)
    populate_teams_in_auth_state = Bool(
        False, help="Keep the teams of people in the auth state, under teams; needs the scope read:org."
    ).tag(config=True)

    @default("github_url")
    def _url(self) -> str:
        return f"https://{from_environment('GITHUB_HOST', otherwise='github.com')}"

    @default("github_api")
    def _api(self) -> str:
        public = self.github_url == "https://github.com"
        otherwise = "https://api.github.com" if public else f"{self.github_url}/api/v3"
        return from_environment("GITHUB_API", otherwise=otherwise)

    @default("authorize_url")
    def _authorize(self) -> str:
        return f"{self.github_url}/login/oauth/authorize"

    @default("token_url")
    def _token(self) -> str:
        return f"{self.github_url}/login/oauth/access_token"

    @default("userdata_url")
    def _userdata(self) -> str:
        return f"{self.github_api}/user"

    @default("username_claim")
    def _claim(self) -> str:
        return "login"

    @default("user_auth_state_key")
    def _key(self) -> str:
        return "github_user"

    async def identity_of(self, told: dict[str, Any], kept: dict[str, Any]) -> Identity:
        """See OAuthenticator."""
        if self.populate_teams_in_auth_state:
            reply = await self.ask(f"{self.github_api}/user/teams", kept["access_token"], {"per_page": 100})
            kept["teams"] = reply.data if isinstance(reply.data, list) else []
        return await super().identity_of(told, kept)

    async def allows(self, identity: Identity) -> bool:
        """See Authenticator."""
        if identity.name in self.blocked_users:
            return False
        if await super().allows(identity):
            return True
        state = identity.auth_state or {}
        login = quote(str(state.get(self.user_auth_state_key, {}).get("login", "")), safe="")
        for place in sorted(self.allowed_organizations) if login and state else ():
            organisation, _, team = place.partition(":")
            where = f"orgs/{quote(organisation, safe='')}" + (f"/teams/{quote(team, safe='')}" if team else "")
            member = "memberships" if team else "members"
            reply = await self.ask(f"{self.github_api}/{where}/{member}/{login}", state["access_token"])
            if reply.status in (200, 204) and reply.fields.get("state", "active") == "active":
                return True
        return False


class GitLabOAuthenticator(OAuthenticator):
    """GitLab.com or a GitLab server. People are known by their user names."""

    label = "GitLab"

    gitlab_url = Unicode(help="Address of GitLab. Default: $GITLAB_URL, or https://gitlab.com.").tag(config=True)
    allowed_gitlab_groups = Set(
        Unicode(), help="GitLab groups (full paths) whose members may enter; needs the scope read_api."
    ).tag(config=True)
    allowed_project_ids = Set(
        help="Numbers of projects whose developers and maintainers may enter; needs the scope read_api."
    ).tag(config=True)

    @default("gitlab_url")
    def _url(self) -> str:
        return from_environment("GITLAB_URL", otherwise="https://gitlab.com").rstrip("/")

    @default("authorize_url")
    def _authorize(self) -> str:
        return f"{self.gitlab_url}/oauth/authorize"

    @default("token_url")
    def _token(self) -> str:
        return f"{self.gitlab_url}/oauth/token"

    @default("userdata_url")
    def _userdata(self) -> str:
        return f"{self.gitlab_url}/api/v4/user"

    @default("scope")
    def _scope(self) -> list[str]:
        return ["read_api" if self.allowed_gitlab_groups or self.allowed_project_ids else "read_user"]

    @default("username_claim")
    def _claim(self) -> str:
        return "username"

    @default("user_auth_state_key")
    def _key(self) -> str:
        return "gitlab_user"

    async def allows(self, identity: Identity) -> bool:
        """See Authenticator."""
        if identity.name in self.blocked_users:
            return False
        if await super().allows(identity):
            return True
        state = identity.auth_state or {}
        number = state.get(self.user_auth_state_key, {}).get("id")
        if not isinstance(number, int):
            return False
        places = [(f"groups/{quote(group, safe='')}", 0) for group in sorted(self.allowed_gitlab_groups)]
        places += [(f"projects/{quote(str(project), safe='')}", _DEVELOPER) for project in self.allowed_project_ids]
        for place, least in places:
            url = f"{self.gitlab_url}/api/v4/{place}/members/all/{number}"
            reply = await self.ask(url, state["access_token"])
            level = reply.fields.get("access_level", 0)
            if reply.status == 200 and isinstance(level, int) and level >= least:
                return True
        return False


class GoogleOAuthenticator(OAuthenticator):
    """Google accounts and Workspace. People are known by their email addresses."""

    label = "Google"

    hosted_domain = Union(
        [List(Unicode()), Unicode()],
        help="Domains whose accounts may log in, a list or one; with exactly one, names are what stands before the @.",
    ).tag(config=True)
    strip_domain = Bool(
        help="Names are what stands before the @, for addresses in hosted_domain. By default where that is one domain; "
        "with several, the second account of a name is refused."
    ).tag(config=True)

    @default("strip_domain")
    def _strips(self) -> bool:
        return len(self._domains) == 1

    @default("issuer")
    def _issuer(self) -> str:
        return "https://accounts.google.com"

    @default("scope")
    def _scope(self) -> list[str]:
        return ["openid", "email"]

    @default("username_claim")
    def _claim(self) -> str:
        return "email"

    @default("user_auth_state_key")
    def _key(self) -> str:
        return "google_user"

    def name_in(self, told: Mapping[str, Any]) -> str:
        """See OAuthenticator. An address that Google has not verified is refused."""
        name = super().name_in(told)
        if self.username_claim != "email":
            return name
        if told.get("email_verified", told.get("verified_email")) is not True:
            raise Forbidden("Google has not verified your email address. Verify it there, then log in again.")
        domain = name.rpartition("@")[2].lower()
        allowed = [allowed.lower() for allowed in self._domains]
        if allowed and (domain not in allowed or str(told.get("hd", "")).lower() not in allowed):
            raise Forbidden(f"Accounts of {domain} may not log in here. Use one of {', '.join(allowed)}.")
        return name.rpartition("@")[0] if self.strip_domain and allowed else name

    @property
    def _domains(self) -> list[str]:
        given = self.hosted_domain or []
        return [given] if isinstance(given, str) else given


class AzureAdOAuthenticator(OAuthenticator):
    """Microsoft Entra ID (Azure AD)."""

    label = "Microsoft"

    tenant_id = Unicode(help="The tenant: its id or its domain. Default: $AAD_TENANT_ID.").tag(config=True)
    graph_url = Unicode("", help="Not needed: groups come from the ID token (claim groups).").tag(config=True)

    @default("tenant_id")
    def _tenant(self) -> str:
        return from_environment("AAD_TENANT_ID")

    @default("issuer")
    def _issuer(self) -> str:
        return f"https://login.microsoftonline.com/{self.tenant_id}/v2.0" if self.tenant_id else ""

    @default("userdata_from_id_token")
    def _from_token(self) -> bool:
        return True

    @default("username_claim")
    def _claim(self) -> str:
        return "name"

    @default("user_auth_state_key")
    def _key(self) -> str:
        return "user"

    @default("claim_groups_key")
    def _groups(self) -> str:
        return "groups"

    def check_settings(self) -> None:
        """See Authenticator."""
        if not self.issuer:
            raise ConfigError(f"c.{type(self).__name__}.tenant_id is not set; it names your organisation's tenant.")
        super().check_settings()


class KeycloakOAuthenticator(OAuthenticator):
    """Keycloak: `issuer` is https://…/realms/<realm>. Groups come from the claim groups (a mapper of the client)."""

    label = "Keycloak"

    @default("claim_groups_key")
    def _groups(self) -> str:
        return "groups"

    def check_settings(self) -> None:
        """See Authenticator."""
        if not self.issuer:
            name = type(self).__name__
            raise ConfigError(f"c.{name}.issuer is not set; it is https://<Keycloak>/realms/<realm>.")
        super().check_settings()


class Auth0OAuthenticator(OAuthenticator):
    """Auth0. People are known by their email addresses, which Auth0 has to have verified."""

    label = "Auth0"
    only_restrict = frozenset(("allowed_scopes", "allow_unverified_email"))

    auth0_subdomain = Unicode(help="What stands before .auth0.com. Default: $AUTH0_SUBDOMAIN.").tag(config=True)
    allow_unverified_email = Bool(
        False,
        help="Take addresses that nobody has verified: whoever enters somebody else's is taken for them. Only where "
        "Auth0 itself lets nobody sign up.",
    ).tag(config=True)
    auth0_domain = Unicode(help="Domain of your own. Default: $AUTH0_DOMAIN, or made of auth0_subdomain.").tag(
        config=True
    )

    @default("auth0_subdomain")
    def _subdomain(self) -> str:
        return from_environment("AUTH0_SUBDOMAIN")

    @default("auth0_domain")
    def _domain(self) -> str:
        made = f"{self.auth0_subdomain}.auth0.com" if self.auth0_subdomain else ""
        return from_environment("AUTH0_DOMAIN", otherwise=made)

    @default("issuer")
    def _issuer(self) -> str:
        return f"https://{self.auth0_domain}/" if self.auth0_domain else ""

    @default("username_claim")
    def _claim(self) -> str:
        return "email"

    @default("user_auth_state_key")
    def _key(self) -> str:
        return "auth0_user"

    @default("logout_redirect_url")
    def _logout(self) -> str:
        return from_environment("OAUTH_LOGOUT_REDIRECT_URL", otherwise=f"https://{self.auth0_domain}/v2/logout")

    def check_settings(self) -> None:
        """See Authenticator."""
        if not self.auth0_domain:
            name = type(self).__name__
            raise ConfigError(f"c.{name}.auth0_domain (or auth0_subdomain) is not set; it names your tenant.")
        super().check_settings()

    def name_in(self, told: Mapping[str, Any]) -> str:
        """See OAuthenticator. An address that Auth0 has not verified is refused."""
        if (
            self.username_claim == "email"
            and not self.allow_unverified_email
            and told.get("email_verified") is not True
        ):
            raise Forbidden("Auth0 has not verified your email address. Verify it there, then log in again.")
        return super().name_in({**told, "email_verified": True} if self.allow_unverified_email else told)


class CILogonOAuthenticator(OAuthenticator):
    """CILogon: universities and research institutions. Which ones, and how names come about, says `allowed_idps`."""

    label = "CILogon"
    only_restrict = frozenset(("allowed_scopes", "allowed_idps"))

    cilogon_host = Unicode(help="Host of CILogon. Default: $CILOGON_HOST, or cilogon.org.").tag(config=True)
    allowed_idps = Dict(
        help="By entity id of the institution: {'username_derivation': {'username_claim': 'email', 'action': "
        "'strip_idp_domain' with 'domain', or 'prefix' with 'prefix'}, 'allow_all': True}. Others are refused."
    ).tag(config=True)
    shown_idps = List(Unicode(), help="Institutions that CILogon offers. Default: those of allowed_idps.").tag(
        config=True
    )

    @default("cilogon_host")
    def _host(self) -> str:
        return from_environment("CILOGON_HOST", otherwise="cilogon.org")

    @default("issuer")
    def _issuer(self) -> str:
        return f"https://{self.cilogon_host}"

    @default("scope")
    def _scope(self) -> list[str]:
        return ["openid", "email", "org.cilogon.userinfo"]

    @default("user_auth_state_key")
    def _key(self) -> str:
        return "cilogon_user"

    @default("extra_authorize_params")
    def _offer(self) -> dict[str, str]:
        return {"selected_idp": ",".join(self.shown_idps or sorted(self.allowed_idps))}

    def check_settings(self) -> None:
        """See Authenticator."""
        super().check_settings()
        if not self.allowed_idps:
            raise ConfigError(f"c.{type(self).__name__}.allowed_idps is empty; name the institutions that may log in.")
        for idp, rule in self.allowed_idps.items():
            derivation = rule.get("username_derivation", {}) if isinstance(rule, dict) else {}
            action = derivation.get("action")
            needed = {"strip_idp_domain": "domain", "prefix": "prefix"}.get(str(action), "")
            if not derivation.get("username_claim") or (action and not derivation.get(needed or "action-unknown")):
                raise ConfigError(
                    f"c.{type(self).__name__}.allowed_idps[{idp!r}] needs username_derivation with a username_claim, "
                    "and, where it has an action, strip_idp_domain with domain or prefix with prefix."
                )

    def name_in(self, told: Mapping[str, Any]) -> str:
        """See OAuthenticator."""
        rule = self._rule(told)
        if rule is None:
            raise Forbidden("Your institution is not one of those that may log in here. Choose another one.")
        derivation = rule["username_derivation"]
        name = told.get(derivation["username_claim"])
        if not isinstance(name, str) or not name:
            raise Forbidden(f"Your institution does not tell your name ({derivation['username_claim']}).")
        if derivation.get("action") == "strip_idp_domain":
            return name.removesuffix(f"@{derivation['domain']}")
        if derivation.get("action") == "prefix":
            return f"{derivation['prefix']}:{name}"
        return name

    async def allows(self, identity: Identity) -> bool:
        """See Authenticator."""
        if identity.name in self.blocked_users:
            return False
        rule = self._rule((identity.auth_state or {}).get(self.user_auth_state_key, {}))
        return bool(rule and rule.get("allow_all")) or await super().allows(identity)

    def allows_somebody(self) -> bool:
        """See Authenticator."""
        rules = (rule for rule in self.allowed_idps.values() if isinstance(rule, dict))
        return any(rule.get("allow_all") for rule in rules) or super().allows_somebody()

    def _rule(self, told: Mapping[str, Any]) -> Mapping[str, Any] | None:
        found = self.allowed_idps.get(str(told.get("idp")))
        return found if isinstance(found, dict) else None
