"""A stretch of network between the hub and something else that tests can cut: passes bytes on, or does not."""

from __future__ import annotations

import asyncio
import contextlib


class Relay:
    """Passes connections on to `host:port`; while it is cut nobody answers, and what was open is closed."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.own_port = 0
        self.opened = 0
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._silent = asyncio.Event()
        self._silent.set()

    async def mend(self) -> None:
        """Pass on from now on."""
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.own_port)
        self.own_port = self._listener.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Refuse what comes and close what is there."""
        if self._listener is not None:
            self._listener.close()
        for writer in list(self._open):
            writer.transport.abort()

    def fall_silent(self) -> None:
        """Keep connections open and pass nothing on, as a network does that lost its way."""
        self._silent.clear()

    def speak(self) -> None:
        """Pass on again what was held back."""
        self._silent.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self._open.add(writer)
        try:
            there, back = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.close()
            return
        self._open.add(back)
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        self._open -= {writer, back}

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65_536):
                await self._silent.wait()
                target.write(piece)
                await target.drain()
        target.close()
