"""Where pods are and what they take, for operators: asked for when somebody looks, and remembered for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from nbhub.spawners.base import Handle
from nbhub.spawners.details import Amount, Details
from nbhub.spawners.kubernetes import pod_details, records
from nbhub.spawners.kubernetes.api import Api, Target

if TYPE_CHECKING:
    from nbhub.spawners.kubernetes.backend import Scope

REMEMBERED = 5.0  # seconds; every page that shows servers asks
METRICS_PATIENCE = 1.0  # seconds; they are a pleasure, and nobody has to wait for them
METRICS_PAUSE = 60.0  # seconds until metrics are asked for again where there were none
FEW = 20  # servers up to which these alone are asked for

Key = tuple[str, str]


class LiveView:
    """What the cluster says about servers' pods."""

    def __init__(self, api: Api, scope: Scope, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._scope = scope
        self._clock = clock
        self._known: dict[int, tuple[float, Details]] = {}
        self._no_metrics_until = 0.0

    async def details(self, handles: Sequence[Handle]) -> list[Details]:
        """Return what is known of each; raises BackendUnavailable or Refused."""
        now = self._clock()
        self._known = {number: known for number, known in self._known.items() if now - known[0] < REMEMBERED}
        unknown = [handle for handle in handles if handle.server_id not in self._known]
        if unknown:
            selector = self._selector(unknown)
            pods, uses = await asyncio.gather(self._pods(selector), self._uses())
            for handle in unknown:
                pod = pods.get(handle.server_id) or pods.get(_key(handle))
                said = Details() if pod is None else pod_details.details(pod, uses.get(_name(pod)))
                self._known[handle.server_id] = (now, said)
        return [self._known[handle.server_id][1] for handle in handles]

    def _selector(self, handles: Sequence[Handle]) -> str:
        """Return which pods to ask for; those of an older hub carry no number of a server."""
        if len(handles) > FEW or not all("generation" in handle.state for handle in handles):
            return self._scope.selector
        return f"{records.SERVER_ID} in ({','.join(str(handle.server_id) for handle in handles)})"

    async def _pods(self, selector: str) -> dict[int | Key | None, Mapping[str, Any]]:
        """Return pods by the number of their server, and by namespace and name."""
        found: dict[int | Key | None, Mapping[str, Any]] = {}
        asked = {"labelSelector": selector}
        async for page in self._api.pages(Target("Pod", self._scope.namespace), asked):
            for raw in page.items:
                pod = records.whole(raw)
                found[records.metadata(raw).server_id] = found[_name(pod)] = pod
        return found

    async def _uses(self) -> Mapping[Key, Amount]:
        """Return what pods take right now; nothing where no metrics API answers, or it may not be asked."""
        if self._clock() < self._no_metrics_until:
            return {}
        scope = self._scope
        where = f"/namespaces/{scope.namespace}" if scope.namespace else ""
        try:
            async with asyncio.timeout(METRICS_PATIENCE):
                answer = await self._api.glance(
                    "PodMetrics", f"{pod_details.METRICS}{where}/pods", {"labelSelector": scope.selector}
                )
            if answer is not None:
                return pod_details.uses(msgspec.json.decode(answer, type=dict[str, Any]))
        except (TimeoutError, msgspec.MsgspecError):
            pass
        self._no_metrics_until = self._clock() + METRICS_PAUSE
        return {}


def _name(pod: Mapping[str, Any]) -> Key:
    metadata = pod["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def _key(handle: Handle) -> Key:
    return str(handle.state.get("namespace") or ""), str(handle.state.get("pod_name") or "")
