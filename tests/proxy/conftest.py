"""One Envoy for all tests of traffic; those of its life start their own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from nbhub.core.model import Route
from nbhub.proxy import Proxy
from proxy.edges import HOST, Answer, Upstream, exchange, get, make_proxy, started
from servers.ports import free_port


@dataclass(frozen=True)
class Edge:
    """A serving proxy, the hub behind it, and servers: alice, alice's gpu, bob, a@b.c; nobody listens for carol."""

    proxy: Proxy
    hub: Upstream
    servers: dict[str, Upstream]
    routes: list[Route]

    @property
    def port(self) -> int:
        return self.proxy.port

    async def get(self, path: str, *headers: str, method: str = "GET", host: str = "hub.example") -> Answer:
        return await get(self.port, path, *headers, method=method, host=host)

    async def send(self, request: bytes) -> Answer:
        return await exchange(self.port, request)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with contextlib.AsyncExitStack() as stack:
        hub, *others = [
            await stack.enter_async_context(Upstream(name).serving()) for name in ("hub", "alice", "gpu", "bob", "odd")
        ]
        alice, gpu, bob, odd = others
        proxy = make_proxy(tmp_path_factory.mktemp("edge"), hub, request_headers_timeout=1)
        await stack.enter_async_context(started(proxy))
        routes = [
            alice.route("/user/alice/"),
            gpu.route("/user/alice/gpu/"),
            bob.route("/user/bob/"),
            odd.route("/user/a@b.c/"),
            odd.route("/user/o%27%C3%A9%20~/"),
            Route("/user/carol/", f"http://{HOST}:{free_port()}", "carol"),
        ]
        await proxy.update(routes)
        yield Edge(proxy, hub, {server.name: server for server in others}, routes)
