"""What the driver reads of every pod and event: a few fields, picked out of the bytes without reading the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

SERVER_ID = "nbhub/server-id"  # these four are written by `labels`
GENERATION = "nbhub/generation"
USER = "hub.jupyter.org/username"  # as annotations, names are as they are
SERVER = "hub.jupyter.org/servername"


class Metadata(msgspec.Struct, gc=False):
    """Who an object is."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    creation_timestamp: str | None = msgspec.field(name="creationTimestamp", default=None)
    deletion_timestamp: str | None = msgspec.field(name="deletionTimestamp", default=None)
    finalizers: list[str] | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None

    @property
    def server_id(self) -> int | None:
        """The server that the object was made for; None if nbhub did not make it."""
        return _number(self._mark(SERVER_ID))

    @property
    def generation(self) -> int:
        """The start that the object was made for."""
        return _number(self._mark(GENERATION)) or 0

    def predates_nbhub(self, user: str, server: str) -> bool:
        """Say whether KubeSpawner made the object for this server."""
        notes = self.annotations or {}
        return self.server_id is None and notes.get(USER) == user and notes.get(SERVER, "") == server

    def _mark(self, name: str) -> str:
        return (self.labels or {}).get(name) or (self.annotations or {}).get(name) or ""


class ContainerStatus(msgspec.Struct, gc=False):
    """One container of a pod."""

    ready: bool = False


class PodStatus(msgspec.Struct, gc=False):
    """How a pod is."""

    phase: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")
    reason: str = ""
    containers: list[ContainerStatus] = msgspec.field(name="containerStatuses", default_factory=list)


class PodFields(msgspec.Struct, gc=False):
    """The fields of a pod that are read."""

    metadata: Metadata
    status: PodStatus = msgspec.field(default_factory=PodStatus)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. `raw` are its bytes; None for one that runs well and of which nothing more needs to be known."""

    metadata: Metadata
    phase: str
    ip: str
    ready: bool
    raw: bytes | None

    @property
    def uid(self) -> str:
        """What tells this pod from all others that ever had its name."""
        return self.metadata.uid

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.metadata.namespace, self.metadata.name

    @property
    def deleting(self) -> bool:
        """Say whether its end was asked for."""
        return self.metadata.deletion_timestamp is not None

    @property
    def finished(self) -> bool:
        """Say whether it ran to its end and will never run again."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def well(self) -> bool:
        """Say whether it runs, answers as far as Kubernetes can tell, and is to stay."""
        return self.ready and not self.deleting

    @property
    def looks(self) -> tuple[str, str, str, bool, bool]:
        """What a change of is worth another look."""
        return self.uid, self.phase, self.ip, self.ready, self.deleting


class Involved(msgspec.Struct, gc=False):
    """What an event is about."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class EventFields(msgspec.Struct, gc=False):
    """The fields of an event that are read."""

    metadata: Metadata
    involved: Involved = msgspec.field(name="involvedObject", default_factory=Involved)


class Change(msgspec.Struct, gc=False):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


_pod = msgspec.json.Decoder(PodFields)
_event = msgspec.json.Decoder(EventFields)
_change = msgspec.json.Decoder(Change)
_any = msgspec.json.Decoder(dict[str, Any])
_metadata = msgspec.json.Decoder(PodFields)


def pod(raw: bytes | msgspec.Raw) -> Pod:
    """Read a pod."""
    found = _pod.decode(raw)
    status = found.status
    ready = bool(
        status.phase == "Running"
        and status.pod_ip
        and status.containers
        and all(container.ready for container in status.containers)
    )
    plain = ready and found.metadata.deletion_timestamp is None
    return Pod(found.metadata, status.phase, status.pod_ip, ready, None if plain else bytes(raw))


def event(raw: bytes | msgspec.Raw) -> EventFields:
    """Read an event."""
    return _event.decode(raw)


def change(line: bytes) -> Change:
    """Read a line of a watch."""
    return _change.decode(line)


def metadata(raw: bytes | msgspec.Raw) -> Metadata:
    """Read who any object is."""
    return _metadata.decode(raw).metadata


def whole(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """Read an object with all that it holds."""
    return _any.decode(raw)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def as_mapping(pod: Pod | None) -> Mapping[str, Any] | None:
    """Return a pod with all that it holds; None if there is none, or if nothing more is kept of it."""
    return None if pod is None or pod.raw is None else whole(pod.raw)
