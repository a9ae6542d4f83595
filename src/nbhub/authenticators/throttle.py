"""Guessing passwords gets slower and slower, for the guesser and not for the owner of the account.

Three counts decide. Of one account from one address: a few mistakes are free, then each costs twice the time. Of one
account from everywhere, and of one address for all accounts: these stop guessing that is spread out, and do not
concern somebody who has logged in to this account from this address before.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass

from nbhub.errors import TooManyRequests
from nbhub.store import Store, Writing, users
from nbhub.store.users import LoginFailures

REMEMBERED = 90 * 86400.0  # seconds that an address stays known after a log-in from it


@dataclass(frozen=True, slots=True)
class Limit:
    """`free` failures cost nothing; each further one doubles the wait, from 1 second to `longest`.

    The count begins anew when there was none for `window` seconds.
    """

    free: int
    longest: float
    window: float = 3600.0

    def wait(self, seen: LoginFailures | None, now: float) -> float:
        """Return the seconds until another attempt is taken; 0 for at once."""
        if seen is None or seen.count < self.free or now - seen.last > self.window:
            return 0.0
        delay = min(self.longest, 2.0 ** min(seen.count - self.free, 30))
        return max(0.0, seen.last + delay - now)


PAIR = Limit(free=5, longest=300.0)
ACCOUNT = Limit(free=100, longest=60.0)
ADDRESS = Limit(free=100, longest=60.0)


class Throttle:
    """Counts attempts in the database, so that several hubs count together and a restart forgets nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin(self, name: str, address: str, now: float) -> None:
        """Count an attempt before it is made, so that many at once are not one. Raises TooManyRequests."""
        address = network(address)
        async with self._store.write() as tx:
            wait = PAIR.wait(await users.get_failures(tx, "account", _pair(name, address)), now)
            known = await users.get_failures(tx, "address", _known(name, address))
            if known is None or now - known.last > REMEMBERED:
                of_account = ACCOUNT.wait(await users.get_failures(tx, "account", name), now)
                of_address = ADDRESS.wait(await users.get_failures(tx, "address", address), now)
                wait = max(wait, of_account, of_address)
            if wait > 0:
                raise _refusal(wait)
            await users.note_failure(tx, "account", _pair(name, address), now, window=PAIR.window)
            await users.note_failure(tx, "account", name, now, window=ACCOUNT.window)

    async def failed(self, address: str, now: float) -> None:
        """The attempt was wrong."""
        async with self._store.write() as tx:
            await users.note_failure(tx, "address", network(address), now, window=ADDRESS.window)

    async def succeeded(self, name: str, address: str, now: float) -> None:
        """The attempt was right: forget the failures, and know the address from now on."""
        async with self._store.write() as tx:
            await self.trust(tx, name, address, now)

    async def trust(self, tx: Writing, name: str, address: str, now: float) -> None:
        """Know that the owner of the account is at this address."""
        address = network(address)
        await users.clear_failures(tx, "account", _pair(name, address))
        await users.clear_failures(tx, "account", name)
        await users.note_failure(tx, "address", _known(name, address), now, window=REMEMBERED)


def network(address: str) -> str:
    """Return what counts as one address: with IPv6 the network that one customer usually gets."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _refusal(wait: float) -> TooManyRequests:
    seconds = max(1, math.ceil(wait))
    return TooManyRequests(f"Too many wrong passwords. Try again in {seconds} second{'s'[: seconds > 1]}.", seconds)


def _pair(name: str, address: str) -> str:
    return f"{name}\n{address}"  # no name has a line break, so no two pairs are written the same


def _known(name: str, address: str) -> str:
    return f"known\n{name}\n{address}"
