"""One small HTTP listener that answers for all fake servers, each at a loopback address of its own.

The whole of 127.0.0.0/8 reaches the same socket, so a thousand servers with distinct addresses cost one listener, and
the address that a client connected to says which server is meant.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from enum import Enum
from typing import cast

BODY = b'{"version": "fake"}\n'
ANSWER = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: application/json\r\n"
    b"X-JupyterHub-Version: 6.1.1\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
HEAD_LIMIT = 65_536


class Manner(Enum):
    """How a fake server treats who connects."""

    ANSWERS = "answers"
    MUTE = "mute"  # takes the connection and says nothing
    GONE = "gone"  # drops the connection


class Listener:
    """Answers any path with 200, unless `manner(address)` says that the server at that address would not."""

    def __init__(self, manner: Callable[[str], Manner]) -> None:
        self._manner = manner
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self, port: int = 0) -> int:
        """Listen on every loopback address, at `port` or any free one, and return the port."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # old kernels reserve this for root; the protocol checks the address as well
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        sock.bind(("0.0.0.0", port))  # noqa: S104 - only what comes in at a loopback address is answered
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Conversation(self._manner), sock=sock, backlog=4096)
        self.port = int(sock.getsockname()[1])
        return self.port

    def close(self) -> None:
        """Stop listening; conversations under way end with their clients."""
        if self._server is not None:
            self._server.close()
            self._server = None


class _Conversation(asyncio.Protocol):
    """One client connection; requests may come in pieces, pipelined and with bodies of known length."""

    def __init__(self, manner: Callable[[str], Manner]) -> None:
        self._manner = manner
        self._pending = b""
        self._skip = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._address = str(transport.get_extra_info("sockname")[0])
        if not self._address.startswith("127.") or self._manner(self._address) is Manner.GONE:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        match self._manner(self._address):
            case Manner.GONE:
                self._transport.abort()
            case Manner.ANSWERS:
                self._pending += data
                self._answer()

    def _answer(self) -> None:
        while True:
            skipped = min(self._skip, len(self._pending))
            self._pending, self._skip = self._pending[skipped:], self._skip - skipped
            head, end, rest = self._pending.partition(b"\r\n\r\n")
            if not end:
                break
            self._pending, self._skip = rest, _body_length(head)
            self._transport.write(ANSWER.partition(BODY)[0] if head.startswith(b"HEAD ") else ANSWER)
        if len(self._pending) > HEAD_LIMIT:
            self._transport.write(TOO_LARGE)
            self._transport.close()


def _body_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return 0


async def _serve(port: int) -> None:
    listener = Listener(lambda _: Manner.ANSWERS)
    print(await listener.open(port), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
