"""Events of Kubernetes about pods that nbhub writes itself: who did what to a server, for `kubectl describe pod`."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from nbhub.errors import SpawnError
from nbhub.spawners.base import Handle, Note
from nbhub.spawners.kubernetes.api import Api, Refused

log = logging.getLogger("nbhub.kubernetes")

COMPONENT = "nbhub"
LONGEST = 1000  # letters of a message
MOST = 200  # events on their way; more are let go, since servers matter more


class Notes:
    """Writes events, as far as the hub may; never in the way of anything else."""

    def __init__(self, api: Api, now: Callable[[], float] = time.time) -> None:
        self._api = api
        self._now = now
        self.under_way: set[asyncio.Task[None]] = set()
        self._is_forbidden = False

    def write(self, handle: Handle, note: Note) -> None:
        """Write one event about a server's pod, in the background; nothing if there was no pod."""
        if self._is_forbidden or len(self.under_way) >= MOST or not handle.state.get("pod_uid"):
            return
        task = asyncio.get_running_loop().create_task(
            self._create(event(handle, note, self._now(), secrets.token_hex(8)))
        )
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def close(self, seconds: float = 2.0) -> None:
        """Wait a moment for events that are on their way."""
        if self.under_way:
            await asyncio.wait(self.under_way, timeout=seconds)
        for task in self.under_way:
            task.cancel()

    async def _create(self, obj: Mapping[str, Any]) -> None:
        try:
            await self._api.create(obj)
        except Refused as error:
            if error.answer != 403 or "being terminated" in error.message:
                log.debug("event=%s was not written: %s", obj["reason"], error.message)
            elif not self._is_forbidden:
                self._is_forbidden = True
                log.warning("Events about servers are not written: %s", error.message)
        except SpawnError as error:
            log.debug("event=%s was not written: %s", obj["reason"], error.message)


def event(handle: Handle, note: Note, now: float, mark: str) -> dict[str, Any]:
    """Return the Event object of a note. `now` is in seconds since the epoch; `mark` makes its name its own."""
    namespace, pod = str(handle.state.get("namespace") or ""), str(handle.state["pod_name"])
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{pod}.{mark}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": namespace,
            "name": pod,
            "uid": str(handle.state["pod_uid"]),
        },
        "type": "Warning" if note.is_trouble else "Normal",
        "reason": note.word,
        "message": note.sentence[:LONGEST],
        "source": {"component": COMPONENT, "host": os.uname().nodename},
        "reportingComponent": COMPONENT,
        "reportingInstance": os.uname().nodename,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
