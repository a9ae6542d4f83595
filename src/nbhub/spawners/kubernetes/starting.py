"""One start: volume, Secret, pod, then watching the pod until it runs.

Every step can be repeated, and stops or other hubs may come in between: what is there of this very start is taken over,
what is left of an earlier one is replaced, and what belongs to anybody else is not touched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from nbhub.core.launch import Launch
from nbhub.errors import SpawnError
from nbhub.spawners.base import Checkpoint
from nbhub.spawners.kubernetes import claims, hooked_pod, naming, objects, owning, records, seen, service, volume
from nbhub.spawners.kubernetes.api import Refused, Target
from nbhub.spawners.kubernetes.backend import Backend
from nbhub.spawners.kubernetes.cache import Attention, Key
from nbhub.spawners.kubernetes.objects import Objects
from nbhub.spawners.kubernetes.owning import Standing
from nbhub.spawners.kubernetes.records import Metadata, Pod
from nbhub.spawners.kubernetes.sight import Sight

if TYPE_CHECKING:
    from nbhub.spawners.kubernetes.spawner import KubeSpawner

log = logging.getLogger("nbhub.servers")

LOOK_SECONDS = 2.0  # between looks at a pod of which the watch tells nothing
GATHER_SECONDS = 0.1
LOG_LINES = 40
REPLACING_SECONDS = 120.0
SETTLING_SECONDS = 20.0
ATTEMPTS = 5


class Starting:
    """One start of one server."""

    def __init__(self, spawner: KubeSpawner, backend: Backend, launch: Launch) -> None:
        self.spawner = spawner
        self.backend = backend
        self.launch = launch
        self.names = naming.names_of(spawner, launch)
        self.state = self._state(None)
        self._begun = backend.now()
        self._timeout = float(spawner.setting(launch, "start_timeout"))
        self._deadline = self._begun + self._timeout
        self._in_new_namespace = False

    async def run(self) -> AsyncIterator[Checkpoint]:
        """Bring the server up; see Spawner.start."""
        own = self._timeout if self._timeout != self.spawner.start_timeout else None
        made = await self._claim()
        self.names = made.names
        self.state = self._state(made)
        yield Checkpoint(dict(self.state), "Preparing the server's pod", 5, deadline=own)
        key = (self.names.namespace, self.names.pod)
        with self.backend.cache.attend(key, seen.claims(made.pod)) as attention:
            if (there := self.backend.cache.seen(key)) is not None:
                await self._is_ours(there)  # what is left of an earlier start goes before anything new comes
            await self._secret(made.secret)
            pod = await self._pod(made, attention)
            self.state["pod_uid"] = pod.uid
            await self._belongings(made, pod)
            async for checkpoint in self._until_up(key, pod.uid, attention):
                yield checkpoint

    def _state(self, made: Objects | None) -> dict[str, Any]:
        """Return what is to be recorded; of a claim not before it is known which one is the server's."""
        state = {**naming.state_of(self.names, self.launch), "server_name": self.launch.server_name}
        if made is None or made.pvc is None:
            state |= {name: self.launch.state.get(name) for name in ("pvc_name", "pvc_user", "pvc_own")}
        else:
            state["pvc_own"] = volume.is_own(self.spawner, self.launch, self.names.volume)
        if made is not None and made.secret is not None:
            state["secret_name"] = made.secret["metadata"]["name"]
        return {name: value for name, value in state.items() if value is not None}

    # -- making --------------------------------------------------------------------------------------------------

    async def _claim(self) -> Objects:
        """Find or make the volume claim, and return all that this start is made of."""
        met: list[Mapping[str, Any]] = []
        for _ in range(ATTEMPTS):
            choice = await claims.choose(self.backend, self.spawner, self.launch, self.names.namespace, met)
            built = objects.build(self.spawner, self.launch, choice.name)
            made = await hooked_pod.modified(self.spawner, self.launch, built)
            if made.namespace is not None:
                await self._once(made.namespace)
            if made.pvc is None or choice.is_there:
                return made
            other = await claims.ensure(self.backend, self.spawner, self.launch, made.pvc)
            if other is None:
                await self._renamed(made.pvc)
                return made
            met.append(other)
        raise SpawnError(f"No name is free for the volume claim of server {self._full_name}. Ask your administrator.")

    async def _renamed(self, claim: Mapping[str, Any]) -> None:
        """Write on a claim that its user was renamed, where that was not done at once."""
        before, now = self.launch.state.get("pvc_user"), self.launch.user.name
        if not before or before == now:
            return
        try:
            await claims.rename(self.backend, _target(claim), before, now)
        except Refused as error:
            self.spawner.say_once(error.message)

    async def _secret(self, obj: Mapping[str, Any] | None) -> None:
        if obj is not None:
            await self._once(obj)

    async def _once(self, obj: Mapping[str, Any]) -> None:
        """Make an object, unless this start has made it before; one of an earlier start is replaced."""
        target = _target(obj)
        for _ in range(ATTEMPTS):
            try:
                await self.backend.create(obj)
                self._in_new_namespace |= target.kind == "Namespace"
                return
            except Refused as error:
                if error.reason != "AlreadyExists":
                    raise
            if target.kind == "Namespace":
                return  # it outlives starts
            found = await self.backend.metadata(target)
            if found is None:
                continue
            if self._standing(found, target.kind) is Standing.OURS and not found.deletion_timestamp:
                return
            await self.backend.api.delete(target, uid=found.uid)
        raise SpawnError(f"{target} could not be made: others make and delete it at the same time. Start again.")

    async def _pod(self, made: Objects, attention: Attention) -> Pod:
        """Make the pod, or find the one that this start has made before."""
        for _ in range(ATTEMPTS):
            try:
                return await self._new_pod(made.pod)
            except Refused as error:
                if error.reason != "AlreadyExists":
                    raise
            found = await self.backend.pod(attention.key)
            if found is None:
                continue
            if await self._is_ours(found):
                await self.backend.cache.recall(attention, found.uid)
                return found
            await self._secret(made.secret)  # the old one may have gone with the old pod
        raise SpawnError(
            f"The pod {self.names.pod} of server {self._full_name} could not be made: others make and delete it at "
            "the same time. Start again."
        )

    async def _new_pod(self, obj: Mapping[str, Any]) -> Pod:
        while True:
            try:
                raw = await self.backend.create(obj)
                break
            except Refused as error:
                # A new namespace gets its default service account from a controller, a moment after it is made.
                late = self.backend.now() > self._begun + SETTLING_SECONDS
                if late or not self._in_new_namespace or 'serviceaccount "default" not found' not in str(error.told):
                    raise
            await asyncio.sleep(GATHER_SECONDS)
        await hooked_pod.created(self.spawner, self.launch, records.whole(raw))
        return records.pod(raw)

    async def _is_ours(self, found: Pod) -> bool:
        """Say whether a pod is of this start and of use; one that is not is gone afterwards."""
        ours = self._standing(found.metadata, "Pod") is Standing.OURS
        if ours and not found.deleting and not found.finished:
            return True
        await self.backend.remove(found, self.spawner.setting(self.launch, "delete_grace_period"))
        left = await self.backend.until_gone(found, REPLACING_SECONDS)
        if left is not None:
            raise SpawnError(
                f"The former pod {found.metadata.name} of server {self._full_name} is not gone yet. "
                f"{self.backend.sight(left).message}"
            )
        return False

    async def _belongings(self, made: Objects, pod: Pod) -> None:
        """See to it that everything that was made goes when the pod goes."""
        owner = owning.owner_reference(pod)
        if made.service is not None:
            await self._once({**made.service, "metadata": {**made.service["metadata"], "ownerReferences": [owner]}})
        if made.secret is None:
            return
        try:
            await self.backend.api.patch(_target(made.secret), {"metadata": {"ownerReferences": [owner]}})
            self.state["secret_owned"] = True
        except Refused as error:
            if error.answer != 403:
                raise
            self.spawner.say_once(f"{error.message} Until then, Secrets of pods that others delete stay behind.")

    def _standing(self, found: Metadata, kind: str) -> Standing:
        return owning.standing(found, self.launch, kind, self.backend.now())

    # -- watching ------------------------------------------------------------------------------------------------

    async def _until_up(self, key: Key, uid: str, attention: Attention) -> AsyncIterator[Checkpoint]:
        """Tell what happens to the pod until it runs; raises SpawnError when it never will."""
        said, said_at = "", self._begun
        while True:
            pod = await self._look(key, uid, attention)
            if pod is not None and pod.well:
                yield await self._up(pod)
                return
            sight = self.backend.sight(pod, attention.events.values())
            if pod is None or sight.fatal:
                raise await self._failed(key, sight)
            now = self.backend.now()
            more = self._more_time(sight, now)
            text = sight.message if sight.message != said else self._slow(now, said_at)
            if text or more:
                yield Checkpoint(dict(self.state), text, max(sight.progress, 10), deadline=more)
                said, said_at = sight.message, now
            await self._news(attention, min(sight.again or LOOK_SECONDS, LOOK_SECONDS))

    async def _news(self, attention: Attention, seconds: float) -> None:
        """Wait for news, and then a moment for more, since much comes at once; not for a pod that runs."""
        await attention.news(seconds)
        end = self.backend.now() + GATHER_SECONDS
        while (left := end - self.backend.now()) > 0 and not self.backend.cache.well(attention.key):
            await attention.news(min(left, GATHER_SECONDS))

    async def _look(self, key: Key, uid: str, attention: Attention) -> Pod | None:
        """Return the pod as last told of, or asked for if the watch may not know."""
        told = self.backend.cache.seen(key)
        if told is not None and told.uid == uid and self.backend.cache.fresh:
            return told
        found = await self.backend.pod(key)
        if found is None or found.uid != uid:
            return None
        if not self.backend.cache.tells_events:
            await self.backend.cache.recall(attention, uid)
        return found

    def _more_time(self, sight: Sight, now: float) -> float | None:
        """Return how many seconds from now a start may take, if a slow stage needs more than it was given."""
        if sight.extends is None or now + sight.extends < self._deadline + 1:
            return None
        self._deadline = now + sight.extends
        return sight.extends

    def _slow(self, now: float, said_at: float) -> str:
        """Return what to say when nothing has happened for long; rarer with time, so that it drowns nothing else."""
        elapsed, threshold = now - self._begun, self.spawner.slow_spawn_message_threshold
        pause = max(self.spawner.slow_spawn_message_frequency, elapsed / 10)
        if not threshold or elapsed < threshold or now - said_at < pause:
            return ""
        return self.spawner.slow_spawn_message.replace("{seconds}", str(round(elapsed)))

    async def _failed(self, key: Key, sight: Sight) -> SpawnError:
        tail = ""
        if sight.log_of:
            tail = await self.backend.log_tail(key, LOG_LINES, sight.log_of, previous=sight.previous)
        return SpawnError(sight.message, log_tail=tail)

    async def _up(self, pod: Pod) -> Checkpoint:
        url = await self._own_url(pod)
        if url is None:
            url = service.url(self.spawner, self.launch, self.names, {"status": {"podIP": pod.ip}})
            if not any(self.spawner.setting(self.launch, name) for name in ("pod_connect_ip", "services_enabled")):
                self.state["port"] = self.spawner.setting(self.launch, "port")  # the address is the pod's own
        return Checkpoint(dict(self.state), "The pod runs; waiting for the server's first answer", 85, url=url)

    async def _own_url(self, pod: Pod) -> str | None:
        if self.spawner.setting(self.launch, "get_pod_url") is None:
            return None
        raw = await self.backend.api.get(Target("Pod", *pod.key))
        return None if raw is None else await hooked_pod.url(self.spawner, self.launch, records.whole(raw))

    @property
    def _full_name(self) -> str:
        return f"{self.launch.user.name}/{self.launch.server_name}"


def _target(obj: Mapping[str, Any]) -> Target:
    return Target(obj["kind"], obj["metadata"].get("namespace") or "", obj["metadata"]["name"])
