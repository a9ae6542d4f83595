"""Ask a launched server whether it answers."""

from __future__ import annotations

import aiohttp

ATTEMPT_SECONDS = 5.0


class Prober:
    """Sends readiness requests; one instance per process, closed with it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self.waiting = 0  # servers being probed right now

    async def answers(self, url: str, prefix: str, seconds: float) -> bool:
        """Say whether the server at `url` (http://host:port) answers below its `prefix` within `seconds`.

        Any status below 500 counts: an unknown visitor is usually refused (403), and refusing is answering.
        """
        try:
            timeout = aiohttp.ClientTimeout(total=seconds)
            address = f"{url}{prefix}api"
            async with self._open_session().get(address, allow_redirects=False, timeout=timeout) as response:
                return response.status < 500
        except (TimeoutError, aiohttp.ClientError, OSError):
            return False

    def pause(self, attempts: int) -> float:
        """Return the seconds until the next attempt: short at first, longer when many servers are waiting."""
        patience = min(0.02 * 1.3**attempts, 0.1) if attempts < 200 else 0.5
        return max(patience, self.waiting / 1000)

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Connections are not kept: the next request would be long after, and a server that is being replaced
            # must not answer through an old one.
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self._session
