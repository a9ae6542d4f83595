"""Services in the store: one token and one OAuth client each, routes, and one hub that runs them."""

from __future__ import annotations

import pytest

from nbhub.core.model import OAuthClient, Route
from nbhub.errors import Conflict
from nbhub.store import Store, grants, services


def client(name: str, service_id: int, secret_hash: str = "") -> OAuthClient:
    return OAuthClient(name, name, secret_hash, "/x", (), service_id=service_id)


async def test_what_is_kept_of_a_service(store: Store) -> None:
    async with store.write() as tx:
        first = await services.put(
            tx, "web", url="http://h:81/x", info={"a": 1}, display=False, command=["run", "it"],
            oauth_no_confirm=True, from_config=True,
        )  # fmt: skip
        await services.put(tx, "b c", url="http://h")
        assert await services.by_id(tx, first.id) == await services.get(tx, "web") == first
        assert (first.info, first.display, first.command, first.from_config) == ({"a": 1}, False, ("run", "it"), True)
        again = await services.put(tx, "web")
        assert (again.id, again.url, again.display, again.from_config) == (first.id, None, True, False)
        assert await services.routes(tx, "/pre/") == [Route("/pre/services/b%20c/", "http://h:80", service="b c")]
        await services.put(tx, "web", url="http://h:81/x")
        assert (await services.routes(tx, "/"))[1].target == "http://h:81"


async def test_a_service_has_one_token_which_is_its_secret(store: Store) -> None:
    async with store.write() as tx:
        one, two = await services.put(tx, "one"), await services.put(tx, "two")
        await services.set_client(tx, one.id, client("service-one", one.id))
        for _ in range(2):
            await services.set_token(tx, one.id, "first", note="n", now=1)
        await services.set_token(tx, one.id, "second", note="n", now=1)
        assert await grants.find_token(tx, "first", 2) is None
        found = await grants.find_token(tx, "second", 2)
        assert found is not None and found.owner.name == "one"
        stored = await grants.get_client(tx, "service-one")
        assert stored is not None and stored.secret_hash == "second"
        await services.set_client(tx, one.id, client("service-one", one.id))
        stored = await grants.get_client(tx, "service-one")
        assert stored is not None and stored.secret_hash == "second"
        with pytest.raises(Conflict):
            await services.set_token(tx, two.id, "second", note="n", now=1)
        with pytest.raises(Conflict):
            await services.set_client(tx, two.id, client("service-one", two.id))
        await services.set_client(tx, one.id, client("service-1", one.id))
        assert await grants.get_client(tx, "service-one") is None
        await services.set_client(tx, one.id, None)
        assert await grants.get_client(tx, "service-1") is None
        await services.drop_tokens(tx, one.id)
        assert await grants.find_token(tx, "second", 2) is None


async def test_one_hub_runs_a_service(store: Store) -> None:
    async with store.write() as tx:
        service = await services.put(tx, "web")
        assert await services.take(tx, service.id, holder="a", now=10, lease=5)
        assert await services.take(tx, service.id, holder="a", now=12, lease=5)
        assert await services.take(tx, service.id, holder="b", now=16, lease=5) is None
        assert await services.note_process(tx, service.id, holder="a", process={"pid": 7})
        assert not await services.note_process(tx, service.id, holder="b", process={"pid": 8})
        taken = await services.take(tx, service.id, holder="b", now=17, lease=5)
        assert taken is not None and taken.process == {"pid": 7}
        await services.let_go(tx, service.id, holder="a")
        assert await services.take(tx, service.id, holder="a", now=18, lease=5) is None
        await services.let_go(tx, service.id, holder="b")
        assert await services.take(tx, service.id, holder="a", now=18, lease=5)
        await services.end_all(tx, 19)
        assert await services.take(tx, service.id, holder="b", now=19, lease=5)


async def test_roles_of_the_configuration_go_with_it(store: Store) -> None:
    async with store.write() as tx:
        service = await services.put(tx, "web")
        for name in ("kept", "gone"):
            await grants.put_role(tx, name, scopes=["list:users"], from_config=True)
            await grants.give_role(tx, name, "service", ["web"])
        await grants.put_role(tx, "elsewhere")
        assert await grants.held_by(tx, "service", [service.id, 0]) == {service.id: ("kept", "gone"), 0: ()}
        assert await grants.delete_roles_gone(tx, ["kept"]) == ["gone"]
        assert [role.name for role in await grants.list_roles(tx)] == [
            "user", "admin", "server", "token", "kept", "elsewhere",
        ]  # fmt: skip
        held = await services.roles_of(tx, [service.id])
        assert [role.name for role in held[service.id]] == ["kept"]
