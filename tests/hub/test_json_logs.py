"""With JSON logs, whatever a hub writes from start to end is a line of JSON: also warnings, mistakes, failures."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from servers.hub import HubProcess, until

CONFIG = """
import asyncio, logging, threading, warnings

async def hook(spawner):
    warnings.warn("a warning of Python's", stacklevel=1)
    threading.Thread(target=lambda: 1 / 0).start()
    asyncio.get_running_loop().create_future().set_exception(OSError("nobody asks for this"))
    logging.getLogger("elsewhere").error("two\\nlines password=hunter22")

c.Spawner.pre_spawn_hook = hook
c.Hub.log_json = True
"""


def lines_of(text: str) -> list[dict[str, Any]]:
    """Return the lines as objects; each has to be one."""
    found = [json.loads(line) for line in text.splitlines()]
    for line in found:
        assert list(line)[:4] == ["time", "level", "logger", "message"], line
        assert set(line) <= {"time", "level", "logger", "message", "fields", "traceback"}, line
        assert line["level"].upper() in logging.getLevelNamesMapping(), line
    return found


async def test_every_line_is_json(folder: Path, small_servers: str) -> None:
    settings = small_servers.replace("'dummy'", "'native'") + CONFIG
    hub = HubProcess(folder, settings)
    (folder / "nbhub_config.py").rename(folder / "jupyterhub_config.py")  # unknown names are warned of in such a file
    with (folder / "jupyterhub_config.py").open("a") as file:
        file.write("c.JupyterHub.no_such_name = 1\n")
    await hub.start()
    async with hub.client(await hub.token()) as api:
        await api.post("/users/alice")
        answer = await api.post("/users/alice/server")
        assert answer.status_code == 201, answer.text
        await asyncio.to_thread(_talk_nonsense, hub.hub_port)
        hub.send(signal.SIGHUP)
        await until(lambda: "Configuration read again" in hub.text(), "the configuration is read again")
    assert await hub.stop() == 0
    found = lines_of(hub.text())
    messages = [line["message"] for line in found]
    for words in (
        "no_such_name",
        f"nbhub is at {hub.url}/",
        "a warning of Python's",
        "a thread fails",
        "two\\nlines password=***",
        "Invalid HTTP request received.",
        "Stopping. Once more to leave at once.",
        "Stopped.",
    ):
        assert any(words in message for message in messages), (words, messages)
    # The one secret that is told on purpose, since it is the way in.
    assert any("/hub/signup?code=" in message and "***" not in message for message in messages)
    started = [line for line in found if line.get("fields", {}).get("server") == "alice/"]
    assert started and all("traceback" not in line for line in started)
    assert any("ZeroDivisionError" in line.get("traceback", "") for line in found)


def _talk_nonsense(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=200) as connection:
        connection.sendall(b"NONSENSE\r\n\r\n")
        while connection.recv(4096):
            pass


def test_a_start_that_fails_is_told_in_json(folder: Path) -> None:
    hub = HubProcess(folder, "c.Hub.authenticator_class = 'dummy'\nc.Hub.spawner_class = 'fake'\n")
    for options in (["--log-json", "--db=mysql://somewhere"], ["--log-json", "--prot=1"]):
        done = subprocess.run(
            [sys.executable, "-m", "nbhub", *options],
            cwd=folder,
            env=hub.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert (done.returncode, done.stdout) == (2, "")
        last = lines_of(done.stderr)[-1]
        assert last["level"] == "critical" and ("mysql" in last["message"] or "--prot" in last["message"])
