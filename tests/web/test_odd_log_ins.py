"""What nobody should type on the log-in page, sent to every source that takes names and passwords."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.authenticators.dummy import DummyAuthenticator
from nbhub.authenticators.native import NativeAuthenticator
from nbhub.authenticators.shared import SharedPasswordAuthenticator
from nbhub.compat.modules.auth import Authenticator
from nbhub.store import users
from page_reader import read, submit

PASSWORD = "correct horse battery"


class OfAFile(Authenticator):
    """As a configuration file writes one: believes whatever it is told."""

    async def authenticate(self, handler: Any, data: Any = None, **_: Any) -> Any:
        """Believe."""
        return data["username"]


SOURCES = {
    "native": lambda: NativeAuthenticator(signup="open"),
    "dummy": lambda: DummyAuthenticator(password=PASSWORD),
    "shared": lambda: SharedPasswordAuthenticator(user_password=PASSWORD, allow_all=True),
    "of a file": lambda: OfAFile(allow_all=True),
}
NAMES = {
    "slash": "a/b",
    "encoded slash": "a%2fb",
    "dots": "..",
    "500 characters": "x" * 500,
    "NUL": "a\0b",
    "line break": "a\nb",
    "override": "a\u202eb",
    "nothing": " ",
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
async def test_names_that_cannot_be_users(hub_with: Any, kind: str, name: str) -> None:
    async with hub_with(authenticator=SOURCES[kind]()) as hub:
        client = hub.client()
        answer = await submit(
            client, read(await client.get("/hub/login")).form("/hub/login"), username=name, password=PASSWORD
        )
        assert answer.status_code == 400
        assert read(answer).has("p", role="alert")
        async with hub.store.read() as tx:
            assert await users.count(tx) == 0


@pytest.mark.parametrize("kind", ["native", "dummy", "shared"])
@pytest.mark.parametrize(
    "password", ["", "x" * 100_000, "a\0b", "\udcff".encode("utf-8", "surrogatepass").decode("latin-1")]
)
async def test_passwords_that_cannot_be(hub_with: Any, kind: str, password: str) -> None:
    async with hub_with(authenticator=SOURCES[kind]()) as hub:
        client = hub.client()
        answer = await submit(
            client, read(await client.get("/hub/login")).form("/hub/login"), username="ann", password=password
        )
        assert answer.status_code in (400, 403)
        assert read(answer).has("p", role="alert")


async def test_a_sign_up_with_what_cannot_be(hub_with: Any) -> None:
    async with hub_with(authenticator=SOURCES["native"]()) as hub:
        client = hub.client()
        for name, password in (
            (NAMES["slash"], PASSWORD),
            (NAMES["500 characters"], PASSWORD),
            ("ann", "x" * 100_000),
            ("ann", ""),
        ):
            form = read(await client.get("/hub/signup")).form("/hub/signup")
            answer = await submit(client, form, username=name, password=password, again=password)
            assert answer.status_code == 400, name
        async with hub.store.read() as tx:
            assert await users.count(tx) == 0
