"""The command about systemd: systemd install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nbhub import config, secret
from nbhub.app import Hub
from nbhub.commands.call import Call, built, say
from nbhub.deploy import systemd as units
from nbhub.deploy.systemd import Service
from nbhub.errors import ConfigError
from nbhub.spawners.process import LocalProcessSpawner
from nbhub.traits import did_you_mean

_OURS = ("--data-dir", "--Hub.data_dir", "--Hub.cookie_secret_file")


def systemd(call: Call) -> int:
    """Write the unit, or print it."""
    doing = call.words[0]
    if doing != "install":
        raise ConfigError(f"There is no command systemd {doing[:64]!r}{did_you_mean(doing, ['install'])}")
    loaded = config.load(call.options)
    hub, warnings = built(loaded)
    service = _service(hub, call.options, loaded.files)
    for words in [*warnings, *_troubles(service)]:
        print(f"nbhub: {words}", file=sys.stderr)
    if "--dry-run" in call.flags:
        print(units.unit(service), end="")
        return 0
    root = Path(call.values.get("--root", "/")).absolute()
    if root == Path("/") and os.geteuid() != 0:
        raise ConfigError("Only root may install a unit. Repeat with sudo, or look at it with --dry-run.")
    if _troubles(service):
        raise ConfigError("The unit would not start, so it is not written.")
    _install(root, service, force="--force" in call.flags)
    return 0


def _service(hub: Hub, options: Sequence[str], files: Sequence[Path]) -> Service:
    given, following = [], ""
    for word in options:
        name = word.partition("=")[0]
        if name in _OURS:
            raise ConfigError(f"{name} is the unit's to say: data is in {units.STATE}, the secret in /{units.SECRET}.")
        # Relative paths mean nothing to systemd.
        given.append(str(Path(word).expanduser().absolute()) if following == "-f" else word)
        following = word
    if files and "-f" not in given:
        given[:0] = ["-f", str(files[0].absolute())]
    keeps = hub.cleanup_servers is not True
    if keeps:
        given += ["--no-cleanup", "--Hub.cleanup_proxy=False"]
    return Service(
        command=(_program(), *given),
        system_users=issubclass(hub.spawner_class, LocalProcessSpawner),
        low_port=hub.port < 1024,
        keeps_servers=keeps,
    )


def _program() -> str:
    """Return the `nbhub` of this environment."""
    beside = Path(sys.executable).with_name("nbhub")
    found = str(beside) if beside.exists() else shutil.which("nbhub")
    if found is None:
        raise ConfigError("The program nbhub is not installed beside this Python; install it with pip first.")
    return found


def _troubles(service: Service) -> list[str]:
    return [
        f"{path} would be hidden from the hub (ProtectHome). Put it elsewhere, such as /opt/nbhub or /etc/nbhub."
        for path in units.hidden(service)
    ]


def _install(root: Path, service: Service, *, force: bool) -> None:
    _write(root / units.UNIT, units.unit(service), force)
    if not service.system_users:
        _write(root / units.SYSUSERS, units.sysusers(), force)
    (root / units.SECRET).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    secret.read(root / units.SECRET)
    if root == Path("/") and Path("/run/systemd/system").is_dir():
        if not service.system_users:
            subprocess.run(["systemd-sysusers"], check=True)
        subprocess.run(["systemctl", "daemon-reload"], check=True)
    say("Start it, now and at every boot: systemctl enable --now nbhub")
    say("What it says: journalctl -u nbhub. Settings read again: systemctl reload nbhub")


def _write(path: Path, text: str, force: bool) -> None:
    if path.exists() and path.read_text() != text and not force:
        raise ConfigError(f"{path} is there and says something else. Replace it with --force, or look with --dry-run.")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
    say(f"Written: {path}")
