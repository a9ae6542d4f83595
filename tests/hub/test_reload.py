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
        timeout=60,
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
        async with hub.client(token) as client:
            assert (await client.put("/users/admin/servers/more")).status_code == 201
        assert hub.alive
