"""Logging in at a provider: the browser goes there with a sealed cookie of ours, and comes back with both halves."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from cryptography.fernet import InvalidToken
from starlette.requests import Request
from starlette.responses import RedirectResponse

from nbhub.authenticators.base import Departure, Identity, RedirectAuthenticator
from nbhub.core import secrets
from nbhub.errors import BadRequest
from nbhub.web import client, cookies, places

SECONDS = 900  # that a log-in at the provider may take
LONGEST_DESTINATION = 1500  # browsers drop cookies of more than 4,096 bytes
_GONE = (
    "This log-in took too long, was finished already, or was begun in another browser. Log in again; if this stays, "
    "allow cookies for this site."
)


class Journey(msgspec.Struct, frozen=True):
    """What a browser carries to the provider and back, sealed."""

    state: str
    source: str
    destination: str
    callback_url: str
    memory: dict[str, str]


def callback_url(request: Request) -> str:
    """Return where the provider sends browsers back."""
    settings = places.desk(request).settings
    base = settings.public_url or f"{client.origin(request.scope)}{settings.base_url}"
    return f"{base}hub/oauth_callback"


async def depart(request: Request, name: str, source: RedirectAuthenticator) -> RedirectResponse:
    """Send the browser to the provider; raises Unavailable."""
    desk = places.desk(request)
    back = callback_url(request)
    departure: Departure = await source.begin(back)
    destination = places.wanted(request)
    if len(destination) > LONGEST_DESTINATION:
        destination = ""
    journey = Journey(departure.state, name, destination, back, dict(departure.memory))
    sealed = desk.keys.journey_box().encrypt_at_time(msgspec.json.encode(journey), int(desk.clock())).decode()
    response = RedirectResponse(departure.url, 302)
    secure = client.is_secure(request.scope, desk.settings)
    header = cookies.journey(desk.settings, _key(departure.state), sealed, secure=secure, max_age=SECONDS)
    response.raw_headers.append(header)
    return response


def arrived(request: Request) -> Journey:
    """Return what the browser took along; raises BadRequest when it is not the one that left, or is too late."""
    desk = places.desk(request)
    state = request.query_params.get("state", "")
    sealed = request.cookies.get(f"{cookies.JOURNEY}-{_key(state)}", "")
    try:
        opened = desk.keys.journey_box().decrypt_at_time(sealed, SECONDS, int(desk.clock()))
        journey = msgspec.json.decode(opened, type=Journey)
    except (InvalidToken, msgspec.DecodeError, TypeError, ValueError):
        raise BadRequest(_GONE) from None
    if not secrets.equal(journey.state, state):
        raise BadRequest(_GONE)
    return journey


async def identify(request: Request, source: RedirectAuthenticator, journey: Journey) -> Identity:
    """Return who came back; raises what `RedirectAuthenticator.finish` raises."""
    query: Mapping[str, str] = {name: value for name, value in request.query_params.items() if name != "state"}
    return await source.finish(query, journey.memory, journey.callback_url)


def forget(request: Request) -> cookies.Header:
    """Return the header that makes the browser forget what it took along, which is good for one log-in."""
    settings = places.desk(request).settings
    secure = client.is_secure(request.scope, settings)
    key = _key(request.query_params.get("state", ""))
    return cookies.journey(settings, key, "", secure=secure, max_age=0)


def _key(state: str) -> str:
    """Several log-ins may be under way in one browser; each has a cookie of its own."""
    return secrets.hash_token(state).lstrip("!")[:8]
