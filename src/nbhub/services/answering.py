"""Whether something answers at the address of a service."""

from __future__ import annotations

import asyncio
import urllib.parse

LOOK_EVERY = 0.2
ONE_LOOK = 5.0  # seconds for one answer


async def until_answering(url: str, path: str, seconds: float) -> bool:
    """Wait until a request for `path` at the origin of `url` gets any answer, for at most `seconds`."""
    until = asyncio.get_running_loop().time() + seconds
    while not await _answers(url, path):
        if asyncio.get_running_loop().time() > until:
            return False
        await asyncio.sleep(LOOK_EVERY)
    return True


async def _answers(url: str, path: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(ONE_LOOK):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
            return (await reader.read(5)) == b"HTTP/"
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()
