"""KubeSpawner: servers as pods, seen as a driver by the reconciler."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from traitlets import Unicode

from nbhub.core.findings import Finding
from nbhub.core.launch import HubAddress, Launch
from nbhub.core.lifecycle import ABSENT, Observation
from nbhub.errors import BackendUnavailable, ConfigError
from nbhub.spawners.base import Checkpoint, Handle, Note
from nbhub.spawners.details import Details
from nbhub.spawners.kubernetes import checking, claims, examination, owning, volume
from nbhub.spawners.kubernetes.access import Access
from nbhub.spawners.kubernetes.api import Api, Refused, Target
from nbhub.spawners.kubernetes.backend import Backend, Scope, signed
from nbhub.spawners.kubernetes.cache import Cache
from nbhub.spawners.kubernetes.profiled import ProfiledSpawner
from nbhub.spawners.kubernetes.records import Pod
from nbhub.spawners.kubernetes.starting import Starting
from nbhub.spawners.kubernetes.stopping import Stopping
from nbhub.spawners.kubernetes.watching import Pace

log = logging.getLogger("nbhub.servers")

FEW = 20  # servers up to which a poll asks for these alone
TIDY_SECONDS = 20.0  # that a pod which ended by itself stays, so that its log can be read
CHECK_SECONDS = 10.0


class KubeSpawner(ProfiledSpawner):
    """Servers run as pods of a Kubernetes cluster, each with a volume for its user's files."""

    kubeconfig = Unicode(
        help="File that says where the Kubernetes API is and who the hub is there, for hubs outside of the cluster. "
        "Empty takes the pod's service account, else the file that KUBECONFIG names."
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.clock: Callable[[], float] = time.time
        self.pace = Pace()
        self._backend: Backend | None = None
        self._tidying: dict[str, asyncio.Task[None]] = {}
        self._said: set[str] = set()

    @property
    def backend(self) -> Backend:
        """The cluster; raises ConfigError if no way to it is known."""
        if self._backend is None:
            scope = Scope("" if self.enable_user_namespaces else self.namespace, f"component={self.component_label}")
            api = Api(self._access())
            cache = Cache(
                api,
                namespace=scope.namespace,
                selector=scope.selector,
                events=self.events_enabled,
                pace=self.pace,
            )
            self._backend = Backend(api, cache, scope, now=self.clock, patience=lambda: self.patience)
        return self._backend

    def check_settings(self) -> None:
        """See Spawner: the settings make pods."""
        super().check_settings()
        checking.check(self, named_servers=bool(getattr(self.parent, "allow_named_servers", False)))

    async def check(self) -> None:
        """See Spawner: the API server is known, and lets the hub see pods."""
        await super().check()
        backend = self.backend
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                async for _ in backend.api.pages(Target("Pod", backend.scope.namespace), size=1):
                    break
        except Refused as error:
            raise ConfigError(error.message) from error
        except (BackendUnavailable, TimeoutError) as error:
            # It may be back before anybody starts a server; and servers that run can be reached meanwhile.
            log.warning("The Kubernetes API does not answer yet: %s", error)

    def examine(self, hub: HubAddress, *, quick: bool, image: str) -> AsyncIterator[Finding]:
        """See Spawner."""
        return examination.examine(self, self.backend.api, hub, quick=quick, image=image)

    async def start(self, launch: Launch) -> AsyncIterator[Checkpoint]:
        """See Spawner."""
        async for checkpoint in Starting(self, self.backend, launch).run():
            yield checkpoint

    async def poll(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        """See Spawner. What the watch knows to be well is believed; everything else is asked for."""
        if not handles:
            return []
        self.backend.cache.begin()
        found = [self._well(handle) for handle in handles]
        unsure = [handle for handle, pod in zip(handles, found, strict=True) if pod is None]
        asked = await self._ask(unsure) if unsure else {}
        return [
            self._observe(handle, pod or asked.get(handle.server_id))
            for handle, pod in zip(handles, found, strict=True)
        ]

    async def stop(self, handle: Handle, *, grace: timedelta) -> None:
        """See Spawner. How long a server gets to end is `delete_grace_period`."""
        await Stopping(self, self.backend, handle).run()

    async def forget(self, handle: Handle) -> None:
        """See Spawner: the volume claim goes, if it is this server's alone and `delete_pvc` says so."""
        name, namespace = handle.state.get("pvc_name"), handle.state.get("namespace")
        if not name or not namespace or not volume.is_deleted_with(self, handle.state):
            return
        target = Target(claims.KIND, namespace, name)
        names = {handle.user_name, str(handle.state.get("pvc_user") or handle.user_name)}
        if await claims.forget(self.backend, target, names):
            log.info("server=%s deleted %s", handle.object_name, target)

    async def rename(self, handle: Handle, user_name: str) -> None:
        """See Spawner: the volume claim says whose it is."""
        name, namespace = handle.state.get("pvc_name"), handle.state.get("namespace")
        if name and namespace:
            await claims.rename(self.backend, Target(claims.KIND, namespace, name), handle.user_name, user_name)

    async def log_tail(self, handle: Handle, lines: int = 40) -> str:
        """See Spawner."""
        pod = (await self._ask([handle])).get(handle.server_id)
        if pod is None:
            return ""
        sight = self.backend.sight(pod)
        return await self.backend.log_tail(pod.key, lines, sight.log_of or "notebook", previous=sight.previous)

    async def details(self, handles: Sequence[Handle]) -> Sequence[Details]:
        """See Spawner; what pods use is known where the cluster has the metrics API."""
        return await self.backend.live.details(handles)

    def note(self, handle: Handle, note: Note) -> None:
        """See Spawner: as an event about the pod."""
        self.backend.notes.write(handle, note)

    async def watch(self) -> AsyncIterator[int]:
        """See Spawner."""
        queue: asyncio.Queue[int] = asyncio.Queue()
        self.backend.cache.begin()
        self.backend.cache.pods.hearers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.backend.cache.pods.hearers.discard(queue)

    async def close(self) -> None:
        """See Spawner."""
        for task in self._tidying.values():
            task.cancel()
        await asyncio.gather(*self._tidying.values(), return_exceptions=True)
        if self._backend is not None:
            await self._backend.close()
            self._backend = None

    def say_once(self, message: str) -> None:
        """Warn about something that keeps being so."""
        if message not in self._said:
            self._said.add(message)
            log.warning("%s", message)

    # -- looking -------------------------------------------------------------------------------------------------

    def _well(self, handle: Handle) -> Pod | None:
        """Return the pod of a server if the watch knows that it is well and of the right start; None says nothing."""
        state = handle.state
        pod = self.backend.cache.well((str(state.get("namespace")), str(state.get("pod_name"))))
        if pod is None or pod.uid != state.get("pod_uid") or not owning.belongs(pod.metadata, handle):
            return None
        return pod

    async def _ask(self, handles: Sequence[Handle]) -> Mapping[int, Pod]:
        """Ask for the pods of these servers with one call; without those that have none. Raises BackendUnavailable."""
        labelled = all("generation" in handle.state or not handle.state for handle in handles)
        try:
            if labelled and len(handles) <= FEW:
                pods = await self.backend.pods_of([handle.server_id for handle in handles])
            else:
                pods = await self.backend.pods()
        except Refused as error:
            raise BackendUnavailable(error.message) from error  # nothing is known, so nothing may be concluded
        by_server: dict[int | None, list[Pod]] = {}
        by_name: dict[tuple[Any, Any], list[Pod]] = {}
        for pod in pods:
            by_server.setdefault(pod.metadata.server_id, []).append(pod)
            by_name.setdefault(pod.key, []).append(pod)
        found = {}
        for handle in handles:
            named = by_name.get((handle.state.get("namespace"), handle.state.get("pod_name")), [])
            pod_or_none = owning.latest([*by_server.get(handle.server_id, ()), *named], handle)
            if pod_or_none is not None:
                found[handle.server_id] = pod_or_none
        return found

    def _observe(self, handle: Handle, pod: Pod | None) -> Observation:
        if pod is None:
            return self.backend.obituary(str(handle.state.get("pod_uid"))) or ABSENT
        if pod.well:
            return Observation(alive=True, url=self._url(handle, pod))
        sight = self.backend.sight(pod)
        if not sight.ended:
            return Observation(alive=True, message=sight.message, failing=sight.fatal)
        self._tidy(pod)
        return Observation(alive=False, exit_code=signed(sight.exit_code), message=sight.message)

    def _url(self, handle: Handle, pod: Pod) -> str | None:
        """Return where a pod answers now; None if it is not reached by its own address."""
        port = handle.state.get("port")
        if not port or pod.uid != handle.state.get("pod_uid"):
            return None
        return f"http://{f'[{pod.ip}]' if ':' in pod.ip else pod.ip}:{port}"

    def _tidy(self, pod: Pod) -> None:
        """Delete a pod that ended by itself, a while later."""
        if self.delete_stopped_pods and not pod.deleting and pod.uid not in self._tidying:
            task = asyncio.create_task(self._delete_later(pod), name=f"tidy {pod.metadata.name}")
            self._tidying[pod.uid] = task
            task.add_done_callback(lambda _: self._tidying.pop(pod.uid, None))

    async def _delete_later(self, pod: Pod) -> None:
        await asyncio.sleep(TIDY_SECONDS)
        try:
            await self.backend.remove(pod, 0)
        except (Refused, BackendUnavailable) as error:
            log.warning("pod=%s could not be deleted after it ended: %s", pod.metadata.name, error.message)

    def _access(self) -> Access:
        return Access(
            kubeconfig=self.kubeconfig,
            host=self.k8s_api_host,
            ca_cert=self.k8s_api_ssl_ca_cert,
            verify=self.k8s_api_verify_ssl,
            attempt_seconds=self.k8s_api_request_timeout,
            retry_seconds=self.k8s_api_request_retry_timeout,
        )
