"""nbhub with servers that cost nothing; everything else as it comes."""

import json
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from nbhub.core.launch import Launch
from nbhub.core.lifecycle import Observation
from nbhub.spawners.base import Checkpoint, Handle
from nbhub.spawners.fake import FakeSpawner

given = json.loads(os.environ["BENCH"])


class FreeSpawner(FakeSpawner):
    """Every server is the one upstream at an address of its own, or whatever the benchmark opens at the port it names.

    What was started runs, also after a restart of the hub.
    """

    async def start(self, launch: Launch) -> AsyncIterator[Checkpoint]:
        port = launch.options.get("port")
        async for checkpoint in super().start(launch):
            yield replace(checkpoint, url=f"http://127.0.0.1:{port}") if port and checkpoint.url else checkpoint

    async def poll(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        return [Observation(alive="address" in handle.state) for handle in handles]


c = get_config()  # noqa: F821
c.Hub.data_dir = "data"
c.Hub.port = given["public"]
c.Hub.hub_port = given["hub"]
c.Hub.authenticator_class = "dummy"
c.Hub.cleanup_servers = False
if given["notebook"]:
    c.Hub.spawner_class = "simple"
    c.Spawner.cmd = [given["notebook"]]
    c.Spawner.args = ["--allow-root"] if os.getuid() == 0 else []
else:
    c.Hub.spawner_class = FreeSpawner
    c.FakeSpawner.listens = False
    c.FakeSpawner.port = given["upstream"]
