"""Grants: tokens, what servers are given, OAuth codes, sessions, roles, services."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbhub.core import secrets
from nbhub.core.model import OAuthClient, OAuthCode, Server, Service, User
from nbhub.errors import Conflict, NotFound
from nbhub.store import Store, Writing, grants, servers, services, users


async def alice_and_server(tx: Writing, name: str = "alice") -> tuple[User, Server]:
    user = await users.create(tx, name, now=1)
    return user, await servers.create(tx, user, "", now=1)


def client_of(server: Server, secret: str = "secret", identifier: str = "") -> OAuthClient:
    return OAuthClient(
        identifier=identifier or f"jupyterhub-user-{server.user_name}",
        description=f"Server at /user/{server.user_name}/",
        secret_hash=secret,
        redirect_uri=f"/user/{server.user_name}/oauth_callback",
        allowed_scopes=(f"access:servers!server={server.user_name}/",),
        server_id=server.id,
        user_id=server.user_id,
    )


async def issue(tx: Writing, server: Server, token_hash: str, identifier: str = "") -> None:
    await grants.issue_server_grants(
        tx, server, token_hash=token_hash, scopes=["users:activity!user"], note="Server", now=1,
        client=client_of(server, token_hash, identifier),
    )  # fmt: skip


async def test_a_token_leads_to_its_owner_with_groups_and_roles(store: Store) -> None:
    async with store.write() as tx:
        alice = await users.create(tx, "alice", now=1)
        for name in ("b-group", "a-group"):
            group = await users.create_group(tx, name)
            await users.add(tx, group.id, ["alice"])
        await grants.put_role(tx, "teacher", description="T", scopes=["list:users", "self"])
        await grants.give_role(tx, "teacher", "group", ["a-group"])
        token = await grants.create_token(
            tx, "hash", user_id=alice.id, scopes=["inherit"], note="mine", session_id="s", expires_at=50, now=1
        )
    async with store.read() as tx:
        found = await grants.find_token(tx, "hash", 49)
        assert found is not None
        assert found.token == token
        assert (found.user, found.service, found.owner, found.groups) == (alice, None, alice, ("a-group", "b-group"))
        assert set(found.role_scopes) == {"self", "list:users"}
        assert (found.server, found.access_scopes, found.expires_at) == (None, (), 50)
        assert await grants.find_token(tx, "hash", 50) is None
        assert await grants.find_token(tx, "other", 1) is None


async def test_a_token_of_a_service(store: Store) -> None:
    async with store.write() as tx:
        service = await services.put(tx, "culler", admin=True, url="http://127.0.0.1:9")
        await services.set_token(tx, service.id, "hash", note="x", now=1)
        found = await grants.find_token(tx, "hash", 2)
        assert found is not None
        assert (found.user, found.groups) == (None, ())
        assert found.service == Service(service.id, "culler", True, "http://127.0.0.1:9")
        assert "admin:users" in found.role_scopes
        await services.put(tx, "culler")
        found = await grants.find_token(tx, "hash", 2)
        assert found is not None
        assert found.role_scopes == ()
        assert [(await services.get(tx, "culler"))] == await services.list_all(tx)
        await services.delete_service(tx, service.id)
        assert await grants.find_token(tx, "hash", 2) is None


async def test_a_token_has_one_owner_that_exists(store: Store) -> None:
    for owner in ({}, {"user_id": 999}, {"user_id": 1, "service_id": 1}):
        with pytest.raises(Conflict):
            async with store.write() as tx:
                await grants.create_token(tx, "hash", scopes=[], now=1, **owner)


async def test_list_use_and_revoke(store: Store) -> None:
    async with store.write() as tx:
        alice = await users.create(tx, "alice", now=1)
        one = await grants.create_token(tx, "1", user_id=alice.id, scopes=["inherit"], now=1)
        two = await grants.create_token(tx, "2", user_id=alice.id, scopes=["inherit"], now=2)
        await grants.create_token(tx, "3", user_id=alice.id, scopes=["inherit"], now=3, expires_at=5)
        await grants.touch_many(tx, {one.id: 7.0})
        await grants.touch_many(tx, {one.id: 6.0})
        listed = await grants.list_tokens(tx, user_id=alice.id, now=9)
        assert [(token.id, client) for token, client in listed] == [(one.id, "JupyterHub"), (two.id, "JupyterHub")]
        assert listed[0][0].last_activity == 7
        assert await grants.get_token(tx, two.id, 9) == (two, "JupyterHub")
        assert await grants.get_token(tx, 999, 9) is None
        assert await grants.token_by_hash(tx, "2", 9) == two
    async with store.wakeup.listen("grants:*") as bell:
        async with store.write() as tx:
            assert await grants.delete_token(tx, two.id)
            assert not await grants.delete_token(tx, two.id)
            assert await grants.find_token(tx, "2", 9) is None
            assert await grants.delete_expired(tx, 9) == 1
        assert await bell.wait(0) == {f"grants:user:{alice.id}"}


async def test_a_server_gets_one_token_and_one_client(store: Store) -> None:
    async with store.write() as tx:
        alice, server = await alice_and_server(tx)
        await issue(tx, server, "first")
        found = await grants.find_token(tx, "first", 2)
        assert found is not None
        assert found.token is not None
        assert (found.token.server_id, found.server, found.user) == (server.id, "alice/", alice)
        assert await grants.get_client(tx, "jupyterhub-user-alice") == client_of(server, "first")


async def test_repeating_a_start_keeps_what_browsers_got(store: Store) -> None:
    async with store.write() as tx:
        alice, server = await alice_and_server(tx)
        await issue(tx, server, "first")
        before = await grants.token_by_hash(tx, "first", 2)
        await grants.create_token(
            tx, "browser", user_id=alice.id, client_id="jupyterhub-user-alice", scopes=["x"], now=2
        )
        await issue(tx, server, "first")
        assert await grants.token_by_hash(tx, "first", 2) == before
        assert await grants.find_token(tx, "browser", 3) is not None
        await issue(tx, server, "second")
        assert await grants.find_token(tx, "first", 3) is None
        assert await grants.find_token(tx, "second", 3) is not None


async def test_a_stop_voids_what_the_server_got_and_gave(store: Store) -> None:
    async with store.write() as tx:
        alice, server = await alice_and_server(tx)
        bob, other = await alice_and_server(tx, "bob")
        await issue(tx, server, "token")
        await issue(tx, other, "others")
        issuer = "jupyterhub-user-alice"
        await grants.create_token(tx, "visitor", user_id=bob.id, client_id=issuer, scopes=["x"], now=2)
        await grants.create_token(tx, "api", user_id=alice.id, scopes=["inherit"], now=2)
        found = await grants.find_token(tx, "visitor", 3)
        assert found is not None
        assert (found.server, found.access_scopes) == ("alice/", ("access:servers!server=alice/",))
    async with store.wakeup.listen("grants:*") as bell:
        async with store.write() as tx:
            await grants.revoke_server_grants(tx, server.id)
        assert await bell.wait(0) == {f"grants:user:{alice.id}", f"grants:user:{bob.id}"}
    async with store.read() as tx:
        assert [await grants.find_token(tx, name, 3) is None for name in ("token", "visitor", "others", "api")] == [
            True, True, False, False,
        ]  # fmt: skip
        assert await grants.get_client(tx, issuer) is None
        assert await grants.get_client(tx, "jupyterhub-user-bob") is not None


async def test_clients_of_one_name_do_not_share_what_they_issued(store: Store) -> None:
    """User a-b's server and user a's server b have the same client id in JupyterHub's scheme."""
    async with store.write() as tx:
        _, one = await alice_and_server(tx, "a-b")
        a = await users.create(tx, "a", now=1)
        two = await servers.create(tx, a, "b", now=1)
        await issue(tx, one, "one", "jupyterhub-user-a-b")
        await grants.create_token(tx, "visitor", user_id=a.id, client_id="jupyterhub-user-a-b", scopes=["x"], now=2)
        await issue(tx, two, "two", "jupyterhub-user-a-b")
        assert await grants.find_token(tx, "visitor", 3) is None
        assert await grants.find_token(tx, "one", 3) is not None
        await grants.revoke_server_grants(tx, one.id)
        client = await grants.get_client(tx, "jupyterhub-user-a-b")
        assert client is not None
        assert client.server_id == two.id


async def test_deleting_a_server_deletes_its_grants(store: Store) -> None:
    async with store.write() as tx:
        _, server = await alice_and_server(tx)
        await servers.ask_start(tx, server.id, now=1)
        (held,) = await servers.claim(tx, holder="h", now=1, lease=1, limit=1)
        await issue(tx, server, "token")
        assert await servers.delete(tx, held.id, held.lease_token, seen_generation=held.generation)
        assert await grants.find_token(tx, "token", 2) is None
        assert await grants.get_client(tx, "jupyterhub-user-alice") is None


async def test_codes_work_once_and_in_time(store: Store) -> None:
    async with store.write() as tx:
        alice, server = await alice_and_server(tx)
        await issue(tx, server, "token")
        code = OAuthCode(
            "code", "jupyterhub-user-alice", alice.id, "/r", ("a", "b"), "session", "challenge", "S256", 50.0
        )
        await grants.create_code(tx, code)
        assert await grants.take_code(tx, "code", 49) == code
        assert await grants.take_code(tx, "code", 49) is None
        await grants.create_code(tx, code)
        assert await grants.take_code(tx, "code", 50) is None
        await grants.create_code(tx, code)
        assert await grants.delete_expired(tx, 49) == 0
        assert await grants.delete_expired(tx, 50) == 1


async def test_sessions_end_with_all_that_they_led_to(store: Store) -> None:
    async with store.write() as tx:
        alice, server = await alice_and_server(tx)
        await issue(tx, server, "token")
        for name in ("one", "two", "three"):
            await grants.create_session(tx, alice.id, cookie_hash=f"c-{name}", session_id=name, now=1, expires_at=50)
            await grants.create_token(
                tx, f"t-{name}", user_id=alice.id, client_id="jupyterhub-user-alice", session_id=name, scopes=[], now=1
            )
        found = await grants.find_session(tx, "c-one", 2)
        assert found is not None
        assert found.session is not None
        assert (found.user, found.session.session_id, found.role_scopes) == (alice, "one", ("self",))
        assert await grants.find_session(tx, "c-one", 50) is None
        assert len(await grants.list_sessions(tx, alice.id, 2)) == 3
        assert [await grants.session_lives(tx, "one", now) for now in (49, 50)] == [True, False]
    async with store.wakeup.listen("grants:*") as bell:
        async with store.write() as tx:
            ended = await grants.delete_session(tx, "c-one")
            assert ended is not None
            assert ended.session_id == "one"
            assert await grants.delete_session(tx, "c-one") is None
            assert not await grants.session_lives(tx, "one", 2)
        assert await bell.wait(0) == {f"grants:user:{alice.id}"}
    async with store.write() as tx:
        assert await grants.find_token(tx, "t-one", 2) is None
        assert await grants.find_token(tx, "t-two", 2) is not None
        assert await grants.delete_sessions_of(tx, alice.id) == 2
        assert await grants.find_token(tx, "t-two", 2) is None
        assert await grants.find_session(tx, "c-three", 2) is None
        assert await grants.find_token(tx, "token", 2) is not None  # the server itself goes on


async def test_roles(store: Store) -> None:
    async with store.write() as tx:
        alice = await users.create(tx, "alice", now=1)
        await users.create(tx, "bob", now=1)
        assert [role.name for role in await grants.list_roles(tx)] == ["user", "admin", "server", "token"]
        await grants.put_role(tx, "helper", description="Helps", scopes=["read:users"])
        await grants.set_holders(tx, "helper", "user", ["alice", "nobody"])
        assert [role.name for role in (await users.roles_of(tx, [alice.id]))[alice.id]] == ["user", "helper"]
        await grants.set_holders(tx, "helper", "user", ["bob"])
        await grants.give_role(tx, "helper", "user", ["bob"])
        assert [role.name for role in (await users.roles_of(tx, [alice.id]))[alice.id]] == ["user"]
        await grants.take_role(tx, "helper", "user", ["bob"])
        await grants.delete_role(tx, "helper")
        assert await grants.get_role(tx, "helper") is None
        with pytest.raises(NotFound):
            await grants.give_role(tx, "helper", "user", ["bob"])
    async with store.wakeup.listen("grants:*") as bell:
        async with store.write() as tx:
            known = await grants.get_role(tx, "user")
            assert known is not None
            await grants.put_role(tx, "user", description=known.description, scopes=known.scopes)
        assert await bell.wait(0) == set()  # nothing changed, nothing to forget
        async with store.write() as tx:
            await grants.put_role(tx, "user", scopes=["self", "shares!user"])
        assert await bell.wait(0) == {"grants:all"}


def contents(folder: Path) -> bytes:
    """All that the files of a folder hold."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_no_secret_reaches_the_file(tmp_path: Path) -> None:
    secret = secrets.new_token()
    hashed = secrets.hash_token(secret)
    opened = await Store.open(str(tmp_path / "nbhub.sqlite"))
    async with opened.write() as tx:
        alice, server = await alice_and_server(tx)
        await issue(tx, server, hashed)
        await grants.create_session(tx, alice.id, cookie_hash=hashed, session_id="public", now=1, expires_at=9)
        assert await grants.find_token(tx, secrets.hash_token(secret), 2) is not None
    await opened.close()
    held = contents(tmp_path)
    assert hashed.encode() in held
    assert secret.encode() not in held
