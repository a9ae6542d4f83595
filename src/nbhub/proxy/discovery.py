"""How the current snapshot reaches Envoy: a file that it watches, replaced whole and not too often."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file at once: whoever reads it sees all of the old or all of the new. Raises OSError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


class Pace:
    """How long the next replacement has to wait: the first goes at once, later ones `factor` times the last one's cost.

    So replacing never takes more than one part in `factor` + 1 of a core, however many routes there are.
    """

    def __init__(self, factor: float = 4.0, longest: float = 30.0) -> None:
        self.factor = factor
        self.longest = longest
        self._free_at = 0.0

    def wait(self, now: float) -> float:
        """Return for how many seconds to wait from `now` (a steady clock)."""
        return max(0.0, self._free_at - now)

    def replaced(self, now: float, cost: float) -> None:
        """Note that a replacement which cost so many seconds ended now."""
        self._free_at = now + min(self.longest, self.factor * cost)


def take_lines(path: Path) -> list[str]:
    """Return the lines written to a file since the last call, and empty it; none if there is no file.

    A line that is written between reading and emptying is lost, so this is for hints only.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return []
    with os.fdopen(descriptor, "r+b") as file:
        content = file.read(1024 * 1024)
        if content:
            file.truncate(0)
    return content.decode(errors="replace").split()
