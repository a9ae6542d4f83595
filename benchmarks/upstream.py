"""One tiny HTTP server that stands in for every notebook server: `python upstream.py PORT`.

It listens on the whole of 127.0.0.0/8, so that a thousand servers can have an address each.
"""

import asyncio
import sys
from typing import cast

import uvloop

BODY = b'{"version": "upstream"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-JupyterHub-Version: 6.1.1\r\nContent-Length: %d\r\n\r\n%s"
    % (len(BODY), BODY)
)


class Upstream(asyncio.Protocol):
    """Answers every complete head with the same bytes; requests with bodies are not meant for it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        heads = data.count(b"\r\n\r\n")
        if heads:
            self._transport.write(ANSWER * heads)
            data = data.rpartition(b"\r\n\r\n")[2]
        self._rest = data


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(Upstream, "0.0.0.0", port, backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
