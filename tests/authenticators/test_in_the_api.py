"""What authenticators mean for the REST API."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.authenticators.base import Identity, PasswordAuthenticator
from nbhub.authenticators.null import NullAuthenticator


class TwoOffices(PasswordAuthenticator):
    """Knows two people of each name; the password says which."""

    async def authenticate(self, username: str, password: str, *, address: str) -> Identity | None:
        """See PasswordAuthenticator."""
        return Identity(self.normalize(username), origin="offices", subject=password)


async def test_tokens_for_credentials_are_for_the_account_that_has_the_name(hub_of: Any) -> None:
    async with hub_of(TwoOffices(allow_all=True)) as hub:
        client = hub.client()
        await client.get("/hub/login")
        data = {"_xsrf": client.cookies["_xsrf"], "username": "ann", "password": "north"}
        assert (await client.post("/hub/login", data=data)).status_code == 303
        answers = {}
        for office in ("north", "south"):
            body = {"auth": {"username": "ann", "password": office}}
            answers[office] = (await hub.client().post("/hub/api/users/ann/tokens", json=body)).status_code
        assert answers == {"north": 201, "south": 403}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "groups", {"groups": ["x"]}),
        ("POST", "groups/x", {}),
        ("DELETE", "groups/x", None),
        ("POST", "groups/x/users", {"users": ["ann"]}),
        ("DELETE", "groups/x/users", {"users": ["ann"]}),
    ],
)
async def test_managed_groups_are_changed_at_the_source(hub_of: Any, method: str, path: str, body: Any) -> None:
    async with hub_of(TwoOffices(allow_all=True, manage_groups=True)) as hub:
        api = await hub.api("root")
        answer = await api.request(method, f"/hub/api/{path}", json=body)
        assert answer.status_code == 400
        assert "manage_groups" in answer.json()["message"]


class WithCode(TwoOffices):
    """Wants a code as well."""

    takes_otp = True  # type: ignore[assignment]

    async def authenticate_otp(self, username: str, password: str, otp: str, *, address: str) -> Identity | None:
        """See PasswordAuthenticator."""
        return await self.authenticate(username, password, address=address) if otp == "123456" else None


async def test_a_token_for_credentials_takes_the_one_time_password_too(hub_of: Any) -> None:
    async with hub_of(WithCode(allow_all=True, request_otp=True)) as hub:
        await hub.user("ann")
        for code, status in (({}, 403), ({"otp": "000000"}, 403), ({"otp": "123456"}, 201)):
            body = {"auth": {"username": "ann", "password": "north", **code}}
            answer = await hub.client().post("/hub/api/users/ann/tokens", json=body)
            assert answer.status_code == status, code


async def test_a_hub_for_programs_alone(hub_of: Any) -> None:
    async with hub_of(NullAuthenticator()) as hub:
        page = await hub.client().get("/hub/login")
        assert page.status_code == 200
        assert "Nobody logs in here" in page.text
        assert "<form" not in page.text
        client = hub.client()
        await client.get("/hub/login")
        data = {"_xsrf": client.cookies["_xsrf"], "username": "ann", "password": "x"}
        assert (await client.post("/hub/login", data=data)).status_code in (400, 404)
        assert (await (await hub.api("root")).get("/hub/api/users")).status_code == 200
