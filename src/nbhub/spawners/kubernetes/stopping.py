"""One stop: the pod is told to end, waited for, and taken away by force when its node does not let it go."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nbhub.errors import SpawnError
from nbhub.spawners.base import Handle
from nbhub.spawners.kubernetes import owning, seen
from nbhub.spawners.kubernetes.api import Refused, Target
from nbhub.spawners.kubernetes.backend import Backend
from nbhub.spawners.kubernetes.records import Pod

if TYPE_CHECKING:
    from nbhub.spawners.kubernetes.spawner import KubeSpawner

log = logging.getLogger("nbhub.servers")

FORCE_AT = 0.6  # of the stop timeout


class Stopping:
    """The end of one server."""

    def __init__(self, spawner: KubeSpawner, backend: Backend, handle: Handle) -> None:
        self.spawner = spawner
        self.backend = backend
        self.handle = handle

    async def run(self) -> None:
        """Take away the pod and what goes with it; raises SpawnError if it cannot be got rid of."""
        state = self.handle.state
        key = (str(state.get("namespace") or ""), str(state.get("pod_name") or ""))
        await self.backend.settle(self.handle.server_id)  # what a cancelled start was just making
        for pod in await self._pods(key):
            await self._end(pod)
        await self._secret(key[0])

    async def _pods(self, key: tuple[str, str]) -> Iterable[Pod]:
        """Return what there is of the server: found by its number, or, if KubeSpawner made it, by its name."""
        found = {pod.uid: pod for pod in await self.backend.pods_of([self.handle.server_id])}
        if not found and all(key) and "generation" not in self.handle.state:
            pod = await self.backend.pod(key)
            found = {} if pod is None else {pod.uid: pod}
        return [pod for pod in found.values() if owning.belongs(pod.metadata, self.handle)]

    async def _end(self, pod: Pod) -> None:
        patience = self.spawner.stop_timeout * FORCE_AT
        grace = self.spawner.delete_grace_period
        if not pod.deleting:
            await self.backend.remove(pod, grace)
        left = await self.backend.until_gone(pod, max(patience - self._overdue(pod), 0.1))
        if left is None:
            return
        why = self.backend.sight(left).message
        log.warning("server=%s pod=%s is deleted by force: %s", self.handle.object_name, pod.metadata.name, why)
        await self.backend.remove(left, 0)
        left = await self.backend.until_gone(left, max(self.spawner.stop_timeout - patience, 1) * 0.8)
        if left is not None:
            raise SpawnError(f"Pod {pod.metadata.name} in namespace {pod.metadata.namespace} does not go away. {why}")

    def _overdue(self, pod: Pod) -> float:
        """Return for how many seconds a pod that was told to end before should be gone."""
        told = seen.seconds(pod.metadata.deletion_timestamp)
        return 0.0 if told is None else max(0.0, self.backend.now() - told)

    async def _secret(self, namespace: str) -> None:
        """Delete the Secret, if it does not go with the pod by itself because that could not be written down."""
        name = self.handle.state.get("secret_name")
        if not name or not namespace or self.handle.state.get("secret_owned"):
            return
        target = Target("Secret", namespace, str(name))
        try:
            found = await self.backend.metadata(target)
            if found is not None and found.server_id is not None and owning.belongs(found, self.handle):
                await self.backend.api.delete(target, uid=found.uid)
        except Refused as error:
            if error.answer != 403:
                raise
            # Without the right to Secrets none was made; with the right lost since, the server has ended all the same.
            self.spawner.say_once(f"{error.message} Until then, Secrets of servers may stay behind.")
