"""`python -m nbhub` and the command `nbhub`: the program's first lines, before anything that takes time is loaded."""

from __future__ import annotations

import os
import signal
import sys


def _leave(number: int, frame: object) -> None:
    """Leave at once: nothing has begun yet, and a traceback out of an import would tell nobody anything."""
    os.write(2, b"nbhub: interrupted before it began.\n")
    os._exit(128 + number)


signal.signal(signal.SIGINT, _leave)
if os.getpid() == 1:  # of a container: the kernel keeps from it what it did not ask for
    signal.signal(signal.SIGTERM, _leave)

from nbhub import cli  # noqa: E402 - Ctrl-C has to be heard while it is loaded


def main() -> int:
    """Run the command; returns the exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
