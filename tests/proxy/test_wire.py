"""The binary form of the route table: byte for byte where it is small, and as a real Envoy understood it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from nbhub.core.model import Route
from nbhub.proxy import resources, routes, wire
from proxy.edges import Upstream, make_proxy, started

MANY = [
    Route("/user/alice/", "http://10.0.0.1:8888", "alice"),
    Route("/user/alice/gpu/", "http://10.0.0.2:8888", "alice", "gpu"),
    Route("/user/a@b.c/", "http://[fd00::1]:8888", "a@b.c"),
    Route("/services/" + "x" * 300 + "/", "http://10.0.0.3:8888", service="x" * 300),
]


@pytest.mark.parametrize(
    ("message", "fields", "encoded"),
    [
        ("RouteMatch", {"prefix": "/é"}, b"\x0a\x03/\xc3\xa9"),
        ("RouteMatch", {"prefix": "x" * 300}, b"\x0a\xac\x02" + b"x" * 300),
        ("RouteAction", {"timeout": "0s"}, b"\x42\x00"),
        ("RetryBackOff", {"base_interval": "0.1s"}, b"\x0a\x05\x10\x80\xc2\xd7\x2f"),
        ("RetryBackOff", {"max_interval": "2s"}, b"\x12\x02\x08\x02"),
        ("RetryPolicy", {"num_retries": 4}, b"\x12\x02\x08\x04"),
        ("DirectResponse", {"status": 400}, b"\x08\x90\x03"),
        ("RegexMatcher", {"google_re2": {}, "regex": "a"}, b"\x0a\x00\x12\x01a"),
        ("Extension", {"typed_config": {"@type": "t/x.RouteMatch"}}, b"\x12\x12\x0a\x0et/x.RouteMatch\x12\x00"),
    ],
)
def test_encoded(message: str, fields: dict[str, Any], encoded: bytes) -> None:
    assert wire.encode(message, fields) == encoded


def test_a_field_that_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError, match="prefx"):
        wire.encode("RouteMatch", {"prefx": "/"})


@pytest.mark.parametrize(("base_url", "hops", "table"), [("/", 0, MANY), ("/jupyter/", 1, [])])
async def test_envoy_understood_what_was_meant(tmp_path: Path, base_url: str, hops: int, table: list[Route]) -> None:
    async with Upstream("hub").serving() as hub:
        proxy = make_proxy(tmp_path, hub, base_url=base_url, trusted_hops=hops)
        async with started(proxy):
            await proxy.update(table)
            understood = await _table_in_force(proxy.place.admin)
    meant = resources.route_table(routes.choose(table, base_url), base_url, trusted_hops=hops)
    assert _plain(understood) == _plain(meant)


async def _table_in_force(admin: Path) -> Any:
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(admin)), timeout=60) as client:
        answer = await client.get("http://admin/config_dump?resource=dynamic_route_configs")
    [found] = answer.json()["configs"]
    return found["route_config"]


def _plain(value: Any) -> Any:
    """Return the value with durations in one spelling: Envoy writes 0.100s for 0.1s."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(value[:-1]) if isinstance(value, str) and re.fullmatch(r"[\d.]+s", value) else value
