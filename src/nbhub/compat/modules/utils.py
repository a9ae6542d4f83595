"""Stands for `jupyterhub.utils`: the few functions of it that files use."""

from __future__ import annotations

import asyncio
import inspect
import random
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from nbhub.core.secrets import new_token

__all__ = [
    "exponential_backoff",
    "isoformat",
    "maybe_future",
    "new_token",
    "random_port",
    "url_escape_path",
    "url_path_join",
    "utcnow",
]


def url_path_join(*pieces: str) -> str:
    """Join parts of a URL with one slash between them, keeping the first and the last one."""
    begins, ends = pieces[0].startswith("/"), pieces[-1].endswith("/")
    middle = "/".join(stripped for piece in pieces if (stripped := piece.strip("/")))
    joined = f"{'/' if begins else ''}{middle}{'/' if ends else ''}"
    return "/" if joined == "//" else joined


def url_escape_path(path: str, safe: str = "@!:$&'()*+,;=~") -> str:
    """Return a text as one part of the path of a URL, or as several of them."""
    return quote(path, safe="/" + safe)


def random_port() -> int:
    """Return a port of this machine that nobody listens on at the moment."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        port: int = taken.getsockname()[1]
        return port


async def maybe_future(value: Any) -> Any:
    """Return the value, after waiting for it if it has to be waited for."""
    return await value if inspect.isawaitable(value) else value


async def exponential_backoff(
    pass_func: Callable[..., Awaitable[Any] | Any],
    fail_message: str,
    start_wait: float = 0.2,
    scale_factor: float = 2,
    max_wait: float = 5,
    timeout: float = 10,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Call until the result is true, with growing pauses of seconds; raises TimeoutError(fail_message)."""
    deadline, wait = time.monotonic() + timeout, start_wait
    while True:
        result = await maybe_future(pass_func(*args, **kwargs))
        if result:
            return result
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(fail_message)
        await asyncio.sleep(min(random.uniform(0, wait), left))  # noqa: S311
        wait = min(wait * scale_factor, max_wait)


def utcnow(*, with_tz: bool = True) -> datetime:
    """Return the time in UTC."""
    now = datetime.now(UTC)
    return now if with_tz else now.replace(tzinfo=None)


def isoformat(at: datetime) -> str:
    """Return a time as the API writes it."""
    return at.replace(tzinfo=None).isoformat() + "Z"
