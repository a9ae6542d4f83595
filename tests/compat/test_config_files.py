"""Files in the style of public tutorials, as they are: each loads, and each is checked by the command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbhub import cli, config
from nbhub.app import Hub
from nbhub.authenticators.base import PasswordAuthenticator, RedirectAuthenticator
from nbhub.core.model import User
from nbhub.spawners.kubernetes import hooked_pod, objects
from nbhub.spawners.one_server import Subject, prepare
from spawners.kubernetes.starts import prepared_launch

CONFIGS = Path(__file__).parent / "configs"
SOURCE = Path(__file__).parents[2] / "src"

Check = Callable[..., tuple[int, str, str]]

KUBE = "c.JupyterHub.spawner_class = 'kubespawner.KubeSpawner'\nc.KubeSpawner.profile_list = "
REGEX = (
    "[{'display_name': 'A', 'profile_options': {'o': {'unlisted_choice': {'enabled': True, 'validation_regex': '['}}}}]"
)
SEVERAL = "c.JupyterHub.authenticator_class = 'several'\nc.SeveralAuthenticator.sources = "


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs `nbhub config …` on one of the files; gives status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def runs(name: str, doing: str = "check", *more: str) -> tuple[int, str, str]:
        status = cli.main(["config", doing, "-f", str(CONFIGS / name), *more])
        out, err = capsys.readouterr()
        return status, out, err

    return runs


def built(name: str, *argv: str) -> tuple[Hub, Any, config.Loaded]:
    """The hub and the spawner of a file."""
    loaded = config.load(["-f", str(CONFIGS / name), *argv])
    hub = config.build(Hub, loaded.config)
    return hub, config.build(hub.spawner_class, hub.config, parent=hub), loaded


@pytest.mark.parametrize(
    "name", ["local_dummy", "pam_groups", "services_culler", "oauth_admin_groups", "ldap", "tmp_kubernetes"]
)
def test_a_file_that_a_hub_can_start_with(command: Check, name: str) -> None:
    status, out, err = command(f"{name}.py")
    assert (status, err) == (0, ""), out + err
    assert ": fine. The hub would be at http" in out


def test_dummy_with_a_form_and_hooks(command: Check) -> None:
    hub, spawner, _ = built("local_dummy.py")
    assert (hub.ip, hub.port, hub.base_url) == ("127.0.0.1", 8000, "/trial/")
    assert spawner.cmd == ["jupyterhub-singleuser", "--log-level=INFO"]
    assert spawner.env_keep[-1] == "TZ" and "PATH" in spawner.env_keep
    assert spawner.mem_limit == 1024**3
    assert hub.authenticator_class(config=hub.config).password == "let me in please"
    shown = command("local_dummy.py", "show")[1]
    assert "let me in" not in shown
    assert "local_dummy.py, line 11: c.JupyterHub.bind_url → c.Hub.port = 8000" in shown


def test_pam_with_groups(command: Check) -> None:
    hub, spawner, _ = built("pam_groups.py")
    assert hub.authenticator_class.__name__ == "PAMAuthenticator"
    assert spawner.shell_cmd == ["bash", "-l", "-c"]
    assert (hub.db_url, hub.cookie_secret_file) == ("hub.sqlite", "cookie_secret")
    source = config.build(hub.authenticator_class, hub.config, parent=hub)
    assert (source.allowed_groups, source.admin_groups) == ({"students", "staff"}, {"staff"})
    out = command("pam_groups.py")[1]
    assert "c.JupyterHub.pid_file is replaced: " in out
    assert "open_sessions is" not in out


def test_oauth_with_groups(command: Check) -> None:
    hub, spawner, _ = built("oauth_admin_groups.py")
    source = config.build(hub.authenticator_class, hub.config, parent=hub)
    assert isinstance(source, RedirectAuthenticator)
    assert not isinstance(source, PasswordAuthenticator)
    assert (source.allowed_groups, source.admin_groups) == ({"lab"}, {"lab-admins"})
    assert source.enable_auth_state and source.auto_login and source.manage_groups
    assert hub.cookie_options == {"SameSite": "Lax"}
    assert spawner.auth_state_hook.__name__ == "pass_token"
    shown = command("oauth_admin_groups.py", "show")[1]
    assert "not really a secret" not in shown and "c.CryptKeeper.keys is not needed" in shown


async def test_the_state_of_a_login_reaches_the_hook() -> None:
    _, spawner, _ = built("oauth_admin_groups.py")

    async def kept() -> dict[str, Any]:
        return {"access_token": "abc"}

    found = await prepare(spawner, Subject(User(1, "ada"), auth_state=kept))
    assert found.template.environment == {"ACCESS_TOKEN": "abc"}


def test_ldap() -> None:
    hub, spawner, _ = built("ldap.py")
    source = config.build(hub.authenticator_class, hub.config, parent=hub)
    assert (source.server_address, source.admin_users) == ("ldap.example.org", {"ada", "grace"})
    assert hub.config.Proxy.ssl_cert == "/etc/hub/hub.crt"
    assert hub.template_vars == {"announcement": "Maintenance on Friday"}
    assert list(spawner.group_overrides) == ["big"]


async def test_kubernetes(command: Check) -> None:
    hub, spawner, _ = built("tmp_kubernetes.py")
    assert (hub.hub_ip, hub.hub_port, hub.hub_connect_url) == ("0.0.0.0", 8081, "http://hub:8081")
    assert (hub.start_proxy, hub.slow_spawn_timeout, hub.response_headers) == (False, 0.0, {"X-Demo": "1"})
    assert (spawner.start_timeout, spawner.consecutive_failure_limit) == (300, 5)
    assert hub.authenticator_class.__name__ == "TmpAuthenticator"
    assert (spawner.uid, spawner.fs_gid, spawner.mem_guarantee) == (1000, 100, 512 * 1024**2)
    assert [profile["display_name"] for profile in spawner.profile_list] == ["Small", "Large"]
    launch = await prepared_launch(spawner, "ada")
    made = await hooked_pod.modified(spawner, launch, objects.build(spawner, launch))
    labels = made.pod["metadata"]["labels"]
    assert (labels["purpose"], labels["seen"]) == ("demo", "yes")
    notebook = made.pod["spec"]["containers"][0]
    assert notebook["image"] == "quay.io/jupyterhub/k8s-singleuser-sample:4.0.0"
    assert {"name": "EXAMPLES", "value": "/srv/examples"} in notebook["env"]


def test_services_roles_and_a_culler() -> None:
    hub, spawner, _ = built("services_culler.py")
    assert spawner.server_token_scopes == ["users:activity!user", "access:servers!server"]
    assert [service["name"] for service in hub.services] == ["idle-culler", "grader"]
    assert [role["name"] for role in hub.load_roles] == ["idle-culler", "teacher"]
    assert hub.load_groups["course"]["users"] == ["student1", "student2"]


def test_the_command_line_beats_the_file() -> None:
    assert built("local_dummy.py", "--port=9000")[0].port == 9000
    assert built("local_dummy.py", "--JupyterHub.bind_url=http://:9001/x")[0].port == 9001


def test_no_package_of_the_others_is_needed_and_none_stays_imported(tmp_path: Path) -> None:
    """In a fresh interpreter where every such package would fail."""
    for package in ("jupyterhub", "kubespawner", "tmpauthenticator", "oauthenticator", "tornado", "ldapauthenticator"):
        (tmp_path / f"{package}.py").write_text("raise RuntimeError('the real one was imported')")
    files = [str(CONFIGS / name) for name in ("tmp_kubernetes.py", "local_dummy.py")]
    program = (
        "import sys\nfrom nbhub import config\n"
        f"for file in {files!r}:\n    config.load(['-f', file])\n"
        "left = [m for m in sys.modules if m.split('.')[0] in ('jupyterhub', 'kubespawner', 'tmpauthenticator')]\n"
        "assert not left, left\n"
    )
    environment = {"PYTHONPATH": f"{SOURCE}:{tmp_path}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_of_our_own_loads_none_of_this(tmp_path: Path) -> None:
    (tmp_path / "nbhub_config.py").write_text("c.Hub.port = 9000\n")
    program = (
        "import sys\nfrom pathlib import Path\nfrom nbhub import config\n"
        f"config.load([], folder=Path({str(tmp_path)!r}))\n"
        "heavy = [m for m in sys.modules if m.startswith('nbhub.compat.modules') or m == 'nbhub.compat.methods']\n"
        "assert not heavy, heavy\n"
    )
    environment = {"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_generated_files_pass_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["config", "generate", "nbhub_config.py"]) == 0
    assert cli.main(["config", "check"]) == 0
    assert "fine. The hub would be at http://127.0.0.1:8000/" in capsys.readouterr().out
    text = (tmp_path / "nbhub_config.py").read_text()
    opened = "\n".join(line.removeprefix("# ") for line in text.splitlines() if "c." in line[:4] or line[:2] == "c.")
    assert cli.main(["config", "generate", "nbhub_config.py"]) == 2
    assert "is there already; it is not overwritten" in capsys.readouterr().err
    (tmp_path / "nbhub_config.py").write_text(opened)  # every setting at its default
    status = cli.main(["config", "check"])
    assert status == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("c.JupyterHub.port = 'many'", 2, "expected an int"),
        ("c.JupyterHub.bind_url = 'unix:///run/hub'", 2, "nbhub listens on an address and a port"),
        ("c.JupyterHub.tornado_settings = 3", 2, "expected a dict"),
        ("import jupyterhub.apihandlers", 2, "nbhub has nothing that stands for jupyterhub.apihandlers"),
        ("from dockerspawner import DockerSpawner as D\nc.JupyterHub.spawner_class = D", 1, "container spawner comes"),
        ("c.JupyterHub.authenticator_class = 'ltiauthenticator.LTI13Authenticator'", 1, "does not take part in LTI"),
        ("c.JupyterHub.authenticator_class = 'nativ'", 2, "Did you mean native?"),
        (f"{KUBE}[{{'slug': 'a'}}]", 2, "profile_list[0] has no `display_name`"),
        (f"{KUBE}[{{'display_name': 'A', 'kubespawner_override': {{'imag': 'x'}}}}]", 2, "Did you mean image?"),
        (f"{KUBE}[{{'display_name': 'A'}}, {{'display_name': 'a'}}]", 2, "cannot be told apart by the slug 'a'"),
        (f"{KUBE}{REGEX}", 2, "validation_regex '[' is not a regular expression"),
        (f"{KUBE}[{{'display_name': 'A'}}]", 0, "fine. The hub would be at"),
        (f"{KUBE}[]\nc.KubeSpawner.volume_mounts = [{{'name': 'a', 'mountPath': '/{{mine}}'}}]", 2, "the field {mine}"),
        ("c.JupyterHub.spawner_class = 'docker'", 1, "DockerSpawner is not here yet"),
        ("c.JupyterHub.authenticator_class = 'firstuse'", 1, "FirstUseAuthenticator is replaced: keep passwords here"),
        ("c.JupyterHub.authenticator_class = 'local-globus'", 1, "nbhub has no LocalGlobusOAuthenticator"),
        (f"{KUBE}[]\nc.KubeSpawner.pod_name_template = 'one'", 2, "has no field for the user"),
        ("c.JupyterHub.authenticator_class = 'github'", 2, "needs settings that are not there"),
        (f"{SEVERAL}{{'a': {{'class': 'dummy'}}, 'b': {{'class': 'pam'}}}}", 2, "may both know an alice"),
        (f"{SEVERAL}{{'a': {{'class': 'dummy', 'allow_all': True}}}}", 0, "fine. The hub would be at"),
        ("def f(:", 2, "line 1: this is not Python"),
    ],
)
def test_what_the_check_finds(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    status: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    basis = "c.JupyterHub.authenticator_class = 'dummy'\nc.JupyterHub.spawner_class = 'simple'\n"
    (tmp_path / "jupyterhub_config.py").write_text(text if "def f" in text else basis + text)
    assert cli.main(["config", "check"]) == status
    said = capsys.readouterr()
    assert words in said.out + said.err
    assert "Traceback" not in said.err


def test_the_files_are_used_under_jupyterhubs_own_name(tmp_path: Path) -> None:
    shutil.copy(CONFIGS / "services_culler.py", tmp_path / "jupyterhub_config.py")
    loaded = config.load([], folder=tmp_path)
    assert loaded.lenient
    assert loaded.config.Hub.ip == "0.0.0.0"


@pytest.mark.parametrize("named", ["-", "/dev/stdin"])
def test_a_generated_file_goes_through_a_pipe(tmp_path: Path, named: str) -> None:
    nbhub = [sys.executable, "-m", "nbhub", "config"]
    environment = {"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen([*nbhub, "generate"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as written:
        check = [*nbhub, "check", "-f", named]
        done = subprocess.run(
            check, cwd=tmp_path, env=environment, stdin=written.stdout, capture_output=True, text=True, check=False
        )
    assert (written.returncode, done.returncode) == (0, 0), done.stderr
    assert "stdin, line 6: c.Hub.port" in done.stdout
