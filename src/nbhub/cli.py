"""The command `nbhub`: what a person types, and the one place where errors become words on a terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass

from traitlets.config import Configurable

from nbhub import PROTOCOL_VERSION, __version__, accounts, config, inspection, log, operation, reference
from nbhub.app import AUTHENTICATORS, SPAWNERS, Hub
from nbhub.errors import ConfigError, NbhubError
from nbhub.proxy import Proxy
from nbhub.traits import did_you_mean, import_path

HELP = """nbhub: a Jupyter notebook server for every user, behind one address.

Commands
  nbhub [run]                    start the hub; Ctrl-C stops it
  nbhub invite [NAME] [--admin]  print a one-time link with which somebody makes an account
  nbhub reset-password NAME      print a one-time link with which NAME sets a new password
  nbhub token NAME [--admin]     print a new API token of user NAME; --admin makes NAME an administrator first
  nbhub settings [--markdown]    list all settings
  nbhub config check             look at the configuration without starting; status 0 when a hub can start with it
  nbhub config show              print what every setting of the configuration becomes
  nbhub config generate [FILE]   print a configuration file that explains itself, or write it to FILE
  nbhub reload                   let the running hub read its configuration again
  nbhub version                  print the version

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

Exit status: 0 stopped as asked, 2 a setting or the machine forbids to start, 1 any other failure.
`config check`: 0 fine, 1 understood but not to be had in this version, 2 a mistake."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the command: its plain words, the flags of its own, and the options of the hub."""

    words: Sequence[str]
    flags: frozenset[str]
    options: Sequence[str]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except NbhubError as error:
        print(f"nbhub: {error.message}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print("nbhub: interrupted; the next start takes up what was begun.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _main(argv: list[str]) -> int:
    if {"-h", "--help", "help"} & set(argv):
        print(HELP)
        return 0
    if argv[:1] == ["--version"]:
        argv = ["version"]
    name, rest = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("run", argv)
    if name not in COMMANDS:
        raise ConfigError(f"There is no command {name[:64]!r}{did_you_mean(name, list(COMMANDS))} See nbhub --help.")
    return COMMANDS[name](_call(name, rest))


def _call(name: str, argv: Sequence[str]) -> Call:
    """Tell plain words and the command's own flags from the hub's options."""
    own = OWN_FLAGS.get(name, ())
    count = 0
    while count < len(argv) and not argv[count].startswith("-"):
        count += 1
    rest = argv[count:]
    return Call(
        argv[:count], frozenset(word for word in rest if word in own), [word for word in rest if word not in own]
    )


# -- commands ----------------------------------------------------------------------------------------------------


def _run(call: Call) -> int:
    _words(call, 0, "nbhub run [OPTIONS]")
    return operation.run(_hub(call.options), say, reread=lambda: _built(config.load(call.options)))


def _version(call: Call) -> int:
    print(f"nbhub {__version__} (speaks the protocol of JupyterHub {PROTOCOL_VERSION})")
    return 0


def _settings(call: Call) -> int:
    _words(call, 0, "nbhub settings [--markdown]")
    write = reference.markdown if "--markdown" in call.flags else reference.text
    print(write(all_classes()))
    return 0


def _token(call: Call) -> int:
    [name] = _words(call, 1, "nbhub token NAME [--admin]")
    print(asyncio.run(accounts.new_token(_hub(call.options), name, admin="--admin" in call.flags)))
    return 0


def _invite(call: Call) -> int:
    words = _words(call, (0, 1), "nbhub invite [NAME] [--admin]")
    name = words[0] if words else None
    return _print_link(accounts.invitation(_hub(call.options), name, admin="--admin" in call.flags))


def _reset_password(call: Call) -> int:
    [name] = _words(call, 1, "nbhub reset-password NAME")
    return _print_link(accounts.password_reset(_hub(call.options), name))


def _config(call: Call) -> int:
    words = _words(call, (1, 2), "nbhub config check|show|generate [FILE] [OPTIONS]")
    doing, file = words[0], words[1] if len(words) > 1 else ""
    if doing == "generate":
        return inspection.generate(all_classes(), file, say)
    if doing not in ("check", "show"):
        known = ["check", "show", "generate"]
        raise ConfigError(f"There is no command config {doing[:64]!r}{did_you_mean(doing, known)} See nbhub --help.")
    loaded = config.load([*call.options, *(["-f", file] if file else [])])
    hub, warnings = _built(loaded)
    return inspection.report(hub, loaded, warnings, say, values=doing == "show")


def _reload(call: Call) -> int:
    _words(call, 0, "nbhub reload [OPTIONS]")
    hub = _hub(call.options)
    say(inspection.ask_to_reload(hub.folder))
    return 0


def _print_link(made: Coroutine[None, None, accounts.Link]) -> int:
    link = asyncio.run(made)
    print(link.url)
    print(f"It works once, until {link.expiry}.", file=sys.stderr)
    return 0


COMMANDS: Mapping[str, Callable[[Call], int]] = {
    "run": _run,
    "version": _version,
    "settings": _settings,
    "config": _config,
    "reload": _reload,
    "token": _token,
    "invite": _invite,
    "reset-password": _reset_password,
}
OWN_FLAGS: Mapping[str, Sequence[str]] = {"settings": ("--markdown",), "invite": ("--admin",), "token": ("--admin",)}


# -- what they share ---------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """Tell the person at the terminal, at once, also through a pipe."""
    print(text, flush=True)


def all_classes() -> list[type[Configurable]]:
    """Return every class of ours that has settings."""
    return [Hub, *(import_path(path) for path in (*SPAWNERS.values(), *AUTHENTICATORS.values())), Proxy]


def _words(call: Call, count: int | tuple[int, int], usage: str) -> Sequence[str]:
    least, most = count if isinstance(count, tuple) else (count, count)
    if not least <= len(call.words) <= most:
        stray = f" {call.words[most]!r} is too much." if len(call.words) > most else ""
        raise ConfigError(f"Usage: {usage}.{stray}")
    return call.words


def _hub(options: Sequence[str]) -> Hub:
    """Read the settings, check them all, and begin to log as they say."""
    hub, warnings = _built(config.load(options))
    log.configure(str(hub.log_level), as_json=hub.log_json)
    for warning in warnings:
        print(f"nbhub: {warning}", file=sys.stderr)
    return hub


def _built(loaded: config.Loaded) -> tuple[Hub, list[str]]:
    """Return the hub of the settings, and what is to be said about them."""
    loaded.check_values([Hub])
    hub = config.build(Hub, loaded.config)
    return hub, loaded.check(_classes(hub, loaded))


def _classes(hub: Hub, loaded: config.Loaded) -> list[type[Configurable]]:
    """Return the classes in use, and those that the settings mention though they are not: loading all takes time."""
    known = [*SPAWNERS.values(), *AUTHENTICATORS.values()]
    mentioned = [import_path(path) for path in known if path.rpartition(".")[2] in loaded.config]
    return [Hub, hub.spawner_class, hub.authenticator_class, Proxy, *mentioned]
