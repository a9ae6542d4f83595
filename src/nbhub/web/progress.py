"""The story of a start as server-sent events, told from the row: any replica can tell it, and it outlives them all."""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
from starlette.responses import StreamingResponse

from nbhub.core import names
from nbhub.core.model import Server
from nbhub.errors import DatabaseUnavailable
from nbhub.store import servers
from nbhub.web.desk import Desk

KEEPALIVE_SECONDS = 8.0
_KEEPALIVE = b"\n\n"


def stream(desk: Desk, record: Server, closing: asyncio.Event) -> StreamingResponse:
    """Return the events of the server's current start, from its beginning until it is ready or has failed.

    `closing` ends the stream when the hub stops; browsers then ask again, whichever hub answers.
    """
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_frames(desk, record, closing), media_type="text/event-stream", headers=headers)


async def _frames(desk: Desk, record: Server, closing: asyncio.Event) -> AsyncIterator[bytes]:
    yield _KEEPALIVE
    told = Told(desk.settings.base_url)
    async with desk.store.wakeup.listen(f"server:{record.id}", "resync", "closing") as bell:
        current: Server | None = record
        while not closing.is_set():
            if current is not None and current.wanted and current.is_ready:
                await desk.store.reach.until_led_to(current)  # whoever hears of it goes there at once
            for event in told.news(current):
                yield b"data: " + msgspec.json.encode(event) + b"\n\n"
            if told.complete:
                return
            if not await bell.wait(KEEPALIVE_SECONDS):
                yield _KEEPALIVE
            try:
                async with desk.store.read() as tx:
                    current = await servers.by_id(tx, record.id)
            except DatabaseUnavailable:
                continue  # the stream stays open; the next look may be luckier


class Told:
    """What one stream has told so far."""

    def __init__(self, base_url: str) -> None:
        self.complete = False
        self._base_url = base_url
        self._generation: int | None = None  # of the start whose events are told; None before the first look
        self._events = 0

    def news(self, record: Server | None) -> Iterator[dict[str, Any]]:
        """Yield the events that are new since the last call; of a start that was over before the first, the outcome."""
        last = outcome(record, self._base_url)
        self.complete = last is not None
        if record is not None and not (self.complete and self._generation is None):
            yield from self._story(record)
        if last is not None:
            yield last

    def _story(self, record: Server) -> Iterator[dict[str, Any]]:
        if self._generation is None:
            yield {"progress": 0, "message": "Server requested"}
        if record.generation != self._generation:
            self._generation, self._events = record.generation, 0
        for event in record.events[self._events :]:
            yield {"progress": event.progress, "message": event.message}
        self._events = max(self._events, len(record.events))


def outcome(record: Server | None, base_url: str) -> dict[str, Any] | None:
    """Return the last event of a start: ready, failed or cancelled; None while it is under way."""
    if record is None or not record.wanted:
        return {"progress": 100, "failed": True, "message": "Spawn cancelled"}
    if record.is_ready:
        url = names.server_prefix(base_url, record.user_name, record.name)
        link = html.escape(url)
        return {
            "progress": 100,
            "ready": True,
            "message": f"Server ready at {url}",
            "html_message": f'Server ready at <a href="{link}">{link}</a>',
            "url": url,
        }
    if not record.active:
        return {"progress": 100, "failed": True, "message": f"Spawn failed: {record.message or 'the server ended.'}"}
    return None
