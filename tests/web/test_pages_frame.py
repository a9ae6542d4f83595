"""What all pages share: files, errors, policy, words that are only words."""

from __future__ import annotations

import contextlib
import gzip
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbhub.store import grants, services
from nbhub.web import render
from page_reader import read, submit

HOSTILE = "<img src=x onerror=alert(1)>"


async def test_files_are_kept_for_ever_by_their_version(hub: Any) -> None:
    client = hub.client()
    page = await client.get("/hub/login")
    addresses = re.findall(r'/hub/static/[^"]+', page.text)
    assert len(addresses) >= 3
    for address in set(addresses):
        answer = await client.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert not answer.headers.get_list("set-cookie")
        again = await client.get(address, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        without = await client.get(address.partition("?")[0])
        assert without.headers["cache-control"] == "no-cache"


async def test_files_are_sent_small(hub: Any) -> None:
    client = hub.client()
    plain = await client.get("/hub/static/style.css", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    async with client.stream("GET", "/hub/static/style.css", headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join([chunk async for chunk in packed.aiter_raw()])
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < 6_000
    assert plain.headers["content-type"] == "text/css; charset=utf-8"


@pytest.mark.parametrize("name", ["nothing.css", "..%2frender.py", "%2e%2e/render.py", "", "%00"])
async def test_only_our_files(hub: Any, name: str) -> None:
    assert (await hub.client().get(f"/hub/static/{name}")).status_code == 404


async def test_the_logo(hub: Any) -> None:
    answer = await hub.client().get("/hub/logo")
    assert answer.headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
    "path", ["/hub/login", "/hub/home", "/hub/nothing", "/hub/token", "/hub/admin", "/hub/error/502"]
)
async def test_every_page_forbids_inline_scripts(hub: Any, path: str) -> None:
    answer = await (await hub.browser("root")).get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 413, 424, 429, 500, 502, 503, 504])
async def test_errors_for_the_proxy(hub: Any, status: int) -> None:
    answer = await hub.client().get(f"/hub/error/{status}?url=http%3A%2F%2Fevil.test%2F{HOSTILE}")
    assert answer.status_code == 200
    page = read(answer)
    assert str(status) in page.words
    assert render.ERRORS[status][0] in page.words
    assert "evil" not in page.source


async def test_errors_that_do_not_exist(hub: Any) -> None:
    assert "500" in read(await hub.client().get("/hub/error/999")).words
    assert (await hub.client().get("/hub/error/x")).status_code == 404


async def test_an_unknown_page_is_told_in_words(hub: Any) -> None:
    for client in (hub.client(), await hub.browser("ada")):
        answer = await client.get(f"/hub/{HOSTILE}")
        assert answer.status_code == 404
        assert "There is nothing here" in read(answer).words
        assert HOSTILE not in answer.text
    answer = await hub.client().delete("/hub/home")
    assert (answer.status_code, "does not take what was sent" in read(answer).words) == (405, True)


async def test_errors_are_shown_when_the_database_is_locked(hub: Any, tmp_path: Path) -> None:
    browser = await hub.browser("ada")
    form = read(await browser.get("/hub/home")).form("/hub/spawn/ada")
    with contextlib.closing(sqlite3.connect(tmp_path / "hub.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = await submit(browser, form)
        other.execute("ROLLBACK")
    assert answer.status_code == 503
    page = read(answer)
    assert "The database is locked by another program" in page.words
    assert "Try again" in page.words
    assert "Traceback" not in page.source
    assert (await submit(browser, form)).status_code == 303


async def test_a_hostile_name_is_only_text_everywhere(hub: Any) -> None:
    browser = await hub.browser(HOSTILE)
    for path in ("/hub/home", "/hub/token", "/hub/nothing", "/hub/user/nobody/"):
        page = read(await browser.get(path))
        assert HOSTILE in page.words
        assert not page.has("img", src="x")


async def test_every_page_leads_to_the_services_that_one_may_use(hub: Any) -> None:
    await hub.user("ada")
    async with hub.store.write() as tx:
        for name in ("grader", "secret"):
            await services.put(tx, name, url="http://127.0.0.1:9")
        await grants.put_role(tx, "students", scopes=("access:services!service=grader",))
        await grants.give_role(tx, "students", "user", ["ada"])
    browser = await hub.browser("ada")
    for path in ("/hub/home", "/hub/token", "/hub/spawn-pending/ada"):
        page = read(await browser.get(path))
        assert page.has("a", href="/services/grader/"), path
        assert "secret" not in page.words


async def test_what_was_said_is_ours_only(hub: Any) -> None:
    browser = await hub.browser("ada")
    assert "server is stopping" in read(await browser.get("/hub/home?said=stopping")).words
    assert "call+this" not in (await browser.get("/hub/home?said=call+this+number")).text


async def test_violations_of_the_policy_are_counted(hub: Any) -> None:
    headers = {"Content-Type": "application/csp-report"}
    answer = await hub.client().post("/hub/security/csp-report", content=b'{"x": "' + b"y" * 9000, headers=headers)
    assert answer.status_code == 200
    assert b"jupyterhub_csp_reports_total 1.0" in hub.desk.metrics.text()


async def test_links_work_with_a_public_address(hub_with: Callable[..., Any]) -> None:
    async with hub_with(base_url="/pre/", public_url="https://hub.example/pre/") as hub:
        page = read(await hub.client().get("/pre/hub/login"))
        assert page.form("/pre/hub/login")
        assert page.has("link", rel="stylesheet")
        links = [given["href"] for tag, given in page.tags if tag in ("a", "link")]
        assert all(where.startswith(("/pre/hub/", "#")) for where in links)


def test_spans_of_time() -> None:
    assert [render.span(seconds) for seconds in (0, 1, 44, 60, 100, 3600, 5000, 86400, 200_000)] == [
        "1 second", "1 second", "44 seconds", "1 minute", "2 minutes", "1 hour", "1 hour", "1 day", "2 days",
    ]  # fmt: skip
    assert render.ago(None, 0) == "never"
    assert render.ago(100, 110) == "just now"
    assert render.ago(0, 7200) == "2 hours ago"
