"""An in-memory place where fake servers run; shared by several spawners, it outlives each of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from nbhub.core.lifecycle import ABSENT, Observation
from nbhub.errors import SpawnError
from nbhub.spawners.fake_listener import Listener, Manner


@dataclass
class FakeObject:
    """One fake server. Times are of the backend's clock; None: never."""

    name: str
    server_id: int
    generation: int
    address: str
    url: str = ""
    ready_at: float | None = None  # from when it answers
    dies_at: float | None = None
    exit_code: int | None = 1  # None: it disappears without a trace
    mute: bool = False
    stop_seconds: float = 0.0

    def alive(self, now: float) -> bool:
        return self.dies_at is None or now < self.dies_at

    def answers(self, now: float) -> bool:
        return not self.mute and self.ready_at is not None and now >= self.ready_at and self.alive(now)


class FakeBackend:
    """Objects by name, as a real backend has them: creating is atomic and a taken name is refused.

    `away` makes every call fail. `double_starts` counts objects that came to be although their generation had run
    before; it stays 0 in a correct hub. `created` and `removed` count for assertions.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.objects: dict[str, FakeObject] = {}
        self.away = False
        self.double_starts = 0
        self.created: Counter[tuple[int, int]] = Counter()
        self.removed: Counter[int] = Counter()
        self._by_address: dict[str, FakeObject] = {}
        self._next_address = 1
        self._watchers: set[asyncio.Queue[int]] = set()
        self._listener: Listener | None = None
        self._opening: asyncio.Lock | None = None
        self._port = 0

    @property
    def live(self) -> int:
        """How many objects are alive now."""
        now = self.clock()
        return sum(found.alive(now) for found in self.objects.values())

    async def listen(self) -> int:
        """Answer for the objects over HTTP; return the port."""
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._listener is None:
                self._listener = Listener(self._manner)
                self._port = await self._open(self._listener)
        return self._port

    def close(self) -> None:
        """Stop answering; objects stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._opening = None

    def get(self, name: str) -> FakeObject | None:
        return self.objects.get(name)

    def create(self, wanted: FakeObject, *, port: int) -> FakeObject:
        """Add an object, or return the living one of the same name and generation; raises SpawnError for a newer."""
        with self.alone():
            there = self.objects.get(wanted.name)
            if there is not None and there.generation == wanted.generation and there.alive(self.clock()):
                return there
            self.clear_way(wanted.name, wanted.generation)
            wanted.url = f"http://{wanted.address}:{port}"
            self._put(wanted)
        if wanted.dies_at is not None:
            self._at(wanted.dies_at, wanted.server_id)
        return wanted

    def clear_way(self, name: str, generation: int) -> None:
        """Remove what an older generation or a dead server left; raises SpawnError when a newer one lives there."""
        with self.alone():
            there = self.objects.get(name)
            if there is None:
                return
            alive = there.alive(self.clock())
            if alive and there.generation > generation:
                raise SpawnError(f"A newer start of server {name} has taken over. Nothing needs to be done.")
            if not alive or there.generation < generation:
                self._pop(name)

    def remove(self, name: str) -> None:
        """Take an object away; a no-op when absent."""
        with self.alone():
            if name in self.objects:
                self._pop(name)

    def kill(self, name: str, exit_code: int | None = -9) -> None:
        """Let a living server die now, as by a signal from outside."""
        with self.alone():
            self._end(name, self.clock(), exit_code)

    def look(self, name: str) -> Observation:
        """Say what is known of an object now."""
        found = self.objects.get(name)
        if found is None:
            return ABSENT
        if found.alive(self.clock()):
            return Observation(alive=True, url=found.url)
        return Observation(alive=False, exit_code=found.exit_code)

    def new_address(self) -> str:
        """Return a loopback address that no object has had before."""
        with self.alone():
            number = self._next_address
            self._use_address(number)
        return f"127.{64 + (number >> 16) % 128}.{number >> 8 & 255}.{number & 255}"

    def subscribe(self) -> asyncio.Queue[int]:
        queue: asyncio.Queue[int] = asyncio.Queue()
        self._watchers.add(queue)
        return queue

    def unsubscribe(self, queue: asyncio.Queue[int]) -> None:
        self._watchers.discard(queue)

    def alone(self) -> AbstractContextManager[None]:
        """Keep other processes that share the objects out meanwhile; may be nested."""
        return nullcontext()

    async def _open(self, listener: Listener) -> int:
        return await listener.open()

    # Every change goes through one of these.

    def _put(self, made: FakeObject) -> None:
        start = (made.server_id, made.generation)
        self.double_starts += self.created[start] > 0
        self.created[start] += 1
        self.objects[made.name] = self._by_address[made.address] = made
        self._tell(made.server_id)

    def _pop(self, name: str) -> None:
        found = self.objects.pop(name)
        self._by_address.pop(found.address, None)
        self.removed[found.server_id] += 1
        self._tell(found.server_id)

    def _end(self, name: str, at: float, exit_code: int | None) -> None:
        found = self.objects[name]
        found.dies_at, found.exit_code = at, exit_code
        self._tell(found.server_id)

    def _use_address(self, number: int) -> None:
        self._next_address = number + 1

    def _tell(self, server_id: int) -> None:
        for queue in self._watchers:
            queue.put_nowait(server_id)

    def _at(self, when: float, server_id: int) -> None:
        asyncio.get_running_loop().call_later(max(0.0, when - self.clock()), self._tell, server_id)

    def _manner(self, address: str) -> Manner:
        found, now = self._by_address.get(address), self.clock()
        if found is None or not found.alive(now):
            return Manner.GONE
        if found.mute:
            return Manner.MUTE
        return Manner.ANSWERS if found.answers(now) else Manner.GONE
