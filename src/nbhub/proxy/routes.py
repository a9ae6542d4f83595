"""Which path prefix leads to which server or service: records from the store, checked and in one spelling."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace

from nbhub.core.model import Route
from nbhub.errors import BadRequest
from nbhub.proxy import paths
from nbhub.store import Store, servers, services

log = logging.getLogger(__name__)


def choose(routes: Iterable[Route], base_url: str) -> list[Route]:
    """Return the valid routes in canonical spelling, one for each prefix; the others are logged and left out."""
    chosen: dict[str, Route] = {}
    for route in routes:
        try:
            good = paths.normalise(route, base_url)
        except BadRequest as error:
            log.error("route left out prefix=%.200r reason=%s", route.prefix, error.message)
            continue
        if good.prefix in chosen and chosen[good.prefix] != good:
            log.error("route left out prefix=%.200r reason=another server has it", good.prefix)
            continue
        chosen[good.prefix] = good
    return list(chosen.values())


async def read(store: Store, base_url: str) -> list[Route]:
    """Return the routes of all servers that run, and of all services. Raises DatabaseUnavailable."""
    async with store.read() as tx:
        return [*await servers.routes(tx, base_url), *await services.routes(tx, base_url)]


async def resolve(routes: Iterable[Route], timeout: float = 5.0) -> list[Route]:
    """Return the routes with addresses in place of host names; one that cannot be resolved is logged and left out."""
    routes = list(routes)
    names = {paths.host(route.target) for route in routes if not paths.has_address(route.target)}
    if not names:
        return routes
    known = dict(zip(names, await asyncio.gather(*(_look_up(name, timeout) for name in names)), strict=True))
    return [found for route in routes if (found := _with_address(route, known)) is not None]


def _with_address(route: Route, known: Mapping[str, str | None]) -> Route | None:
    host = paths.host(route.target)
    found = known.get(host, host)
    if found is None:
        log.error("route left out prefix=%.200r reason=no address of host %.200r", route.prefix, host)
        return None
    if found == host:
        return route
    port = route.target.rpartition(":")[2]
    return replace(route, target=f"http://{f'[{found}]' if ':' in found else found}:{port}")


async def _look_up(name: str, timeout: float) -> str | None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return None
    # IPv4 first, because servers told to listen on a name often listen on that only.
    return str(min(found, key=lambda entry: entry[0] != socket.AF_INET)[4][0])
