"""Where requests go, for every way to write a path: what decides the route is what the server sees."""

from __future__ import annotations

import pytest

from proxy.conftest import Edge

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROUTED = [
    # at segment borders, most specific first
    ("/user/alice/lab", "alice", None),
    ("/user/alice/", "alice", None),
    ("/user/alice2/lab", "hub", None),
    ("/user/alice", "hub", None),
    ("/user/alic/", "hub", None),
    ("/user/alice/gpu/lab", "gpu", None),
    ("/user/alice/gpu2/lab", "alice", None),
    ("/user/alice/gp", "alice", None),
    ("/", "hub", None),
    ("/anything/else", "hub", None),
    ("/hub/user/alice/", "hub", None),
    # case
    ("/USER/alice/", "hub", None),
    ("/user/Alice/", "hub", None),
    # escapes of plain characters are the characters
    ("/user/%61lice/lab", "alice", "/user/alice/lab"),
    ("/%75ser/alice/lab", "alice", "/user/alice/lab"),
    ("/user/alice/%67pu/lab", "gpu", "/user/alice/gpu/lab"),
    ("/user/alice/%41%2d%7e", "alice", "/user/alice/A-~"),
    # escapes that names have, however written
    ("/user/a@b.c/x", "odd", None),
    ("/user/a%40b.c/x?y=%40", "odd", "/user/a@b.c/x?y=%40"),
    ("/user/o%27%C3%A9%20~/x", "odd", None),
    ("/user/o'%C3%A9%20~/x", "odd", "/user/o%27%C3%A9%20~/x"),
    ("/user/o%27%c3%a9%20%7E/x", "odd", "/user/o%27%C3%A9%20~/x"),
    # dots
    ("/user/./alice/lab", "alice", "/user/alice/lab"),
    ("/user/alice/../bob/x", "bob", "/user/bob/x"),
    ("/user/alice/%2e%2e/bob/x", "bob", "/user/bob/x"),
    ("/user/alice/.%2E/%2e./hub/x", "hub", "/hub/x"),
    ("/user/bob/../../../../hub/", "hub", "/hub/"),
    ("/user/alice/x/..", "alice", "/user/alice/"),
    ("/user/alice/..;/bob/", "bob", "/user/bob/"),
    # slashes
    ("/user//alice/", "hub", None),
    ("/user/alice//gpu/x", "alice", None),
    ("/user/alice/files//x", "alice", None),
    (r"/user/alice\gpu\x", "gpu", "/user/alice/gpu/x"),
    (r"/user/alice/x\..\..\bob/", "bob", "/user/bob/"),
    # behind the parts that decide, a server gets what was sent
    ("/user/alice/files/a%2fb;c%5Cd", "alice", None),
    ("/user/alice/gpu/a%2Fb;c", "gpu", None),
    ("/user/alice/proxy/absolute/http://x/", "alice", None),
    ("/services/x/a%2fb", "hub", None),
    ("/hub/api/users/a%2fb;c", "hub", None),
    # queries are nobody's business
    ("/user/alice/x?a=%2f..%2f;b//c/../d&e=%61", "alice", None),
    ("/user/alice?next=/user/bob/", "hub", None),
    ("/?/user/alice/", "hub", None),
    ("/user/alice/gpu/?x", "gpu", None),
    # nonsense stays nonsense
    ("/user/alice/%", "alice", None),
    ("/user/alice/%zz", "alice", None),
    ("/user/alice/%252e%252e/bob/", "alice", None),
]

REFUSED = [
    "/user%2falice/lab",
    "/user/alice%2Fgpu/",
    "/user/alice/gpu%2fx",
    "/user/alice/..%2fbob/",
    "/user/alice%5cgpu/",
    "/user/alice/gpu%5C",
    "/user/alice;x/",
    "/user;x/alice/",
    "/user/alice/gpu;x/",
]


@pytest.mark.parametrize(("asked", "who", "seen"), ROUTED)
async def test_routed(edge: Edge, asked: str, who: str, seen: str | None) -> None:
    answer = await edge.get(asked)
    assert (answer.who, answer.seen["path"]) == (who, seen or asked)


@pytest.mark.parametrize("asked", REFUSED)
async def test_refused(edge: Edge, asked: str) -> None:
    answer = await edge.get(asked)
    assert (answer.status, answer.who) == (400, None)
    assert b"The address is refused" in answer.body


@pytest.mark.parametrize(
    ("asked", "location"),
    [
        ("//evil.example/x", "http://hub.example/evil.example/x"),
        ("///user/alice/?a=//b", "http://hub.example/user/alice/?a=//b"),
        ("/user/alice/gpu", "http://hub.example/user/alice/gpu/"),
        ("/user/alice/gpu?next=/x", "http://hub.example/user/alice/gpu/?next=/x"),
    ],
)
async def test_redirected(edge: Edge, asked: str, location: str) -> None:
    answer = await edge.get(asked)
    assert (answer.status, answer.headers["location"]) == (307, location)


@pytest.mark.parametrize(
    "asked", ["/user/alice/x#y", "/user/alice/\x01", "/user/alice%00/", "/user/alice/é", "user/alice/", "*"]
)
async def test_not_a_path(edge: Edge, asked: str) -> None:
    answer = await edge.get(asked)
    assert answer.who is None
    assert 400 <= answer.status < 500


async def test_absolute_form_is_routed_by_its_path(edge: Edge) -> None:
    answer = await edge.get("http://other.example/user/bob/x")
    assert (answer.who, answer.seen["path"], answer.seen_headers["host"]) == ("bob", "/user/bob/x", "other.example")


async def test_every_method_of_the_api_passes(edge: Edge) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = await edge.get("/user/bob/x", "Content-Length: 0", method=method)
        assert (answer.who, answer.seen["method"]) == ("bob", method)
