"""A whole hub but for its proxy, in this process: real store, real reconciler, servers of the fake spawner."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from traitlets.config import Config

from nbhub.authenticators.base import Authenticator, Identity, PasswordAuthenticator
from nbhub.core import secrets
from nbhub.core.launch import HubAddress
from nbhub.core.model import OAuthClient, Server, User
from nbhub.metrics import Metrics
from nbhub.reconcile import Reconciler
from nbhub.spawners.fake import FakeSpawner
from nbhub.store import Store, grants, servers, users
from nbhub.web import cookies, xsrf
from nbhub.web.app import FrontDesk, create_app
from nbhub.web.desk import Desk, WebSettings

SECRET = b"0123456789abcdef0123456789abcdef"
ORIGIN = "http://hub.test"


@dataclass
class TestHub:
    """What a test holds of a hub."""

    __test__ = False

    store: Store
    spawner: FakeSpawner
    desk: Desk
    app: FrontDesk
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, token: str = "", **kwargs: Any) -> httpx.AsyncClient:
        """Return a client; with a token, an API client."""
        headers = {"Authorization": f"token {token}"} if token else {}
        transport = httpx.ASGITransport(self.app, client=("203.0.113.7", 1234))
        client = httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers, **kwargs)
        self.clients.append(client)
        return client

    async def user(self, name: str, *, admin: bool = False) -> User:
        """Make a user."""
        async with self.store.write() as tx:
            return await users.create(tx, name, admin=admin, now=self.desk.clock())

    async def token(self, name: str, *scopes: str, **kwargs: Any) -> str:
        """Make a token of a user who exists or not yet; without scopes it may do all that its owner may."""
        token = secrets.new_token()
        async with self.store.write() as tx:
            owner = await users.get(tx, name) or await users.create(
                tx, name, admin=name == "root", now=self.desk.clock()
            )
            await grants.create_token(
                tx,
                token_hash=secrets.hash_token(token),
                user_id=owner.id,
                scopes=scopes or ("inherit",),
                note=kwargs.pop("note", "for a test"),
                now=self.desk.clock(),
                **kwargs,
            )
        return token

    async def api(self, name: str, *scopes: str) -> httpx.AsyncClient:
        """Return a client with a new token; the user root is an administrator."""
        return self.client(await self.token(name, *scopes))

    async def browser(self, name: str) -> httpx.AsyncClient:
        """Return a client that is logged in by cookie."""
        secret = secrets.new_token()
        async with self.store.write() as tx:
            owner = await users.get(tx, name) or await users.create(tx, name, admin=name == "root", now=time.time())
            await grants.create_session(
                tx,
                user_id=owner.id,
                cookie_hash=secrets.hash_token(secret),
                session_id=secrets.new_session_id(),
                now=self.desk.clock(),
                expires_at=self.desk.clock() + 1000,
            )
        client = self.client()
        hub = self.desk.settings.hub_prefix
        client.cookies.set(cookies.LOGIN, secret, domain="hub.test", path=hub)
        client.cookies.set(cookies.XSRF, xsrf.of_login(self.desk, secret), domain="hub.test", path=hub)
        return client

    def hashed(self, secret: str) -> str:
        """Return what the database keeps of a secret."""
        return secrets.hash_token(secret)

    async def server(self, user: str, name: str = "") -> Server:
        """Return the row of a server."""
        async with self.store.read() as tx:
            found = await servers.get(tx, user, name)
        assert found is not None
        return found

    async def until(self, check: Callable[[], Any], seconds: float = 100.0) -> Any:
        """Wait until `check`, which may be a coroutine function, gives something true, and return that."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = check()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"not within {seconds} s")

    async def oauth_client(self, owner: str, name: str = "", secret: str = "s" * 32, **kwargs: Any) -> OAuthClient:
        """Register a server's OAuth client as a start does."""
        record = await self.server(owner, name)
        full = f"{owner}/{name}"
        client = OAuthClient(
            identifier=kwargs.pop("identifier", f"jupyterhub-user-{owner}"),
            description=f"Server at /user/{owner}/",
            secret_hash=secrets.hash_token(secret),
            redirect_uri=kwargs.pop("redirect_uri", f"/user/{owner}/oauth_callback"),
            allowed_scopes=kwargs.pop("allowed_scopes", (f"access:servers!server={full}",)),
            server_id=record.id,
            user_id=record.user_id,
        )
        async with self.store.write() as tx:
            await grants.put_client(tx, client)
        return client


class AnyPassword(PasswordAuthenticator):
    """Lets everybody in whose password is `secret`."""

    async def authenticate(self, username: str, password: str, *, address: str) -> Identity | None:
        """See PasswordAuthenticator."""
        name = self.normalize(username)
        return Identity(name) if password == "secret" else None


@contextlib.asynccontextmanager
async def running_hub(
    folder: Path, *, database: str = "", authenticator: Authenticator | None = None, **settings: Any
) -> AsyncIterator[TestHub]:
    """Run a hub on the SQLite file in `folder`, made if it is not there, or on another database."""
    # An answer says how a start or stop went, however slow the machine is.
    settings = {"slow_spawn_timeout": 100.0, "slow_stop_timeout": 100.0, **settings}
    source = authenticator or AnyPassword(allow_all=True)
    store = await Store.open(database or f"sqlite:///{folder}/hub.sqlite")
    spawner = FakeSpawner(config=Config())
    keys = secrets.Keys.from_secret(SECRET)
    source.attach(store, time.time)
    desk = Desk(
        store=store,
        spawner=spawner,
        authenticator=source,
        settings=WebSettings(**settings),
        keys=keys,
        clock=time.time,
        metrics=Metrics(),
    )
    app = create_app(desk)
    address = HubAddress(base_url=desk.settings.base_url)
    reconciler = Reconciler(store, spawner, hub=address, keys=keys, clock=time.time, holder="test")
    tasks = [asyncio.create_task(reconciler.run()), asyncio.create_task(app.run())]
    hub = TestHub(store, spawner, desk, app)
    try:
        yield hub
    finally:
        app.close()
        for client in hub.clients:
            await client.aclose()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await spawner.close()
        await store.close()
