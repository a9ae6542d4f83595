"""The command `nbhub`: what a person types, and the one place where errors become words on a terminal."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

from nbhub import log
from nbhub.commands.call import Call
from nbhub.commands.table import COMMANDS, call_of, existing, explained, overview
from nbhub.errors import ConfigError, NbhubError
from nbhub.traits import import_path

HEAD = """nbhub: a Jupyter notebook server for every user, behind one address.

Commands (nbhub COMMAND --help says more)
"""
TAIL = """

Options
  -f FILE                configuration file; without it nbhub_config.py or jupyterhub_config.py of this folder
  --ip=… --port=…        public address (127.0.0.1, 8000)
  --base-url=/path/      path below which everything lives
  --data-dir=…           folder for the database and all that is kept (nbhub-data)
  --db=postgresql://…    database, instead of SQLite in the data folder
  --no-cleanup           leave servers running when the hub stops
  --log-level=… --debug --log-json
  --Class.setting=value  any setting; wins over the file

Examples
  nbhub                                        try it here: http://127.0.0.1:8000
  nbhub --ip=0.0.0.0 --port=80                 for everybody who reaches this machine
  nbhub -f /etc/nbhub_config.py --debug
  nbhub --Hub.idle_timeout=2h --Spawner.default_url=/lab
  nbhub --Hub.authenticator_class=dummy        anybody may enter; for trials only
  nbhub invite alice --admin

Exit status: 0 stopped as asked, 2 a setting or the machine forbids to start, 1 any other failure."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    _listen_as_first_process()
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        return _main(given)
    except NbhubError as error:
        if "--log-json" in given:
            log.tell(error.message, "critical")
        else:
            print(f"nbhub: {error.message}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print("nbhub: interrupted; the next start takes up what was begun.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _listen_as_first_process() -> None:
    """End on SIGTERM from the start on: the kernel keeps from a container's first process what it did not ask for."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def _main(argv: list[str]) -> int:
    if argv[:1] == ["--version"]:
        argv = ["version"]
    if argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    named = bool(argv) and not argv[0].startswith("-")
    if {"-h", "--help"} & set(argv):
        print(explained(existing(argv[0])) if named else f"{HEAD}{overview()}{TAIL}")
        return 0
    name, rest = (existing(argv[0]), argv[1:]) if named else ("run", argv)
    call = call_of(name, rest)
    run: Callable[[Call], int] = import_path(COMMANDS[name].run)
    return run(call)
