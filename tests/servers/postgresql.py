"""A real PostgreSQL server for tests: a fresh cluster in a temporary folder, reached over a private socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "16MB",
    # Tests kill programs, never the machine.
    "fsync": "off",
    "full_page_writes": "off",
}


class PostgresqlServer:
    """A cluster that can be stopped and started again. Runs as `postgres` where tests run as root."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nbhub-pg-", dir="/tmp"))
        self._data = self.folder / "data"
        self._as: dict[str, object] = {"cwd": "/"}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self._as |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self.folder.chmod(0o755)
        self._run("initdb", "-D", self._data, "-U", "nbhub", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")

    def start(self) -> None:
        """Start, and return once it takes connections."""
        options = " ".join(f"-c {name}='{value}'" for name, value in SETTINGS.items())
        options += f" -c unix_socket_directories='{self.folder}'"
        self._run("pg_ctl", "-D", self._data, "-l", self.folder / "log", "-o", options, "-w", "-t", "100", "start")

    def stop(self) -> None:
        """Stop at once, as in a crash; connections are cut."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "-t", "100", "stop")

    def url(self, database: str) -> str:
        """Return the URL of a database of this server."""
        return f"postgresql://nbhub@/{database}?host={self.folder}"

    def query(self, sql: str, database: str = "postgres") -> str:
        """Execute one statement and return what psql prints for it."""
        return self._run(
            "psql", "-h", self.folder, "-U", "nbhub", "-d", database, "-v", "ON_ERROR_STOP=1", "-Atqc", sql
        )

    def remove(self) -> None:
        """Stop and delete all of it."""
        if (self._data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object) -> str:
        command = [str(_programs() / program), *map(str, arguments)]
        # pg_ctl leaves the server behind with its output, so that must be a file and not a pipe.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(  # type: ignore[call-overload]
                command, stdout=output, stderr=subprocess.STDOUT, timeout=200, check=False, **self._as
            )
            output.seek(0)
            text = output.read().decode(errors="replace")
        assert done.returncode == 0, f"{program} failed: {text}"
        return str(text.strip())


def available() -> bool:
    """Say whether PostgreSQL is installed here."""
    return _programs().joinpath("initdb").exists()


def _programs() -> Path:
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if newest:
        return newest[-1]
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else Path("/usr/lib/postgresql/bin")
