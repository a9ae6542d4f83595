"""Ask a launched server whether it answers.

One request of a few bytes, of which only the first line of the answer counts: a whole HTTP client would cost more to
load than everything else that a start of the hub needs, and a millisecond for every server.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

ATTEMPT_SECONDS = 5.0


class Prober:
    """Sends readiness requests and paces them."""

    def __init__(self) -> None:
        self.waiting = 0  # servers being probed right now

    async def answers(self, url: str, prefix: str, seconds: float) -> bool:
        """Say whether the server at `url` (http://host:port) answers below its `prefix` within `seconds`.

        Any status below 500 counts: an unknown visitor is usually refused (403), and refusing is answering.
        """
        address = urlsplit(url)
        request = f"GET {prefix}api HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n"
        try:
            async with asyncio.timeout(seconds):
                line = await _first_line(address.hostname or "", address.port or 80, request.encode())
        except (OSError, TimeoutError, ValueError):  # ValueError: a line without end
            return False
        return _status(line) < 500

    def pause(self, attempts: int) -> float:
        """Return the seconds until the next attempt: short at first, longer when many servers are waiting."""
        patience = min(0.02 * 1.3**attempts, 0.05) if attempts < 600 else 0.5
        return max(patience, self.waiting / 1000)


async def _first_line(host: str, port: int, request: bytes) -> bytes:
    """Send a request on a connection of its own and return the first line of the answer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        return await reader.readline()
    finally:
        writer.close()


def _status(line: bytes) -> int:
    """Return the status in an answer's first line; what is no HTTP counts as a server's error."""
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        return 599
    return int(words[1])
