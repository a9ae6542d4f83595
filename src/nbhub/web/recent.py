"""Users and their servers as they were read a moment ago.

Clients ask for their own user several times a second while a server starts, and servers ask who their visitors are.
What was read is used again for a second at most, and forgotten the moment it changes, as long as changes are heard.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nbhub.core.model import Server, User
from nbhub.core.principal import Principal
from nbhub.store import Bell, Store, Wakeup, servers, users

SECONDS = 1.0  # last_activity is not rung for
REMEMBERED = 5_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One user and all servers of that user, stopped ones included; `until` is when to look again."""

    user: User
    servers: tuple[Server, ...]
    until: float
    # What clients that look on were answered, by the credential's Principal; it lives as long as what it was made of.
    answers: dict[int, tuple[Principal, bytes]] = field(default_factory=dict, compare=False)

    def answer_for(self, asking: Principal) -> bytes | None:
        """Return what this very principal was answered; any change of its grants makes it another one."""
        known = self.answers.get(id(asking))
        return known[1] if known is not None and known[0] is asking else None


class Recent:
    """What was read of users lately."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, Seen] = {}
        self._names: dict[str, str] = {}  # topic of a change to the name of the user whom it concerns
        self._changes = 0
        store.wakeup.add(_Forgetter(store.wakeup, self), _Forgetter.topics)

    async def of(self, name: str) -> Seen | None:
        """Return the user of that name; None if there is none."""
        now = self._store.clock()
        seen = self._seen.get(name)
        if seen is not None and now < seen.until:
            return seen
        changes = self._changes
        async with self._store.read() as tx:
            user = await users.get(tx, name)
            if user is None:
                return None
            owned = (await servers.of_users(tx, [user.id], include_stopped=True))[user.id]
        seen = Seen(user, tuple(owned), now + SECONDS)
        if self._store.hears_changes and changes == self._changes:
            self._remember(seen)
        return seen

    def forget(self, topic: str) -> None:
        """A change was heard: forget whom it concerns."""
        self._changes += 1
        if topic.startswith(("server:", "user:")):
            self._seen.pop(self._names.get(topic, ""), None)
        else:
            self._seen.clear()
            self._names.clear()

    def _remember(self, seen: Seen) -> None:
        name = seen.user.name
        if len(self._seen) >= REMEMBERED:
            self._seen.clear()
            self._names.clear()
        self._seen[name] = seen
        self._names[f"user:{seen.user.id}"] = name
        for server in seen.servers:
            self._names[f"server:{server.id}"] = name


class _Forgetter(Bell):
    """Forgets in the very moment of the ring."""

    topics = ("user:*", "server:*", "activity", "grants:all", "resync")

    def __init__(self, wakeup: Wakeup, recent: Recent) -> None:
        super().__init__(wakeup, self.topics)
        self._recent = recent

    def hear(self, topic: str) -> None:
        self._recent.forget(topic)
