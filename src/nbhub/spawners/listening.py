"""Whose listener is at a port: asked of the kernel, one socket at a time, at any number of connections."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLMSG_ERROR = 2
NLM_F_REQUEST = 1
STATE_LISTEN = 10
NO_COOKIE = 0xFFFFFFFF

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
REQUEST = struct.Struct("=BBBxI")  # family, protocol, extensions, states
SOCKET = struct.Struct("!HH16s16s")  # source port, destination port, source, destination
SOCKET_TAIL = struct.Struct("=III")  # interface, cookie
ANSWER_HEAD = struct.Struct("=BBBB")  # family, state, timer, retransmissions
ANSWER_TAIL = struct.Struct("=IIIII")  # expiry, receive queue, send queue, uid, inode


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that takes connections."""

    uid: int
    inode: int


def find(ip: str, port: int) -> Listener | None:
    """Return who would take a connection to `ip` and `port` now; None for nobody.

    Raises OSError when the kernel does not tell, and ValueError when `ip` is no address.
    """
    address = ipaddress.ip_address(ip)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    # What is asked for: the socket that a packet from nowhere to this address and port belongs to.
    wanted = SOCKET.pack(port, 0, address.packed.ljust(16, b"\0"), bytes(16)) + SOCKET_TAIL.pack(
        0, NO_COOKIE, NO_COOKIE
    )
    body = REQUEST.pack(family, socket.IPPROTO_TCP, 0, NO_COOKIE) + wanted
    message = HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG) as netlink:
        netlink.send(message)
        answer = netlink.recv(4096)
    return _read(answer)


def is_held_by(inode: int, pids: Iterable[int]) -> bool:
    """Whether one of the processes has this socket open."""
    name = f"socket:[{inode}]"
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
            for descriptor in descriptors:
                with contextlib.suppress(OSError):
                    if str(Path(descriptor.path).readlink()) == name:
                        return True
    return False


def _read(answer: bytes) -> Listener | None:
    _, kind, _, _, _ = HEADER.unpack_from(answer)
    if kind == NLMSG_ERROR:
        (code,) = struct.unpack_from("=i", answer, HEADER.size)
        if -code == 2:  # ENOENT
            return None
        raise OSError(-code, os.strerror(-code))
    _, state, _, _ = ANSWER_HEAD.unpack_from(answer, HEADER.size)
    if state != STATE_LISTEN:
        return None
    tail = HEADER.size + ANSWER_HEAD.size + SOCKET.size + SOCKET_TAIL.size
    *_, uid, inode = ANSWER_TAIL.unpack_from(answer, tail)
    return Listener(uid, inode)
