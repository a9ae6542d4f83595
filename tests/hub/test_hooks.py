"""Functions of the configuration in a whole hub: before a start, after a stop, failing once and again."""

from __future__ import annotations

from pathlib import Path

from servers.hub import running_hub, until

HOOKS = """
import pathlib, time
log = pathlib.Path(__file__).with_name("hooks.log")
def note(text):
    with log.open("a") as file:
        file.write(text + "\\n")
def before(spawner):
    note(f"start {spawner.user.name} {spawner.user_options}")
    if spawner.user_options.get("fail"):
        error = RuntimeError("not for the public")
        error.jupyterhub_message = "You have no quota left."
        raise error
    if spawner.user_options.get("block"):
        while not log.with_name("go").exists():
            time.sleep(0.05)
async def after(spawner):
    note(f"stop {spawner.user.name}")
c.Spawner.pre_spawn_hook = before
c.Spawner.post_stop_hook = after
c.Spawner.server_token_scopes = ["read:users!user"]
"""


async def test_hooks_before_and_after(folder: Path, small_servers: str) -> None:
    log = folder / "hooks.log"
    async with running_hub(folder, small_servers + HOOKS) as hub, hub.client(await hub.token("ada")) as client:
        assert (await client.post("/users/ada/server", json={"size": 1})).status_code in (201, 202)

        async def ready() -> bool:
            return bool((await client.get("/users/ada")).json()["servers"].get("", {}).get("ready"))

        await until(ready, "the server is ready")
        assert log.read_text() == "start ada {'size': 1}\n"
        tokens = (await client.get("/users/ada/tokens")).json()["api_tokens"]
        assert any("read:users!user" in token["scopes"] or "read:users!user=ada" in token["scopes"] for token in tokens)
        assert (await client.delete("/users/ada/server")).status_code in (202, 204)
        await until(lambda: log.read_text().endswith("stop ada\n"), "the hook after the stop")

        failed = await client.post("/users/ada/server", json={"fail": True})
        assert failed.status_code == 500
        assert "You have no quota left." in failed.text and "not for the public" not in failed.text


async def test_a_hook_that_waits_holds_up_nobody(folder: Path, small_servers: str) -> None:
    settings = small_servers + HOOKS + "c.Hub.slow_spawn_timeout = 0\n"
    async with running_hub(folder, settings) as hub, hub.client(await hub.token("ada")) as client:
        assert (await client.post("/users/ada/server", json={"block": True})).status_code == 202
        log = folder / "hooks.log"
        await until(lambda: log.exists() and "block" in log.read_text(), "the hook has begun")
        try:
            assert (await client.get("/info")).status_code == 200
        finally:
            (folder / "go").touch()
        await client.delete("/users/ada/server")


async def test_too_many_failures_end_the_hub(folder: Path, small_servers: str) -> None:
    settings = small_servers + HOOKS + "c.Spawner.consecutive_failure_limit = 2\n"
    async with running_hub(folder, settings) as hub, hub.client(await hub.token("ada")) as client:
        assert (await client.post("/users/ada/server", json={"fail": True})).status_code == 500
        assert hub.alive
        await client.post("/users/ada/server", json={"fail": True})
        assert await hub.ended() == 1
        assert "consecutive_failure_limit" in hub.text()
