"""Functions of the configuration that decide something about one visit, and what they are given of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from nbhub import hooks
from nbhub.core.model import User
from nbhub.errors import NbhubError, Unavailable
from nbhub.spawners.one_server import Owner, Subject

if TYPE_CHECKING:
    from nbhub.web.desk import Desk

log = logging.getLogger("nbhub.web")


class Visit:
    """What such a function gets in the place of JupyterHub's handler: who is there, and where the hub is."""

    def __init__(self, desk: Desk, user: User | None) -> None:
        self.current_user = None if user is None else Owner(Subject(user))
        self.base_url = desk.settings.base_url
        self.settings: dict[str, Any] = {"base_url": desk.settings.base_url}
        self.log = log


async def ask(function: Any, *given: Any) -> Any:
    """Return what a function of the configuration says, plain (in a thread) or async; Unavailable if it fails."""
    try:
        return await hooks.call(function, *given)
    except NbhubError:
        raise
    except Exception as error:
        name = getattr(function, "__name__", "a function")
        log.error("setting=%s failed", name, exc_info=error)
        raise Unavailable(
            "A function of this hub's configuration failed. Ask your administrator to look at the hub's log."
        ) from error
