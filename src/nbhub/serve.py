"""Run an ASGI application on a socket that is ours, under signals that are ours."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from nbhub.errors import ConfigError
from nbhub.web.joining import JoiningProtocol

BACKLOG = 2048


def listen(ip: str, port: int, setting: str) -> socket.socket:
    """Return a listening socket; raises ConfigError naming the address and the setting to change."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ip, port))
    except OSError as error:
        listener.close()
        raise ConfigError(_refusal(ip, port, setting, error)) from error
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _refusal(ip: str, port: int, setting: str, error: OSError) -> str:
    where = f"{ip or '*'}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"Another program listens on {where}. Stop it, or choose another port with {setting}."
    if error.errno == errno.EACCES:
        return f"This user may not listen on {where}. Choose a port above 1023 with {setting}, or run as root."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{ip} is not an address of this machine. Choose another with {setting}."
    return f"Cannot listen on {where}: {error.strerror}. Choose another address with {setting}."


class WebServer(uvicorn.Server):
    """uvicorn without its own ideas about signals, logging and shutting down."""

    def __init__(self, application: Any, *, keep_alive: int = 75, grace: int = 3) -> None:
        config = uvicorn.Config(
            application,
            loop="none",
            http=JoiningProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=grace,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the application."""
        yield

    async def run_on(self, listener: socket.socket) -> None:
        """Serve until `should_exit` is set."""
        await self.serve(sockets=[listener])
