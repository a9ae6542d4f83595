"""Stands for `tornado.gen`: coroutines written as generators, as older files have them."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

from nbhub.compat.modules.utils import maybe_future

__all__ = ["Return", "convert_yielded", "coroutine", "is_coroutine_function", "maybe_future", "multi", "sleep"]

sleep = asyncio.sleep


class Return(Exception):
    """Ends a coroutine with a value: `raise gen.Return(value)`."""

    def __init__(self, value: Any = None) -> None:
        super().__init__()
        self.value = value


def coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an async function of a generator that yields whatever has to be waited for."""

    @functools.wraps(function)
    async def run(*given: Any, **named: Any) -> Any:
        try:
            found = function(*given, **named)
            return await _run(found) if inspect.isgenerator(found) else await convert_yielded(found)
        except Return as ended:
            return ended.value

    return run


async def _run(steps: Generator[Any, Any, Any]) -> Any:
    """Send each result, or error, back to where it was waited for."""
    step: Callable[[], Any] = functools.partial(next, steps)
    while True:
        try:
            waited_for = step()
        except StopIteration as ended:
            return ended.value
        try:
            step = functools.partial(steps.send, await convert_yielded(waited_for))
        except Exception as error:
            step = functools.partial(steps.throw, error)


async def convert_yielded(value: Any) -> Any:
    """Wait for one awaitable, or for all of a list or dict; anything else is its own result."""
    if isinstance(value, list | tuple | Mapping):
        return await multi(value)
    return await maybe_future(value)


async def multi(children: Iterable[Any]) -> Any:
    """Wait for all at once; a dict keeps its keys."""
    if isinstance(children, Mapping):
        return dict(zip(children, await multi(children.values()), strict=True))
    return await asyncio.gather(*(convert_yielded(child) for child in children))


def is_coroutine_function(function: Any) -> bool:
    """Say whether a function has to be waited for."""
    return inspect.iscoroutinefunction(function)
