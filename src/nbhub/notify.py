"""Telling the program that started the hub how it is: systemd's protocol of one datagram for each change."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping

VARIABLE = "NOTIFY_SOCKET"
READY = "READY=1"
STOPPING = "STOPPING=1"


def tell(environment: Mapping[str, str], *states: str) -> None:
    """Send the states; does nothing where nobody listens."""
    address = environment.get(VARIABLE, "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        sender.sendall("\n".join(states).encode())


def reloading() -> str:
    """Return the state of a hub that reads its settings again; READY follows."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
