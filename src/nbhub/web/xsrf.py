"""Only the hub's own pages may change something in the name of a browser that is logged in.

The token that proves it is derived from the login cookie, or from a random value in a cookie before there is a login;
it comes back in `_xsrf` (query or form), `X-XSRFToken` or `X-CSRFToken`.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import Scope

from nbhub.core import secrets
from nbhub.core.secrets import Keys
from nbhub.errors import Forbidden
from nbhub.web import client, cookies
from nbhub.web.desk import Desk

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def token(request: Request) -> str:
    """Return the token that this browser has to repeat; the answer sets its cookie where it is not there yet."""
    desk: Desk = request.scope["nbhub.desk"]
    known: str | None = request.scope.get("nbhub.xsrf")
    if known is not None:
        return known
    login = request.cookies.get(cookies.LOGIN)
    held = request.cookies.get(cookies.XSRF, "")
    if login:
        value = held if _belongs(desk, held, login) else of_login(desk, login)
    elif _is_ours(desk, held):
        value = held
    else:
        value = _sign(desk.keys, secrets.new_token())
    if value != held:
        secure = client.is_secure(request.scope, desk.settings)
        header = cookies.xsrf(desk.settings, value, secure=secure, anonymous=not login)
        request.scope.setdefault("nbhub.cookies", []).append(header)
    request.scope["nbhub.xsrf"] = value
    return value


def of_login(desk: Desk, login: str) -> str:
    """Return the token that belongs to a login cookie."""
    return secrets.derive(desk.keys.xsrf, "login", secrets.hash_token(login))


def _belongs(desk: Desk, value: str, login: str) -> bool:
    """Say whether it is the token of a login cookie, also one that was made with an older secret."""
    hashed = secrets.hash_token(login)
    return any(secrets.equal(value, secrets.derive(keys.xsrf, "login", hashed)) for keys in desk.keys)


def is_needed(scope: Scope) -> bool:
    """Say whether a request that is authenticated by cookie has to prove itself: it changes something, or a script
    reads what scripts of other pages must not read. Following a link is no script.
    """
    method = scope["method"]
    if method not in SAFE:
        return True
    mode = client.header(scope, b"sec-fetch-mode")
    if mode in ("", "navigate"):
        return False
    return not (mode == "no-cors" and client.header(scope, b"sec-fetch-site") == "same-origin" and method == "GET")


async def check(request: Request) -> None:
    """Raise Forbidden unless the request carries this browser's token."""
    desk: Desk = request.scope["nbhub.desk"]
    given = await _argument(request)
    if not given:
        raise Forbidden(f"'_xsrf' argument missing from {request.method}. Load the page again and repeat what you did.")
    login = request.cookies.get(cookies.LOGIN)
    held = request.cookies.get(cookies.XSRF, "")
    good = _belongs(desk, given, login) if login else secrets.equal(given, held) and _is_ours(desk, held)
    if not good:
        raise Forbidden(
            "The '_xsrf' argument does not match this browser's. Load the page again and repeat what you did."
        )


async def _argument(request: Request) -> str:
    said = client.headers(request.scope)
    header = said.get(b"x-xsrftoken") or said.get(b"x-csrftoken")
    if header:
        return header.decode("latin-1")
    if b"_xsrf=" in request.scope["query_string"]:
        return request.query_params.get("_xsrf", "")
    if request.method not in SAFE and said.get(b"content-type", b"").decode("latin-1").startswith(_FORMS):
        value = (await request.form()).get("_xsrf")
        return value if isinstance(value, str) else ""
    return ""


def _sign(keys: Keys, nonce: str) -> str:
    return f"{nonce}.{secrets.derive(keys.xsrf, 'anonymous', nonce)}"


def _is_ours(desk: Desk, value: str) -> bool:
    nonce, separator, _ = value.rpartition(".")
    if not separator or len(value) >= 200:
        return False
    return any(secrets.equal(value, _sign(keys, nonce)) for keys in desk.keys)
