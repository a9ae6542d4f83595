"""Configuration: files, the command line, and what is said about mistakes."""

from pathlib import Path

import pytest
from traitlets import Bool, Dict, Int, List, Set, Unicode
from traitlets.config import Configurable

from nbhub import config
from nbhub.errors import ConfigError


class Hub(Configurable):
    port = Int(8000, help="Port.").tag(config=True)
    base_url = config.URLPrefix(help="Prefix.").tag(config=True)
    cleanup_servers = Bool(True, help="Stop servers.").tag(config=True)
    mode = Int(0, help="Mode.").tag(config=True)


class Spawner(Configurable):
    cmd = config.Command(["jupyterhub-singleuser"], help="Command.").tag(config=True)
    args = List(Unicode(), ["--a"], help="Arguments.").tag(config=True)
    environment = Dict(help="Environment.").tag(config=True)
    mem_limit = config.MemorySize(None, allow_none=True, help="Memory.").tag(config=True)
    start_timeout = config.Duration(60, help="Seconds.").tag(config=True)
    admins = Set({"root"}, help="Names.").tag(config=True)


class ProcessSpawner(Spawner):
    folder = Unicode(help="Folder.").tag(config=True)


CLASSES = [Hub, ProcessSpawner]


def written(folder: Path, text: str, name: str = "nbhub_config.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def loaded(folder: Path, text: str = "", *argv: str, name: str = "nbhub_config.py") -> config.Loaded:
    if text:
        written(folder, text, name)
    return config.load(argv, folder=folder)


def refusal(folder: Path, text: str = "", *argv: str, name: str = "nbhub_config.py") -> str:
    with pytest.raises(ConfigError) as raised:
        loaded(folder, text, *argv, name=name).check(CLASSES)
    return str(raised.value)


def test_nothing_configured_is_fine(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert found.files == ()
    assert found.check(CLASSES) == []
    assert config.build(Hub, found.config).port == 8000


def test_the_file_of_the_folder_is_read(tmp_path: Path) -> None:
    found = loaded(tmp_path, "c.Hub.port = 9000\nc.Spawner.cmd = 'lab'\nc.Spawner.mem_limit = '1.5G'")
    assert found.files == (tmp_path / "nbhub_config.py",)
    assert config.build(Hub, found.config).port == 9000
    spawner = config.build(ProcessSpawner, found.config)
    assert spawner.cmd == ["lab"]
    assert spawner.mem_limit == 1610612736


def test_our_file_goes_before_jupyterhubs(tmp_path: Path) -> None:
    written(tmp_path, "c.JupyterHub.port = 1", "jupyterhub_config.py")
    assert config.load([], folder=tmp_path).config.Hub.port == 1
    written(tmp_path, "c.Hub.port = 2")
    assert config.load([], folder=tmp_path).config.Hub.port == 2


@pytest.mark.parametrize("words", [["-f", "other.py"], ["-fother.py"], ["--config", "other.py"], ["--config=other.py"]])
def test_a_named_file(tmp_path: Path, words: list[str]) -> None:
    written(tmp_path, "c.Hub.port = 7", "other.py")
    assert config.load(words, folder=tmp_path).config.Hub.port == 7


def test_a_named_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file .*other\.py"):
        config.load(["-f", "other.py"], folder=tmp_path)


def test_the_command_line_beats_the_file(tmp_path: Path) -> None:
    found = loaded(tmp_path, "c.Hub.port = 9000", "--port=9001", "--Hub.mode", "3", "--Spawner.start_timeout=2m")
    found.check(CLASSES)
    hub = config.build(Hub, found.config)
    assert (hub.port, hub.mode) == (9001, 3)
    assert config.build(ProcessSpawner, found.config).start_timeout == 120


def test_lists_and_dicts_on_the_command_line(tmp_path: Path) -> None:
    found = loaded(tmp_path, "", "--Spawner.args=--x", "--Spawner.args=--y", "--Spawner.environment=A=1")
    found.check(CLASSES)
    spawner = config.build(ProcessSpawner, found.config)
    assert spawner.args == ["--x", "--y"]
    assert spawner.environment == {"A": "1"}


def test_additions_to_defaults_and_sub_files(tmp_path: Path) -> None:
    written(tmp_path, "c.Spawner.args.append('--c')", "more.py")
    text = "load_subconfig('more.py')\nc.Spawner.args.append('--b')\nc.Spawner.admins.add('eve')\n"
    found = loaded(tmp_path, text + "get_config().Hub.mode = 5")
    assert found.check(CLASSES) == []
    spawner = config.build(ProcessSpawner, found.config)
    assert sorted(spawner.args) == ["--a", "--b", "--c"]
    assert spawner.admins == {"root", "eve"}
    assert found.config.Hub.mode == 5


def test_jupyterhubs_section_means_ours(tmp_path: Path) -> None:
    found = loaded(tmp_path, "c.JupyterHub.port = 9000\nc.JupyterHub.base_url = 'x'")
    assert found.check(CLASSES) == []
    assert config.build(Hub, found.config).base_url == "/x/"


def test_settings_that_are_at_home_elsewhere(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, "c.JupyterHub.admin_users = {'eve'}\nc.JupyterHub.ssl_key = 'k'", "--JupyterHub.ssl_cert=c"
    )
    assert found.config.Authenticator.admin_users == {"eve"}
    assert found.config.Proxy.ssl_key == "k"
    assert "ssl_cert" in found.config.Proxy
    assert found.place(("Proxy", "ssl_key")) == "nbhub_config.py, line 2"


def test_our_names_win_over_jupyterhubs(tmp_path: Path) -> None:
    assert loaded(tmp_path, "c.Hub.port = 1\nc.JupyterHub.port = 2").config.Hub.port == 1


def test_unknown_names_are_refused_with_a_suggestion(tmp_path: Path) -> None:
    assert refusal(tmp_path, "x = 1\nc.Hub.prot = 9000") == (
        "nbhub_config.py, line 2: there is no setting c.Hub.prot. Did you mean port?"
    )
    assert refusal(tmp_path, "c.Spwaner.cmd = 'x'") == (
        "nbhub_config.py, line 1: there is no section c.Spwaner. Did you mean Spawner?"
    )
    assert "c.Hub.zzz." in refusal(tmp_path, "c.Hub.zzz = 1")
    assert "command line (--Hub.prot): there is no setting" in refusal(tmp_path, "c.Hub.port = 1", "--Hub.prot=1")


def test_a_base_section_may_hold_what_a_derived_class_takes(tmp_path: Path) -> None:
    found = loaded(tmp_path, "c.Spawner.folder = '/srv'")
    assert found.check(CLASSES) == []


def test_a_file_for_jupyterhub_is_only_warned_about(tmp_path: Path) -> None:
    found = loaded(tmp_path, "c.JupyterHub.prot = 1\nc.DockerSpawner.image = 'x'", name="jupyterhub_config.py")
    kept, *others = found.check(CLASSES)
    assert kept.startswith("jupyterhub_config.py, line 2: c.DockerSpawner is not here yet: the container spawner comes")
    assert "jupyterhub_config.py, line 1: there is no setting c.Hub.prot. Did you mean port? It is ignored." in others
    assert "expected an int" in refusal(tmp_path, "c.JupyterHub.port = 'x'", name="jupyterhub_config.py")
    assert "--Hub.prot" in refusal(tmp_path, "c.JupyterHub.port = 1", "--Hub.prot=1", name="jupyterhub_config.py")


def test_a_section_that_is_only_looked_at_is_fine(tmp_path: Path) -> None:
    assert loaded(tmp_path, "c.KubeSpawner\nc.Hub.port\nc.Spawner.mem_limit").check(CLASSES) == []


def test_adding_to_what_is_no_collection(tmp_path: Path) -> None:
    assert "expected an int" in refusal(tmp_path, "c.Hub.port.append(1)")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("c.Hub.port = 'many'", "line 1: c.Hub.port = 'many' is wrong: expected an int"),
        ("c.Spawner.mem_limit = '10Gi'", "c.Spawner.mem_limit = '10Gi' is wrong: expected a number of bytes"),
        ("c.Spawner.mem_limit = '100'", "expected a number of bytes"),
        ("c.Spawner.start_timeout = 'soon'", "expected a number of seconds"),
        ("c.Spawner.cmd = 3", "expected a command"),
        ("c.Hub.base_url = 'a b'", "expected a URL path"),
        ("c.Spawner.args = 'x'", "expected a list"),
        ("c.Spawner.args = [" + "'x', " * 500 + "1]", "...  is wrong".replace("  ", " ")),
    ],
)
def test_wrong_values_name_the_setting_and_what_is_expected(tmp_path: Path, line: str, words: str) -> None:
    assert words in refusal(tmp_path, line)


def test_wrong_values_on_the_command_line(tmp_path: Path) -> None:
    message = refusal(tmp_path, "", "--port=many")
    assert message == "command line (--port): c.Hub.port = 'many' is wrong: expected an int."
    assert "expected an int" in refusal(tmp_path, "", "--port=1", "--port=2")


def test_build_says_which_setting_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="port"):
        config.build(Hub, loaded(tmp_path, "c.Hub.port = 'x'").config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = 1\nb = = 2", "nbhub_config.py, line 2: this is not Python"),
        ("a = 1\n\n1 / 0", "nbhub_config.py, line 3: ZeroDivisionError: division by zero (`1 / 0`)"),
        ("import no_such_package", "Install the Python package that has 'no_such_package'"),
        ("raise SystemExit(3)", "SystemExit"),
        ("def f():\n    open('/nowhere/x')\nf()", "line 2: FileNotFoundError"),
    ],
)
def test_a_file_that_fails_is_named_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(tmp_path, text)


def test_a_sub_file_that_fails_is_named(tmp_path: Path) -> None:
    written(tmp_path, "a = 1\nb = a / 0", "more.py")
    assert "more.py, line 2: ZeroDivisionError" in refusal(tmp_path, "load_subconfig('more.py')")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "nbhub_config.py").write_bytes(b"\xff\xfe\x00c")
    assert "nbhub_config.py" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prot=80"], "There is no option --prot. Did you mean --port?"),
        (["--port"], "--port needs a value"),
        (["--port", "--debug"], "--port needs a value"),
        (["--debug=1"], "--debug takes no value"),
        (["stray"], "'stray' is not understood"),
        (["-p", "80"], "There is no option -p"),
        (["--Hub"], "There is no option --Hub"),
    ],
)
def test_options_that_are_none(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config.load(words, folder=tmp_path)
    assert message in str(raised.value)


def test_flags(tmp_path: Path) -> None:
    found = config.load(["--no-cleanup"], folder=tmp_path)
    found.check(CLASSES)
    assert config.build(Hub, found.config).cleanup_servers is False
