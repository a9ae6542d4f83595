"""What clients may say about themselves, and what reaches servers untouched."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from proxy.conftest import Edge
from proxy.edges import HOST, Upstream, exchange, get, make_proxy, started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_client_cannot_choose_the_destination(edge: Edge) -> None:
    bob = f"{HOST}:{edge.servers['bob'].port}"
    for name in ("x-envoy-original-dst-host", "X-Envoy-Original-Dst-Host", "x_envoy_original_dst_host"):
        answer = await edge.get("/user/alice/x", f"{name}: {bob}")
        assert answer.who == "alice"
        assert bob not in answer.seen_headers.values()
        assert (await edge.get("/hub/x", f"{name}: {bob}")).who == "hub"
    twice = await edge.get("/user/alice/x", f"x-envoy-original-dst-host: {bob}", f"x-envoy-original-dst-host: {bob}")
    assert twice.who == "alice"


async def test_headers_that_steer_envoy_are_removed(edge: Edge) -> None:
    steering = ["X-Envoy-Upstream-Rq-Timeout-Ms: 1", "X-Envoy-Max-Retries: 9", "X-Envoy-Retry-On: 5xx"]
    steering += ["x-envoy-original-path: /x", "x-envoy-decorator-operation: x", "x-envoy-force-trace: 1", "X-Envoy: 1"]
    answer = await edge.get("/user/alice/slow?seconds=0.1", *steering)
    assert answer.who == "alice"
    assert [name for name in answer.seen_headers if name.startswith("x-envoy-")] == ["x-envoy-original-dst-host"]


async def test_identity_headers_are_removed(edge: Edge) -> None:
    claims = [
        "Remote-User",
        "REMOTE_USER",
        "X-Remote-User",
        "X_Remote_User",
        "X-Forwarded-User",
        "X-Auth-Request-Email",
    ]
    claims += ["X-Forwarded-Access-Token", "X-WebAuth-User", "X-SSL-Client-DN", "X-Forwarded-Client-Cert", "Proxy"]
    for path in ("/user/alice/x", "/hub/x"):
        seen = (await edge.get(path, *(f"{name}: root" for name in claims))).seen_headers
        assert "root" not in seen.values()


async def test_where_a_request_comes_from_is_ours_to_say(edge: Edge) -> None:
    claims = ["X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example"]
    claims += [
        "X-Forwarded-Port: 1",
        "Forwarded: for=9.9.9.9;host=evil.example",
        "X-Real-IP: 9.9.9.9",
        "X-Scheme: https",
    ]
    claims += ["X-Forwarded-Prefix: /evil", "X-Original-URL: /evil", "X-Rewrite-URL: /evil"]
    seen = (await edge.get("/user/alice/x", *claims, host="hub.example:8000")).seen_headers
    assert "9.9.9.9" not in seen["x-forwarded-for"]
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == seen["host"] == "hub.example:8000"
    assert seen["x-forwarded-port"] == str(edge.port)
    assert not {"forwarded", "x-real-ip", "x-scheme"} & seen.keys()
    assert not any("evil" in value for value in seen.values())
    assert "x-nbhub-client" not in seen
    to_hub = (await edge.get("/hub/x", *claims, "X-Nbhub-Client: 9.9.9.9")).seen_headers
    assert to_hub["x-nbhub-client"] == "127.0.0.1"


async def test_what_servers_decide_by_reaches_them_untouched(edge: Edge) -> None:
    kept = {
        "cookie": "_xsrf=2|a; jupyterhub-user-alice=x; empty=",
        "origin": "https://hub.example",
        "sec-fetch-site": "same-origin",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "iframe",
        "referer": "https://hub.example/user/alice/lab",
        "authorization": "token abc",
        "accept-encoding": "gzip, br",
        "x-xsrftoken": "t",
        "if-none-match": '"x"',
        "range": "bytes=0-1",
        "user-agent": "me",
        "api_key": "a b",
    }
    seen = (await edge.get("/user/alice/x", *(f"{key}: {value}" for key, value in kept.items()))).seen_headers
    assert {key: seen.get(key) for key in kept} == kept
    assert seen["host"] == "hub.example"


async def test_redirects_of_servers_are_left_to_the_browser(edge: Edge) -> None:
    before = edge.servers["bob"].requests
    answer = await edge.get("/user/alice/redirect?to=/user/bob/")
    assert (answer.status, answer.headers["location"]) == (302, "/user/bob/")
    assert edge.servers["bob"].requests == before


async def test_answers_carry_nothing_of_envoy(edge: Edge) -> None:
    answer = await edge.get("/user/alice/x")
    assert not [name for name in answer.headers if name.startswith("x-envoy")]
    assert "aiohttp" in answer.headers["server"]


@pytest.mark.parametrize("host", ["a b", "a/b", "a,b", "a@b", "", "a:b", "[x]", "a'b"])
async def test_malformed_hosts_are_refused(edge: Edge, host: str) -> None:
    answer = await edge.get("/hub/", host=host)
    assert (answer.status, answer.who) == (400, None)


@pytest.mark.parametrize("host", ["hub", "hub.example:8000", "127.0.0.1", "[::1]:8000", "my_hub", "xn--4ca.example"])
async def test_hosts_that_are_taken(edge: Edge, host: str) -> None:
    assert (await edge.get("/hub/", host=host)).seen_headers["host"] == host


HEAD = b"POST /user/alice/x HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (HEAD + b"Content-Length: 3, 3\r\n\r\nabc", 400),
        (HEAD + b"Content-Length: +3\r\n\r\nabc", 400),
        (HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501),
        (HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Host: other\r\n\r\n", 400),
        (HEAD + b"a\0b: c\r\n\r\n", 400),
        (HEAD + b"X: a\0b\r\n\r\n", 400),
        (HEAD + b": c\r\n\r\n", 400),
        (HEAD + b"no colon\r\n\r\n", 400),
        (b"GET /user/alice/x HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (HEAD + b"X: " + b"a" * 66_000 + b"\r\n\r\n", 431),
        (HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(150)) + b"\r\n", 431),
    ],
)
async def test_what_two_parsers_could_read_in_two_ways_is_refused(
    edge: Edge, request_bytes: bytes, status: int
) -> None:
    before = edge.servers["alice"].requests
    answer = await edge.send(request_bytes)
    assert (answer.status, answer.who) == (status, None)
    assert edge.servers["alice"].requests == before


async def test_a_body_that_is_none_never_ends_for_the_server(edge: Edge) -> None:
    """The head is good and may have been passed on by the time the body turns out not to be; it is cut off then."""
    before = edge.servers["alice"].answered
    answer = await edge.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n")
    assert (answer.status, answer.who) == (400, None)
    assert (await edge.get("/user/alice/x")).who == "alice"
    assert edge.servers["alice"].answered == before + 1


async def test_loose_line_ends_reach_servers_as_proper_ones(edge: Edge) -> None:
    answer = await edge.send(b"GET /user/alice/x HTTP/1.1\nHost: h\nX-A: b\n\n")
    assert answer.seen_headers["x-a"] == "b"
    answer = await edge.send(b"GET /user/alice/x HTTP/1.1\r\nHost: h\r\nX-A: b\r X-C: d\r\nX-E: f\r\n g\r\n\r\n")
    assert "x-c" not in answer.seen_headers
    assert answer.seen_headers["x-e"] == "f g"


async def test_large_headers_within_the_limit_pass(edge: Edge) -> None:
    seen = (await edge.get("/user/alice/", *(f"X-{n}: {'a' * 500}" for n in range(14)))).seen_headers
    assert seen["x-13"] == "a" * 500


async def test_only_websocket_upgrades(edge: Edge) -> None:
    for protocol in ("foo", "connect-udp", "tcp", "websocket, foo"):
        answer = await edge.get("/user/alice/x", "Connection: upgrade", f"Upgrade: {protocol}")
        assert (answer.status in (403, 404), answer.who) == (True, None)


async def test_no_http2_on_plain_text(edge: Edge) -> None:
    settings = "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"
    answer = await edge.get("/user/alice/x", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", settings)
    assert answer.who == "alice"
    assert "upgrade" not in answer.seen_headers
    assert "http2-settings" not in answer.seen_headers


@pytest.mark.parametrize("target", ["127.0.0.1:22", "evil.example:443", "/user/alice/"])
async def test_no_connect(edge: Edge, target: str) -> None:
    answer = await exchange(edge.port, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    assert (answer.status // 100, answer.who) == (4, None)


async def test_a_client_that_is_slow_with_its_headers_is_sent_away(edge: Edge) -> None:
    began = time.monotonic()
    answer = await edge.send(b"GET /user/alice/x HTTP/1.1\r\nHost: h\r\nX-Slow:")
    assert answer.status == 408
    assert time.monotonic() - began >= 0.9  # the limit is set to one second here


async def test_slow_answers_and_slow_bodies_are_waited_for(edge: Edge) -> None:
    reader, writer = await asyncio.open_connection(HOST, edge.port)
    writer.write(HEAD + b"Content-Length: 4\r\nConnection: close\r\n\r\na")
    waiting = asyncio.create_task(reader.read())
    answer = await edge.get("/user/alice/slow?seconds=1.6")
    assert answer.who == "alice"
    writer.write(b"bcd")
    assert b'"body": 4' in await waiting
    writer.close()


async def test_a_proxy_apart_says_to_the_hub_alone_that_it_is_one(tmp_path: Path) -> None:
    async with Upstream("hub").serving() as hub, Upstream("alice").serving() as alice:
        proxy = make_proxy(tmp_path / "proxy", hub, hub_word="w" * 64)
        async with started(proxy):
            await proxy.update([alice.route("/user/alice/")])
            for claimed in ("X-NBHub-Proxy: mine", "x_nbhub_proxy: mine", "Accept: */*"):
                heard = (await get(proxy.port, "/hub/", claimed)).seen_headers
                assert heard["x-nbhub-proxy"] == "w" * 64 and "mine" not in heard.values()
                heard = (await get(proxy.port, "/user/alice/", claimed)).seen_headers
                assert not any("nbhub" in name for name in heard)
