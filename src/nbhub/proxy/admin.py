"""Envoy's own word on how it is: its administration interface, which listens on a private Unix socket only."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

from nbhub.proxy.resources import TABLE

_PREFIX = re.escape(f"http.public.rds.{TABLE}.")
_VERSION = re.compile(_PREFIX + r'version_text: "([^"]*)"')
_REJECTED = re.compile(_PREFIX + r"update_rejected: (\d+)")


@dataclass(frozen=True, slots=True)
class TableState:
    """The route table in force, and how many Envoy refused since it started."""

    version: str
    rejected: int


async def is_ready(socket: Path, timeout: float = 1.0) -> bool:
    """Say whether Envoy has read everything and serves."""
    try:
        return (await _get(socket, "/ready", timeout)).startswith(b"HTTP/1.1 200")
    except (OSError, TimeoutError):
        return False


async def table_state(socket: Path, timeout: float = 5.0) -> TableState | None:
    """Return which route table is in force; None if Envoy does not say."""
    try:
        text = (await _get(socket, f"/stats?filter=rds.{TABLE}", timeout)).decode(errors="replace")
    except (OSError, TimeoutError):
        return None
    version, rejected = _VERSION.search(text), _REJECTED.search(text)
    return TableState(version[1], int(rejected[1])) if version and rejected else None


async def _get(socket: Path, path: str, timeout: float) -> bytes:
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
            return await reader.read(-1)
        finally:
            writer.close()
