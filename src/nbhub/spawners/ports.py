"""Ports for servers, so that two never race for one: neither within a hub, nor between hubs of one machine."""

from __future__ import annotations

import errno
import random
import socket
from dataclasses import dataclass
from pathlib import Path

from nbhub.errors import SpawnError


@dataclass(frozen=True, slots=True)
class ReservedPort:
    """A port that is ours as long as any copy of `holder` is open, in whichever process."""

    number: int
    holder: socket.socket

    def close(self) -> None:
        self.holder.close()


def reserve(ip: str, first: int, last: int, choose: random.Random) -> ReservedPort:
    """Reserve a free port of `first` to `last`, outside the range that outgoing connections take theirs from.

    Raises SpawnError when none is left.
    """
    candidates = usable(first, last)
    offset = choose.randrange(len(candidates)) if candidates else 0
    for port in (*candidates[offset:], *candidates[:offset]):
        reserved = try_reserve(ip, port)
        if reserved is not None:
            return reserved
    raise SpawnError(
        f"No port from {first} to {last} is free for another server. "
        "Stop some servers, or give the spawner a larger port_first to port_last."
    )


def reserve_exactly(ip: str, port: int) -> ReservedPort:
    """Reserve this one port; raises SpawnError when it is taken."""
    reserved = try_reserve(ip, port)
    if reserved is None:
        raise SpawnError(
            f"Port {port}, which the setting port gives to every server, is in use on {ip or 'this machine'}. "
            "Set port to 0, so that each server gets a port of its own."
        )
    return reserved


def try_reserve(ip: str, port: int) -> ReservedPort | None:
    """Reserve one port; None when another server has it reserved or any program listens on it."""
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0nbhub-port-{port}")
    except OSError:
        holder.close()
        return None
    if not _is_free(ip, port):
        holder.close()
        return None
    return ReservedPort(port, holder)


def usable(first: int, last: int) -> list[int]:
    """Return the ports of a range that the kernel does not give to outgoing connections."""
    low, high = _ephemeral()
    return [port for port in range(first, last + 1) if not low <= port <= high]


def url_host(ip: str) -> str:
    """Return the host for URLs of a server that listens on `ip`."""
    if ip in ("", "0.0.0.0", "*"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    if ip == "::":
        return "[::1]"
    return f"[{ip}]" if ":" in ip else ip


def _ephemeral() -> tuple[int, int]:
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except (OSError, ValueError):
        return 32_768, 60_999
    return int(low), int(high)


def _is_free(ip: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers themselves do it: old connections that fade away do not block a port, listeners do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("" if ip == "*" else ip, port))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise SpawnError(
                    f"This machine has no address {ip}, on which servers should listen. Correct the setting ip."
                ) from None
            return False
    return True
