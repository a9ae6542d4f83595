"""`nbhub servers` beside a running hub."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path

from servers.hub import PATIENCE, PATIENT, running_hub

SETTINGS = """
c.Hub.spawner_class = "fake"
c.Hub.cleanup_servers = False
c.Hub.allow_named_servers = True
c.FakeSpawner.folder = "backend"
"""


async def test_servers_are_listed_beside_a_running_hub(tmp_path: Path) -> None:
    async with running_hub(tmp_path, PATIENT + SETTINGS) as hub:

        async def listed(*flags: str) -> tuple[str, str]:
            command = [*hub.command()[:3], "servers", *flags, *hub.command()[3:]]
            ended = await asyncio.to_thread(
                subprocess.run, command, cwd=hub.folder, env=hub.env, capture_output=True, text=True, timeout=PATIENCE
            )
            assert ended.returncode == 0, ended.stderr
            return ended.stdout, ended.stderr

        async with hub.client(await hub.token("ada")) as api:
            assert (await api.post("/users/ada/server")).status_code == 201
            failed = await api.post("/users/ada/servers/broken", json={"fault": "fails"})
            assert failed.status_code == 500, failed.text

        table = (await listed())[0].splitlines()
        assert [line.split()[0] for line in table] == ["USER", "ada"]
        assert "NODE" in table[0] and "IMAGE" not in table[0], "columns that nothing is known for are left away"
        assert "running" in table[1] and "127.64." in table[1]

        one, two = json.loads((await listed("--all", "--json"))[0])
        assert (one["user"], one["server"], one["phase"], one["object"]) == ("ada", "", "running", "ada")
        assert one["node"].startswith("127.64.") and one["url"].startswith("http://127.64.")
        assert abs(one["since"] - time.time()) < 3600
        assert (two["server"], two["phase"], two["node"], two["use"]) == ("broken", "failed", "", {})
        assert "failed on demand" in two["message"]

        # A backend that does not answer costs its part of the list only.
        out, err = await listed("--FakeSpawner.fault=away")
        assert "running" in out and "NODE" not in out
        assert "The fake backend is away on demand." in err
