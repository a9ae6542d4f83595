"""From an error to an answer: JSON for the API, a page for everybody else."""

from __future__ import annotations

import logging
from http import HTTPStatus
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from nbhub.core.oauth import Returned
from nbhub.errors import NbhubError
from nbhub.web import client, render
from nbhub.web.desk import Desk

log = logging.getLogger("nbhub.web")

_PLAIN = {
    "Method Not Allowed": "This page does not take what was sent to it.",
    "Action is not authorized with current scopes": "Your account does not have the right that this needs.",
    "No access to resources or resources not found": "There is no such thing, or it is not yours to see.",
}


class LoginNeeded(Exception):
    """A page was asked for by a browser that is not logged in: it goes to the login page and comes back."""


async def answer(request: Request, error: Exception, *, api: bool) -> Response:
    """Return the answer to a request that raised `error`; what nobody foresaw is logged and told without details."""
    if isinstance(error, LoginNeeded):
        return to_login(request)
    if isinstance(error, Returned):
        return Response(status_code=302, headers={"Location": error.location})
    status, message = _describe(request.scope, error)
    headers = _headers(error)
    if api:
        body = msgspec.json.encode({"status": status, "message": message})
        return Response(body, status, headers, media_type="application/json")
    return _with(headers, await render.error(request, status, _for_people(message)))


def to_login(request: Request) -> Response:
    """Return the way to the login page and back to where the browser wanted to go."""
    desk: Desk = request.scope["nbhub.desk"]
    destination = quote(client.uri(request.scope), safe="")
    return RedirectResponse(f"{desk.settings.hub_prefix}login?next={destination}", 302)


def _describe(scope: Scope, error: Exception) -> tuple[int, str]:
    if isinstance(error, NbhubError):
        if error.status >= 500:
            log.warning("%s %s: %s", scope["method"], _capped(scope["path"]), error.message)
        return error.status, error.message
    if isinstance(error, HTTPException):
        return error.status_code, error.detail or HTTPStatus(error.status_code).phrase
    if isinstance(error, MultiPartException):
        return 400, f"The form cannot be read: {error.message}"
    log.error("%s %s failed", scope["method"], _capped(scope["path"]), exc_info=error)
    return 500, "The hub met an unexpected error. Its log says more; tell your administrator when this happened."


def _for_people(message: str) -> str:
    """Return a message as a page says it: what programs expect word by word is put in plain ones."""
    return next((words for begin, words in _PLAIN.items() if message.startswith(begin)), message)


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, NbhubError) and error.retry_after is not None:
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, HTTPException) and error.headers:
        return dict(error.headers)
    return {}


def _with(headers: dict[str, str], response: Response) -> Response:
    response.headers.update(headers)
    return response


def _capped(path: str) -> str:
    """Return a path fit for one log line."""
    return ascii(path[:200])[1:-1]
