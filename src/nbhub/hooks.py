"""Calling functions of the configuration: plain or async, and never in the way of anything else."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# Many of them wait for other programs; the threads of everything else are not for that.
_threads = ThreadPoolExecutor(64, thread_name_prefix="hook")


async def call(function: Any, *given: Any, **named: Any) -> Any:
    """Return what a function returns: async ones run here, plain ones in a thread, and awaitables are waited for."""
    if inspect.iscoroutinefunction(function):
        return await function(*given, **named)
    work = functools.partial(contextvars.copy_context().run, function, *given, **named)
    result = await asyncio.get_running_loop().run_in_executor(_threads, work)
    return await result if inspect.isawaitable(result) else result
