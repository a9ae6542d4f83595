"""What the hub itself needs: its folder, secret, database, clock, proxy and port."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from nbhub import secret
from nbhub.app import Hub
from nbhub.core import findings
from nbhub.core.findings import Finding
from nbhub.errors import NbhubError
from nbhub.proxy.envoy import find_program
from nbhub.store import Store, health, locking

LEAST_FREE = 50_000_000
LITTLE_FREE = 500_000_000
SKEW_SECONDS = 2.0
BAD_SKEW_SECONDS = 30.0
DATABASE_SECONDS = 15.0


async def examine(hub: Hub) -> AsyncIterator[Finding]:
    """Look at everything on this machine that the hub needs."""
    yield folder(hub.folder)
    yield secret_of(hub)
    async for finding in database(hub):
        yield finding
    yield await envoy(hub)


def folder(path: Path) -> Finding:
    """Say whether the data folder can be written to and has room."""
    about = "data folder"
    there = path if path.exists() else next(parent for parent in path.parents if parent.exists())
    remedy = "Make it writable for this user (in a pod: fsGroup of the volume), or choose another with --data-dir."
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".doctor-") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
        free = shutil.disk_usage(there).free
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
    except OSError as error:
        if error.errno in (28, 122):
            return findings.failed(about, f"{path} is full.", "Make room on its volume, or give it a larger one.")
        return findings.failed(about, f"{path} cannot be written to: {error.strerror or error}.", remedy)
    room = f"{free / 1e9:.1f} GB free"
    if free < LEAST_FREE:
        return findings.failed(about, f"{path} has next to no room left ({room}).", "Give it a larger volume.")
    if mode & 0o007 and "KUBERNETES_SERVICE_HOST" not in os.environ:  # in a pod nobody else is on this machine
        return findings.warning(about, f"{path} is open to every user of this machine.", f"chmod o-rwx {path}")
    if free < LITTLE_FREE:
        return findings.warning(about, f"{path} has little room left ({room}).", "Give it a larger volume.")
    return findings.ok(about, f"{path} can be written to, {room}" + ("" if path.exists() else ", made by the start"))


def secret_of(hub: Hub) -> Finding:
    """Say where the hub's secret comes from, and whether it is one."""
    about = "secret"
    path = secret.place(hub.cookie_secret, hub.cookie_secret_file, hub.folder, os.environ)
    if path is not None and not path.exists():
        return findings.ok(about, f"{path} is not there yet; the first start makes it")
    try:
        found = secret.find(hub.cookie_secret, hub.cookie_secret_file, hub.folder, os.environ)
    except NbhubError as error:
        return findings.failed(about, error.message)
    except OSError as error:
        return findings.failed(about, f"{path} cannot be read: {error.strerror or error}.")
    where = str(path) if path else secret.VARIABLE if not hub.cookie_secret else "the configuration"
    older = f", and {len(found) - 1} older that are still accepted" if len(found) > 1 else ""
    return findings.ok(about, f"from {where}{older}")


# -- database --------------------------------------------------------------------------------------------------------


async def database(hub: Hub) -> AsyncIterator[Finding]:
    """Say whether the database answers, may be written to, and has the same time."""
    about, where = "database", without_password(hub.database)
    path = sqlite_file(hub.database)
    if path is not None and not path.exists():
        yield findings.ok(about, f"{where} is not there yet; the first start makes it")
        return
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            store = await Store.open(hub.database, beside_hub=True)
            try:
                async with store.write() as tx:  # takes the right to write, and writes nothing
                    there = await health.server_time(tx)
            finally:
                await store.close()
    except NbhubError as error:
        yield findings.split(about, error.message)
        return
    except TimeoutError:
        yield findings.failed(
            about, f"{where} does not answer.", "Start it, or correct the address (--db, c.Hub.db_url)."
        )
        return
    took = time.perf_counter() - begun
    yield findings.ok(about, f"{where} answers and can be written to ({1000 * took:.0f} ms)")
    if path is not None:
        yield _holder(path)
    elif there is not None:
        now = time.time()
        yield clock("clock of the database", findings.ahead(there, now - took, now))


def _holder(path: Path) -> Finding:
    """Say which hub uses an SQLite file."""
    about, held = "hub of this database", locking.holder(path.resolve())
    if held is None:
        return findings.ok(about, "none runs now")
    return findings.ok(about, f"one uses it{held}; a second one would be refused")


def clock(about: str, ahead: float) -> Finding:
    """Say how far another clock is from ours; positive when it is ahead."""
    words = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine"
    remedy = "Let both machines keep their time by NTP: leases, tokens and culling go by it."
    if abs(ahead) > BAD_SKEW_SECONDS:
        return findings.failed(about, f"{words}.", remedy)
    if abs(ahead) > SKEW_SECONDS:
        return findings.warning(about, f"{words}.", remedy)
    return findings.ok(about, "the same time as here" if abs(ahead) < 1 else words)


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite database; None for another kind."""
    scheme, separator, rest = url.partition("://")
    if separator and not scheme.startswith("sqlite"):
        return None
    path = rest.partition("?")[0].removeprefix("/") if separator else url
    return Path(path).expanduser() if path not in ("", ":memory:") else None


def without_password(url: str) -> str:
    """Return a database URL as it may be shown."""
    return re.sub(r"(?<=//)([^/@:]*):[^@/]*@", r"\1:…@", url)


# -- proxy -----------------------------------------------------------------------------------------------------------


async def envoy(hub: Hub) -> Finding:
    """Say which Envoy would run."""
    about = "Envoy"
    if not hub.start_proxy:
        return findings.ok(about, "runs apart from this hub (start_proxy is off)")
    command = str(hub.config.Proxy.get("command", "") or "")
    try:
        program = find_program(command)
        process = await asyncio.create_subprocess_exec(str(program), "--version", stdout=asyncio.subprocess.PIPE)
        told, _ = await asyncio.wait_for(process.communicate(), 20)
    except NbhubError as error:
        return findings.failed(about, error.message)
    except (OSError, TimeoutError) as error:
        return findings.failed(about, f"{program} cannot be run: {error}.", "Check Proxy.command.")
    found = re.search(rb"/(\d+\.\d+\.\d+)[/-]", told)
    if process.returncode or found is None:
        return findings.failed(about, f"{program} does not say its version.", "Check Proxy.command.")
    return findings.ok(about, f"{found[1].decode()} at {program}")


def port_is_free(ip: str, port: int) -> OSError | None:
    """Return why the address cannot be listened on; None if it can."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ip if ip != "*" else "", port))
        except OSError as error:
            return error
    return None
