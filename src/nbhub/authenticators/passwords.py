"""Passwords: what can be one, and their hashes, made in a few threads so that the event loop never waits for them."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from nbhub.errors import BadRequest, TooManyRequests

T = TypeVar("T")

SHORTEST, LONGEST = 8, 1000  # characters; the upper bound keeps a request from costing more than a password should
THREADS = 2
QUEUE = 100  # log-ins that may wait for a thread


def check(password: str, name: str = "") -> None:
    """Raise BadRequest unless this may be chosen as a password."""
    if len(password) < SHORTEST:
        raise BadRequest(f"A password has at least {SHORTEST} characters. A few random words make a good one.")
    if len(password) > LONGEST:
        raise BadRequest(f"A password has at most {LONGEST} characters.")
    if name and password.casefold() == name.casefold():
        raise BadRequest("Choose a password that is not your name.")
    if len(set(password)) < 3:
        raise BadRequest("Choose a password that is harder to guess than one repeated character.")


class Hasher:
    """Hashes and verifies with argon2id (RFC 9106), about 20 ms and 19 MiB each."""

    def __init__(self) -> None:
        self._argon2 = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._threads = ThreadPoolExecutor(THREADS, "argon2")
        self._waiting = 0
        self._decoy = self._argon2.hash("a name that nobody has")

    async def hash(self, password: str) -> str:
        """Return the hash to keep. Raises TooManyRequests when too many wait already."""
        encoded = _encode(password)
        return await self._in_thread(lambda: self._argon2.hash(encoded))

    async def verify(self, kept: str | None, password: str) -> bool:
        """Say whether the password belongs to the hash; without one it is False after the same time."""
        encoded, hashed = _encode(password), kept or self._decoy
        return await self._in_thread(lambda: self._matches(hashed, encoded)) and kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Say whether the hash was made with weaker settings than today's."""
        return self._argon2.check_needs_rehash(kept)

    def _matches(self, hashed: str, encoded: bytes) -> bool:
        try:
            return self._argon2.verify(hashed, encoded)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= QUEUE:
            raise TooManyRequests("Too many people log in at this moment. Try again in a few seconds.", 3)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _encode(password: str) -> bytes:
    """The same characters are the same password, however the keyboard composed them."""
    return unicodedata.normalize("NFC", password[: LONGEST + 1]).encode("utf-8", "surrogatepass")
