"""Calls to the Kubernetes API server, as bytes in and bytes out: limits in time and number, repeats, errors in words.

Objects are plain dicts on the way there. Answers are not turned into models here: most of what they hold is of no
interest to anybody, and reading it costs more than everything else about a start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from nbhub.errors import BackendUnavailable, SpawnError
from nbhub.spawners.kubernetes import access, refusals
from nbhub.spawners.kubernetes.access import Access
from nbhub.spawners.kubernetes.throttle import Throttle
from nbhub.spawners.kubernetes.wire import Answer, Broken

log = logging.getLogger("nbhub.kubernetes")

PASSING = frozenset({408, 429, 500, 502, 503, 504})  # worth another try
OVERLOADED = frozenset({429, 503, 504})
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
PAGE = 500  # objects
PLURALS = {
    "Event": "events",
    "Namespace": "namespaces",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Pod": "pods",
    "Secret": "secrets",
    "Service": "services",
}


class Refused(SpawnError):
    """The API server answered that it will not do what was asked; `told` is its Status object."""

    def __init__(self, message: str, told: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.told = told

    @property
    def answer(self) -> int:
        """The HTTP status, such as 403."""
        return int(self.told.get("code") or 0)

    @property
    def reason(self) -> str:
        """The code in one word, such as AlreadyExists."""
        return str(self.told.get("reason") or "")


class Expired(BackendUnavailable):
    """What was asked to go on from is too old; begin anew."""


class PageMetadata(msgspec.Struct):
    """Where a list stands."""

    resource_version: str = msgspec.field(name="resourceVersion", default="")
    continue_: str = msgspec.field(name="continue", default="")


class Page(msgspec.Struct):
    """One page of a list, its objects not read yet."""

    metadata: PageMetadata
    items: list[msgspec.Raw] = []


_page = msgspec.json.Decoder(Page)


@dataclass(frozen=True, slots=True)
class Target:
    """Which object or collection a call is about; an empty namespace means none, or all for a list."""

    kind: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def path(self) -> str:
        """The path at the API server."""
        namespace = f"/namespaces/{self.namespace}" if self.namespace else ""
        parts = [f"/api/v1{namespace}/{PLURALS[self.kind]}", self.name, self.subresource]
        return "/".join(part for part in parts if part)

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.kind} {self.name}{where}" if self.name else f"objects of kind {self.kind}{where}"


class Api:
    """The API server as the hub sees it. Calls are counted in `calls`, by verb and kind."""

    def __init__(
        self,
        settings: Access,
        *,
        clock: Callable[[], float] = time.monotonic,
        choose: random.Random | None = None,
    ) -> None:
        self.config = access.load(settings)
        self.calls: dict[tuple[str, str], int] = {}
        self.throttle = Throttle(settings.at_once, clock)
        self._settings = settings
        self._clock = clock
        self._random = choose or random.SystemRandom()
        self._wire = access.connect(self.config)

    async def create(self, obj: Mapping[str, Any]) -> bytes:
        """Create an object; raises Refused, with the reason AlreadyExists if there is one of that name."""
        metadata = obj["metadata"]
        target = Target(obj["kind"], metadata.get("namespace") or "", metadata["name"])
        collection = Target(target.kind, target.namespace)
        return await self.call("POST", target, path=collection.path, body=msgspec.json.encode(obj))

    async def get(self, target: Target) -> bytes | None:
        """Return an object; None if there is none."""
        return await _or_none(self.call("GET", target))

    async def delete(
        self,
        target: Target,
        *,
        uid: str,
        resource_version: str = "",
        grace: int | None = None,
    ) -> bool:
        """Ask for the end of one object, and of no other that has taken its name; False if it is not there.

        `resource_version`: only if it has not been changed since.
        """
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        options: dict[str, Any] = {"preconditions": preconditions, "propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        body = msgspec.json.encode({"kind": "DeleteOptions", "apiVersion": "v1", **options})
        try:
            return await _or_none(self.call("DELETE", target, body=body)) is not None
        except Refused as error:
            if error.reason == "Conflict":
                return False  # another object has the name, or it was changed
            raise

    async def patch(self, target: Target, change: Mapping[str, Any]) -> bytes | None:
        """Lay a change over an object (JSON merge patch); None if it is not there."""
        body = msgspec.json.encode(change)
        return await _or_none(self.call("PATCH", target, body=body, content="application/merge-patch+json"))

    async def pages(
        self, target: Target, params: Mapping[str, str] | None = None, size: int = PAGE
    ) -> AsyncIterator[Page]:
        """Give a whole collection page by page; raises Expired if it took so long that it has to begin anew."""
        asked = {**(params or {}), "limit": str(size)}
        while True:
            try:
                page = _page.decode(await self.call("GET", target, params=asked))
            except Refused as error:
                if error.answer == 410:
                    raise Expired(error.message) from error
                raise
            yield page
            if not page.metadata.continue_:
                return
            asked["continue"] = page.metadata.continue_

    async def call(
        self,
        method: str,
        target: Target,
        *,
        path: str = "",
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content: str = "application/json",
    ) -> bytes:
        """Send one request, again and again within the time allowed; raises Refused or BackendUnavailable."""
        started = self._clock()
        patience = self._settings.attempt_seconds
        pause = FIRST_PAUSE
        verb = _verb(method, target)
        while True:
            try:
                async with self.throttle.turn():
                    self._count(verb, target)
                    async with asyncio.timeout(patience):
                        answer = await self._wire.request(method, path or target.path, params, body, content)
            except Broken as error:
                trouble, wanted = _in_short(error), 0.0
                patience = min(patience * 2, self._settings.retry_seconds)
            else:
                if answer.is_success:
                    self.throttle.succeeded()
                    return answer.content
                status = _status(answer)
                if answer.status not in PASSING and answer.status != 401:
                    raise _refused(status, verb, target)
                trouble = str(status.get("message") or f"HTTP status {answer.status}")
                wanted = _retry_after(answer, status)
                if answer.status in OVERLOADED:
                    self.throttle.overloaded(wanted)
            delay = max(wanted, pause * self._random.uniform(0.5, 1.5))
            if self._clock() - started + delay > self._settings.retry_seconds:
                raise self._unavailable(verb, target, trouble)
            await asyncio.sleep(delay)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def glance(self, kind: str, path: str, params: Mapping[str, str]) -> bytes | None:
        """Read, once, something that nobody depends on; None if it is not to be had now, whatever the reason.

        It may come from a server behind the API server, whose troubles say nothing about how many calls that takes.
        """
        self.calls["list", kind] = self.calls.get(("list", kind), 0) + 1
        try:
            async with self.throttle.turn(), asyncio.timeout(self._settings.attempt_seconds):
                answer = await self._wire.request("GET", path, params, None, "application/json")
        except Broken:
            return None
        return answer.content if answer.is_success else None

    @contextlib.asynccontextmanager
    async def stream(
        self, target: Target, params: Mapping[str, str], silence: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch and give its lines; raises Refused, or BackendUnavailable when it breaks off.

        `silence` is how many seconds may pass without a word until the connection counts as dead.
        """
        self._count("watch", target)
        connect = self._settings.attempt_seconds * 2
        try:
            async with self._wire.stream(target.path, params, connect=connect, silence=silence) as (answer, pieces):
                if answer.is_success:
                    yield _lines(pieces)
                elif answer.status in PASSING or answer.status == 401:
                    raise self._unavailable("watch", target, f"HTTP status {answer.status}")
                else:
                    raise _refused(_status(answer), "watch", target)
        except Broken as error:
            raise self._unavailable("watch", target, _in_short(error)) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.aclose()

    def _count(self, verb: str, target: Target) -> None:
        self.calls[verb, target.kind] = self.calls.get((verb, target.kind), 0) + 1

    def _unavailable(self, verb: str, target: Target, trouble: str) -> BackendUnavailable:
        server = self.config.cluster.server
        return BackendUnavailable(
            f"The Kubernetes API server at {server} did not answer the request to {verb} {target}: {trouble}. "
            "Servers that run keep running; this is tried again."
        )


def _verb(method: str, target: Target) -> str:
    """Return Kubernetes' own word for what a request does."""
    if method == "GET":
        return "get" if target.name else "list"
    return {"POST": "create", "PUT": "update"}.get(method, method.lower())


async def _or_none(call: Awaitable[bytes]) -> bytes | None:
    try:
        return await call
    except Refused as error:
        if error.answer == 404:
            return None
        raise


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give the lines of an answer as they come."""
    rest = b""
    async for piece in pieces:
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if line:
                yield line


def _status(answer: Answer) -> Mapping[str, Any]:
    """Return the Status object of an answer; one in the same form if what answered was no API server."""
    try:
        found = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        found = None
    if isinstance(found, dict) and found.get("kind") == "Status":
        return {**found, "code": answer.status}
    return {"kind": "Status", "code": answer.status, "message": answer.content[:300].decode(errors="replace").strip()}


def _refused(status: Mapping[str, Any], verb: str, target: Target) -> Refused:
    words = refusals.in_words(status, verb=verb, kind=target.kind, name=target.name, namespace=target.namespace)
    return Refused(words, status)


def _retry_after(answer: Answer, status: Mapping[str, Any]) -> float:
    """Return the seconds that the server asks to wait; 0 if it asks for nothing."""
    asked = answer.headers.get("retry-after") or (status.get("details") or {}).get("retryAfterSeconds") or 0
    try:
        return min(max(float(asked), 0.0), 60.0)
    except (TypeError, ValueError):
        return 0.0


def _in_short(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()
