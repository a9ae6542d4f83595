"""The rules of the OAuth provider."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from nbhub.core import oauth, principal, secrets
from nbhub.core.model import OAuthClient, OAuthCode, User
from nbhub.core.principal import Principal
from nbhub.core.roles import BUILT_IN
from nbhub.errors import BadRequest, Forbidden

ALICE, BOB = User(1, "alice"), User(2, "bob")
SECRET, CODE = "0123456789abcdef0123456789abcdef", "A" * 30
CALLBACK = "/user/alice/oauth_callback"
ACCESS = "access:servers!server=alice/"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # of RFC 7636, appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
NOW = 1000.0

CLIENT = OAuthClient(
    identifier="jupyterhub-user-alice",
    description="Server at /user/alice/",
    secret_hash=secrets.hash_token(SECRET),
    redirect_uri=CALLBACK,
    allowed_scopes=(ACCESS,),
    server_id=5,
    user_id=1,
)
ASK = {
    "client_id": "jupyterhub-user-alice",
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "state": "opaque/+ =é",
}
EXCHANGE = {
    "client_id": "jupyterhub-user-alice",
    "client_secret": SECRET,
    "grant_type": "authorization_code",
    "code": CODE,
    "redirect_uri": CALLBACK,
}


def a_code(**fields: Any) -> OAuthCode:
    """A code that was given to CLIENT."""
    known: dict[str, Any] = {
        "client_id": CLIENT.identifier,
        "user_id": 1,
        "redirect_uri": CALLBACK,
        "scopes": (ACCESS,),
    }
    known |= {"session_id": "s", "code_challenge": None, "code_challenge_method": None, "expires_at": NOW + 300}
    return OAuthCode(code_hash=secrets.hash_token(CODE), **(known | fields))


def a_visitor(user: User = ALICE, *more: str, groups: tuple[str, ...] = ()) -> Principal:
    """A browser that is logged in."""
    return principal.build(user, (*BUILT_IN["user"].scopes, *more), groups=groups)


def without(params: dict[str, str], name: str) -> dict[str, str]:
    """The parameters but one."""
    return {key: value for key, value in params.items() if key != name}


# -- the request to authorize ------------------------------------------------------------------------------------


def test_a_request_is_read() -> None:
    assert oauth.check_authorize(CLIENT, ASK) == oauth.AuthorizeRequest(
        client_id=CLIENT.identifier,
        redirect_uri=CALLBACK,
        state="opaque/+ =é",
        scopes=None,
        code_challenge=None,
        code_challenge_method=None,
    )
    request = oauth.check_authorize(CLIENT, {**ASK, "scope": " tokens  read:hub ", "code_challenge": CHALLENGE})
    assert request.scopes == ("tokens", "read:hub")
    assert (request.code_challenge, request.code_challenge_method) == (CHALLENGE, "plain")
    request = oauth.check_authorize(CLIENT, {**ASK, "code_challenge": CHALLENGE, "code_challenge_method": "S256"})
    assert request.code_challenge_method == "S256"


def test_what_may_be_left_out() -> None:
    request = oauth.check_authorize(CLIENT, without(without(ASK, "redirect_uri"), "state"))
    assert (request.redirect_uri, request.state) == (CALLBACK, None)
    assert oauth.check_authorize(CLIENT, {**ASK, "scope": "  "}).scopes is None
    assert oauth.check_authorize(CLIENT, [*ASK.items(), ("_xsrf", "1"), ("scopes", "a"), ("scopes", "b")])


REFUSED: list[tuple[str, OAuthClient | None, Any]] = [
    ("unknown client", None, ASK),
    ("no client", CLIENT, without(ASK, "client_id")),
    ("other client", CLIENT, {**ASK, "client_id": "jupyterhub-user-bob"}),
    ("client without secret", replace(CLIENT, secret_hash=""), ASK),
    ("client without address", replace(CLIENT, redirect_uri=""), without(ASK, "redirect_uri")),
    ("other host", CLIENT, {**ASK, "redirect_uri": "https://evil.example/user/alice/oauth_callback"}),
    ("protocol-relative", CLIENT, {**ASK, "redirect_uri": "//evil.example" + CALLBACK}),
    ("longer", CLIENT, {**ASK, "redirect_uri": CALLBACK + "/x"}),
    ("with a query", CLIENT, {**ASK, "redirect_uri": CALLBACK + "?x=1"}),
    ("with a fragment", CLIENT, {**ASK, "redirect_uri": CALLBACK + "#"}),
    ("other case", CLIENT, {**ASK, "redirect_uri": CALLBACK.upper()}),
    ("with dots", CLIENT, {**ASK, "redirect_uri": "/user/alice/../alice/oauth_callback"}),
    ("encoded otherwise", CLIENT, {**ASK, "redirect_uri": CALLBACK.replace("_", "%5F")}),
    ("with a space", CLIENT, {**ASK, "redirect_uri": CALLBACK + " "}),
    ("two addresses", CLIENT, [*ASK.items(), ("redirect_uri", CALLBACK)]),
    ("two addresses, one empty", CLIENT, [("redirect_uri", ""), *ASK.items()]),
    ("two clients", CLIENT, [*ASK.items(), ("client_id", CLIENT.identifier)]),
]


@pytest.mark.parametrize(("client", "params"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_request_that_names_no_client_or_not_its_address_is_never_redirected(
    client: OAuthClient | None, params: Any
) -> None:
    with pytest.raises(oauth.Refused) as raised:
        oauth.check_authorize(client, params)
    assert raised.value.status == 400
    assert isinstance(raised.value, BadRequest)
    assert raised.value.message.startswith(("Invalid client_id parameter value.", "Mismatching redirect URI."))


@pytest.mark.parametrize(
    ("params", "error"),
    [
        (without(ASK, "response_type"), "invalid_request"),
        ({**ASK, "response_type": "token"}, "unsupported_response_type"),
        ({**ASK, "response_type": "code token"}, "unsupported_response_type"),
        ({**ASK, "code_challenge": "short"}, "invalid_request"),
        ({**ASK, "code_challenge": "x" * 129}, "invalid_request"),
        ({**ASK, "code_challenge": "é" * 43}, "invalid_request"),
        ({**ASK, "code_challenge": CHALLENGE + "\n"}, "invalid_request"),
        ({**ASK, "code_challenge": CHALLENGE, "code_challenge_method": "S512"}, "invalid_request"),
        ({**ASK, "code_challenge": CHALLENGE, "code_challenge_method": "s256"}, "invalid_request"),
        ({**ASK, "code_challenge_method": "S256"}, "invalid_request"),
    ],
)
def test_other_mistakes_are_told_to_the_client(params: dict[str, str], error: str) -> None:
    with pytest.raises(oauth.Returned) as raised:
        oauth.check_authorize(CLIENT, params)
    location = urlsplit(raised.value.location)
    assert (location.scheme, location.netloc, location.path) == ("", "", CALLBACK)
    told = parse_qs(location.query)
    assert told["error"] == [raised.value.error] == [error]
    assert told["state"] == ["opaque/+ =é"]
    assert told["error_description"]


def test_a_state_given_twice_is_given_back_never() -> None:
    with pytest.raises(oauth.Returned) as raised:
        oauth.check_authorize(CLIENT, [*ASK.items(), ("state", "other")])
    assert raised.value.error == "invalid_request"
    assert "&state=" not in raised.value.location


def test_pkce_may_be_required() -> None:
    with pytest.raises(oauth.Returned, match="Code challenge required"):
        oauth.check_authorize(CLIENT, ASK, require_pkce=True)
    oauth.check_authorize(CLIENT, {**ASK, "code_challenge": CHALLENGE}, require_pkce=True)


def test_the_browser_takes_code_and_state_back() -> None:
    request = oauth.check_authorize(CLIENT, ASK)
    location = urlsplit(oauth.granted_location(request, CODE))
    assert location.path == CALLBACK
    assert parse_qs(location.query) == {"code": [CODE], "state": ["opaque/+ =é"]}
    assert oauth.granted_location(replace(request, state=None), CODE) == f"{CALLBACK}?code={CODE}"
    elsewhere = replace(request, state=None, redirect_uri="https://s.example/cb?x=%20y")
    assert oauth.granted_location(elsewhere, CODE) == f"https://s.example/cb?x=%20y&code={CODE}"


def test_a_visitor_may_say_no() -> None:
    answer = oauth.denied(oauth.check_authorize(CLIENT, ASK))
    assert answer.error == "access_denied"
    assert answer.location.startswith(f"{CALLBACK}?error=access_denied&")


# -- what is granted ---------------------------------------------------------------------------------------------

IDENTIFY = {"read:users:name!user=alice", "read:users:groups!user=alice"}


def granted(scope: str | None, visitor: Principal, *allowed: str, **more: Any) -> set[str]:
    """What CLIENT gets if it may also ask for `allowed`, asks for `scope`, and the visitor is there."""
    request = replace(oauth.check_authorize(CLIENT, ASK), scopes=None if scope is None else tuple(scope.split()))
    client = replace(CLIENT, allowed_scopes=(*allowed, ACCESS))
    return set(oauth.grant(request, client, visitor, access=ACCESS, server="alice/", **more))


@pytest.mark.parametrize(
    ("scope", "allowed", "more"),
    [
        (None, (), set()),
        ("identify", (), set()),
        ("openid", (), set()),
        (ACCESS, (), set()),
        ("access:servers!server", (), set()),
        (None, ("tokens!user",), {"tokens!user=alice", "read:tokens!user=alice"}),
        (None, ("read:hub",), set()),  # the visitor has it not
        (ACCESS, ("tokens!user",), set()),
        ("tokens!user", ("tokens!user",), {"tokens!user=alice", "read:tokens!user=alice"}),
        ("read:tokens!user", ("tokens",), {"read:tokens!user=alice"}),
        ("tokens", ("inherit",), None),
        ("server", ("users:activity!user",), {"users:activity!user=alice", "read:users:activity!user=alice"}),
    ],
)
def test_granted_is_what_is_asked_allowed_and_held(
    scope: str | None, allowed: tuple[str, ...], more: set[str] | None
) -> None:
    roles = {"server": ("users:activity!user", "access:servers!server")}
    if more is None:
        with pytest.raises(oauth.Returned):
            granted(scope, a_visitor(), *allowed, roles=roles)
        return
    assert granted(scope, a_visitor(), *allowed, roles=roles) == {ACCESS, *IDENTIFY, *more}


def test_a_client_that_may_inherit_gets_everything_the_visitor_has() -> None:
    visitor = a_visitor(ALICE, "read:hub")
    assert granted(None, visitor, "inherit") == visitor.scopes | {ACCESS}
    assert granted("inherit", visitor, "inherit") == visitor.scopes | {ACCESS}


@pytest.mark.parametrize("scope", ["tokens", "tokens!user", "inherit", "self", "server", "nonsense", "tokens!planet=x"])
def test_asking_for_more_than_allowed_is_told_to_the_client(scope: str) -> None:
    with pytest.raises(oauth.Returned) as raised:
        granted(scope, a_visitor())
    assert raised.value.error == "invalid_scope"
    assert "state=" in raised.value.location


def test_a_description_has_only_the_characters_that_are_allowed_there() -> None:
    with pytest.raises(oauth.Returned) as raised:
        granted('tokens!user=é"\\', a_visitor())
    told = parse_qs(urlsplit(raised.value.location).query)["error_description"][0]
    assert told.isascii()
    assert '"' not in told
    assert "\\" not in told


def test_who_may_not_enter_is_refused() -> None:
    with pytest.raises(Forbidden, match="do not have permission to access Server at /user/alice/"):
        granted(None, a_visitor(BOB))
    assert ACCESS in granted(None, a_visitor(BOB, ACCESS))
    assert ACCESS in granted(None, a_visitor(BOB, "access:servers"))
    assert ACCESS in granted(None, a_visitor(BOB, "access:servers!user=alice"))
    assert ACCESS in granted(None, a_visitor(BOB, "access:servers!group=g"), groups_of={"alice": ("g",)})
    with pytest.raises(Forbidden):
        granted(None, a_visitor(BOB, "access:servers!group=g", groups=("g",)), groups_of={"alice": ()})
    with pytest.raises(Forbidden):
        granted(None, a_visitor(BOB, "access:servers!server=alice/x"))


def test_only_the_owner_of_a_server_or_who_agreed_before_is_not_asked() -> None:
    wanted = {ACCESS, *IDENTIFY}
    assert oauth.needs_no_confirmation(CLIENT, a_visitor(ALICE), wanted, ())
    assert not oauth.needs_no_confirmation(CLIENT, a_visitor(BOB), wanted, ())
    assert not oauth.needs_no_confirmation(CLIENT, a_visitor(BOB, "admin:users"), wanted, IDENTIFY)
    assert oauth.needs_no_confirmation(CLIENT, a_visitor(BOB), wanted, {*wanted, "tokens"})
    assert oauth.needs_no_confirmation(CLIENT, a_visitor(BOB), wanted, (), trusted=True)
    service = replace(CLIENT, server_id=None, user_id=None, service_id=1)
    assert not oauth.needs_no_confirmation(service, a_visitor(ALICE), wanted, ())


# -- the exchange of the code ------------------------------------------------------------------------------------


def test_a_good_exchange_passes() -> None:
    request = oauth.check_token_request(a_code(), CLIENT, EXCHANGE, NOW)
    assert request == oauth.TokenRequest(CLIENT.identifier, SECRET, CODE, CALLBACK, None)
    assert SECRET not in repr(request)
    assert CODE not in repr(request)


def test_the_clients_own_header_is_ignored() -> None:
    oauth.check_token_request(a_code(), CLIENT, EXCHANGE, NOW, authorization=f"token {SECRET}")


def basic(name: str, secret: str) -> str:
    """An Authorization header."""
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def test_a_client_may_prove_itself_by_header() -> None:
    params = without(EXCHANGE, "client_secret")
    oauth.check_token_request(a_code(), CLIENT, params, NOW, authorization=basic(CLIENT.identifier, SECRET))
    params = without(params, "client_id")
    oauth.check_token_request(a_code(), CLIENT, params, NOW, authorization=basic("jupyterhub%2Duser-alice", SECRET))


def test_an_imported_client_has_jupyterhubs_hash() -> None:
    hashed = (
        "sha512:1:0011223344556677:97f0287ec8de969bc842670b1848bf08e7a1fe4638dde2fa4aa4170e2952cd50"
        "4178fdcbf3742ef0a4e0f91544a54b45622ec0554c678630d473661d7fd6228c"
    )
    client = replace(CLIENT, secret_hash=hashed)
    oauth.check_token_request(a_code(), client, {**EXCHANGE, "client_secret": "abc"}, NOW)


PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
PLAIN = {"code_challenge": VERIFIER, "code_challenge_method": "plain"}

BAD_EXCHANGES: list[tuple[str, OAuthCode | None, OAuthClient | None, Any, str, int]] = [
    ("no grant type", a_code(), CLIENT, without(EXCHANGE, "grant_type"), "invalid_request", 400),
    ("password", a_code(), CLIENT, {**EXCHANGE, "grant_type": "password"}, "unsupported_grant_type", 400),
    ("refresh", a_code(), CLIENT, {**EXCHANGE, "grant_type": "refresh_token"}, "unsupported_grant_type", 400),
    ("no code", a_code(), CLIENT, without(EXCHANGE, "code"), "invalid_request", 400),
    ("no address", a_code(), CLIENT, without(EXCHANGE, "redirect_uri"), "invalid_request", 400),
    ("twice", a_code(), CLIENT, [*EXCHANGE.items(), ("code", CODE)], "invalid_request", 400),
    ("no client", a_code(), CLIENT, without(EXCHANGE, "client_id"), "invalid_client", 401),
    ("no secret", a_code(), CLIENT, without(EXCHANGE, "client_secret"), "invalid_client", 401),
    ("empty secret", a_code(), CLIENT, {**EXCHANGE, "client_secret": ""}, "invalid_client", 401),
    ("wrong secret", a_code(), CLIENT, {**EXCHANGE, "client_secret": "x" * 32}, "invalid_client", 401),
    ("hash as secret", a_code(), CLIENT, {**EXCHANGE, "client_secret": CLIENT.secret_hash}, "invalid_client", 401),
    ("unknown client", a_code(), None, EXCHANGE, "invalid_client", 401),
    ("client without secret", a_code(), replace(CLIENT, secret_hash=""), EXCHANGE, "invalid_client", 401),
    ("other client", a_code(), replace(CLIENT, identifier="x"), EXCHANGE, "invalid_client", 401),
    ("unknown code", None, CLIENT, EXCHANGE, "invalid_grant", 400),
    ("wrong code", a_code(), CLIENT, {**EXCHANGE, "code": "B" * 30}, "invalid_grant", 400),
    ("code of another", a_code(client_id="jupyterhub-user-bob"), CLIENT, EXCHANGE, "invalid_grant", 400),
    ("expired", a_code(expires_at=NOW), CLIENT, EXCHANGE, "invalid_grant", 400),
    ("other address", a_code(), CLIENT, {**EXCHANGE, "redirect_uri": CALLBACK + "x"}, "invalid_grant", 400),
    ("no verifier", a_code(**PKCE), CLIENT, EXCHANGE, "invalid_request", 400),
    ("empty verifier", a_code(**PKCE), CLIENT, {**EXCHANGE, "code_verifier": ""}, "invalid_request", 400),
    ("wrong verifier", a_code(**PKCE), CLIENT, {**EXCHANGE, "code_verifier": "x" * 43}, "invalid_grant", 400),
    ("challenge as verifier", a_code(**PKCE), CLIENT, {**EXCHANGE, "code_verifier": CHALLENGE}, "invalid_grant", 400),
    ("short verifier", a_code(**PLAIN), CLIENT, {**EXCHANGE, "code_verifier": VERIFIER[:42]}, "invalid_grant", 400),
    ("wrong plain", a_code(**PLAIN), CLIENT, {**EXCHANGE, "code_verifier": "x" * 43}, "invalid_grant", 400),
    (
        "unknown method",
        a_code(code_challenge=VERIFIER, code_challenge_method="none"),
        CLIENT,
        {**EXCHANGE, "code_verifier": VERIFIER},
        "invalid_grant",
        400,
    ),
]


@pytest.mark.parametrize(
    ("code", "client", "params", "error", "status"),
    [row[1:] for row in BAD_EXCHANGES],
    ids=[row[0] for row in BAD_EXCHANGES],
)
def test_a_bad_exchange_gets_the_error_of_rfc_6749(
    code: OAuthCode | None, client: OAuthClient | None, params: Any, error: str, status: int
) -> None:
    with pytest.raises(oauth.OAuthError) as raised:
        oauth.check_token_request(code, client, params, NOW)
    assert (raised.value.error, raised.value.status) == (error, status)
    assert raised.value.body() == {"error": error, "error_description": raised.value.message}


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !!!", "Basic /w==", basic("other", SECRET), basic(CLIENT.identifier, "x"), "Bearer x"]
)
def test_a_bad_header_proves_nothing(header: str) -> None:
    with pytest.raises(oauth.InvalidClient):
        oauth.check_token_request(a_code(), CLIENT, without(EXCHANGE, "client_secret"), NOW, authorization=header)


@pytest.mark.parametrize("challenge", [PKCE, PLAIN, {"code_challenge": VERIFIER}])
def test_the_right_verifier_passes(challenge: dict[str, str]) -> None:
    oauth.check_token_request(a_code(**challenge), CLIENT, {**EXCHANGE, "code_verifier": VERIFIER}, NOW)


def test_a_verifier_for_a_code_without_challenge_is_ignored() -> None:
    oauth.check_token_request(a_code(), CLIENT, {**EXCHANGE, "code_verifier": VERIFIER}, NOW)


def test_a_stranger_learns_nothing_about_codes() -> None:
    errors = set()
    for code in (a_code(), None, a_code(expires_at=0.0)):
        with pytest.raises(oauth.InvalidClient) as raised:
            oauth.check_token_request(code, CLIENT, {**EXCHANGE, "client_secret": "wrong"}, NOW)
        errors.add(raised.value.message)
    assert len(errors) == 1


def test_the_worked_challenge_of_rfc_7636() -> None:
    assert oauth.challenge_of(VERIFIER, "S256") == CHALLENGE
    same: Callable[[str], str] = lambda verifier: oauth.challenge_of(verifier, "plain")  # noqa: E731
    assert same(VERIFIER) == VERIFIER
