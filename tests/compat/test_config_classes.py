"""Classes that a file defines itself: what they override is called, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbhub import config
from nbhub.app import Hub
from nbhub.authenticators.base import Identity, takes_passwords
from nbhub.core.model import User
from nbhub.errors import BadRequest, ConfigError, Forbidden, Unavailable
from nbhub.spawners.one_server import Subject, prepare
from nbhub.store import Store, users

OWN = """
from jupyterhub.auth import Authenticator

class Mine(Authenticator):
    allowed = {"ada", "bob"}

    async def authenticate(self, handler, data):
        assert handler.request.remote_ip == "192.0.2.1"
        if data["password"] != "right" + handler.get_argument("username"):
            return None
        return {"name": data["username"], "groups": ["staff"], "auth_state": {"token": "t"}}

    def check_allowed(self, username, authentication=None):
        if super().check_allowed(username, authentication):
            return True
        return username in self.allowed and "staff" in authentication["groups"]

    def normalize_username(self, username):
        return super().normalize_username(username.split("@")[0])

    def is_admin(self, handler, authentication):
        return authentication["name"] == "ada"

    async def pre_spawn_start(self, user, spawner):
        spawner.environment["FROM_CLASS"] = user.name

    async def refresh_user(self, user, handler=None):
        state = await user.get_auth_state()
        return bool(state and state.get("token"))

    def add_user(self, user):
        self.added = user.name

c.JupyterHub.authenticator_class = Mine
c.JupyterHub.spawner_class = "simple"
"""


def loaded(folder: Path, text: str) -> Hub:
    (folder / "jupyterhub_config.py").write_text(text)
    return config.build(Hub, config.load([], folder=folder).config)


def source_of(hub: Hub, store: Store, clock: Any) -> Any:
    source = config.build(hub.authenticator_class, hub.config, parent=hub)
    source.attach(store, clock)
    return source


async def test_an_authenticator_of_the_file(tmp_path: Path, store: Store, clock: Any) -> None:
    source = source_of(loaded(tmp_path, OWN), store, clock)
    assert await source.authenticate("ada", "wrong", address="192.0.2.1") is None
    found = await source.authenticate("Ada@example.org", "rightAda@example.org", address="192.0.2.1")
    assert found == Identity("ada", groups=("staff",), auth_state={"token": "t"})
    admitted = await source.admit(found)
    assert (admitted.admin, source.added) == (True, "ada")
    bob = await source.authenticate("bob", "rightbob", address="192.0.2.1")
    assert (await source.admit(bob)).admin is False
    eve = await source.authenticate("eve", "righteve", address="192.0.2.1")
    with pytest.raises(Forbidden, match="eve may not enter"):
        await source.admit(eve)
    with pytest.raises(BadRequest):
        await source.authenticate("a/b", "righta/b", address="192.0.2.1")


async def test_rules_of_the_settings_hold_beside_those_of_the_class(tmp_path: Path, store: Store, clock: Any) -> None:
    text = OWN + "c.Authenticator.blocked_users = {'ada'}\nc.Authenticator.allowed_users = {'eve'}\n"
    source = source_of(loaded(tmp_path, text), store, clock)
    staff = ("staff",)
    assert not await source.allows(Identity("ada", groups=staff))
    assert await source.allows(Identity("bob", groups=staff))
    assert not await source.allows(Identity("bob", groups=()))
    assert await source.allows(Identity("eve", groups=()))
    assert not await source.allows(Identity("zoe", groups=()))
    async with store.write() as tx:
        await users.create(tx, "zoe", now=1.0)
    assert await source.allows(Identity("zoe", groups=()))  # allow_existing_users follows allowed_users


async def test_refresh_and_hooks_of_the_class(tmp_path: Path, store: Store, clock: Any) -> None:
    hub = loaded(tmp_path, OWN)
    source = source_of(hub, store, clock)
    assert source.refreshes
    assert await source.refresh("ada", {"token": "t"}) is True
    assert await source.refresh("ada", None) is False
    spawner = config.build(hub.spawner_class, hub.config, parent=hub)
    spawner.before_start = source.before_start()
    found = await prepare(spawner, Subject(User(1, "ada")))
    assert found.template.environment == {"FROM_CLASS": "ada"}
    assert source.after_stop() is None


async def test_a_class_that_builds_on_an_existing_source(tmp_path: Path, store: Store, clock: Any) -> None:
    text = """
from dummyauthenticator import DummyAuthenticator as Dummy
class Mine(Dummy):
    async def authenticate(self, handler, data):
        model = await super().authenticate(handler, data)
        return model and {**model, "admin": True}
c.JupyterHub.authenticator_class = Mine
c.DummyAuthenticator.password = "open"
c.JupyterHub.spawner_class = "simple"
"""
    source = source_of(loaded(tmp_path, text), store, clock)
    assert await source.authenticate("ada", "shut", address="") is None
    assert await source.authenticate("ada", "open", address="") == Identity("ada", admin=True)
    assert source.asks_password


async def test_a_spawner_of_the_file(tmp_path: Path) -> None:
    text = """
from jupyterhub.spawner import SimpleLocalProcessSpawner
class Mine(SimpleLocalProcessSpawner):
    def _options_form_default(self):
        return "<input name='n'>"
    def options_from_form(self, formdata):
        return {"n": int(formdata["n"][0])}
    def get_env(self):
        return {**super().get_env(), "N": str(self.user_options.get("n", 0))}
c.JupyterHub.spawner_class = Mine
c.JupyterHub.authenticator_class = "dummy"
c.SimpleLocalProcessSpawner.environment = {"A": "1"}
"""
    hub = loaded(tmp_path, text)
    spawner = config.build(hub.spawner_class, hub.config, parent=hub)
    subject = Subject(User(1, "ada"), options={"n": 4})
    assert await spawner.form(subject) == "<input name='n'>"
    assert await spawner.read_form(subject, {"n": ["4"]}) == {"n": 4}
    assert (await prepare(spawner, subject)).template.environment == {"A": "1", "N": "4"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "from jupyterhub.auth import Authenticator\nclass A(Authenticator):\n    def get_handlers(self, app): ...",
            "The class A overrides get_handlers, which nbhub never calls; instead of get_handlers: put pages",
        ),
        (
            "from jupyterhub.spawner import Spawner\nclass S(Spawner):\n    async def start(self): ...",
            "The class S overrides start, which nbhub never calls; instead of start: do it in c.Spawner.pre_spawn_hook",
        ),
        (
            "from jupyterhub.spawner import LocalProcessSpawner\nclass S(LocalProcessSpawner):\n"
            "    async def stop(self, now=False): ...\n    async def poll(self): ...",
            "overrides stop, poll",
        ),
        (
            "from tmpauthenticator import TmpAuthenticator\nclass T(TmpAuthenticator):\n"
            "    async def authenticate(self, handler, data): ...",
            "overrides authenticate, which nbhub never calls for this kind",
        ),
        (
            "from oauthenticator.generic import GenericOAuthenticator\nclass G(GenericOAuthenticator):\n"
            "    def build_userdata_request_headers(self, token, kind): ...",
            "overrides build_userdata_request_headers, which nbhub never calls; instead of build_userdata",
        ),
    ],
)
def test_what_is_never_called_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, text)
    assert words in raised.value.message
    assert raised.value.message.startswith(f"{tmp_path}/jupyterhub_config.py, line 2: ")


def test_imports_that_functions_make_later(tmp_path: Path) -> None:
    text = """
def hook(spawner):
    from tornado import web
    from jupyterhub.utils import url_path_join
    raise web.HTTPError(403, "not %s, %s", spawner, url_path_join("/a/", "/b"))
c.Spawner.pre_spawn_hook = hook
"""
    (tmp_path / "jupyterhub_config.py").write_text(text)
    hook = config.load([], folder=tmp_path).config.Spawner.pre_spawn_hook
    with pytest.raises(Exception, match="not you, /a/b") as raised:
        hook("you")
    assert (raised.value.log_message, raised.value.status_code) == ("not you, /a/b", 403)  # type: ignore[attr-defined]


def test_helper_modules_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_helpers.py").write_text(
        "from jupyterhub.auth import DummyAuthenticator\nclass Mine(DummyAuthenticator):\n    pass\n"
    )
    hub = loaded(tmp_path, "c.JupyterHub.authenticator_class = 'my_helpers.Mine'\nc.DummyAuthenticator.password = 'x'")
    assert hub.authenticator_class.__name__ == "Mine"
    assert config.build(hub.authenticator_class, hub.config, parent=hub).password == "x"


async def test_one_time_passwords_and_roles_of_a_class(tmp_path: Path, store: Store, clock: Any) -> None:
    text = """
from jupyterhub.auth import Authenticator
class Mine(Authenticator):
    async def authenticate(self, handler, data):
        return {"name": data["username"], "roles": [{"name": "tutor"}]} if data["otp"] == "123456" else None
    async def load_managed_roles(self):
        return [{"name": "tutor", "scopes": ["list:users"]}]
c.JupyterHub.authenticator_class = Mine
c.Authenticator.request_otp = True
c.Authenticator.otp_prompt = "Code of your token"
c.Authenticator.manage_roles = True
c.Authenticator.allow_all = True
"""
    source = source_of(loaded(tmp_path, text), store, clock)
    assert (source.request_otp, source.takes_otp, source.otp_prompt) == (True, True, "Code of your token")
    assert await source.authenticate_otp("ada", "x", "000000", address="") is None
    found = await source.authenticate_otp("ada", "x", "123456", address="")
    assert found.roles == ({"name": "tutor"},)
    assert (await source.admit(found)).roles == found.roles
    assert await source.load_managed_roles() == [{"name": "tutor", "scopes": ["list:users"]}]


@pytest.mark.parametrize(
    "text",
    [
        "from oauthenticator.github import LocalGitHubOAuthenticator\n"
        "c.JupyterHub.authenticator_class = LocalGitHubOAuthenticator\n",
        "c.JupyterHub.authenticator_class = 'oauthenticator.LocalGitHubOAuthenticator'\n",
        "c.JupyterHub.authenticator_class = 'local-github'\n",
        "from jupyterhub.auth import LocalAuthenticator\n"
        "from oauthenticator.github import GitHubOAuthenticator\n"
        "class Mine(LocalAuthenticator, GitHubOAuthenticator):\n    pass\n"
        "c.JupyterHub.authenticator_class = Mine\n",
    ],
    ids=["imported", "by its path", "by its name", "combined in the file"],
)
async def test_a_provider_for_accounts_of_the_machine(tmp_path: Path, store: Store, clock: Any, text: str) -> None:
    text += (
        "c.GitHubOAuthenticator.client_id = 'i'\nc.OAuthenticator.client_secret = 's'\n"
        "c.LocalAuthenticator.create_system_users = True\nc.OAuthenticator.allowed_groups = {'lab'}\n"
        f"c.LocalAuthenticator.add_user_cmd = ['sh', '-c', 'echo $0 >> {tmp_path}/made; exit 1']\n"
    )
    source = source_of(loaded(tmp_path, text), store, clock)
    await source.check()
    assert (source.client_id, source.authorize_url) == ("i", "https://github.com/login/oauth/authorize")
    assert not takes_passwords(source)
    with pytest.raises(Forbidden):
        await source.admit(Identity("nbt-nobody", groups=("other",)))
    assert not (tmp_path / "made").exists()
    with pytest.raises(Unavailable, match="could not be made"):  # the command failed, after it was asked
        await source.admit(Identity("nbt-nobody", groups=("lab",)))
    assert (tmp_path / "made").read_text() == "nbt-nobody\n"
    await source.close()


@pytest.mark.parametrize("name", ["BitbucketOAuthenticator", "LocalGlobusOAuthenticator", "OpenShiftOAuthenticator"])
async def test_a_provider_without_a_class_here_is_refused_with_what_to_use(tmp_path: Path, name: str) -> None:
    text = f"from oauthenticator.oauth2 import {name}\nc.JupyterHub.authenticator_class = {name}\n"
    hub = loaded(tmp_path, text)
    source = config.build(hub.authenticator_class, hub.config, parent=hub)
    with pytest.raises(
        ConfigError, match=f"nbhub has no {name}. Use c.JupyterHub.authenticator_class = 'generic-oauth'"
    ):
        await source.check()
