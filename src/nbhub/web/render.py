"""Pages: a template and what it has to show become an answer. The only place that knows the template engine."""

from __future__ import annotations

import functools
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

import nbhub
from nbhub.core import names
from nbhub.core.model import Server
from nbhub.core.principal import Principal
from nbhub.errors import NbhubError
from nbhub.store import services
from nbhub.web import assets, own_looks, xsrf
from nbhub.web.api.render import pending

if TYPE_CHECKING:
    from nbhub.web.desk import Desk, WebSettings
    from nbhub.web.identity import Identities

FILES = assets.load()

# What each kind of error means for the one who meets it: a heading, and what can be done.
ERRORS = {
    400: ("That did not work", "Go back, look at what you entered, and try once more."),
    403: ("You may not do this", "If you think you should be able to, ask your administrator."),
    404: ("There is nothing here", "The address may be mistyped, or what it showed is gone."),
    405: ("That did not work", "Go back to the page that you came from and use its buttons."),
    409: ("That does not fit", "Something else has changed meanwhile. Load the page again to see how things are."),
    413: ("That is too large", "Send less at once."),
    424: ("Your server is not running", "Start it from your home page; your files are still there."),
    429: ("Too much at once", "Wait a little, then try once more."),
    500: ("Something went wrong", "It is not your fault. Try once more; if this stays, tell your administrator."),
    502: ("The server does not answer", "It may have just stopped. Look at your home page, or try once more."),
    503: ("Not available right now", "Wait a moment and try once more; if this stays, tell your administrator."),
    504: ("The server takes too long", "It may be busy. Wait a moment and try once more."),
}

SAME_FOR_ALL = ("login.html",)  # what strangers see depends on nothing but the settings and what the page is given
REMEMBERED = 64
_HOLE = secrets.token_hex(16)
_pages: dict[tuple[str, str], tuple[Desk, WebSettings, str]] = {}

UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


async def page(
    request: Request, template: str, status: int = 200, *, asking: Principal | None = None, **context: Any
) -> Response:
    """Return a page. `asking` is who asks, where the caller knows already."""
    asking = asking or await _who(request)
    if asking is not None and asking.user is not None:
        context["services"] = await _services(request.scope["nbhub.desk"], asking)
    return _answer(request, template, status, asking, context)


async def error(request: Request, status: int, message: str) -> Response:
    """Return the page that explains an error; also when the database, which knows the visitor, is away."""
    heading, advice = ERRORS.get(status) or ERRORS[500 if status >= 500 else 400]
    context = {"status": status, "heading": heading, "message": message, "advice": advice}
    return _answer(request, "error.html", status, await _who(request), context)


def _answer(
    request: Request, template: str, status: int, asking: Principal | None, context: dict[str, Any]
) -> Response:
    desk: Desk = request.scope["nbhub.desk"]
    token = xsrf.token(request)
    if asking is None and template in SAME_FOR_ALL:
        text = _remembered(desk, template, context).replace(_HOLE, token)
    else:
        text = _text(desk, template, asking, token, context)
    return HTMLResponse(text, status)


def _text(desk: Desk, template: str, asking: Principal | None, token: str, context: dict[str, Any]) -> str:
    user = asking.user if asking is not None else None
    settings = desk.settings
    if settings.template_vars:
        context = own_looks.variables(settings.template_vars, user) | context
    return (
        _environment(settings.template_paths)
        .get_template(template)
        .render(
            context,
            logo="logo" if settings.logo_file else "",
            asking=asking,
            user=user,
            base_url=desk.settings.base_url,
            hub=desk.settings.hub_prefix,
            settings=desk.settings,
            source=desk.authenticator,
            now=desk.clock(),
            xsrf=token,
        )
    )


def _remembered(desk: Desk, template: str, context: dict[str, Any]) -> str:
    """Return a page that is the same for every stranger, with a hole where the token goes."""
    key = (template, repr(sorted(context.items())))
    known = _pages.get(key)
    if known is not None and known[0] is desk and known[1] is desk.settings:
        return known[2]
    text = _text(desk, template, None, _HOLE, context)
    if len(_pages) >= REMEMBERED:
        _pages.clear()
    if len(key[1]) < 2000:
        _pages[key] = (desk, desk.settings, text)
    return text


async def _services(desk: Desk, asking: Principal) -> list[tuple[str, str]]:
    """Return name and address of the services that the visitor may use and that are meant to be shown."""
    async with desk.store.read() as tx:
        found = await services.list_all(tx)
    return [
        (entry.name, names.service_prefix(desk.settings.base_url, entry.name))
        for entry in found
        if entry.url and entry.display and asking.holds("access:services", service=entry.name)
    ]


async def _who(request: Request) -> Principal | None:
    """Return who is logged in, for what the page shows around its content; never fails."""
    identities: Identities | None = request.scope.get("nbhub.identities")
    if identities is None:
        return None
    # As if it only looked: who may change something was checked before, and the body can be read only once.
    looking = Request({**request.scope, "method": "GET"})
    try:
        return await identities.of_request(looking, api=False)
    except NbhubError:
        return None


# -- what templates call ---------------------------------------------------------------------------------------------


def ago(at: float | None, now: float) -> str:
    """Say how long ago something was."""
    if at is None:
        return "never"
    return "just now" if now - at < 45 else f"{span(now - at)} ago"


def span(seconds: float) -> str:
    """Say how long something takes, in its largest unit."""
    size, unit = next((pair for pair in UNITS if seconds >= pair[0] * 0.75), UNITS[-1])
    count = max(1, round(seconds / size))
    return f"{count} {unit}{'' if count == 1 else 's'}"


def moment(at: float) -> str:
    """Return a point in time for people, in UTC since the hub does not know where they are."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))


def machine_time(at: float) -> str:
    """Return a point in time for the attribute `datetime`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def sentence(message: str) -> str:
    """Return what a message says in words, without the details that may follow an empty line."""
    return message.partition("\n\n")[0]


def details(message: str) -> str:
    """Return what follows a message's words: a rule to add, what the backend said; empty without any."""
    return message.partition("\n\n")[2]


def state(server: Server | None) -> str:
    """Return one word for how a server is: running, starting, stopping, failed or stopped."""
    if server is None:
        return "stopped"
    if server.is_ready:
        return "running"
    waiting_for = pending(server)
    if waiting_for is not None:
        return "starting" if waiting_for == "spawn" else "stopping"
    return "failed" if server.phase == "failed" else "stopped"


def place(user: str, server: str = "") -> str:
    """Return the end of a server's address on pages such as spawn: `alice` or `alice/gpu`."""
    return f"{names.quote(user)}/{names.quote(server)}" if server else names.quote(user)


@functools.cache
def _environment(folders: tuple[str, ...] = ()) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=own_looks.loader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {
        "static": assets.versions(FILES),
        "version": nbhub.__version__,
        "place": place,
        "state": state,
        "server_prefix": names.server_prefix,
    }
    environment.filters |= {"ago": ago, "span": span, "moment": moment, "machine_time": machine_time}
    environment.filters |= {"sentence": sentence, "details": details}
    return environment
