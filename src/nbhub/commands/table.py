"""The commands of `nbhub`: their names, what they take, and where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nbhub import config
from nbhub.commands.call import Call
from nbhub.errors import ConfigError
from nbhub.traits import did_you_mean


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `run` names a function of a Call that returns the exit status; it is loaded when it is called."""

    run: str
    usage: str  # what follows `nbhub`, without [OPTIONS]
    summary: str  # one line of the list of commands
    words: tuple[int, int] = (0, 0)  # least and most plain words
    flags: Sequence[str] = ()
    values: Sequence[str] = ()  # options of its own that take a value
    more: str = ""  # what its own --help says besides: options, examples, exit status


COMMANDS: Mapping[str, Command] = {
    "run": Command(
        "nbhub.commands.running.run",
        "run",
        "start the hub, as does nbhub alone; Ctrl-C stops it",
        more="Examples\n  nbhub\n  nbhub -f /etc/nbhub_config.py --port=80",
    ),
    "proxy": Command(
        "nbhub.commands.running.proxy",
        "proxy [--hub-url=URL] [--token-file=FILE]",
        "start the proxy apart from the hub; it serves on while hubs come and go",
        values=("--hub-url", "--token-file", "--folder", "--health", "--linger"),
        more="--hub-url=URL          private port of the hub, or of the Service in front of several of them\n"
        "--token-file=FILE      the secret that hub and proxies share (openssl rand -hex 32 >FILE); else the variable\n"
        "                       CONFIGPROXY_AUTH_TOKEN, or proxy-token in the data folder\n"
        "--folder=DIR           the one folder that is written to; proxy in the data folder when left out\n"
        "--health=ADDRESS:PORT  answer /ready, /health and /metrics there; keep it off the public network\n"
        "--linger=SECONDS       serve on for so long after the signal to stop, no longer ready\n"
        "--ip, --port, --base-url and --Proxy.… say where and how it listens; the hub's own file may be given.\n\n"
        "The hub has to have c.Hub.start_proxy = False and the same token: c.Hub.proxy_token_file.\n\n"
        "Examples\n"
        "  nbhub proxy -f nbhub_config.py\n"
        "  nbhub proxy --hub-url=http://hub:8081 --token-file=/secrets/proxy-token --folder=/data --ip=0.0.0.0 \\\n"
        "    --health=0.0.0.0:8002 --linger=10\n\n"
        "Exit status: 0 stopped as asked, 2 a setting, the token or the machine forbids to start, 1 any other failure.",
    ),
    "invite": Command(
        "nbhub.commands.people.invite",
        "invite [NAME] [--admin]",
        "print a one-time link with which somebody makes an account",
        words=(0, 1),
        flags=("--admin",),
        more="Examples\n  nbhub invite\n  nbhub invite alice --admin",
    ),
    "reset-password": Command(
        "nbhub.commands.people.reset_password",
        "reset-password NAME",
        "print a one-time link with which NAME sets a new password",
        words=(1, 1),
        more="Examples\n  nbhub reset-password alice",
    ),
    "token": Command(
        "nbhub.commands.people.token",
        "token NAME [--admin]",
        "print a new API token of user NAME; --admin makes NAME an administrator first",
        words=(1, 1),
        flags=("--admin",),
        more="Examples\n  nbhub token deploy --admin",
    ),
    "servers": Command(
        "nbhub.commands.servers.servers",
        "servers [--all] [--json]",
        "list the servers that run or are about to, and where they are and what they take",
        flags=("--all", "--json"),
        more="--all: those that do not run, too. --json: for programs; cores, bytes and seconds since the epoch.\n"
        "Works beside a running hub. Node, image and amounts come from the place where the servers run; use only if\n"
        "that place measures it.\n\n"
        "Examples\n  nbhub servers\n  nbhub servers --all --json | jq '.[] | select(.phase == \"failed\")'",
    ),
    "settings": Command(
        "nbhub.commands.settings.settings",
        "settings [--markdown]",
        "list all settings",
        flags=("--markdown",),
        more="Examples\n  nbhub settings | grep timeout",
    ),
    "config": Command(
        "nbhub.commands.settings.configuration",
        "config check|show|generate|schema [FILE]",
        "look at a configuration without starting, print what it becomes, or write one",
        words=(1, 2),
        more="check: say whether a hub can start with it. show: print what every setting becomes. generate: print a\n"
        "configuration file that explains itself, or write it to FILE. schema: print all settings as a JSON Schema.\n\n"
        "Examples\n  nbhub config check -f jupyterhub_config.py\n  nbhub config generate nbhub_config.py\n\n"
        "Exit status of check: 0 fine, 1 understood but not to be had in this version, 2 a mistake.",
    ),
    "doctor": Command(
        "nbhub.commands.examining.doctor",
        "doctor [--quick] [--json] [--image IMAGE]",
        "look at everything that a hub needs, and say what is amiss and the remedy",
        flags=("--quick", "--json"),
        values=("--image",),
        more="Run it where the hub runs, with the hub's options; in a pod by kubectl exec.\n"
        "With Kubernetes it starts a pod like those of users for a minute, and removes it. --quick starts none.\n"
        "--image tries another image in it, --json prints the findings for programs.\n\n"
        "Examples\n  nbhub doctor\n  nbhub doctor -f /etc/nbhub/nbhub_config.py --quick --json\n\n"
        "Exit status: 0 nothing failed, 1 something failed.",
    ),
    "reload": Command(
        "nbhub.commands.running.reload",
        "reload",
        "let the running hub read its configuration again",
        more="Examples\n  nbhub reload -f /etc/nbhub_config.py",
    ),
    "backup": Command(
        "nbhub.commands.backups.backup",
        "backup FILE [--with-secrets] [--force]",
        "write everything that the database holds to FILE, also while the hub runs",
        words=(1, 1),
        flags=("--with-secrets", "--force"),
        more="FILE is made for its owner alone; - writes to standard output. Without --with-secrets the hub's secret\n"
        "is not in it and has to be kept apart. --force replaces FILE.\n\n"
        "Examples\n  nbhub backup /var/backups/nbhub-$(date +%F) -f /etc/nbhub_config.py\n"
        "  nbhub backup hub.backup --with-secrets --db=postgresql://nbhub@db/nbhub\n"
        "  kubectl exec deployment/hub -- nbhub backup - -f /etc/nbhub/nbhub_config.py > hub.backup",
    ),
    "restore": Command(
        "nbhub.commands.backups.restore",
        "restore FILE [--force]",
        "make the database what a backup says; every hub has to be stopped",
        words=(1, 1),
        flags=("--force",),
        more="The database may be of the other kind than the one that was backed up. --force replaces one that is not\n"
        "empty (an SQLite file is kept beside it). - reads the backup from standard input.\n\n"
        "Examples\n  nbhub restore hub.backup\n  nbhub restore hub.backup --db=postgresql://nbhub@db/nbhub\n"
        "  nbhub restore hub.backup --force -f /etc/nbhub_config.py",
    ),
    "secret": Command(
        "nbhub.commands.keys.secret",
        "secret rotate|status|retire",
        "move to a new secret while people work, and say when the old one can go",
        words=(1, 1),
        more="rotate: put a new secret in front of the one in use, which is accepted from then on, and tell the hub\n"
        "that runs. status: say what still needs an older one; exit status 1 while servers start with it.\n"
        "retire: seal anew what older ones sealed, and take them out.\n\n"
        "Examples\n  nbhub secret rotate -f /etc/nbhub_config.py\n  nbhub secret status\n  nbhub secret retire",
    ),
    "kubernetes": Command(
        "nbhub.commands.kubernetes.kubernetes",
        "kubernetes init [FOLDER]",
        "write the manifests with which nbhub runs in a namespace of Kubernetes",
        words=(1, 2),
        flags=("--yes", "--force"),
        values=(
            "--namespace",
            "--host",
            "--authenticator",
            "--storage-class",
            "--image",
            "--notebook-image",
            "--database",
            "--ingress-class",
            "--tls-secret",
        ),
        more="Asks at a terminal for what is not given; --yes takes the defaults. The files (in nbhub-kubernetes if\n"
        "no folder is named) are for kubectl apply -k, and the operator's from then on: what was changed is replaced\n"
        "only with --force, and the Secret never.\n\n"
        "  --namespace=nbhub     where it runs\n"
        "  --host=…              host name for the Ingress; without one there is none\n"
        "  --ingress-class=… --tls-secret=nbhub-tls\n"
        "  --authenticator=native\n"
        "  --storage-class=…     the cluster's default\n"
        "  --image=… --notebook-image=…\n"
        "  --database=sqlite     or postgresql, or postgresql://user:password@host/database\n\n"
        "Examples\n  nbhub kubernetes init\n"
        "  nbhub kubernetes init our-hub --namespace=hub --host=hub.example.org --image=reg.example.org/nbhub:0.1.0",
    ),
    "systemd": Command(
        "nbhub.commands.systemd.systemd",
        "systemd install [--dry-run] [--force] [--root DIR]",
        "write a hardened systemd unit for a hub with these options, or print it",
        words=(1, 1),
        flags=("--dry-run", "--force"),
        values=("--root",),
        more="The hub runs as the user nbhub, or as root if its servers run as the users who log in. Data is in\n"
        "/var/lib/nbhub, the secret in /etc/nbhub/secret. Servers and proxy outlive a restart, unless the\n"
        "configuration says c.Hub.cleanup_servers = True. --root writes below a folder, for images.\n\n"
        "Examples\n  nbhub systemd install --dry-run -f /etc/nbhub/nbhub_config.py\n"
        "  nbhub systemd install -f /etc/nbhub/nbhub_config.py --ip=0.0.0.0 --port=80",
    ),
    "version": Command(
        "nbhub.commands.settings.version", "version", "print the version", more="Examples\n  nbhub version"
    ),
}


def call_of(name: str, argv: Sequence[str]) -> Call:
    """Tell a command's words, flags and values from the hub's options. Raises ConfigError with the usage."""
    command = COMMANDS[name]
    count = 0
    while count < len(argv) and (argv[count] == "-" or not argv[count].startswith("-")):
        count += 1
    least, most = command.words
    if not least <= count <= most:
        stray = f" {argv[most]!r} is too much." if count > most else ""
        raise ConfigError(f"Usage: nbhub {command.usage} [OPTIONS].{stray}")
    flags, values, options = _sorted(name, command, argv[count:])
    return Call(argv[:count], frozenset(flags), values, options)


def overview() -> str:
    """Return the list of commands for `nbhub --help`."""
    short = {command.usage.partition(" [--")[0]: command.summary for command in COMMANDS.values()}
    width = max(map(len, short)) + 2
    return "\n".join(f"  nbhub {usage:<{width}}{summary}" for usage, summary in short.items())


def explained(name: str) -> str:
    """Return the help of one command."""
    command = COMMANDS[name]
    summary = command.summary[0].upper() + command.summary[1:]
    return f"Usage: nbhub {command.usage} [OPTIONS]\n\n{summary}.\n\n{command.more}\n\nOptions: see nbhub --help."


def existing(name: str) -> str:
    """Return the name if there is such a command; raises ConfigError with the nearest one."""
    if name not in COMMANDS:
        raise ConfigError(f"There is no command {name[:64]!r}{did_you_mean(name, list(COMMANDS))} See nbhub --help.")
    return name


def _sorted(name: str, command: Command, rest: Sequence[str]) -> tuple[list[str], dict[str, str], list[str]]:
    flags: list[str] = []
    values: dict[str, str] = {}
    options: list[str] = []
    words = iter(rest)
    for word in words:
        option, given, value = word.partition("=")
        if word in command.flags:
            flags.append(word)
        elif option in command.values:
            found = value if given else next(words, None)
            if found is None:
                raise ConfigError(f"{option} of nbhub {name} needs a value: {option}=…")
            values[option] = found
        else:
            _check(option, command)
            options.append(word)
    return flags, values, options


def _check(option: str, command: Command) -> None:
    """Raise ConfigError for an option that neither the command nor the hub has; settings are looked at later."""
    hubs = [*config.OPTIONS, *config.FLAGS, "config"]
    if option.startswith("--") and "." not in option and option.removeprefix("--") not in hubs:
        known = [*(f"--{name}" for name in hubs), *command.flags, *command.values]
        raise ConfigError(f"There is no option {option[:64]}{did_you_mean(option, known)} See nbhub --help.")
