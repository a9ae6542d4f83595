"""Whole hubs, each started with a file as people have it, unchanged but for ports and the command of the servers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx
import pytest

from servers.hub import HubProcess, until

CONFIGS = Path(__file__).parents[1] / "compat" / "configs"


def words(small_servers: str) -> list[str]:
    """The small servers' command, as options."""
    [line] = [line for line in small_servers.splitlines() if line.startswith("c.Spawner.cmd")]
    return [f"--Spawner.cmd={word}" for word in re.findall(r"'([^']+)'", line)]


async def test_the_trial_hub(folder: Path, small_servers: str) -> None:
    hub = HubProcess(folder)
    hub.spawn(
        *("-f", str(CONFIGS / "local_dummy.py"), *words(small_servers)),
        f"--SimpleLocalProcessSpawner.home_dir_template={folder}/homes/{{username}}",
    )
    try:
        async with httpx.AsyncClient(base_url=f"{hub.url}/trial", follow_redirects=True, timeout=100) as browser:

            async def answers() -> bool:
                assert hub.alive, hub.text()
                try:
                    return (await browser.get("/hub/health")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(answers, "the hub answers")
            page = await browser.get("/hub/login")
            token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
            assert token is not None
            form = {"_xsrf": token[1], "username": "Ada", "password": "let me in please"}
            page = await browser.post("/hub/login", data=form)
            assert '<select name="size">' in page.text, page.text[:500]
            token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
            assert token is not None
            await browser.post("/hub/spawn/ada", data={"_xsrf": token[1], "size": "2"})

            def environment() -> dict[str, str] | None:
                for process in Path("/proc").glob("[0-9]*"):
                    try:
                        raw = (process / "environ").read_bytes()
                    except OSError:
                        continue
                    found = dict(line.split("=", 1) for line in os.fsdecode(raw).split("\0") if "=" in line)
                    if found.get("HOME") == f"{folder}/homes/ada" and "JUPYTERHUB_USER" in found:
                        return found
                return None

            seen = await until(environment, "the server runs")
            assert (seen["GREETING"], seen["WHO"], seen["CPU_LIMIT"]) == ("hello", "ada", "2.0")
            assert (seen["MEM_LIMIT"], seen["JUPYTERHUB_DEFAULT_URL"]) == (str(1024**3), "/lab")
    finally:
        assert await hub.stop() == 0, hub.text()


def test_a_file_for_kubernetes_ends_with_words_where_there_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(folder / "none"))
    ended = HubProcess(folder).refused("-f", str(CONFIGS / "tmp_kubernetes.py"))
    assert ended.status == 2
    assert "KUBECONFIG" in ended.err
    assert "Traceback" not in ended.err
