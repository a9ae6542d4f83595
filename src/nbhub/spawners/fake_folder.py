"""Fake servers that outlive the processes which use them: a journal in a folder, replayed by whoever looks."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nbhub.core.lifecycle import Observation
from nbhub.spawners.fake_backend import FakeBackend, FakeObject
from nbhub.spawners.fake_listener import Listener, Manner


class FolderBackend(FakeBackend):
    """A fake backend of many processes of one machine: hubs may be killed and come back, tests may look on.

    All see the same objects and counts. Each change is one line, written whole under a lock that the kernel releases
    when a process dies. The clock has to be the machine's monotonic one.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._journal = os.open(folder / "fake-servers.jsonl", flags, 0o600)
        self._read_to = 0
        self._depth = 0
        self._last_port = 0

    def alone(self) -> AbstractContextManager[None]:
        return self._alone()

    @property
    def live(self) -> int:
        self.catch_up()
        return super().live

    def get(self, name: str) -> FakeObject | None:
        self.catch_up()
        return super().get(name)

    def look(self, name: str) -> Observation:
        self.catch_up()
        return super().look(name)

    def catch_up(self) -> None:
        """Replay what other processes did since the last look."""
        if os.fstat(self._journal).st_size <= self._read_to:
            return
        text = b""
        while part := os.pread(self._journal, 1 << 20, self._read_to + len(text)):
            text += part
        whole = text[: text.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.splitlines():
            self._replay(json.loads(line))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._depth:
            fcntl.flock(self._journal, fcntl.LOCK_EX)
        self._depth += 1
        try:
            self.catch_up()
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                fcntl.flock(self._journal, fcntl.LOCK_UN)

    async def _open(self, listener: Listener) -> int:
        """Listen where the hub before listened, since that is in the servers' addresses."""
        self.catch_up()
        try:
            port = await listener.open(self._last_port)
        except OSError:
            port = self._last_port  # another process listens there and answers for all
        with self.alone():
            self._write({"port": port})
        return port

    def _manner(self, address: str) -> Manner:
        self.catch_up()
        return super()._manner(address)

    # Changes are written here and made when they are read back, as those of others are.

    def _put(self, made: FakeObject) -> None:
        self._write({"put": asdict(made)})

    def _pop(self, name: str) -> None:
        self._write({"pop": name})

    def _end(self, name: str, at: float, exit_code: int | None) -> None:
        self._write({"end": name, "at": at, "exit_code": exit_code})

    def _use_address(self, number: int) -> None:
        self._write({"address": number})

    def _write(self, change: dict[str, Any]) -> None:
        os.write(self._journal, json.dumps(change).encode() + b"\n")
        self.catch_up()

    def _replay(self, change: dict[str, Any]) -> None:
        match change:
            case {"put": fields}:
                super()._put(FakeObject(**fields))
            case {"pop": name}:
                super()._pop(name)
            case {"end": name, "at": at, "exit_code": code}:
                super()._end(name, at, code)
            case {"address": number}:
                super()._use_address(number)
            case {"port": port}:
                self._last_port = port
