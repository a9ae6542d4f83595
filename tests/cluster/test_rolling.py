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

pytestmark = pytest.mark.timeout(1500)
CONFIGURATION = "/etc/nbhub/nbhub_config.py"
SERVERS = "component=singleuser-server"


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
            heard = await self._channel.receive_json(timeout=300)
            if heard["parent_header"].get("msg_id") == asked and heard["msg_type"] == "execute_result":
                return str(heard["content"]["data"]["text/plain"])

    async def more(self, work: asyncio.Task[None]) -> None:
        """Wait until code was run again, over the same websocket."""
        before = self.answers
        await until(lambda: work.done() or self.answers > before + 1, "code is run", 300)
        assert not work.done(), work.exception()


@contextlib.asynccontextmanager
async def kernel_of(session: aiohttp.ClientSession, user: str) -> AsyncIterator[Kernel]:
    """Start a kernel in the user's server and connect to it."""
    async with session.post(f"/user/{user}/api/kernels", json={"name": "python3"}) as answer:
        assert answer.status == 201, await answer.text()
        name = (await answer.json())["id"]
    async with session.ws_connect(f"/user/{user}/api/kernels/{name}/channels?session_id=s", max_msg_size=0) as channel:
        yield Kernel(channel)


def is_by_hub(answer: aiohttp.ClientResponse) -> bool:
    """Say whether a hub answered.

    While none is behind its Service, something else of the network may, on a connection that the proxy then keeps.
    """
    return "X-JupyterHub-Version" in answer.headers


async def is_ready(session: aiohttp.ClientSession, user: str) -> bool:
    """Say whether the hub, whichever pod it is, knows that the user's server runs."""
    with contextlib.suppress(aiohttp.ClientError):  # while no hub is there, anything may happen
        async with session.get(f"/hub/api/users/{user}") as answer:
            return answer.status == 200 and (await answer.json())["servers"].get("", {}).get("ready", False)
    return False


async def is_reached(session: aiohttp.ClientSession, user: str) -> bool:
    """Say whether the user's server answers a program, which is told to wait while the proxy does not know the way."""
    async with session.get(f"/user/{user}/api") as answer:
        assert answer.status in (200, 503) or not is_by_hub(answer), await answer.text()
        return answer.status == 200


async def takes_stop(session: aiohttp.ClientSession, user: str) -> bool:
    """Ask for the end of the user's server, and say whether a hub heard it."""
    async with session.delete(f"/hub/api/users/{user}/server") as answer:
        assert answer.status in (202, 204) or not is_by_hub(answer), await answer.text()
        return is_by_hub(answer)


def brought_up(namespace, folder, *images: str) -> tuple[walk.Owner, str]:
    """Bring up the hub and the proxy apart from it; return who owns the namespace, and an administrator's token."""
    owner = walk.Owner(namespace.name, namespace.kubeconfig, folder)
    owner.nbhub("kubernetes", "init", "hub", "--yes", f"--namespace={owner.namespace}", *images)
    owner.kubectl("apply", "-f", "hub/secret.yaml")
    owner.kubectl("apply", "-k", "hub/split")
    for deployment in ("hub", "proxy"):
        owner.kubectl("rollout", "status", f"deployment/{deployment}", "--timeout=10m")
    words = owner.kubectl(
        *("exec", "deployment/hub", "--", "nbhub", "token", "ada", "--admin", "-f", CONFIGURATION)
    ).split()
    return owner, words[-1]


async def test_starts_under_way_are_finished_by_the_next_hub(empty_namespace, hub_image, small_image, tmp_path):
    images = (f"--image={hub_image}", f"--notebook-image={small_image}")
    owner, token = brought_up(empty_namespace, tmp_path, *images)
    users = [f"user{number}" for number in range(6)]
    with forwarded(owner.kubeconfig, owner.namespace, "service/nbhub", 80) as address:
        async with aiohttp.ClientSession(address, headers={"Authorization": f"token {token}"}) as session:
            async with session.post("/hub/api/users", json={"usernames": users}) as answer:
                assert answer.status == 201, await answer.text()
            asks = [asyncio.create_task(ask(session, user)) for user in users]
            await until(
                lambda: owner.kubectl("get", "pods", "-l", SERVERS, "-o", "name"), "the first pod is there", 300
            )
            owner.kubectl("rollout", "restart", "deployment/hub")
            await asyncio.gather(*asks)
            await asyncio.to_thread(owner.kubectl, "rollout", "status", "deployment/hub", "--timeout=10m")
            for user in users:
                await ask(session, user)  # whose ask the old hub never heard
            for user in users:
                await until(lambda user=user: is_ready(session, user), f"the server of {user} is ready", 300)
                await until(lambda user=user: is_reached(session, user), f"the server of {user} is reached", 300)
            pods = sorted(owner.kubectl("get", "pods", "-l", SERVERS, "-o", "name").split())
            assert pods == [f"pod/jupyter-{user}" for user in users]
            assert "Traceback" not in owner.kubectl("logs", "deployment/hub")


async def ask(session: aiohttp.ClientSession, user: str) -> None:
    """Ask for a server; the hub may be gone before it answers, or have started it already."""
    with contextlib.suppress(aiohttp.ClientError):
        async with session.post(f"/hub/api/users/{user}/server", json={}) as answer:
            assert answer.status in (201, 202, 400, 503) or not is_by_hub(answer), await answer.text()


async def test_work_goes_on_while_the_hub_is_rolled(empty_namespace, hub_image, notebook_image, tmp_path):
    images = (f"--image={hub_image}", f"--notebook-image={notebook_image}")
    owner, token = brought_up(empty_namespace, tmp_path, *images)
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
            await until(lambda: takes_stop(session, "ada"), "the hub takes the stop", 300)
    print(f"code was run {kernel.answers} times over one websocket")


async def roll(owner: walk.Owner, session: aiohttp.ClientSession, kernel: Kernel, work: asyncio.Task[None]) -> None:
    """Replace the hub's pod as an upgrade does."""
    before = set(hub_pods(owner))
    owner.kubectl("rollout", "restart", "deployment/hub")
    await until(lambda: not before & set(hub_pods(owner)), "the old hub is gone", 300)
    await kernel.more(work)
    await asyncio.to_thread(owner.kubectl, "rollout", "status", "deployment/hub", "--timeout=10m")
    await until(lambda: is_ready(session, "ada"), "the new hub knows of the server", 300)
    await kernel.more(work)


async def end_by_force(
    owner: walk.Owner, session: aiohttp.ClientSession, kernel: Kernel, work: asyncio.Task[None]
) -> None:
    """Take the hub's pod away without a word to it."""
    before = hub_pods(owner)
    await asyncio.to_thread(owner.kubectl, "delete", "pod", *before, "--grace-period=0", "--force")
    await kernel.more(work)
    await asyncio.to_thread(owner.kubectl, "rollout", "status", "deployment/hub", "--timeout=10m")
    await until(lambda: is_ready(session, "ada"), "the new hub knows of the server", 300)
    await kernel.more(work)


def hub_pods(owner: walk.Owner) -> list[str]:
    """The names of the hub's pods."""
    selector = "app.kubernetes.io/component=hub"
    return owner.kubectl("get", "pods", "-l", selector, "-o", "jsonpath={.items[*].metadata.name}").split()
