"""The systemd unit: what it says for both kinds of servers, what systemd thinks of it; readiness told as it asks."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbhub import cli, notify
from nbhub.deploy import systemd
from nbhub.deploy.systemd import Service
from servers.hub import HubProcess

SIMPLE = Service(("/usr/bin/true", "-f", "/etc/nbhub/nbhub_config.py"), False, False, True)
SYSTEM_USERS = Service(("/usr/bin/true", "--port=80"), True, True, True)


def lines(service: Service) -> list[str]:
    return systemd.unit(service).splitlines()


def test_servers_of_the_hubs_own_user() -> None:
    unit = lines(SIMPLE)
    assert "User=nbhub" in unit and "CapabilityBoundingSet=" in unit and "ProtectHome=true" in unit
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" not in unit
    start = next(line for line in unit if line.startswith("ExecStart="))
    assert start == (
        "ExecStart=/usr/bin/true -f /etc/nbhub/nbhub_config.py --data-dir=/var/lib/nbhub "
        "--Hub.cookie_secret_file=%d/secret"
    )
    assert "LoadCredential=secret:/etc/nbhub/secret" in unit and "KillMode=process" in unit
    low = lines(Service(SIMPLE.command, False, True, False))
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in low and "KillMode=mixed" in low


def test_servers_of_system_users_need_root_and_homes() -> None:
    unit = lines(SYSTEM_USERS)
    assert "User=root" in unit and "ProtectHome=false" in unit
    assert any("CAP_SETUID" in line for line in unit) and not any("CAP_SYS_ADMIN" in line for line in unit)
    assert not any(line.startswith("SystemCallFilter") for line in unit)


def test_words_are_quoted_for_systemd() -> None:
    unit = lines(Service(("/opt/n b/nbhub", "--x=50%", '--y="$HOME"'), False, False, True))
    start = next(line for line in unit if line.startswith("ExecStart="))
    assert start.startswith('ExecStart="/opt/n b/nbhub" --x=50%% "--y=\\"$$HOME\\"" --data-dir')


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize(("service", "exposure"), [(SIMPLE, 40), (SYSTEM_USERS, 65)], ids=["simple", "system"])
def test_systemd_takes_it_and_finds_it_hardened(tmp_path: Path, service: Service, exposure: int) -> None:
    path = tmp_path / "nbhub.service"
    path.write_text(systemd.unit(service))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, timeout=250, check=False
    )
    assert (done.returncode, "nbhub.service" in done.stderr) == (0, False), done.stderr
    # Ten times the figure that `systemd-analyze security` gives; a unit without any of it has 96.
    judged = ["systemd-analyze", "security", "--offline=true", f"--threshold={exposure}", "--no-pager", path]
    done = subprocess.run(judged, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


# -- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the hub may see, with a configuration file; the program is there, too."""
    with tempfile.TemporaryDirectory(prefix="nbhub-unit-") as name:
        path = Path(name)
        (path / "nbhub_config.py").write_text("c.Hub.ip = '0.0.0.0'\n")
        (path / "bin").mkdir()
        for program in ("python", "nbhub"):
            (path / "bin" / program).touch(mode=0o755)
        monkeypatch.chdir(path)
        monkeypatch.setattr("sys.executable", str(path / "bin" / "python"))
        yield path


def test_a_dry_run_prints_it_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    assert cli.main(["systemd", "install", "--dry-run", "--port=443"]) == 0
    out, err = capsys.readouterr()
    assert f"ExecStart={folder}/bin/nbhub -f {folder}/nbhub_config.py --port=443 --no-cleanup" in out
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in out and err == ""
    assert sorted(folder.rglob("*")) == before


def test_it_is_written_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder / "image"
    install = ["systemd", "install", "-f", "nbhub_config.py", "--root", str(root)]
    assert cli.main(install) == 0
    assert "systemctl enable --now nbhub" in capsys.readouterr().out
    secret = root / "etc/nbhub/secret"
    kept = secret.read_text()
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (root / "etc/sysusers.d/nbhub.conf").read_text().startswith("u nbhub - ")
    unit = (root / "etc/systemd/system/nbhub.service").read_text()
    assert f"-f {folder}/nbhub_config.py" in unit
    assert cli.main(install) == 0
    assert cli.main([*install, "--port=80"]) == 2
    assert "says something else" in capsys.readouterr().err
    assert cli.main([*install, "--port=80", "--force"]) == 0
    assert secret.read_text() == kept
    assert "--port=80" in (root / "etc/systemd/system/nbhub.service").read_text()


def test_the_kind_of_servers_and_of_stopping_is_the_configurations(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "nbhub_config.py").write_text("c.Hub.spawner_class = 'localprocess'\nc.Hub.cleanup_servers = True\n")
    assert cli.main(["systemd", "install", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "User=root" in out and "KillMode=mixed" in out and "--no-cleanup" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["instal"], "There is no command systemd 'instal'. Did you mean install?"),
        (["install", "--data-dir=/x"], "--data-dir is the unit's to say"),
        (["install", "--prot=1"], "There is no option --prot"),
    ],
)
def test_mistakes(folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["systemd", *words]) == 2
    assert message in capsys.readouterr().err


def test_what_the_hub_could_not_see(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nbhub.deploy.systemd.HIDDEN", (str(folder / "bin"),))
    assert cli.main(["systemd", "install", "--root", str(folder / "image")]) == 2
    assert f"{folder}/bin/nbhub would be hidden from the hub (ProtectHome)" in capsys.readouterr().err
    assert not (folder / "image").exists()


# -- readiness ---------------------------------------------------------------------------------------------------


def test_telling_nobody_and_somebody_gone(tmp_path: Path) -> None:
    for address in ("", "relative", str(tmp_path / "gone"), "@nobody-listens-here"):
        notify.tell({"NOTIFY_SOCKET": address}, notify.READY)


async def test_a_hub_tells_when_it_is_ready_reads_again_and_stops(tmp_path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(f"\0nbhub-test-{os.getpid()}")
        listener.settimeout(200)
        settings = "c.Hub.authenticator_class = 'dummy'\nc.Hub.spawner_class = 'fake'\n"
        hub = HubProcess(tmp_path, settings, env={"NOTIFY_SOCKET": f"@nbhub-test-{os.getpid()}"})
        await hub.start()
        try:
            assert listener.recv(1000).decode() == f"READY=1\nSTATUS=Serving at {hub.url}/"
            hub.send(signal.SIGHUP)
            assert listener.recv(1000).decode().startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert listener.recv(1000) == b"READY=1"
        finally:
            assert await hub.stop() == 0
        assert listener.recv(1000) == b"STOPPING=1"
