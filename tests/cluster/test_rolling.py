"""The hub's Deployment is rolled, and its pod killed, while somebody works: the proxy apart drops no websocket."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

import aiohttp
import pytest

from cluster import walk
from servers.forwarding import forwarded
from servers.hub import until

pytestmark = pytest.mark.timeout(900)
CONFIGURATION = "/etc/nbhub/nbhub_config.py"


class Kernel:
    """A kernel in use: one websocket, over which code is run all the time."""

    def __init__(self, channel: aiohttp.ClientWebSocketResponse) -> None:
        self._channel = channel
        self.answers = 0

    async def work(self) -> None:
        """Run code again and again until cancelled; fails when the websocket ends or an answer is wrong."""
        while True:
            assert await self._run(f"{self.answers} + 1") == str(self.answers + 1)
            self.answers += 1
            await asyncio.sleep(0.2)

    async def _run(self, code: str) -> str:
        asked = uuid.uuid4().hex
        header = {"msg_id": asked, "msg_type": "execute_request", "username": "", "session": "s", "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        await self._channel.send_json(
            {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
        )
        while True:
            heard = await self._channel.receive_json(timeout=60)
            if heard["parent_header"].get("msg_id") == asked and heard["msg_type"] == "execute_result":
                return str(heard["content"]["data"]["text/plain"])

    async def more(self, work: asyncio.Task[None]) -> None:
        """Wait until code was run again, over the same websocket."""
        before = self.answers
        await until(lambda: work.done() or self.answers > before + 1, "code is run", 90)
        assert not work.done(), work.exception()


@contextlib.asynccontextmanager
async def kernel_of(session: aiohttp.ClientSession, user: str) -> AsyncIterator[Kernel]:
    """Start a kernel in the user's server and connect to it."""
    async with session.post(f"/user/{user}/api/kernels", json={"name": "python3"}) as answer:
        assert answer.status == 201, await answer.text()
        name = (await answer.json())["id"]
    async with session.ws_connect(f"/user/{user}/api/kernels/{name}/channels?session_id=s", max_msg_size=0) as channel:
        yield Kernel(channel)


async def is_ready(session: aiohttp.ClientSession, user: str) -> bool:
    """Say whether the hub, whichever pod it is, knows that the user's server runs."""
    async with session.get(f"/hub/api/users/{user}") as answer:
        return answer.status == 200 and (await answer.json())["servers"].get("", {}).get("ready", False)


async def test_work_goes_on_while_the_hub_is_rolled(empty_namespace, hub_image, notebook_image, tmp_path):
    owner = walk.Owner(empty_namespace.name, empty_namespace.kubeconfig, tmp_path)
    images = [f"--image={hub_image}", f"--notebook-image={notebook_image}"]
    owner.nbhub("kubernetes", "init", "hub", "--yes", f"--namespace={owner.namespace}", *images)
    owner.kubectl("apply", "-f", "hub/secret.yaml")
    owner.kubectl("apply", "-k", "hub/split")
    for deployment in ("hub", "proxy"):
        owner.kubectl("rollout", "status", f"deployment/{deployment}", "--timeout=5m")
    token = owner.kubectl(
        *("exec", "deployment/hub", "--", "nbhub", "token", "ada", "--admin", "-f", CONFIGURATION)
    ).split()[-1]

    headers = {"Authorization": f"token {token}"}
    with forwarded(owner.kubeconfig, owner.namespace, "service/nbhub", 80) as address:
        async with aiohttp.ClientSession(address, headers=headers) as session:
            async with session.post("/hub/api/users/ada/server", json={}) as answer:
                assert answer.status in (201, 202), await answer.text()
            await until(lambda: is_ready(session, "ada"), "the server is ready", 300)
            async with kernel_of(session, "ada") as kernel:
                work = asyncio.create_task(kernel.work())
                try:
                    await kernel.more(work)
                    await roll(owner, session, kernel, work)
                    await end_by_force(owner, session, kernel, work)
                finally:
                    work.cancel()
                    await asyncio.gather(work, return_exceptions=True)
            async with session.delete("/hub/api/users/ada/server") as answer:
                assert answer.status in (202, 204)
    print(f"code was run {kernel.answers} times over one websocket")


async def roll(owner: walk.Owner, session: aiohttp.ClientSession, kernel: Kernel, work: asyncio.Task[None]) -> None:
    """Replace the hub's pod as an upgrade does."""
    before, answers = hub_pods(owner), kernel.answers
    owner.kubectl("rollout", "restart", "deployment/hub")
    await asyncio.to_thread(owner.kubectl, "rollout", "status", "deployment/hub", "--timeout=5m")
    assert not set(before) & set(hub_pods(owner))
    assert kernel.answers > answers, "code was run while no hub was there"
    await until(lambda: is_ready(session, "ada"), "the new hub knows of the server", 60)
    await kernel.more(work)


async def end_by_force(
    owner: walk.Owner, session: aiohttp.ClientSession, kernel: Kernel, work: asyncio.Task[None]
) -> None:
    """Take the hub's pod away without a word to it."""
    before = hub_pods(owner)
    await asyncio.to_thread(owner.kubectl, "delete", "pod", *before, "--grace-period=0", "--force")
    await kernel.more(work)
    await asyncio.to_thread(owner.kubectl, "rollout", "status", "deployment/hub", "--timeout=5m")
    await until(lambda: is_ready(session, "ada"), "the new hub knows of the server", 60)
    await kernel.more(work)


def hub_pods(owner: walk.Owner) -> list[str]:
    """The names of the hub's pods."""
    selector = "app.kubernetes.io/component=hub"
    return owner.kubectl("get", "pods", "-l", selector, "-o", "jsonpath={.items[*].metadata.name}").split()
