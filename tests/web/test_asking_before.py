"""refresh_pre_spawn, refresh_pre_stop, auth_refresh_strict: the source is asked before starts, stops and calls."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.authenticators.base import Authenticator, Identity
from nbhub.errors import Unavailable
from nbhub.store import identities
from nbhub.web.login import admit
from web_hub import TestHub

pytestmark = pytest.mark.asyncio


class Source(Authenticator):
    """A source that answers what a test wants, and counts."""

    answer: Identity | bool | Exception = True
    asked = 0

    async def refresh(self, name: str, auth_state: Any) -> Identity | bool:
        """See Authenticator."""
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def logged_in(hub: TestHub) -> Any:
    """Let ann in as the log-in page does; returns her browser."""
    await admit(hub.desk, Identity("ann", auth_state={"token": "old"}, origin="here"))
    return await hub.browser("ann")


async def test_a_start_waits_for_the_source(hub_with: Any) -> None:
    source = Source(allow_all=True, refresh_pre_spawn=True, auth_refresh_age=0, enable_auth_state=True)
    async with hub_with(authenticator=source) as hub:
        browser, api = await logged_in(hub), await hub.api("root")
        source.answer = Unavailable("the provider is away")
        refused = await api.post("/hub/api/users/ann/server")
        assert (refused.status_code, refused.json()["message"]) == (503, "the provider is away")
        assert "the provider is away" in (await browser.get("/hub/spawn/ann")).text
        source.answer = False
        refused = await api.post("/hub/api/users/ann/server")
        assert refused.status_code == 403
        assert "no longer confirmed" in refused.json()["message"]
        assert (await browser.get("/hub/home")).status_code == 302  # logged out
        source.answer = Identity("ann", admin=True, auth_state={"token": "new"}, origin="here")
        await admit(hub.desk, Identity("ann", auth_state={"token": "old"}, origin="here"))
        assert (await api.post("/hub/api/users/ann/server")).status_code == 201
        assert (await api.get("/hub/api/users/ann")).json()["admin"] is True
        assert source.asked == 4


async def test_somebody_who_never_logged_in_is_not_asked_about(hub_with: Any) -> None:
    source = Source(allow_all=True, refresh_pre_spawn=True)
    source.answer = False
    async with hub_with(authenticator=source) as hub:
        await hub.user("bob")
        assert (await (await hub.api("root")).post("/hub/api/users/bob/server")).status_code == 201
        assert source.asked == 0


@pytest.mark.parametrize("answer", [False, Unavailable("the provider is away")])
async def test_a_stop_goes_on_whatever_the_source_says(hub_with: Any, answer: Any) -> None:
    source = Source(allow_all=True, refresh_pre_stop=True, auth_refresh_age=0)
    async with hub_with(authenticator=source) as hub:
        await logged_in(hub)
        api = await hub.api("root")
        assert (await api.post("/hub/api/users/ann/server")).status_code == 201
        assert source.asked == 0
        source.answer = answer
        assert (await api.delete("/hub/api/users/ann/server")).status_code == 204
        assert source.asked == 1


@pytest.mark.parametrize("strict", [True, False])
async def test_tokens_of_whom_the_source_knows_no_longer(hub_with: Any, strict: bool) -> None:
    source = Source(allow_all=True, auth_refresh_strict=strict)
    async with hub_with(authenticator=source) as hub:
        user = await admit(hub.desk, Identity("ann", origin="here"))
        api = await hub.api("ann")
        async with hub.store.write() as tx:
            await identities.confirm(tx, user.id, hub.desk.clock() - 1000)
        source.answer = False
        for _ in range(2):
            assert (await api.get("/hub/api/user")).status_code == (403 if strict else 200)
        assert source.asked == (2 if strict else 0)
        source.answer = True
        assert (await api.get("/hub/api/user")).status_code == 200
