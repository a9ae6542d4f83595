"""Asking the source of identities again about people who are logged in, as often as the settings say."""

from __future__ import annotations

import logging

from nbhub.authenticators.admission import Admission
from nbhub.core.model import User
from nbhub.errors import BadRequest, NbhubError
from nbhub.web.desk import Desk

log = logging.getLogger("nbhub.login")

PATIENCE = 60.0  # seconds until a source that did not answer is asked again
REMEMBERED = 20_000


class AskingAgain:
    """Knows of each user when the source is to be asked next."""

    def __init__(self, desk: Desk) -> None:
        source = desk.authenticator
        self._desk = desk
        self._clock = desk.clock
        self._age = float(source.auth_refresh_age)
        self._due: dict[int, float] = {}
        self.is_needed = source.refreshes

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
            self._due[user.id] = now + min(self._age, PATIENCE)  # the database knows how long ago it was
        else:
            self._due.pop(user.id, None)
            log.info("user=%s is logged out: the source of identities no longer confirms them", ascii(user.name)[1:-1])
        return stays
