"""A running hub reads its configuration again: what changes at once, what waits; a bad file changes nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from servers.hub import HubProcess, running_hub, until


def reload(hub: HubProcess) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbhub", "reload", f"--data-dir={hub.data_dir}"],
        cwd=hub.folder,
        env=hub.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    # The command reads the file, too, to know the folder; a bad one it names itself.
    assert done.returncode in (0, 2), done.stderr


async def test_settings_are_read_again(folder: Path, small_servers: str) -> None:
    async with running_hub(folder, small_servers) as hub:
        file = folder / "nbhub_config.py"
        file.write_text(small_servers + "c.Hub.allow_named_servers = True\nc.Hub.hub_ip = '127.0.0.2'\n")
        reload(hub)
        said = await until(lambda: "Configuration read again" in hub.text() and hub.text(), "the hub says so")
        assert "Changed: Hub.allow_named_servers." in said
        assert "Only a restart changes: Hub.hub_ip." in said
        token = await hub.token()
        async with hub.client(token) as client:
            answer = await client.put("/users/admin/servers/big")
            assert answer.status_code == 201, answer.text

        file.write_text("c.Hub.allow_named_servers = 'perhaps'\n")
        hub.send(signal.SIGHUP)
        said = await until(lambda: "stays as it was" in hub.text() and hub.text(), "the hub refuses")
        assert "c.Hub.allow_named_servers = 'perhaps' is wrong" in said
        file.write_text(small_servers + "c.Spawner.popen_kwargs = {'user': 'root'}\n")
        hub.send(signal.SIGHUP)
        said = await until(lambda: "popen_kwargs" in hub.text() and hub.text(), "the hub refuses what does not fit")
        assert "The configuration stays as it was: The setting popen_kwargs has user" in said
        async with hub.client(token) as client:
            assert (await client.put("/users/admin/servers/more")).status_code == 201
        assert hub.alive


SERVICES = """
import sys
c.Hub.services = [
    {{"name": "ticker", "command": [sys.executable, "-c", "import time; time.sleep(600)"],
      "environment": {{"TICK": "{tick}"}}}},
    {{"name": "outside", "api_token": "outside-token-0123456789", "url": "http://127.0.0.1:{port}"}},
]
c.Hub.load_roles = [{{"name": "reader", "scopes": {scopes}, "services": ["outside"]}}]
c.Hub.load_groups = {{"{group}": {{"users": ["ann"]}}}}
c.Hub.custom_scopes = {{"custom:{scope}:read": {{"description": "Read."}}}}
c.Hub.idle_timeout = {idle}
c.Spawner.poll_interval = {poll}
"""


async def test_services_roles_and_groups_are_read_again(folder: Path, small_servers: str) -> None:
    one, two = f"TICK={folder.name}-1", f"TICK={folder.name}-2"
    before = SERVICES.format(tick=one[5:], port=1, scopes=["list:users"], group="old", scope="one", idle=0, poll=30)
    after = SERVICES.format(
        tick=two[5:], port=2, scopes=["list:users", "custom:two:read"], group="new", scope="two", idle=1, poll=1
    )
    async with running_hub(folder, small_servers + before) as hub:
        outside = hub.client("outside-token-0123456789")
        async with hub.client(await hub.token()) as admin, outside:
            assert (await admin.post("/users/admin/server")).status_code in (201, 202)
            first = await until(lambda: running_with(one), "the service runs")
            (folder / "nbhub_config.py").write_text(small_servers + after)
            reload(hub)
            said = await until(lambda: "Configuration read again" in hub.text() and hub.text(), "the hub says so")
            for name in ("services", "load_roles", "load_groups", "custom_scopes", "idle_timeout"):
                assert f"Hub.{name}" in said
            assert "poll_interval" in said
            assert "Only a restart changes" not in said
            await until(lambda: running_with(two), "it runs with its new settings")
            assert not running_with(one), first
            assert (await admin.get("/services/outside")).json()["url"] == "http://127.0.0.1:2"
            assert (await admin.get("/groups/new")).json()["users"] == ["ann"]
            assert "custom:two:read" in (await outside.get("/user")).json()["scopes"]

            async def is_culled() -> bool:
                return (await admin.get("/users/admin")).json()["server"] is None

            await until(is_culled, "the sweep has heard of idle_timeout")

            wrong = after.replace("list:users", "list:everybody")
            (folder / "nbhub_config.py").write_text(small_servers + wrong)
            hub.send(signal.SIGHUP)
            said = await until(lambda: "stays as it was" in hub.text() and hub.text(), "the hub refuses")
            assert "There is no scope" in said
            assert "custom:two:read" in (await outside.get("/user")).json()["scopes"]
            assert running_with(two)


def running_with(variable: str) -> list[int]:
    """The processes that have this in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            environment = (place / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if variable.encode() in environment:
            found.append(int(place.name))
    return found
