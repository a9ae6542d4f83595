"""Reading pods and events as the API gives them: times, conditions, containers, what happened last."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]

MAIN = "notebook"  # the container that is the server

_SIZES = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))
_STEPS = (10, 20, 30, 45, 60, 90)


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod: what was asked for and what it is doing. `state` is waiting, running or terminated."""

    name: str
    spec: Json
    state: str
    detail: Json  # of the state
    last: Json  # how its last run ended; empty when there was none
    restarts: int
    ready: bool
    init: bool

    @property
    def image(self) -> str:
        """The image that was asked for."""
        return str(self.spec.get("image") or "")

    @property
    def reason(self) -> str:
        """Kubernetes' code for the state, such as ImagePullBackOff; may be empty."""
        return str(self.detail.get("reason") or "")

    @property
    def words(self) -> str:
        """Kubernetes' words about the state; may be empty."""
        return str(self.detail.get("message") or "")

    @property
    def sidecar(self) -> bool:
        """Say whether this init container is meant to keep running."""
        return self.init and self.spec.get("restartPolicy") == "Always"


def containers(pod: Json) -> list[Container]:
    """Return the containers of a pod in the order in which they start."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    found = []
    for specs, statuses, init in (
        ("initContainers", "initContainerStatuses", True),
        ("containers", "containerStatuses", False),
    ):
        known = {item["name"]: item for item in status.get(statuses) or ()}
        found += [_container(item, known.get(item["name"]) or {}, init) for item in spec.get(specs) or ()]
    return found


def _container(spec: Json, status: Json, init: bool) -> Container:
    state = status.get("state") or {}
    name = next(iter(state), "waiting")
    return Container(
        name=spec["name"],
        spec=spec,
        state=name,
        detail=state.get(name) or {},
        last=(status.get("lastState") or {}).get("terminated") or {},
        restarts=int(status.get("restartCount") or 0),
        ready=bool(status.get("ready")),
        init=init,
    )


def condition(pod: Json, kind: str) -> Json:
    """Return a condition of a pod; empty when it has none of that kind."""
    for item in (pod.get("status") or {}).get("conditions") or ():
        if item.get("type") == kind:
            return dict(item)
    return {}


def claims(pod: Json) -> list[str]:
    """Return the names of the volume claims that a pod uses."""
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    return [item["persistentVolumeClaim"]["claimName"] for item in volumes if item.get("persistentVolumeClaim")]


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of the cluster about the pod or a claim of it; times in seconds since the epoch."""

    kind: str
    name: str
    container: str
    reason: str
    words: str
    first: float
    last: float


def happenings(pod: Json | None, events: Iterable[Json]) -> Sequence[Happening]:
    """Return the events about this very pod and its claims, the oldest first."""
    metadata = (pod or {}).get("metadata") or {}
    uid, of_pod = metadata.get("uid"), set(claims(pod or {}))
    found = []
    for event in events:
        about = event.get("involvedObject") or event.get("regarding") or {}
        if about.get("kind") == "PersistentVolumeClaim":
            concerns = about.get("name") in of_pod
        else:
            concerns = not uid or about.get("uid") in (uid, None, "")
        if concerns:
            found.append(_happening(event, about))
    return sorted(found, key=lambda item: item.last)


def _happening(event: Json, about: Json) -> Happening:
    created = seconds((event.get("metadata") or {}).get("creationTimestamp"))
    first = seconds(event.get("firstTimestamp")) or seconds(event.get("eventTime")) or created or 0.0
    series = seconds((event.get("series") or {}).get("lastObservedTime"))
    last = max(seconds(event.get("lastTimestamp")) or 0.0, series or 0.0, first)
    inside = re.search(r"\{(.+?)\}", str(about.get("fieldPath") or ""))
    return Happening(
        kind=str(about.get("kind") or "Pod"),
        name=str(about.get("name") or ""),
        container=inside.group(1) if inside else "",
        reason=str(event.get("reason") or ""),
        words=str(event.get("message") or event.get("note") or ""),
        first=first,
        last=last,
    )


def latest(happened: Sequence[Happening], *reasons: str, kind: str = "Pod", container: str = "") -> Happening | None:
    """Return the last event of these reasons about the pod, or about the one container; None without any."""
    return next(_newest_first(happened, reasons, kind, container), None)


def _newest_first(
    happened: Sequence[Happening], reasons: Sequence[str], kind: str, container: str
) -> Iterator[Happening]:
    for item in reversed(happened):
        if item.reason in reasons and item.kind == kind and container in ("", item.container):
            yield item


def seconds(value: object) -> float | None:
    """Return a time of the API (RFC 3339) in seconds since the epoch; None when there is none."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).timestamp()
    if not isinstance(value, str) or not value:
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return None


def so_far(elapsed: float) -> tuple[str, float]:
    """Return a duration in coarse words, empty below ten seconds, and how many seconds these words stay right."""
    if elapsed < _STEPS[0]:
        return "", _STEPS[0] - elapsed
    if elapsed >= 120:
        minutes = int(elapsed // 60)
        return f"{minutes} min", (minutes + 1) * 60 - elapsed
    step = max(item for item in _STEPS if item <= elapsed)
    following = min((item for item in _STEPS if item > elapsed), default=120)
    return f"{step} s", following - elapsed


def quantity(text: str) -> str:
    """Return an amount of memory as people write it, such as 30Mi for 31457280; others stay as they are."""
    found = re.fullmatch(r"(\d+)([kMGT]?)", text)
    count = float(found[1]) * 1000 ** " kMGT".index(found[2] or " ") if found else 0.0
    if count < 1024:
        return text
    power = min(int(math.log(count, 1024)), 4)
    return f"{count / 1024**power:.1f}".removesuffix(".0") + ("", "Ki", "Mi", "Gi", "Ti")[power]


def size(count: int) -> str:
    """Return a number of bytes in words."""
    for unit, name in _SIZES:
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{count} bytes"
