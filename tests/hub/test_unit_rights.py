"""The rights that the systemd unit leaves to a hub that runs as root are enough for servers of system users."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from nbhub.deploy import systemd
from servers.hub import PATIENCE, PATIENT, SMALL_SERVER, HubProcess, until

USER = f"nbhubunit{os.getpid()}"
UNIT = systemd.unit(systemd.Service(("/usr/bin/true",), system_users=True, low_port=True, keeps_servers=True))


class Confined(HubProcess):
    """A hub with the capabilities of the unit and no way to new ones."""

    def command(self, *arguments: str) -> list[str]:
        lines = [line for line in UNIT.splitlines() if line.startswith("CapabilityBoundingSet=")]
        names = [word.removeprefix("CAP_").lower() for line in lines for word in line.partition("=")[2].split()]
        assert len(names) > 5 and "NoNewPrivileges=true" in UNIT
        kept = ",".join(["-all", *(f"+{name}" for name in names)])
        return ["setpriv", f"--bounding-set={kept}", "--no-new-privs", *super().command(*arguments)]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that an account of this machine, made for the test, may read and write."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("useradd", "setpriv"))):
        pytest.skip("needs root, useradd and setpriv")
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", USER], check=True)
    path = Path(f"/tmp/{USER}")
    path.mkdir(mode=0o755)
    shutil.copy(SMALL_SERVER, path / "server.py")
    os.chown(path, pwd.getpwnam(USER).pw_uid, -1)
    yield path
    subprocess.run(["userdel", "--force", "--remove", USER], check=True, stderr=subprocess.DEVNULL)
    shutil.rmtree(path, ignore_errors=True)


async def test_servers_of_system_users(folder: Path, place: Path) -> None:
    python = shutil.which("python3", path="/usr/bin:/bin")
    assert python is not None
    settings = PATIENT + (
        "c.Hub.authenticator_class = 'dummy'\nc.Hub.spawner_class = 'localprocess'\n"
        f"c.Spawner.cmd = {[python, '-I', '-S', str(place / 'server.py'), str(place / 'starts')]!r}\n"
        "c.Spawner.poll_interval = 2\nc.Hub.cleanup_servers = False\n"
    )
    hub = Confined(folder, settings)
    await hub.start()
    try:
        status = told(hub.pid)
        assert "NoNewPrivs:\t1" in status and "CapEff:\t000001ffffffffff" not in status
        token = await hub.token()
        async with hub.client(token) as api:
            await api.post(f"/users/{USER}")
            answer = await api.post(f"/users/{USER}/server")
            assert answer.status_code == 201, answer.text + hub.text()
            pid = int((place / "starts").read_text().split()[0])
            assert f"Uid:\t{pwd.getpwnam(USER).pw_uid}\t" in told(pid)
        # As systemd restarts it: the next hub looks after the same server, and may end it.
        assert await hub.stop() == 0
        await hub.start()
        async with hub.client(token) as api:
            await until(lambda: _answers(hub), "the server is reachable through the next hub")
            assert (await api.get(f"/users/{USER}")).json()["servers"][""]["ready"]
            assert told(pid)
            answer = await api.delete(f"/users/{USER}/server")
            assert answer.status_code == 204, answer.text + hub.text()
            assert not told(pid)
    finally:
        if hub.alive:
            async with hub.client(await hub.token()) as api:
                with contextlib.suppress(httpx.HTTPError):
                    await api.delete(f"/users/{USER}/server")
            await hub.stop()
    assert "Traceback" not in hub.text(), hub.text()


def told(pid: int) -> str:
    """Return what the kernel tells of a process; nothing of one that has ended, whether somebody has noticed or not."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
    return "" if "State:\tZ" in status else status


async def _answers(hub: HubProcess) -> bool:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        return (await client.get(f"{hub.url}/user/{USER}/api")).status_code == 200
