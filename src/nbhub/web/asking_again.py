"""Asking the source of identities again about people who are logged in, as often as the settings say."""

from __future__ import annotations

import logging

from nbhub.authenticators.admission import Admission
from nbhub.core.model import User
from nbhub.errors import BadRequest, Forbidden, NbhubError
from nbhub.store import users
from nbhub.web.desk import Desk

log = logging.getLogger("nbhub.login")

PATIENCE = 60.0  # seconds until a source that did not answer is asked again
REMEMBERED = 20_000


class AskingAgain:
    """Knows of each user when the source is to be asked next."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._source = desk.authenticator
        self._clock = desk.clock
        self._due: dict[int, float] = {}

    @property
    def is_needed(self) -> bool:
        """The source is to be asked at all; the settings may change while the hub runs."""
        return self._source.refreshes

    async def confirms(self, user: User) -> bool:
        """Say whether the user may stay logged in; as long as the source does not answer, they may."""
        now = self._clock()
        if now < self._due.get(user.id, 0.0):
            return True
        if len(self._due) >= REMEMBERED:
            self._due.clear()
        self._due[user.id] = now + PATIENCE  # other requests of the same page do not ask as well
        desk = self._desk  # its keys may be others now
        try:
            stays = await Admission(desk.authenticator, desk.store, desk.keys, desk.clock).refresh(user)
        except BadRequest as error:
            log.warning("user=%s is logged out: %s", ascii(user.name)[1:-1], error.message)
            stays = False
        except NbhubError as error:
            log.warning("user=%s could not be asked about: %s", ascii(user.name)[1:-1], error.message)
            return True
        if stays:
            # The database knows how long ago it was.
            self._due[user.id] = now + min(float(self._source.auth_refresh_age), PATIENCE)
        else:
            self._due.pop(user.id, None)
            log.info("user=%s is logged out: the source of identities no longer confirms them", ascii(user.name)[1:-1])
        return stays


async def before_start(desk: Desk, owner: User) -> None:
    """Ask the source about the owner of a server that is to start, where the settings say so.

    Raises Forbidden when it no longer confirms them, Unavailable when it does not answer.
    """
    if not desk.authenticator.refresh_pre_spawn:
        return
    if not await _confirmed_now(desk, owner):
        raise Forbidden(f"The log-in of {owner.name} is no longer confirmed. Log in again, then start the server.")


async def before_stop(desk: Desk, user_name: str) -> None:
    """Ask the source about the owner of a server that is to stop, where the settings say so; it stops anyway."""
    if not desk.authenticator.refresh_pre_stop:
        return
    async with desk.store.read() as tx:
        owner = await users.get(tx, user_name)
    if owner is None:
        return
    try:
        confirmed = await _confirmed_now(desk, owner)
    except NbhubError as error:
        log.warning("user=%s could not be asked about: %s", ascii(owner.name)[1:-1], error.message)
    else:
        if not confirmed:
            log.warning("user=%s is no longer confirmed; the server stops anyway", ascii(owner.name)[1:-1])


async def _confirmed_now(desk: Desk, owner: User) -> bool:
    source = desk.authenticator
    if not source.can_refresh:
        return True
    admission = Admission(source, desk.store, desk.keys, desk.clock)
    try:
        return await admission.refresh(owner, now_at_all_events=True)
    except BadRequest as error:
        log.warning("user=%s is logged out: %s", ascii(owner.name)[1:-1], error.message)
        return False
