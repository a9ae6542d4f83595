"""Logging in at a provider by OAuth 2 (authorization code, PKCE) or OpenID Connect."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from traitlets import Any as AnyTrait
from traitlets import Bool, Dict, List, TraitError, Unicode, Union, default, validate

from nbhub import hooks
from nbhub.authenticators import openid
from nbhub.authenticators.base import Departure, GroupRules, Identity, RedirectAuthenticator
from nbhub.authenticators.openid import Metadata, OpenID
from nbhub.authenticators.provider import Provider, Reply, at
from nbhub.config import Duration
from nbhub.core import secrets
from nbhub.errors import BadRequest, ConfigError, Forbidden, Unavailable

MOST_GROUPS = 1000


def from_environment(*names: str, otherwise: str = "") -> str:
    """Return the first of these variables that is set."""
    return next((os.environ[name] for name in names if os.environ.get(name)), otherwise)


class OAuthenticator(GroupRules, RedirectAuthenticator):
    """Sends people to a provider's log-in page. With `issuer` all else is found out by discovery and ID tokens are
    checked; without, the three addresses have to be given.
    """

    label = "OAuth 2.0"
    only_restrict = frozenset(("allowed_scopes",))

    issuer = Unicode(
        help="Address of an OpenID provider, exactly as it says itself, such as https://sso.example.org/realms/staff. "
        "Its addresses and keys are found there (/.well-known/openid-configuration)."
    ).tag(config=True)
    client_id = Unicode(help="What the provider calls this hub. Default: $OAUTH_CLIENT_ID.").tag(config=True)
    client_secret = Unicode(help="The secret that the provider gave for it. Default: $OAUTH_CLIENT_SECRET.").tag(
        config=True
    )
    oauth_callback_url = Unicode(
        help="Where the provider sends browsers back, as registered there: https://…/hub/oauth_callback. Empty: made "
        "of public_url or of the address that the browser uses. Default: $OAUTH_CALLBACK_URL."
    ).tag(config=True)
    authorize_url = Unicode(help="The provider's log-in page. Default: $OAUTH2_AUTHORIZE_URL.").tag(config=True)
    token_url = Unicode(help="Where codes become tokens. Default: $OAUTH2_TOKEN_URL.").tag(config=True)
    userdata_url = Unicode(help="Where a token tells whose it is. Default: $OAUTH2_USERDATA_URL.").tag(config=True)
    userdata_params = Dict(help="Parameters for userdata_url.").tag(config=True)
    userdata_token_method = Unicode(
        "header", help="How the token is sent to userdata_url: header, or url (as access_token)."
    ).tag(config=True)
    userdata_from_id_token = Bool(False, help="Take what is known of people from the ID token alone.").tag(config=True)
    username_claim = Union(
        [Unicode(), AnyTrait()],
        help="Where the name stands in what the provider tells, such as preferred_username, or a function of that. "
        "Default: $OAUTH2_USERNAME_KEY.",
    ).tag(config=True)
    scope = List(Unicode(), help="What is asked of the provider, such as openid, email.").tag(config=True)
    allowed_scopes = List(Unicode(), help="Only who is granted all of these may enter.").tag(config=True)
    extra_authorize_params = Dict(help="Further parameters for authorize_url.").tag(config=True)
    token_params = Dict(help="Further parameters for token_url.").tag(config=True)
    basic_auth = Bool(False, help="Send client_id and client_secret as HTTP Basic rather than in the form.").tag(
        config=True
    )
    enable_pkce = Bool(True, help="Protect codes by PKCE (S256).").tag(config=True)
    validate_server_cert = Bool(True, help="Check the provider's TLS certificate. Off only for trials.").tag(
        config=True
    )
    login_service = Unicode(help="The provider's name on the log-in button.").tag(config=True)
    logout_redirect_url = Unicode(help="Where browsers go after logging out. Default: $OAUTH_LOGOUT_REDIRECT_URL.").tag(
        config=True
    )
    logout_at_provider = Bool(
        False, help="Logging out of the hub also logs out at the OpenID provider (its end_session_endpoint)."
    ).tag(config=True)
    auth_state_groups_key = Union(
        [Unicode(), AnyTrait()],
        help="Where the groups stand in the auth state, such as oauth_user.groups, or a function of it.",
    ).tag(config=True)
    claim_groups_key = Union(
        [Unicode(), AnyTrait()],
        help="Where the groups stand in what the provider tells; the older form of auth_state_groups_key.",
    ).tag(config=True)
    user_auth_state_key = Unicode(
        "oauth_user", help="Under which key the auth state holds what the provider tells."
    ).tag(config=True)
    modify_auth_state_hook = AnyTrait(
        None, allow_none=True, help="Called as hook(authenticator, auth_state); returns the state to go on with."
    ).tag(config=True)
    refresh_user_hook = AnyTrait(
        None,
        allow_none=True,
        help="Called as hook(authenticator, name, auth_state) before the provider is asked again: True for no change, "
        "False to log out, None to ask the provider.",
    ).tag(config=True)
    custom_403_message = Unicode(help="What is said to those who may not enter.").tag(config=True)
    provider_timeout = Duration(10, help="How long the provider may take for an answer.").tag(config=True)

    @default("client_id")
    def _client_id(self) -> str:
        return from_environment("OAUTH_CLIENT_ID")

    @default("client_secret")
    def _client_secret(self) -> str:
        return from_environment("OAUTH_CLIENT_SECRET")

    @default("oauth_callback_url")
    def _callback(self) -> str:
        return from_environment("OAUTH_CALLBACK_URL")

    @default("authorize_url")
    def _authorize(self) -> str:
        return from_environment("OAUTH2_AUTHORIZE_URL")

    @default("token_url")
    def _token(self) -> str:
        return from_environment("OAUTH2_TOKEN_URL")

    @default("userdata_url")
    def _userdata(self) -> str:
        return from_environment("OAUTH2_USERDATA_URL")

    @default("username_claim")
    def _claim(self) -> str:
        return from_environment("OAUTH2_USERNAME_KEY", otherwise="preferred_username" if self.issuer else "username")

    @default("scope")
    def _scope(self) -> list[str]:
        return ["openid", "profile", "email"] if self.issuer else []

    @default("logout_redirect_url")
    def _logout(self) -> str:
        return from_environment("OAUTH_LOGOUT_REDIRECT_URL")

    @validate("userdata_token_method")
    def _method(self, proposal: Any) -> str:
        if proposal["value"] not in ("header", "url"):
            raise TraitError("userdata_token_method is header or url")
        return str(proposal["value"])

    # -- going there ---------------------------------------------------------------------------------------------

    @property
    def login_name(self) -> str:
        """What people call the provider."""
        return self.login_service or self.label

    def label_of(self, name: str) -> str:
        """See Authenticator."""
        return self.login_name

    def check_settings(self) -> None:
        """See Authenticator."""
        missing = [name for name in ("client_id", "client_secret") if not getattr(self, name)]
        if not self.issuer:
            missing += [name for name in ("authorize_url", "token_url") if not getattr(self, name)]
            if not self.userdata_url and not self.userdata_from_id_token:
                missing.append("userdata_url")
        if missing:
            names = ", ".join(f"c.{type(self).__name__}.{name}" for name in missing)
            raise ConfigError(f"Logging in by {self.login_name} needs settings that are not there: {names}.")

    async def close(self) -> None:
        """See Authenticator."""
        provider: Provider | None = self.__dict__.pop("_http", None)
        if provider is not None:
            await provider.close()

    def origins(self) -> frozenset[str]:
        """See Authenticator."""
        return frozenset((self._origin,))

    async def begin(self, callback_url: str) -> Departure:
        """See RedirectAuthenticator."""
        state, nonce, verifier = secrets.new_token(), secrets.new_token(), secrets.new_token()
        where = await self._metadata()
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.oauth_callback_url or callback_url,
            "state": state,
        }
        if self.scope:
            query["scope"] = " ".join(self.scope)
        if "openid" in self.scope:
            query["nonce"] = nonce
        if self.enable_pkce:
            digest = hashlib.sha256(verifier.encode()).digest()
            query["code_challenge"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            query["code_challenge_method"] = "S256"
        query |= self.extra_authorize_params
        url = where.authorize_url
        memory = {"nonce": nonce, "verifier": verifier}
        return Departure(f"{url}{'&' if '?' in url else '?'}{urlencode(query)}", state, memory)

    # -- coming back ---------------------------------------------------------------------------------------------

    async def finish(self, query: Mapping[str, str], memory: Mapping[str, str], callback_url: str) -> Identity:
        """See RedirectAuthenticator."""
        self._check_answer(query)
        form = {
            "grant_type": "authorization_code",
            "code": query["code"],
            "redirect_uri": self.oauth_callback_url or callback_url,
        }
        if self.enable_pkce:
            form["code_verifier"] = memory["verifier"]
        response = await self._exchange(form | self.token_params)
        nonce = memory["nonce"] if "openid" in self.scope else None
        return await self._identity(response, nonce)

    def _check_answer(self, query: Mapping[str, str]) -> None:
        if "error" in query:
            said = query.get("error_description") or query["error"]
            raise Forbidden(f"{self.login_name} did not log you in: {_printable(said)}")
        if self.issuer and query.get("iss", self.issuer) != self.issuer:
            raise openid.disbelief("it was issued by another provider than the one of this hub")
        if not query.get("code"):
            raise BadRequest("The provider sent you back without a code. Try to log in again.")

    async def _exchange(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for tokens. Raises Forbidden when the code (or refresh token) is not good, Unavailable."""
        where = await self._metadata()
        options: dict[str, Any] = {"data": dict(form)}
        methods = where.token_methods
        if self.basic_auth or (methods and "client_secret_post" not in methods and "client_secret_basic" in methods):
            options["auth"] = (self.client_id, self.client_secret)
        else:
            options["data"] |= {"client_id": self.client_id, "client_secret": self.client_secret}
        reply = await self._provider.post(where.token_url, **options)
        code = str(reply.fields.get("error", ""))[:100]
        if code in ("invalid_client", "unauthorized_client", "incorrect_client_credentials"):
            self.log.error("%s refuses the hub's client_id or client_secret: %s", self.login_name, code)
            raise Unavailable(f"{self.login_name} does not accept this hub (client_id or client_secret is wrong).")
        if reply.failed or code or not isinstance(reply.fields.get("access_token"), str):
            self.log.warning("%s gave no token: status=%d error=%s", self.login_name, reply.status, ascii(code))
            raise Forbidden(f"{self.login_name} did not confirm your log-in. Try again.")
        return reply.fields

    async def _identity(
        self, response: dict[str, Any], nonce: str | None, before: Mapping[str, Any] | None = None
    ) -> Identity:
        """Return whose tokens these are. `before` is the state of the log-in that these tokens refresh."""
        before = before or {}
        reused = bool(before) and response.get("id_token") == before.get("id_token")
        claims = {} if reused else await self._claims(response, nonce)
        told = await self._told(response["access_token"], claims)
        if not claims:
            told = dict(before.get(self.user_auth_state_key) or {}) | told
        kept = {
            "access_token": response["access_token"],
            "refresh_token": response.get("refresh_token"),
            "id_token": response.get("id_token") or before.get("id_token"),
            "scope": _words(response.get("scope")) or list(self.scope),
            "token_response": response,
            self.user_auth_state_key: told,
        }
        return await self.identity_of(told, kept)

    async def _claims(self, response: Mapping[str, Any], nonce: str | None) -> dict[str, Any]:
        token = response.get("id_token")
        if token is None:
            if nonce is not None and self.issuer:
                raise openid.disbelief("there is no ID token")
            return {}
        if self._openid is not None:
            return await self._openid.verify(token, self.client_id, nonce)
        if self.userdata_from_id_token:
            return openid.read_unsigned(token, self.client_id, nonce, self._clock())
        return {}

    async def _told(self, access_token: str, claims: dict[str, Any]) -> dict[str, Any]:
        """Return what the provider tells of the person, from the ID token and from userdata_url."""
        where = await self._metadata()
        if self.userdata_from_id_token or not where.userdata_url:
            return claims
        reply = await self.ask(where.userdata_url, access_token, params=self.userdata_params)
        if reply.failed or not reply.fields:
            raise Forbidden(f"{self.login_name} did not tell who you are (status {reply.status}). Try again.")
        said = reply.fields.get("sub")
        if claims and said != claims["sub"] and (said is not None or not self.userdata_url):
            raise openid.disbelief("it speaks of two different people")
        return claims | reply.fields

    async def ask(self, url: str, access_token: str, params: Mapping[str, Any] | None = None) -> Reply:
        """Ask the provider something in the name of the person."""
        options: dict[str, Any] = {"params": dict(params or {})} if params else {}
        if self.userdata_token_method == "url":  # noqa: S105 - not a password
            options.setdefault("params", {})["access_token"] = access_token
        else:
            options["headers"] = {"Authorization": f"Bearer {access_token}"}
        return await self._provider.get(url, **options)

    async def identity_of(self, told: dict[str, Any], kept: dict[str, Any]) -> Identity:
        """Return who this is; presets add what only their provider knows."""
        if self.modify_auth_state_hook is not None:
            kept = await hooks.call(self.modify_auth_state_hook, self, kept)
        missing = set(self.allowed_scopes) - set(kept.get("scope") or ())
        if missing:
            raise Forbidden(f"You have not granted what this hub needs: {', '.join(sorted(missing))}. Try again.")
        typed = self.name_in(told)
        name = self.normalize(typed)
        mapped = typed.lower() in self.username_map  # an operator may give one name to several accounts
        subject = "" if mapped else str(told.get("sub") or told.get("id") or "")[:255]
        return Identity(name, groups=self.groups_in(told, kept), auth_state=kept, origin=self._origin, subject=subject)

    def name_in(self, told: Mapping[str, Any]) -> str:
        """Return the name in what the provider tells. Raises Forbidden where there is none."""
        claim = self.username_claim
        found = claim(told) if callable(claim) else at(told, claim)
        if claim == "email" and told.get("email_verified") is False:
            raise Forbidden(f"{self.login_name} has not verified your email address. Verify it there, then try again.")
        if not isinstance(found, str) or not found:
            raise Forbidden(
                f"{self.login_name} does not tell your name ({claim if isinstance(claim, str) else 'username_claim'}). "
                f"Administrators: set c.{type(self).__name__}.username_claim to one of what it tells, or ask for more "
                "with scope."
            )
        return found

    def groups_in(self, told: Mapping[str, Any], kept: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the groups in what the provider tells; None where no setting says where they are."""
        for key, data in ((self.auth_state_groups_key, kept), (self.claim_groups_key, told)):
            if key:
                found = key(data) if callable(key) else at(data, key)
                return _group_names(found)
        return None

    async def allows(self, identity: Identity) -> bool:
        """See Authenticator. Administrators may enter, as files for OAuthenticator expect."""
        if identity.name in self.blocked_users:
            return False
        return identity.name in self.admin_users or await super().allows(identity)

    def refusal(self, identity: Identity) -> str:
        """See Authenticator."""
        return self.custom_403_message or super().refusal(identity)

    # -- later -----------------------------------------------------------------------------------------------------

    async def refresh(self, name: str, auth_state: Mapping[str, Any] | None) -> Identity | bool:
        """See Authenticator. Without a state that was kept there is nothing to ask with."""
        if self.refresh_user_hook is not None:
            answer = await hooks.call(self.refresh_user_hook, self, name, auth_state)
            if answer is not None:
                return bool(answer)
        if not auth_state or not auth_state.get("access_token"):
            return True
        try:
            response = dict(auth_state.get("token_response") or {}) | {"access_token": auth_state["access_token"]}
            if auth_state.get("refresh_token"):
                form = {"grant_type": "refresh_token", "refresh_token": auth_state["refresh_token"]}
                response = {"refresh_token": auth_state["refresh_token"]} | await self._exchange(form)
            elif self.userdata_from_id_token or not (await self._metadata()).userdata_url:
                return True
            return await self._identity(response, None, auth_state)
        except (Forbidden, BadRequest) as error:
            self.log.info("user=%s is logged out: %s", name, error.message)
            return False

    async def logout_from(self, origin: str, auth_state: Mapping[str, Any] | None, back: str) -> str:
        """See Authenticator."""
        if self.logout_at_provider and self._openid is not None:
            url = (await self._metadata()).logout_url
            if url:
                query = {"client_id": self.client_id, "post_logout_redirect_uri": self.logout_redirect_url or back}
                if auth_state and auth_state.get("id_token"):
                    query["id_token_hint"] = auth_state["id_token"]
                return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
        return self.logout_redirect_url

    # -- the provider ----------------------------------------------------------------------------------------------

    @property
    def _provider(self) -> Provider:
        """The HTTP client, made when first needed since it belongs to the running loop."""
        found: Provider | None = self.__dict__.get("_http")
        if found is None:
            found = self.__dict__["_http"] = Provider(self.provider_timeout, verify=self.validate_server_cert)
        return found

    @property
    def _openid(self) -> OpenID | None:
        if not self.issuer:
            return None
        found: OpenID | None = self.__dict__.get("_discovered")
        if found is None:
            found = self.__dict__["_discovered"] = OpenID(self.issuer, self._provider, self._clock)
        return found

    @property
    def _origin(self) -> str:
        return self.issuer or urlsplit(self.userdata_url or self.token_url).netloc

    async def _metadata(self) -> Metadata:
        """Return the provider's addresses: those that are set, and for the rest what discovery finds."""
        own = Metadata("", self.authorize_url, self.token_url, self.userdata_url, "", "", ())
        if self._openid is None:
            return own
        found = await self._openid.metadata()
        given = ("authorize_url", "token_url", "userdata_url")
        return replace(found, **{name: getattr(own, name) for name in given if getattr(own, name)})


class GenericOAuthenticator(OAuthenticator):
    """Any OAuth 2 or OpenID Connect provider."""


def _words(value: Any) -> list[str]:
    return value.replace(",", " ").split() if isinstance(value, str) else []


def _group_names(found: Any) -> tuple[str, ...]:
    """Return the names in what a provider gave as groups; what cannot be a name is left away."""
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, Sequence | set | frozenset):
        return ()
    names = {name for name in found if isinstance(name, str) and 0 < len(name) <= 255 and name.isprintable()}
    return tuple(sorted(names)[:MOST_GROUPS])


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text[:200])
