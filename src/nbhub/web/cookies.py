"""The hub's cookies: which there are, where browsers send them, and how they are set and cleared."""

from __future__ import annotations

from nbhub.web.desk import WebSettings

LOGIN = "jupyterhub-hub-login"  # a secret; browsers send it to the hub's own pages only, never to servers
SESSION_ID = "jupyterhub-session-id"  # names the login without being one; servers see it
XSRF = "_xsrf"  # to be repeated by whoever changes something; scripts of the hub's pages read it
JOURNEY = "nbhub-login"  # what a browser takes along to a provider of log-ins, sealed

Header = tuple[bytes, bytes]


def login(settings: WebSettings, secret: str, *, secure: bool) -> Header:
    """Return the Set-Cookie header that keeps a browser logged in."""
    return _set(LOGIN, secret, settings.hub_prefix, secure=secure, max_age=int(settings.cookie_max_age))


def session_id(settings: WebSettings, identifier: str, *, secure: bool) -> Header:
    """Return the Set-Cookie header of the public half of a session."""
    return _set(SESSION_ID, identifier, settings.base_url, secure=secure)


def xsrf(settings: WebSettings, token: str, *, secure: bool, anonymous: bool) -> Header:
    """Return the Set-Cookie header of the token that changes have to carry."""
    age = 3600 if anonymous else None
    return _set(XSRF, token, settings.hub_prefix, secure=secure, max_age=age, http_only=False)


def journey(settings: WebSettings, key: str, sealed: str, *, secure: bool, max_age: int) -> Header:
    """Return the header of what a browser takes along to a provider; only its coming back shows it to us."""
    return _set(f"{JOURNEY}-{key}", sealed, f"{settings.hub_prefix}oauth_callback", secure=secure, max_age=max_age)


def cleared(settings: WebSettings, *, secure: bool) -> list[Header]:
    """Return the headers that make a browser forget every cookie of the hub."""
    hub = settings.hub_prefix
    places = [(LOGIN, hub), (XSRF, hub), (SESSION_ID, settings.base_url)]
    places.append(("jupyterhub-services", f"{settings.base_url}services"))
    return [_set(name, "", path, secure=secure, max_age=0) for name, path in places]


def _set(
    name: str, value: str, path: str, *, secure: bool, max_age: int | None = None, http_only: bool = True
) -> Header:
    parts = [f"{name}={value}", f"Path={path}", "SameSite=Lax"]
    if max_age is not None:
        parts.append(f"Max-Age={max_age}")
    if http_only:
        parts.append("HttpOnly")
    if secure:
        parts.append("Secure")
    return b"set-cookie", "; ".join(parts).encode("latin-1")
