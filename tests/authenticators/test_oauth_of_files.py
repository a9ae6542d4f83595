"""Classes of configuration files that look at what the provider says: `authenticate` and `refresh_user`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nbhub import config
from nbhub.app import Hub
from nbhub.core.model import User
from nbhub.errors import Forbidden
from nbhub.spawners.one_server import Owner, Subject
from servers import faulty_provider
from servers.faulty_provider import CLIENT, SECRET, FaultyProvider

TEXT = """
from oauthenticator.generic import GenericOAuthenticator
from tornado import gen

class Own(GenericOAuthenticator):
{method}
c.JupyterHub.authenticator_class = Own
c.OAuthenticator.issuer = {issuer!r}
c.OAuthenticator.client_id = {client!r}
c.OAuthenticator.client_secret = {secret!r}
c.OAuthenticator.allow_all = True
c.OAuthenticator.enable_auth_state = True
"""
CHANGES = """
    async def authenticate(self, handler, data=None, **more):
        assert handler.get_argument("code")
        model = await super().authenticate(handler, data)
        model["admin"] = model["auth_state"]["oauth_user"]["sub"] == "1234"
        model["name"] = "U-" + model["name"]
        return model
"""
OLD_STYLE = """
    @gen.coroutine
    def authenticate(self, handler, data):
        model = yield super().authenticate(handler, data)
        return "u-" + model["name"]
"""
REFUSES = """
    async def authenticate(self, handler, data=None):
        await super().authenticate(handler, data)
"""
REFRESHES = """
    async def refresh_user(self, user, handler=None):
        found = await super().refresh_user(user, handler)
        return {**found, "admin": True} if isinstance(found, dict) else found
"""


@pytest.fixture
async def provider() -> AsyncIterator[FaultyProvider]:
    async with faulty_provider.running() as running:
        yield running


def made(folder: Path, provider: FaultyProvider, method: str) -> Any:
    text = TEXT.format(method=method, issuer=provider.issuer, client=CLIENT, secret=SECRET)
    (folder / "jupyterhub_config.py").write_text(text)
    hub = config.build(Hub, config.load([], folder=folder).config)
    return config.build(hub.authenticator_class, hub.config, parent=hub)


async def come(provider: FaultyProvider, source: Any) -> Any:
    back = "http://hub.test/hub/oauth_callback"
    left = await source.begin(back)
    url = provider.log_in(left.url)
    query = dict(pair.split("=", 1) for pair in url.partition("?")[2].split("&"))
    return await source.finish(query, left.memory, back)


@pytest.mark.parametrize(("method", "name", "admin"), [(CHANGES, "u-ann", True), (OLD_STYLE, "u-ann", None)])
async def test_what_a_class_makes_of_a_log_in_counts(
    tmp_path: Path, attach: Any, provider: FaultyProvider, method: str, name: str, admin: bool | None
) -> None:
    source = made(tmp_path, provider, method)
    let_in = await attach(source)
    found = await come(provider, source)
    assert (found.name, found.admin, found.subject, found.origin) == (name, admin, "1234", provider.issuer)
    assert found.auth_state["access_token"]
    assert (await let_in.admit(found)).name == name
    await source.close()


async def test_a_class_may_refuse(tmp_path: Path, attach: Any, provider: FaultyProvider) -> None:
    source = made(tmp_path, provider, REFUSES)
    await attach(source)
    with pytest.raises(Forbidden, match="ann may not enter"):
        await come(provider, source)
    await source.close()


async def test_a_class_asks_the_provider_again(tmp_path: Path, attach: Any, provider: FaultyProvider) -> None:
    source = made(tmp_path, provider, REFRESHES)
    await attach(source)
    found = await come(provider, source)
    calls = len(provider.calls)
    again = await source.refresh("ann", found.auth_state)
    assert (again.name, again.admin) == ("ann", True)
    assert len(provider.calls) > calls
    assert await source.refresh_user(Owner(Subject(User(1, "ann")))) is True  # without a state there is nothing to ask
    await source.close()
