"""Pods at the API server: found, created, deleted and waited for; nothing here knows what a start consists of."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbhub.core.lifecycle import Observation
from nbhub.errors import SpawnError
from nbhub.spawners.kubernetes import explain, records
from nbhub.spawners.kubernetes.api import Api, Expired, Refused, Target
from nbhub.spawners.kubernetes.cache import Cache, Key
from nbhub.spawners.kubernetes.live import LiveView
from nbhub.spawners.kubernetes.noting import Notes
from nbhub.spawners.kubernetes.records import Metadata, Pod
from nbhub.spawners.kubernetes.sight import Patience, Sight

log = logging.getLogger("nbhub.kubernetes")

CHECK_SECONDS = 5.0  # between looks at a pod that should be going, should the watch tell nothing
LOG_BYTES = 16_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the pods are: a namespace, all of them if empty; and the label selector that all of them match."""

    namespace: str
    selector: str


class Backend:
    """The cluster as one process of the hub sees it."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        scope: Scope,
        now: Callable[[], float] = time.time,
        patience: Callable[[], Patience] = Patience,
    ) -> None:
        self.api = api
        self.cache = cache
        self.scope = scope
        self.live = LiveView(api, scope)
        self.notes = Notes(api, now)
        self.now = now
        self.patience = patience
        self._creating: dict[str, set[asyncio.Task[bytes]]] = {}  # by the number of the server

    async def pod(self, key: Key) -> Pod | None:
        """Ask for one pod; None if there is none."""
        raw = await self.api.get(Target("Pod", *key))
        return None if raw is None else records.pod(raw)

    async def pods(self, selector: str = "") -> list[Pod]:
        """Ask for all pods, or for those that a label selector matches."""
        while True:
            try:
                return [
                    records.pod(raw)
                    async for page in self.api.pages(
                        Target("Pod", self.scope.namespace), {"labelSelector": selector or self.scope.selector}
                    )
                    for raw in page.items
                ]
            except Expired:
                log.debug("listing the pods took too long; it begins anew")

    async def pods_of(self, servers: Sequence[int]) -> list[Pod]:
        """Ask for the pods of some servers."""
        return await self.pods(f"{records.SERVER_ID} in ({','.join(map(str, sorted(servers)))})")

    async def create(self, obj: Mapping[str, Any]) -> bytes:
        """Create an object. Whoever is cancelled meanwhile leaves this to its end, so that `settle` can wait for it."""
        server = str((obj["metadata"].get("labels") or {}).get(records.SERVER_ID, ""))
        task = asyncio.ensure_future(self.api.create(obj))
        self._creating.setdefault(server, set()).add(task)
        task.add_done_callback(lambda done: self._created(server, done))
        return await asyncio.shield(task)

    async def settle(self, server_id: int) -> None:
        """Wait until nothing of that server is being created by this process any more."""
        if tasks := self._creating.get(str(server_id)):
            await asyncio.wait(tasks)

    async def metadata(self, target: Target) -> Metadata | None:
        """Ask who an object is; None if it is not there."""
        raw = await self.api.get(target)
        return None if raw is None else records.metadata(raw)

    async def remove(self, pod: Pod, grace: int) -> None:
        """Ask for the end of this very pod."""
        await self.api.delete(Target("Pod", *pod.key), uid=pod.uid, grace=grace)

    async def until_gone(self, pod: Pod, seconds: float) -> Pod | None:
        """Wait until this very pod is gone; return how it was seen last if it is still there after so long."""
        end = time.monotonic() + seconds
        seen: Pod | None = pod
        with self.cache.attend(pod.key) as attention:
            while (left := end - time.monotonic()) > 0:
                rung = await attention.news(min(CHECK_SECONDS, left))
                told = self.cache.seen(pod.key)
                if rung and told is not None and told.uid == pod.uid:
                    seen = told
                    continue
                seen = await self.pod(pod.key)
                if seen is None or seen.uid != pod.uid:
                    return None
        return seen

    async def log_tail(self, key: Key, lines: int, container: str = "", *, previous: bool = False) -> str:
        """Return the last lines that a container wrote; empty when there are none to be had."""
        asked = {"tailLines": str(lines), "limitBytes": str(LOG_BYTES)}
        if container:
            asked["container"] = container
        if previous:
            asked["previous"] = "true"
        try:
            raw = await self.api.call("GET", Target("Pod", *key, "log"), params=asked)
        except Refused as error:
            # Not there, not begun, or no right to read logs: the reason of a failure is worth telling all the same.
            return "" if error.answer in (400, 404) else f"(The log cannot be read: {error.message})"
        except SpawnError:
            return ""
        return raw.decode(errors="replace")

    def sight(self, pod: Pod | None, events: Iterable[Mapping[str, Any]] = ()) -> Sight:
        """Say what a pod looks like."""
        return explain.look(records.as_mapping(pod), list(events), now=self.now(), patience=self.patience())

    def obituary(self, uid: str) -> Observation | None:
        """Return how a pod that is gone came to its end, if the watch saw it go."""
        last = self.cache.pods.buried.get(uid)
        if last is None:
            return None
        sight = self.sight(last)
        return Observation(alive=False, exit_code=signed(sight.exit_code), message=sight.message)

    async def close(self) -> None:
        """Release everything; pods stay as they are."""
        for tasks in list(self._creating.values()):
            await asyncio.wait(tasks, timeout=CHECK_SECONDS)
        await self.notes.close()
        await self.cache.close()
        await self.api.close()

    def _created(self, server: str, task: asyncio.Task[bytes]) -> None:
        self._creating[server].discard(task)
        if not self._creating[server]:
            del self._creating[server]
        if not task.cancelled():
            task.exception()  # whoever still waits for it gets it


def signed(exit_code: int | None) -> int | None:
    """Return an exit code as everything else in nbhub has it: minus the number of the signal that ended it."""
    return 128 - exit_code if exit_code is not None and 128 < exit_code < 160 else exit_code
