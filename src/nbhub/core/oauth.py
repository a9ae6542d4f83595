"""The rules of the OAuth 2 provider: authorization code grant (RFC 6749) with PKCE (RFC 7636). Pure; HTTP is elsewhere.

In order: `check_authorize` reads the request of a browser, `grant` says which scopes the visitor gives away, the
visitor confirms unless `needs_no_confirmation`, `granted_location` sends the browser back with a code; then
`read_token_request`, `check_client` and `check_code` guard the exchange of that code for a token.
"""

from __future__ import annotations

import base64
import hashlib
import re
import urllib.parse
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nbhub.core import scopes as rules
from nbhub.core import secrets
from nbhub.core.model import OAuthClient, OAuthCode
from nbhub.core.principal import Principal
from nbhub.errors import BadRequest, Forbidden, NbhubError

CODE_LIFETIME = 300.0  # seconds
METHODS = ("S256", "plain")
_PARAMETERS = frozenset(("client_id", "client_secret", "code", "code_challenge", "code_challenge_method",
                         "code_verifier", "grant_type", "redirect_uri", "response_type", "scope", "state"))  # fmt: skip
_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")
_IGNORED_SCOPES = frozenset(("identify", "openid"))  # asked for by generic clients; everybody is identified anyway

Parameters = Mapping[str, str] | Sequence[tuple[str, str]]


class OAuthError(NbhubError):
    """An error of the token endpoint: `error` is RFC 6749's code, the message its description."""

    code = "oauth"
    status = 400
    error = "invalid_request"

    def body(self) -> dict[str, str]:
        """Return the JSON answer of RFC 6749, section 5.2."""
        return {"error": self.error, "error_description": _description(self.message)}


class InvalidRequest(OAuthError):
    """A parameter is missing, repeated or malformed."""


class InvalidClient(OAuthError):
    """The client is unknown or did not prove itself. Answer with `WWW-Authenticate: Bearer error="invalid_client"`."""

    status = 401
    error = "invalid_client"


class InvalidGrant(OAuthError):
    """The code is unknown, used, expired, or was given to somebody else."""

    error = "invalid_grant"


class UnsupportedGrantType(OAuthError):
    """The only grant is the authorization code."""

    error = "unsupported_grant_type"


class Refused(BadRequest):
    """The request to authorize names no client, or not its address: shown to the visitor, never redirected."""

    code = "oauth_refused"


class Returned(NbhubError):
    """The request to authorize is answered to the client: redirect the browser to `location`."""

    code = "oauth_returned"
    status = 302

    def __init__(self, error: str, message: str, redirect_uri: str, state: str | None) -> None:
        super().__init__(message)
        self.error = error
        fields = {"error": error, "error_description": _description(message)}
        self.location = _with_query(redirect_uri, fields, state)


@dataclass(frozen=True, slots=True)
class AuthorizeRequest:
    """A request to authorize that may be answered to its client. `scopes` is None when none were named."""

    client_id: str
    redirect_uri: str
    state: str | None
    scopes: tuple[str, ...] | None
    code_challenge: str | None
    code_challenge_method: str | None


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request to exchange a code for a token."""

    client_id: str
    client_secret: str = field(repr=False)
    code: str = field(repr=False)
    redirect_uri: str
    code_verifier: str | None = field(repr=False)


def check_authorize(client: OAuthClient | None, params: Parameters, *, require_pkce: bool = False) -> AuthorizeRequest:
    """Read what a browser brought from a client. `client` is what `client_id` names, None when there is none.

    Raises Refused for what must not be redirected, Returned for what the client is told.
    """
    given, repeated = _read(params)
    if client is None or not client.secret_hash or given.get("client_id") != client.identifier:
        raise Refused("Invalid client_id parameter value. The server or service may have been stopped meanwhile.")
    redirect_uri = given.get("redirect_uri", client.redirect_uri)
    if repeated & {"client_id", "redirect_uri"} or not redirect_uri or redirect_uri != client.redirect_uri:
        raise Refused(f"Mismatching redirect URI. The one that {client.description} is registered with is another.")
    state = given.get("state")
    if repeated:
        raise Returned("invalid_request", f"Repeated parameter: {min(repeated)}.", redirect_uri, None)
    _check_response_type(given.get("response_type"), redirect_uri, state)
    challenge, method = _challenge(given, redirect_uri, state, require_pkce)
    wanted = given.get("scope")
    return AuthorizeRequest(
        client_id=client.identifier,
        redirect_uri=redirect_uri,
        state=state,
        scopes=tuple(wanted.split()) if wanted and wanted.split() else None,
        code_challenge=challenge,
        code_challenge_method=method,
    )


def grant(
    request: AuthorizeRequest,
    client: OAuthClient,
    visitor: Principal,
    *,
    access: str,
    server: str | None = None,
    roles: Mapping[str, Iterable[str]] | None = None,
    groups_of: Mapping[str, Collection[str]] = rules.NO_GROUPS,
) -> tuple[str, ...]:
    """Return the scopes, expanded and sorted, that the client's token gets: what it may ask for and the visitor holds.

    `access` is the scope that lets one into the client ("access:servers!server=alice/"), `server` the client's server
    as "USER/SERVER" if it is one, `roles` the scopes of roles by name, which may be asked for instead of scopes.
    `groups_of` (user to groups) decides where the visitor's scopes are limited to groups. Raises Forbidden when the
    visitor may not enter, Returned when the client asks for more than it may have.
    """
    owner = visitor.user or visitor.service
    if owner is None:
        raise Forbidden("Nobody is logged in.")
    known = {**groups_of, visitor.name: visitor.groups} if visitor.user else groups_of
    allowed = rules.expand((*client.allowed_scopes, access), owner=owner, server=server) | rules.identify(owner)
    if "inherit" in allowed:
        allowed |= visitor.scopes
    asked = _asked(request, roles or {})
    if asked is not None:
        wanted = rules.expand(asked, owner=owner, server=server) | rules.identify(owner)
        _check_asked(request, asked, wanted, allowed, known)
        allowed = wanted | visitor.scopes if "inherit" in wanted else wanted
    entered = rules.expand((access,), owner=owner)
    if rules.lacking(entered, visitor.scopes, known):
        raise Forbidden(f"You do not have permission to access {client.description}.")
    return tuple(sorted(rules.intersect(allowed | entered, visitor.scopes, known)))


def needs_no_confirmation(
    client: OAuthClient, visitor: Principal, granted: Collection[str], live: Collection[str], *, trusted: bool = False
) -> bool:
    """Say whether the visitor need not be asked: own server, trusted service, or agreed to as much before.

    `live` is the union of the scopes of the visitor's living tokens of this client.
    """
    own = visitor.user is not None and client.server_id is not None and client.user_id == visitor.user.id
    return own or trusted or (bool(live) and not rules.lacking(granted, live))


def granted_location(request: AuthorizeRequest, code: str) -> str:
    """Return where the browser takes the code; relative when the client's address is."""
    return _with_query(request.redirect_uri, {"code": code}, request.state)


def denied(request: AuthorizeRequest) -> Returned:
    """Return the answer of a visitor who said no."""
    message = "The user did not agree."
    return Returned("access_denied", message, request.redirect_uri, request.state)


def check_token_request(
    code: OAuthCode | None, client: OAuthClient | None, params: Parameters, now: float, *, authorization: str = ""
) -> TokenRequest:
    """Check the whole request for a token at once; raises an OAuthError. `now` in seconds since the epoch.

    Where taking the code uses it up, call the three parts: read, check the client, take the code, check the code.
    """
    request = read_token_request(params, authorization=authorization)
    check_client(client, request)
    check_code(code, request, now)
    return request


def read_token_request(params: Parameters, *, authorization: str = "") -> TokenRequest:
    """Read the fields of a request for a token. Raises InvalidRequest, UnsupportedGrantType or InvalidClient.

    The client proves itself by fields or, with `authorization` (the header), by HTTP Basic; any other header is
    ignored, as single-user servers send their token there too.
    """
    given, repeated = _read(params)
    if repeated:
        raise InvalidRequest(f"Repeated parameter: {min(repeated)}.")
    if "grant_type" not in given:
        raise InvalidRequest("Missing grant_type parameter.")
    if given["grant_type"] != "authorization_code":
        raise UnsupportedGrantType("The only grant_type is authorization_code.")
    if "code" not in given:
        raise InvalidRequest("Missing code parameter.")
    if "redirect_uri" not in given:
        raise InvalidRequest("Missing redirect_uri parameter.")
    client_id, client_secret = _credentials(given, authorization)
    return TokenRequest(client_id, client_secret, given["code"], given["redirect_uri"], given.get("code_verifier"))


def check_client(client: OAuthClient | None, request: TokenRequest) -> None:
    """Raise InvalidClient unless the request proves to come from `client`."""
    if client is None or client.identifier != request.client_id:
        raise InvalidClient("Unknown client.")
    if not secrets.verify(client.secret_hash, request.client_secret):
        raise InvalidClient("The client's secret is wrong.")


def check_code(code: OAuthCode | None, request: TokenRequest, now: float) -> None:
    """Raise InvalidGrant (or InvalidRequest for a missing verifier) unless the code may be exchanged by this request.

    Call `check_client` first; a client that did not prove itself learns nothing about codes.
    """
    if code is None or not secrets.equal(code.code_hash, secrets.hash_token(request.code)):
        raise InvalidGrant("The code is unknown or was used before.")
    if code.client_id != request.client_id:
        raise InvalidGrant("The code was given to another client.")
    if now >= code.expires_at:
        raise InvalidGrant("The code has expired.")
    if code.redirect_uri != request.redirect_uri:
        raise InvalidGrant("The redirect_uri is not the one that the code was given for.")
    _check_verifier(code, request.code_verifier)


def challenge_of(verifier: str, method: str) -> str:
    """Return the challenge that belongs to a verifier. `method` is one of METHODS."""
    if method == "plain":
        return verifier
    digest = hashlib.sha256(verifier.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _check_response_type(response_type: str | None, redirect_uri: str, state: str | None) -> None:
    if response_type is None:
        raise Returned("invalid_request", "Missing response_type parameter.", redirect_uri, state)
    if response_type != "code":
        raise Returned("unsupported_response_type", "The only response_type is code.", redirect_uri, state)


def _challenge(
    given: Mapping[str, str], redirect_uri: str, state: str | None, required: bool
) -> tuple[str | None, str | None]:
    challenge, method = given.get("code_challenge"), given.get("code_challenge_method")
    problem = ""
    if challenge is None:
        if required or method is not None:
            problem = "Code challenge required."
    elif method not in (None, *METHODS):
        problem = "Transform algorithm not supported."
    elif not _VERIFIER.fullmatch(challenge):
        problem = "The code challenge must be 43 to 128 characters out of A-Z, a-z, 0-9 and -._~."
    if problem:
        raise Returned("invalid_request", problem, redirect_uri, state)
    return challenge, None if challenge is None else method or "plain"


def _asked(request: AuthorizeRequest, roles: Mapping[str, Iterable[str]]) -> tuple[str, ...] | None:
    """Return the scopes that are asked for, roles replaced by theirs; None when none are."""
    if request.scopes is None:
        return None
    asked: list[str] = []
    for name in request.scopes:
        if name in roles:
            asked += roles[name]
        elif name not in _IGNORED_SCOPES:
            asked.append(name)
    return tuple(asked)


def _check_asked(
    request: AuthorizeRequest,
    asked: Iterable[str],
    wanted: Collection[str],
    allowed: Collection[str],
    groups_of: Mapping[str, Collection[str]],
) -> None:
    try:
        rules.validate(asked)
    except BadRequest as error:
        raise Returned("invalid_scope", error.message, request.redirect_uri, request.state) from error
    lacking = rules.lacking(wanted, allowed, groups_of)
    if lacking:
        message = f"The client may not ask for {', '.join(lacking[:10])}."
        raise Returned("invalid_scope", message, request.redirect_uri, request.state)


def _credentials(given: Mapping[str, str], authorization: str) -> tuple[str, str]:
    kind, _, encoded = authorization.partition(" ")
    if "client_id" in given and "client_secret" in given:
        return given["client_id"], given["client_secret"]
    if kind.lower() != "basic":
        raise InvalidClient("Missing client_id or client_secret.")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except ValueError:
        raise InvalidClient("The Authorization header cannot be read.") from None
    name, _, secret = decoded.partition(":")
    client_id = urllib.parse.unquote_plus(name)
    if given.get("client_id", client_id) != client_id:
        raise InvalidClient("The client_id differs from the Authorization header.")
    return client_id, urllib.parse.unquote_plus(secret)


def _check_verifier(code: OAuthCode, verifier: str | None) -> None:
    if code.code_challenge is None:
        return
    if verifier is None:
        raise InvalidRequest("Code verifier required.")
    method = code.code_challenge_method or "plain"
    if method not in METHODS or not _VERIFIER.fullmatch(verifier):
        raise InvalidGrant("The code verifier does not match.")
    if not secrets.equal(challenge_of(verifier, method), code.code_challenge):
        raise InvalidGrant("The code verifier does not match.")


def _read(params: Parameters) -> tuple[dict[str, str], set[str]]:
    """Return OAuth's parameters and the names of those given twice; an empty one counts as left out (RFC 6749, 3.1)."""
    pairs = params.items() if isinstance(params, Mapping) else params
    ours = [(name, value) for name, value in pairs if name in _PARAMETERS]
    names = [name for name, _ in ours]
    return {name: value for name, value in ours if value}, {name for name in names if names.count(name) > 1}


def _description(message: str) -> str:
    """Return the message in the characters that RFC 6749 allows there."""
    return message.replace('"', "'").replace("\\", "/").encode("ascii", "replace").decode()


def _with_query(uri: str, fields: Mapping[str, str], state: str | None) -> str:
    """Add fields to an address without touching the query that it has."""
    given = fields if state is None else {**fields, "state": state}
    base, hash_, fragment = uri.partition("#")
    separator = "&" if "?" in base else "?"
    return f"{base}{separator}{urllib.parse.urlencode(given)}{hash_}{fragment}"
