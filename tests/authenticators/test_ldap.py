"""LDAP, against a real slapd."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from nbhub.authenticators.ldap import LDAPAuthenticator
from nbhub.errors import BadRequest, ConfigError, Forbidden, TooManyRequests, Unavailable
from servers import openldap
from servers.openldap import BASE, GROUPS, PASSWORD, PEOPLE, READER, READER_PASSWORD, OpenLDAP

ADDRESS = "192.0.2.5"
STAFF, CHIEFS = f"cn=staff,{GROUPS}", f"cn=chiefs,{GROUPS}"


@pytest.fixture(scope="module")
def server() -> Iterator[OpenLDAP]:
    if not openldap.available():
        pytest.skip("slapd is not installed")
    with openldap.running() as running:
        yield running


def direct(server: OpenLDAP, **settings: Any) -> LDAPAuthenticator:
    given: dict[str, Any] = {
        "server_address": "127.0.0.1",
        "server_port": server.port,
        "tls_kwargs": {"ca_certs_file": str(server.certificate)},
        "bind_dn_template": [f"uid={{username}},{PEOPLE}"],
        "allow_all": True,
    }
    return LDAPAuthenticator(**(given | settings))


def searching(server: OpenLDAP, **settings: Any) -> LDAPAuthenticator:
    given: dict[str, Any] = {
        "bind_dn_template": [],
        "lookup_dn": True,
        "lookup_dn_search_user": READER,
        "lookup_dn_search_password": READER_PASSWORD,
        "user_search_base": PEOPLE,
        "user_attribute": "uid",
    }
    return direct(server, **(given | settings))


KINDS = pytest.mark.parametrize("kind", [direct, searching])


@KINDS
async def test_right_and_wrong_passwords(attach: Any, server: OpenLDAP, kind: Any) -> None:
    source = kind(server)
    await attach(source)
    await source.check()
    found = await source.authenticate("Ann", PASSWORD, address=ADDRESS)
    assert found is not None
    assert found.name == "ann"
    for name, password in (("ann", "wrong"), ("nobody", PASSWORD)):
        assert await source.authenticate(name, password, address=ADDRESS) is None


@pytest.mark.parametrize("strategy", ["before_bind", "on_connect", "insecure"])
async def test_ways_to_connect(attach: Any, server: OpenLDAP, strategy: str) -> None:
    port = server.tls_port if strategy == "on_connect" else server.port
    source = direct(server, tls_strategy=strategy, server_port=port)
    await attach(source)
    assert await source.authenticate("ann", PASSWORD, address=ADDRESS) is not None
    assert ("readably" in source.warning()) is (strategy == "insecure")


@pytest.mark.parametrize("strategy", ["before_bind", "on_connect"])
async def test_a_certificate_that_nobody_vouches_for(attach: Any, server: OpenLDAP, strategy: str) -> None:
    port = server.tls_port if strategy == "on_connect" else server.port
    source = direct(server, tls_strategy=strategy, server_port=port, tls_kwargs={})
    await attach(source)
    with pytest.raises(Unavailable, match="does not answer as it should"):
        await source.authenticate("ann", PASSWORD, address=ADDRESS)


@KINDS
@pytest.mark.parametrize(
    "name",
    ["*", "a*", "ann)(uid=*", ")(", "*)(uid=*))(|(uid=*", f"ann,{PEOPLE}", "ann+cn=x", "\\2a", "an\\6e", "#616e6e"],
)
async def test_names_mean_nothing_to_the_directory(attach: Any, server: OpenLDAP, kind: Any, name: str) -> None:
    source = kind(server, valid_username_regex=".*")
    await attach(source)
    if "\\" in name:
        with pytest.raises(BadRequest):
            await source.authenticate(name, PASSWORD, address=ADDRESS)
    else:
        assert await source.authenticate(name, PASSWORD, address=ADDRESS) is None


@pytest.mark.parametrize("name", ["*", ")(", "a/b", "a\nb", "x" * 500, "", "..", "9ann"])
async def test_odd_names_are_not_asked_for(attach: Any, server: OpenLDAP, name: str) -> None:
    source = direct(server)
    await attach(source)
    with pytest.raises(BadRequest, match="user name"):
        await source.authenticate(name, PASSWORD, address=ADDRESS)


@pytest.mark.parametrize("password", ["", "x" * 100_000, "a\0b"])
@KINDS
async def test_passwords_that_are_none(attach: Any, server: OpenLDAP, kind: Any, password: str) -> None:
    source = kind(server)
    await attach(source)
    with pytest.raises(BadRequest, match="password"):
        await source.authenticate("ann", password, address=ADDRESS)


async def test_who_is_found_twice_is_nobody(attach: Any, server: OpenLDAP) -> None:
    source = searching(server, user_search_base=BASE)
    await attach(source)
    assert await source.authenticate("double", PASSWORD, address=ADDRESS) is None
    assert await source.authenticate("bob", PASSWORD, address=ADDRESS) is not None


async def test_one_name_below_two_templates_is_two_people(attach: Any, server: OpenLDAP) -> None:
    source = direct(server, bind_dn_template=[f"uid={{username}},{PEOPLE}", f"uid={{username}},ou=guests,{BASE}"])
    let_in = await attach(source)
    first = await source.authenticate("ann", PASSWORD, address=ADDRESS)
    await let_in.admit(first)
    other = await source.authenticate("ann", "password of the guest", address=ADDRESS)
    with pytest.raises(Forbidden, match="belongs to another account"):
        await let_in.admit(other)


@KINDS
async def test_groups_by_their_distinguished_names(attach: Any, server: OpenLDAP, kind: Any) -> None:
    source = kind(server, allow_all=False, allowed_groups={STAFF}, admin_groups={CHIEFS})
    let_in = await attach(source)
    admins = {}
    for name in ("ann", "bob"):
        admins[name] = (await let_in.admit(await source.authenticate(name, PASSWORD, address=ADDRESS))).admin
    assert admins == {"ann": True, "bob": False}
    with pytest.raises(Forbidden, match="eve may not enter"):
        await let_in.admit(await source.authenticate("eve", PASSWORD, address=ADDRESS))


async def test_groups_by_name_become_the_hubs(attach: Any, server: OpenLDAP) -> None:
    settings = {"group_search_base": GROUPS, "manage_groups": True, "allow_all": False}
    source = direct(server, allowed_groups={"staff"}, admin_groups={CHIEFS}, **settings)
    let_in = await attach(source)
    admitted = await source.admit(await source.authenticate("ann", PASSWORD, address=ADDRESS))
    assert admitted.groups == ("chiefs", "lab", "staff")
    assert admitted.admin
    user = await let_in.admit(await source.authenticate("bob", PASSWORD, address=ADDRESS))
    assert not user.admin


async def test_only_who_matches_a_filter(attach: Any, server: OpenLDAP) -> None:
    filter_ = "(&({userattr}={username})(mail=ann@*))"
    source = direct(server, search_filter=filter_, user_search_base=PEOPLE, user_attribute="uid")
    await attach(source)
    assert await source.authenticate("ann", PASSWORD, address=ADDRESS) is not None
    assert await source.authenticate("bob", PASSWORD, address=ADDRESS) is None


async def test_attributes_are_kept(attach: Any, server: OpenLDAP) -> None:
    source = direct(server, enable_auth_state=True, auth_state_attributes=["mail", "cn"])
    let_in = await attach(source)
    user = await let_in.admit(await source.authenticate("ann", PASSWORD, address=ADDRESS))
    assert await let_in.state_of(user) == {
        "user_attributes": {"mail": ["ann@example.org"], "cn": ["Ann Name"]},
        "dn": f"uid=ann,{PEOPLE}",
    }


async def test_a_reader_with_a_wrong_password_is_the_operators_concern(attach: Any, server: OpenLDAP) -> None:
    source = searching(server, lookup_dn_search_password="wrong")
    await attach(source)
    with pytest.raises(Unavailable, match="lookup_dn_search_user"):
        await source.authenticate("ann", PASSWORD, address=ADDRESS)


async def test_guessing_has_to_wait(attach: Any, server: OpenLDAP) -> None:
    source = direct(server)
    await attach(source)
    with pytest.raises(TooManyRequests):
        for _ in range(10):
            await source.authenticate("ann", "guess", address=ADDRESS)


@pytest.mark.parametrize("behaviour", ["drops", "silent", "garbage", "away"])
async def test_a_server_out_of_order_never_blocks_the_hub(attach: Any, server: OpenLDAP, behaviour: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        if behaviour == "silent":
            await asyncio.sleep(60)
        if behaviour == "garbage":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    broken = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = broken.sockets[0].getsockname()[1]
    if behaviour == "away":
        broken.close()
    source = direct(server, server_port=port, tls_strategy="insecure", ldap_timeout=1)
    await attach(source)
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="The directory"):
        await source.authenticate("ann", PASSWORD, address=ADDRESS)
    assert time.monotonic() - begun < 40
    broken.close()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"server_address": ""}, "server_address"),
        ({"bind_dn_template": []}, "bind_dn_template"),
        ({"bind_dn_template": ["uid=x"]}, "has no {username}"),
        ({"lookup_dn": True}, "user_search_base"),
    ],
)
async def test_settings_that_are_missing_are_named_at_start(server: OpenLDAP, settings: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        await direct(server, **settings).check()
