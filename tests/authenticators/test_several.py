"""Several sources at once: chosen on the login page, and nobody gets into the account of another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from nbhub import config
from nbhub.authenticators.native import native_of
from nbhub.authenticators.several import SeveralAuthenticator
from nbhub.errors import ConfigError, Forbidden
from nbhub.spawners.one_server import Owner, Subject
from nbhub.store import identities, users
from servers import faulty_provider
from servers.faulty_provider import CLIENT, SECRET, FaultyProvider

ADMIN = "a" * 32


@pytest.fixture
async def provider() -> AsyncIterator[FaultyProvider]:
    async with faulty_provider.running() as running:
        yield running


def course(**more: Any) -> dict[str, Any]:
    return {"class": "shared-password", "user_password": "of the course", "allow_all": True} | more


def elsewhere(issuer: str = "https://sso.example", **more: Any) -> dict[str, Any]:
    given = {"class": "generic-oauth", "issuer": issuer, "client_id": CLIENT, "client_secret": SECRET}
    return given | {"allow_all": True, "prefix": "sso-", "label": "the university"} | more


def several(**sources: Any) -> SeveralAuthenticator:
    return SeveralAuthenticator(sources=sources)


async def log_in(hub: Any, source: str, name: str, password: str) -> Any:
    browser = hub.client()
    page = await browser.get("/hub/login")
    data = {"_xsrf": browser.cookies["_xsrf"], "source": source, "username": name, "password": password}
    assert page.status_code == 200
    return await browser.post("/hub/login", data=data)


async def test_people_choose(hub_of: Any, provider: FaultyProvider) -> None:
    guests = course(user_password="of the guests", prefix="guest-", label="a guest's password")
    own = several(course=course(), guests=guests, sso=elsewhere(provider.issuer))
    async with hub_of(own) as hub:
        await own.check()
        browser = hub.client()
        page = (await browser.get("/hub/login?next=/hub/home")).text
        assert "Log in with the university" in page
        assert "Log in with a guest&#39;s password" in page
        assert "Log in with shared password" in page

        assert (await log_in(hub, "course", "ann", "of the course")).status_code == 303
        assert (await log_in(hub, "guests", "ann", "of the guests")).status_code == 303
        assert (await log_in(hub, "guests", "ann", "of the course")).status_code == 403
        assert (await log_in(hub, "", "ann", "of the course")).status_code == 400
        assert (await log_in(hub, "other", "ann", "of the course")).status_code == 400

        left = await browser.get("/hub/oauth_login?source=sso&next=/hub/home")
        answer = await browser.get(provider.log_in(left.headers["location"]))
        assert (answer.status_code, answer.headers["location"]) == (302, "/hub/home")
        async with hub.store.read() as tx:
            found, _ = await users.list_page(tx)
            assert {user.name for user in found} == {"ann", "guest-ann", "sso-ann"}
            user = await users.get(tx, "sso-ann")
            assert user is not None
            known = await identities.get(tx, user.id)
        assert known is not None
        assert (known.origin, known.subject) == (provider.issuer, "1234")
        assert (await hub.client().get("/hub/oauth_login?source=course")).status_code == 404
        await own.close()


async def test_no_source_takes_names_of_another(attach: Any) -> None:
    own = several(course=course(), guests=course(prefix="guest-"))
    let_in = await attach(own)
    found = await own.sources_by_name()["course"].authenticate("guest-ann", "of the course", address="192.0.2.1")
    with pytest.raises(Forbidden, match="looks like one of another"):
        own.from_source("course", found)
    assert (await let_in.admit(own.from_source("guests", found))).name == "guest-guest-ann"


async def test_a_name_stays_with_the_source_that_had_it(attach: Any) -> None:
    own = several(course=course(), sso=elsewhere())
    let_in = await attach(own)
    found = await own.sources_by_name()["course"].authenticate("ann", "of the course", address="192.0.2.1")
    await let_in.admit(own.from_source("course", found))
    own.sources = {"course": course(prefix="c-"), "sso": elsewhere(prefix="")}  # an operator who swaps prefixes
    await attach(own)
    with pytest.raises(Forbidden, match="belongs to another account"):
        await let_in.admit(own.from_source("sso", found.__class__("ann", origin="https://sso.example", subject="1")))


async def test_the_same_names_where_that_is_said(attach: Any) -> None:
    own = SeveralAuthenticator(sources={"a": course(), "b": course(user_password="of the others")}, same_names=True)
    let_in = await attach(own)
    await own.check()
    ids = set()
    for name, password in (("a", "of the course"), ("b", "of the others")):
        found = await own.sources_by_name()[name].authenticate("ann", password, address="192.0.2.1")
        ids.add((await let_in.admit(own.from_source(name, found))).id)
    assert len(ids) == 1


async def test_rules_of_each_source_and_of_all(attach: Any) -> None:
    config = Config()
    config.Authenticator.blocked_users = {"eve", "g-eve"}
    config.SharedPasswordAuthenticator.user_password = "of everybody"
    given = {"class": "shared-password", "allowed_users": {"ann"}}
    own = SeveralAuthenticator(
        config=config, sources={"a": given, "g": {"class": "shared-password", "prefix": "g-", "allow_all": True}}
    )
    let_in = await attach(own)
    assert own.warning() == ""

    async def come(source: str, name: str) -> str:
        found = await own.sources_by_name()[source].authenticate(name, "of everybody", address="192.0.2.1")
        return (await let_in.admit(own.from_source(source, found))).name

    assert await come("a", "ann") == "ann"
    assert await come("g", "bob") == "g-bob"
    for source, name in (("a", "bob"), ("g", "eve")):
        with pytest.raises(Forbidden):
            await come(source, name)


async def test_accounts_of_the_hub_beside_those_of_a_provider(hub_of: Any, provider: FaultyProvider) -> None:
    own = several(here={"class": "native"}, sso=elsewhere(provider.issuer))
    async with hub_of(own) as hub:
        await own.check()
        native = native_of(own)
        assert native is not None
        offer = await native.invite("ann", by="root")
        browser = hub.client()
        await browser.get(f"/hub/signup?code={offer.code}")
        password = "correct horse battery"
        data = {"_xsrf": browser.cookies["_xsrf"], "code": offer.code, "password": password, "again": password}
        assert (await browser.post("/hub/signup", data=data)).status_code == 303
        assert (await log_in(hub, "here", "ann", password)).status_code == 303
        assert (await log_in(hub, "here", "ann", "wrong")).status_code == 403
        other = hub.client()
        left = await other.get("/hub/oauth_login?source=sso")
        assert (await other.get(provider.log_in(left.headers["location"]))).status_code == 302
        async with hub.store.read() as tx:
            assert {user.name for user in (await users.list_page(tx))[0]} == {"ann", "sso-ann"}
        await own.close()


async def test_what_is_done_before_starts_is_done_by_the_source_of_the_user(attach: Any, tmp_path: Path) -> None:
    (tmp_path / "jupyterhub_config.py").write_text(
        "from jupyterhub.auth import SharedPasswordAuthenticator\n"
        "class Noting(SharedPasswordAuthenticator):\n"
        "    async def pre_spawn_start(self, user, spawner):\n"
        "        spawner.append(user.name)\n"
        "    def post_spawn_stop(self, user, spawner):\n"
        "        spawner.append(f'{user.name} stopped')\n"
        "c.JupyterHub.authenticator_class = Noting\n"
    )
    noting = config.load([], folder=tmp_path).config.Hub.authenticator_class
    assert several(a=course()).before_start() is None
    own = several(a=course(), b=course(prefix="b-") | {"class": noting})
    let_in = await attach(own)
    await own.check()
    done: list[str] = []
    for name in ("a", "b"):
        found = await own.sources_by_name()[name].authenticate("ann", "of the course", address="192.0.2.1")
        user = await let_in.admit(own.from_source(name, found))
        for call in (own.before_start(), own.after_stop()):
            assert call is not None
            await call(Owner(Subject(user)), done)
    assert done == ["b-ann", "b-ann stopped"]


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({}, "sources is empty"),
        ({"A B": course()}, "names of sources"),
        ({"a": {"user_password": "x"}}, "at least a 'class'"),
        ({"a": {"class": "nonsense"}}, "none named 'nonsense'"),
        ({"a": course(no_such=1)}, "no setting 'no_such'"),
        ({"a": course(user_password=7)}, "wrong"),
        ({"a": course(), "b": course()}, "all but one of them a prefix"),
        ({"a": {"class": "pam", "prefix": "x-"}}, "cannot have a prefix"),
        ({"a": {"class": "native", "prefix": "x-"}}, "cannot have a prefix"),
        ({"a": course(user_password="short")}, "at least 8 characters"),
    ],
)
async def test_settings_that_make_no_sense(attach: Any, sources: Any, words: str) -> None:
    own = SeveralAuthenticator(sources=sources)
    with pytest.raises(ConfigError, match=words):
        await attach(own)
        await own.check()
