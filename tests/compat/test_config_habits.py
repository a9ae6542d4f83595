"""What files for JupyterHub do besides setting things: what they import, and the classes and coroutines in them."""

from __future__ import annotations

import importlib.abc
import sys
from pathlib import Path
from typing import Any

import pytest

from nbhub import config
from nbhub.app import Hub
from nbhub.commands.call import built
from nbhub.core.model import User
from nbhub.errors import ConfigError
from nbhub.spawners.one_server import Subject, prepare
from nbhub.store import Store

SIMPLE = "c.JupyterHub.authenticator_class = 'dummy'\nc.JupyterHub.spawner_class = 'simple'\n"


def loaded(folder: Path, text: str) -> Hub:
    (folder / "jupyterhub_config.py").write_text(text)
    return config.build(Hub, config.load([], folder=folder).config)


def told(folder: Path, text: str) -> str:
    (folder / "jupyterhub_config.py").write_text(text)
    return "\n".join(built(config.load([], folder=folder))[1])


def source_of(hub: Hub, store: Store, clock: Any) -> Any:
    source = config.build(hub.authenticator_class, hub.config, parent=hub)
    source.attach(store, clock)
    return source


class NoTornado(importlib.abc.MetaPathFinder):
    """A machine without the package."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.partition(".")[0] == "tornado":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@pytest.fixture(params=["with tornado", "without tornado"])
def tornado(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "with tornado":
        return True
    for name in [name for name in sys.modules if name.partition(".")[0] == "tornado"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoTornado(), *sys.meta_path])
    return False


CHART = """
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httputil import url_concat
from tornado import gen, web
AsyncHTTPClient.configure("tornado.curl_httpclient.CurlAsyncHTTPClient")
assert issubclass(HTTPClientError, Exception)
assert url_concat("http://x/?a=1", {"b": "2 3"}) == "http://x/?a=1&b=2+3"
"""


def test_the_client_that_files_of_the_chart_set_up(tmp_path: Path, tornado: bool) -> None:
    assert loaded(tmp_path, CHART + SIMPLE).authenticator_class.__name__ == "DummyAuthenticator"


COROUTINES = """
from tornado import gen
from jupyterhub.auth import Authenticator

class Old(Authenticator):
    @gen.coroutine
    def authenticate(self, handler, data):
        yield gen.sleep(0)
        one, two = yield [self.ask("a"), self.ask("b")]
        by_name = yield {"c": self.ask("c")}
        try:
            yield self.fail()
        except ValueError as error:
            raise gen.Return(f"{data['username']}-{one}{two}{by_name['c']}-{error}")

    @gen.coroutine
    def ask(self, what):
        return what

    async def fail(self):
        raise ValueError("caught")

c.JupyterHub.authenticator_class = Old
c.Authenticator.allow_all = True
"""


async def test_coroutines_written_as_generators(tmp_path: Path, store: Store, clock: Any, tornado: bool) -> None:
    source = source_of(loaded(tmp_path, COROUTINES), store, clock)
    found = await source.authenticate("ada", "x", address="")
    assert found.name == "ada-abc-caught"


def test_pages_may_be_written_and_are_told_of(tmp_path: Path) -> None:
    text = (
        "from jupyterhub.handlers import BaseHandler\nclass Imprint(BaseHandler):\n    async def get(self): ...\n"
        "c.JupyterHub.extra_handlers = [(r'/imprint', Imprint)]\n"
    )
    assert "extra_handlers is not supported: pages of your own belong into a service" in told(tmp_path, text + SIMPLE)


def test_modules_say_their_version(tmp_path: Path) -> None:
    text = "import jupyterhub, kubespawner\nboth = jupyterhub.__version__ + kubespawner.__version__\n"
    text += "c.JupyterHub.template_vars = {'v': both}"
    assert loaded(tmp_path, text).template_vars["v"].count(".") == 4


@pytest.mark.parametrize(
    "line",
    [
        "from jupyterhub.proxy import ConfigurableHTTPProxy as P; c.JupyterHub.proxy_class = P",
        "from jupyterhub.utils import random_port; assert random_port()",
        "from jupyterhub.utils import url_escape_path; assert url_escape_path('a b') == 'a%20b'",
        "from kubernetes import client, config, watch; from kubernetes.stream import stream",
        "from oauthenticator.oauth2 import OAuthLoginHandler, OAuthCallbackHandler",
        "from oauthenticator.generic import GenericEnvMixin, GenericLoginHandler, GenericOAuthenticator",
        "from simplespawner import SimpleLocalProcessSpawner as S; c.JupyterHub.spawner_class = S",
    ],
)
def test_further_imports(tmp_path: Path, line: str) -> None:
    loaded(tmp_path, line)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("'firstuseauthenticator.FirstUseAuthenticator'", "FirstUseAuthenticator is replaced: keep passwords here"),
        (
            "'multiauthenticator.MultiAuthenticator'",
            "MultiAuthenticator is replaced: c.JupyterHub.authenticator_class = 'several'",
        ),
        ("'ltiauthenticator.LTIAuthenticator'", "LTIAuthenticator is not supported: nbhub does not take part in LTI"),
        (
            "'jhub_cas_authenticator.cas_auth.CASAuthenticator'",
            "CASAuthenticator is not supported: nbhub does not speak CAS",
        ),
    ],
)
async def test_what_others_have_is_refused_with_what_to_use(tmp_path: Path, value: str, words: str) -> None:
    hub = loaded(tmp_path, f"c.JupyterHub.authenticator_class = {value}")
    with pytest.raises(ConfigError) as raised:
        await config.build(hub.authenticator_class, hub.config, parent=hub).check()
    assert words in raised.value.message


def test_helpers_of_a_class_may_be_called_as_methods_of_accounts(tmp_path: Path) -> None:
    text = (
        "from jupyterhub.auth import Authenticator, LocalAuthenticator\nclass Mine({base}):\n"
        "    def system_user_exists(self, name): return True\n"
    )
    loaded(tmp_path, text.format(base="Authenticator"))
    with pytest.raises(ConfigError, match="overrides system_user_exists, which nbhub never calls"):
        loaded(tmp_path, text.format(base="LocalAuthenticator"))


SETTINGS_IN_CLASSES = """
from oauthenticator.generic import GenericOAuthenticator
from jupyterhub.spawner import SimpleLocalProcessSpawner

class Keys(GenericOAuthenticator):
    login_service = "Keys"
    client_id = "from-the-class"
    client_secret = "s"
    username_key = "preferred_username"
    allowed_groups = ["lab"]
    admin_groups = ["chiefs"]
    scope = ["openid"]

    def claim_groups_key(self, told):
        return told["teams"]

class Small(SimpleLocalProcessSpawner):
    cmd = "lab"
    mem_limit = "1K"

c.JupyterHub.authenticator_class = Keys
c.Keys.client_id = "from-the-file"
c.JupyterHub.spawner_class = Small
"""


async def test_settings_in_the_body_of_a_class(tmp_path: Path, store: Store, clock: Any) -> None:
    hub = loaded(tmp_path, SETTINGS_IN_CLASSES)
    source = source_of(hub, store, clock)
    assert (source.client_id, source.client_secret, source.username_claim) == (
        "from-the-file",
        "s",
        "preferred_username",
    )
    assert (source.allowed_groups, source.admin_groups, source.login_service) == ({"lab"}, {"chiefs"}, "Keys")
    assert source.groups_in({"teams": ["lab"]}, {}) == ("lab",)
    assert source.warning() == ""
    spawner = config.build(hub.spawner_class, hub.config, parent=hub)
    assert (spawner.cmd, spawner.mem_limit) == (["lab"], 1024)


def test_a_class_that_decides_by_itself_lets_somebody_in(tmp_path: Path, store: Store, clock: Any) -> None:
    text = (
        "from jupyterhub.auth import DummyAuthenticator\nclass Mine(DummyAuthenticator):\n"
        "    async def check_allowed(self, username, model): return username == 'ada'\n"
        "c.JupyterHub.authenticator_class = Mine\nc.Authenticator.allow_all = False\n"
    )
    assert "Nobody" not in source_of(loaded(tmp_path, text), store, clock).warning()


async def test_user_env_of_a_class(tmp_path: Path) -> None:
    text = SIMPLE + (
        "from jupyterhub.spawner import LocalProcessSpawner\nclass Mine(LocalProcessSpawner):\n"
        "    def user_env(self, env):\n        env = super().user_env(env)\n"
        "        return {**env, 'HOME': '/srv/' + self.user.name, 'A': env['A'] + '!'}\n"
        "c.JupyterHub.spawner_class = Mine\nc.Spawner.environment = {'A': 'b'}\n"
    )
    hub = loaded(tmp_path, text)
    spawner = config.build(hub.spawner_class, hub.config, parent=hub)
    found = await prepare(spawner, Subject(User(1, "ada")))
    assert found.template.environment == {"A": "b!", "HOME": "/srv/ada"}


def test_a_variable_that_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NB_NOT_SET", raising=False)
    text = "import os\nc.JupyterHub.port = 8000\nc.Spawner.cmd = os.environ['NB_NOT_SET']\n"
    with pytest.raises(ConfigError, match=r"line 3: KeyError: .*Set the environment variable NB_NOT_SET for nbhub"):
        loaded(tmp_path, text)
    with pytest.raises(ConfigError, match=r"line 2: KeyError: 'x'.*Correct the line"):
        loaded(tmp_path, "d = {}\nd['x']\n")
    text = "import os\nc.JupyterHub.authenticator_class = 'azuread'\n"
    text += "c.AzureAdOAuthenticator.tenant_id = os.environ.get('NB_NOT_SET')\n"
    with pytest.raises(ConfigError, match=r"line 3: .*tenant_id = None is wrong.*variable of the environment"):
        told(tmp_path, text)


def test_settings_of_ldap_that_are_none(tmp_path: Path, store: Store, clock: Any) -> None:
    text = (
        "c.JupyterHub.authenticator_class = 'ldapauthenticator.LDAPAuthenticator'\n"
        "c.LDAPAuthenticator.lookup_dn_search_user = None\nc.LDAPAuthenticator.server_address = 'x'\n"
    )
    told(tmp_path, text)
    assert source_of(loaded(tmp_path, text), store, clock).lookup_dn_search_user == ""


@pytest.mark.parametrize(
    ("given", "strips"), [("'one.org'", True), ("['one.org']", True), ("['a.org', 'b.org']", False)]
)
def test_one_domain_of_google_as_a_text(tmp_path: Path, given: str, strips: bool) -> None:
    text = f"c.JupyterHub.authenticator_class = 'google'\nc.GoogleOAuthenticator.hosted_domain = {given}\n"
    assert "wrong" not in told(tmp_path, text)
    hub = loaded(tmp_path, text)
    assert config.build(hub.authenticator_class, hub.config, parent=hub).strip_domain is strips


def test_roles_may_let_servers_do_all_that_their_owners_may(tmp_path: Path) -> None:
    text = "c.JupyterHub.load_roles = [{'name': '%s', 'scopes': ['inherit']}]"
    assert loaded(tmp_path, text % "server").declared().roles[0].scopes == ("inherit",)
    with pytest.raises(ConfigError, match="inherit means something in tokens only"):
        loaded(tmp_path, text % "user").declared()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c.ServerApp.x = 1", "c.ServerApp is not supported: it is for servers, not for the hub"),
        (
            "c.LocalAuthenticator.create_system_users = True",
            "is for authenticators or spawners of a kind that is not in use",
        ),
        ("c.SlurmSpawner.req_memory = '1'", "c.SlurmSpawner is not supported: nbhub has no spawner for batch systems"),
        ("c.ProfilesSpawner.profiles = []", "c.ProfilesSpawner is not supported: a hub has one kind of spawner"),
        ("c.JupyterHub.statsd_host = 'x'", "c.JupyterHub.statsd_host is replaced: numbers are at /hub/metrics"),
    ],
)
def test_what_has_no_effect_is_told_of(tmp_path: Path, text: str, words: str) -> None:
    assert words in told(tmp_path, SIMPLE + text)


def test_the_level_of_the_log_as_of_any_application(tmp_path: Path) -> None:
    assert loaded(tmp_path, "c.Application.log_level = 'DEBUG'").log_level == "DEBUG"
    assert loaded(tmp_path, "c.Application.log_level = 'DEBUG'\nc.JupyterHub.log_level = 30").log_level == 30


def test_fields_of_texts_that_a_hook_fills_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = (
        "c.JupyterHub.spawner_class = 'kubespawner.KubeSpawner'\nc.JupyterHub.authenticator_class = 'dummy'\n"
        "c.KubeSpawner.volume_mounts = [{'name': 'a', 'mountPath': '/{team}/{username}'}]\n"
        "async def hook(spawner):\n    spawner.volume_mounts[0]['mountPath'] = '/lab/{username}'\n"
        "c.Spawner.pre_spawn_hook = hook\n"
    )
    hub = loaded(tmp_path, text)
    config.build(hub.spawner_class, hub.config, parent=hub).check_settings()
    assert "has the field {team}, which there is not" in caplog.text
    assert "Starts fail, unless a hook of the configuration changes it." in caplog.text
