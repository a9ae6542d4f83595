"""What the watches tell of pods and of events about them. A hint, and fresh enough to say that a server is well; that
one is gone or in trouble is never concluded from it alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from nbhub.spawners.kubernetes import records
from nbhub.spawners.kubernetes.api import Api, Target
from nbhub.spawners.kubernetes.records import Pod
from nbhub.spawners.kubernetes.watching import Pace, Watch

Key = tuple[str, str]
FRESH_SECONDS = 60.0
BURIED = 500  # pods that are remembered after they went, so that somebody can say why


class Attention:
    """Somebody who waits for news about one pod, and about the claims that it uses."""

    def __init__(self, pod: Key, claims: Sequence[str]) -> None:
        self.key = pod
        self.about = {("Pod", *pod), *(("PersistentVolumeClaim", pod[0], claim) for claim in claims)}
        self.events: dict[str, Mapping[str, Any]] = {}
        self._news = asyncio.Event()

    def ring(self) -> None:
        """Something is new."""
        self._news.set()

    async def news(self, seconds: float) -> bool:
        """Wait for news, for at most so long; say whether there is any."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True


class Pods:
    """The pods that the watch told of."""

    def __init__(self, attentions: Callable[[Key], Sequence[Attention]]) -> None:
        self.known: dict[Key, Pod] = {}
        self.buried: OrderedDict[str, Pod] = OrderedDict()  # as they were last, by uid
        self.hearers: set[asyncio.Queue[int]] = set()
        self._attentions = attentions

    def replace(self, items: Sequence[msgspec.Raw]) -> None:
        """See Follower."""
        found = [records.pod(raw) for raw in items]
        before, self.known = self.known, {pod.key: pod for pod in found}
        for key in before.keys() | self.known.keys():
            self._tell(before.get(key), self.known.get(key), key)

    def put(self, raw: msgspec.Raw) -> None:
        """See Follower."""
        pod = records.pod(raw)
        before = self.known.get(pod.key)
        self.known[pod.key] = pod
        self._tell(before, pod, pod.key)

    def drop(self, raw: msgspec.Raw) -> None:
        """See Follower."""
        pod = records.pod(raw)
        self.buried[pod.uid] = pod
        if len(self.buried) > BURIED:
            self.buried.popitem(last=False)
        self._tell(self.known.pop(pod.key, None), None, pod.key)

    def _tell(self, before: Pod | None, now: Pod | None, key: Key) -> None:
        for attention in self._attentions(key):
            attention.ring()
        if (before and before.looks) == (now and now.looks):
            return
        for server in {pod.metadata.server_id for pod in (before, now) if pod is not None} - {None}:
            for queue in self.hearers:
                queue.put_nowait(server)  # type: ignore[arg-type]


class Events:
    """Hands events to those who wait for news of what they are about; keeps none."""

    def __init__(self, attentions: Callable[[tuple[str, str, str]], Sequence[Attention]]) -> None:
        self._attentions = attentions

    def replace(self, items: Sequence[msgspec.Raw]) -> None:
        """See Follower."""
        for raw in items:
            self.put(raw)

    def put(self, raw: msgspec.Raw) -> None:
        """See Follower."""
        event = records.event(raw)
        about = event.involved
        for attention in self._attentions((about.kind, about.namespace, about.name)):
            attention.events[event.metadata.name] = records.whole(raw)
            attention.ring()

    def drop(self, raw: msgspec.Raw) -> None:
        """See Follower; an event that is forgotten happened all the same."""


class Cache:
    """Follows pods and events; works from the first use on, in the loop that uses it."""

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        selector: str,
        events: bool,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waiting: dict[tuple[str, str, str], list[Attention]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._api = api
        self.pods = Pods(lambda key: self._waiting.get(("Pod", *key), ()))
        self._event_watch: Watch | None = None
        self._watch = Watch(
            api,
            Target("Pod", namespace),
            {"labelSelector": selector} if selector else {},
            self.pods,
            wanted=lambda: bool(self._waiting or self.pods.hearers),
            pace=pace,
            clock=clock,
        )
        if events:
            self._event_watch = Watch(
                api,
                Target("Event", namespace),
                {},
                Events(lambda about: self._waiting.get(about, ())),
                only_new=True,
                wanted=lambda: bool(self._waiting),
                pace=pace,
                clock=clock,
            )

    def begin(self) -> None:
        """Follow from now on; does nothing if it does already."""
        if self._tasks:
            return
        watches = [self._watch] + ([self._event_watch] if self._event_watch else [])
        self._tasks = [asyncio.create_task(watch.run(), name=f"watch {watch.name}") for watch in watches]

    @property
    def fresh(self) -> bool:
        """Say whether what is known of pods was true a moment ago."""
        return self._watch.fresh(FRESH_SECONDS)

    @property
    def tells_events(self) -> bool:
        """Say whether events come by themselves."""
        return self._event_watch is not None and not self._event_watch.polls

    def well(self, key: Key) -> Pod | None:
        """Return a pod if it is known to be well; None says nothing."""
        pod = self.pods.known.get(key) if self.fresh else None
        return pod if pod is not None and pod.well else None

    def seen(self, key: Key) -> Pod | None:
        """Return what was last told of a pod; None if nothing was, which need not mean that it is gone."""
        return self.pods.known.get(key)

    @contextlib.contextmanager
    def attend(self, key: Key, claims: Sequence[str] = ()) -> Iterator[Attention]:
        """Collect news about a pod for as long as the context lasts."""
        self.begin()
        attention = Attention(key, claims)
        for about in attention.about:
            self._waiting.setdefault(about, []).append(attention)
        try:
            yield attention
        finally:
            for about in attention.about:
                self._waiting[about].remove(attention)
                if not self._waiting[about]:
                    del self._waiting[about]

    async def recall(self, attention: Attention, uid: str) -> None:
        """Ask for the events about a pod that somebody else made; they came before anybody listened here."""
        if self._event_watch is None or self._event_watch.forbidden:
            return
        namespace, _ = attention.key
        asked = {"fieldSelector": f"involvedObject.uid={uid}"}
        async for page in self._api.pages(Target("Event", namespace), asked):
            for raw in page.items:
                attention.events.setdefault(records.event(raw).metadata.name, records.whole(raw))

    async def close(self) -> None:
        """Stop following."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
