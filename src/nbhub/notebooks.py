"""The local environment for notebooks: JupyterLab and jupyterhub-singleuser, installed once beside the hub's data.

Only for a hub that runs servers on its own machine and finds no `jupyterhub-singleuser` there. The packages and their
hashes stand in `notebook-requirements.lock`, which comes with nbhub.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from nbhub.errors import ConfigError, NbhubError

Say = Callable[[str], None]

COMMAND = "jupyterhub-singleuser"
LOCK_FILE = Path(__file__).with_name("notebook-requirements.lock")
FOLDER = "notebook-env"

_STAMP = "nbhub-complete"
_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|name resolution|ConnectTimeout|ReadTimeout|Connection refused"
    r"|No matching distribution|ProxyError|SSLError",
    re.IGNORECASE,
)
_OTHER_WAY = (
    f"Or install jupyterlab and jupyterhub yourself, so that {COMMAND} is on the PATH, "
    "or name the command with --Spawner.cmd=…"
)


def needed(command: Sequence[str]) -> bool:
    """Say whether servers are to be started with jupyterhub-singleuser and this machine has none on the PATH."""
    return bool(command) and command[0] == COMMAND and shutil.which(COMMAND) is None


def missing(command: Sequence[str], data_dir: Path) -> bool:
    """Say whether `provide` would have to install something first."""
    return needed(command) and not _is_current(data_dir.absolute() / FOLDER, _version(LOCK_FILE))


class Interrupted(NbhubError):
    """An installation was ended before its end; the next one begins it again."""

    code = "interrupted"


class Interrupt:
    """Ends an installation from another thread."""

    def __init__(self) -> None:
        self._asked = False
        self._step: subprocess.Popen[str] | None = None

    def ask(self) -> None:
        """End the step that is being run, and begin no other."""
        self._asked = True
        if self._step is not None:
            _end(self._step)

    def check(self) -> None:
        """Raise Interrupted if so."""
        if self._asked:
            raise Interrupted("The installation of JupyterLab was interrupted; the next start begins it again.")

    def follow(self, step: subprocess.Popen[str]) -> None:
        """Know which step to end."""
        self._step = step
        if self._asked:
            _end(step)


def provide(
    command: Sequence[str],
    data_dir: Path,
    say: Say,
    *,
    lock_file: Path = LOCK_FILE,
    interrupt: Interrupt | None = None,
) -> None:
    """See to it that servers started with `command` find it on this process's PATH, which they are given too."""
    if needed(command):
        folder = ensure(data_dir, say, lock_file=lock_file, interrupt=interrupt)
        os.environ["PATH"] = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PATH", os.defpath)])])


def ensure(
    data_dir: Path,
    say: Say,
    *,
    lock_file: Path = LOCK_FILE,
    python: str = sys.executable,
    interrupt: Interrupt | None = None,
) -> Path:
    """Return the folder of commands of the notebook environment, after making it where it is missing or outdated.

    Costs nothing when it is there. An installation that was interrupted is begun again; one of another version of nbhub
    is brought up to date in place, since running servers use it. Raises ConfigError and Interrupted.
    """
    folder = data_dir.absolute() / FOLDER
    version = _version(lock_file)
    interrupt = interrupt or Interrupt()
    if _is_current(folder, version):
        return folder / "bin"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(data_dir / f"{FOLDER}.lock", say, interrupt) as lock:
            if not _is_current(folder, version):
                _install(folder, lock_file, version, python, say, lock, interrupt)
    except OSError as error:
        raise ConfigError(
            f"The notebook environment {folder} cannot be made: {error.strerror or error}. "
            "Make the data folder writable for this user, or choose another with --data-dir."
        ) from error
    return folder / "bin"


def _version(lock_file: Path) -> str:
    """Name what an environment is made of: the lock file's content and the Python."""
    try:
        content = lock_file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{lock_file} is missing: install nbhub again.") from error
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"{digest} python{sys.version_info.major}.{sys.version_info.minor}"


def _is_current(folder: Path, version: str) -> bool:
    return _stamp(folder) == version and (folder / "bin" / "python").exists()


def _stamp(folder: Path) -> str:
    try:
        return (folder / _STAMP).read_text(encoding="utf-8")
    except OSError:
        return ""


def _install(
    folder: Path, lock_file: Path, version: str, python: str, say: Say, lock: int, interrupt: Interrupt
) -> None:
    upgrade = _stamp(folder).endswith(version.rsplit(maxsplit=1)[-1]) and (folder / "bin" / "python").exists()
    total = lock_file.read_text(encoding="utf-8").count("==")
    log_file = folder.with_suffix(".log")
    if upgrade:
        say(f"Bringing the notebook environment up to date in {folder}")
    else:
        say(f"Installing JupyterLab for notebooks into {folder} (once; about {total} packages, a few minutes)")
        shutil.rmtree(folder, ignore_errors=True)
        with log_file.open("w", encoding="utf-8") as log:
            _run([python, "-m", "venv", str(folder)], log_file, log.write, lock, interrupt)
    (folder / _STAMP).unlink(missing_ok=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--progress-bar", "off"]
    with log_file.open("a", encoding="utf-8") as log:
        take = _Progress(total, say, log.write).line
        _run([*pip, "--require-hashes", "-r", str(lock_file)], log_file, take, lock, interrupt)
    draft = folder / f"{_STAMP}.new"
    draft.write_text(version, encoding="utf-8")
    draft.replace(folder / _STAMP)
    say("The notebook environment is ready.")


class _Progress:
    """Turns pip's lines into a few that a person wants to read; all of them go to the log."""

    def __init__(self, total: int, say: Say, log: Callable[[str], object]) -> None:
        self.total = max(total, 1)
        self.say = say
        self.log = log
        self.collected = 0
        self.said = 0

    def line(self, text: str) -> None:
        """Take one line of pip."""
        self.log(text)
        if text.startswith("Collecting "):
            self.collected += 1
            share = self.collected * 100 // self.total
            if share >= self.said + 20 and share < 100:
                self.said = share - share % 20
                self.say(f"  downloaded {self.said} %")
        elif text.startswith("Installing collected packages"):
            self.say("  unpacking")


def _run(
    command: Sequence[str], log_file: Path, take: Callable[[str], object], lock: int, interrupt: Interrupt
) -> None:
    """Run a step of the installation, giving its output line by line; raises ConfigError when it fails.

    The step inherits the lock: when the hub is killed, the next one waits for it instead of working against it. Ctrl-C
    in the terminal is for the hub, which ends the step.
    """
    interrupt.check()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=_environment(),
        pass_fds=(lock,),
        start_new_session=True,
    ) as process:
        interrupt.follow(process)
        last: deque[str] = deque(maxlen=200)
        assert process.stdout is not None
        for line in process.stdout:
            take(line)
            last.append(line.rstrip())
    interrupt.check()
    if process.returncode:
        raise ConfigError(_failure(list(last), log_file))


def _end(step: subprocess.Popen[str]) -> None:
    """End a step and whatever it started: it leads a group of processes."""
    if step.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(step.pid, signal.SIGTERM)


def _environment() -> dict[str, str]:
    """Our own environment without what would lead pip to another place."""
    astray = (
        "PYTHONPATH",
        "PYTHONHOME",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_USER",
        "PIP_REQUIRE_VIRTUALENV",
        "VIRTUAL_ENV",
    )
    kept = {name: value for name, value in os.environ.items() if name not in astray}
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PYTHONUNBUFFERED": "1"}


def _failure(lines: Sequence[str], log_file: Path) -> str:
    text = "\n".join(lines)
    errors = [line.strip() for line in lines if "error" in line.lower()] or [line for line in lines if line.strip()]
    reason = errors[-1][:300] if errors else "no reason was given"
    if "ensurepip" in text:
        return f"Python here has no venv module; on Debian or Ubuntu: apt-get install python3-venv. {_OTHER_WAY}"
    if "No space left" in text:
        return f"The disk is full: notebooks need about 700 MB. Make room and start nbhub again. {_OTHER_WAY}"
    if _NETWORK.search(text):
        return (
            f"The packages for notebooks cannot be downloaded: {reason}\n"
            f"Check the network or pip's settings, and start nbhub again. {_OTHER_WAY} (Details: {log_file})"
        )
    return f"JupyterLab could not be installed: {reason}\nDetails are in {log_file}. {_OTHER_WAY}"


@contextmanager
def _alone(path: Path, say: Say, interrupt: Interrupt) -> Iterator[int]:
    """Keep a second hub on the same folder waiting; the kernel lets go of the lock when a process dies. Yields it."""
    with path.open("a") as file:
        if not _locked(file):
            say("Another nbhub is installing the notebook environment; waiting for it.")
            while not _locked(file):
                interrupt.check()
                time.sleep(0.1)
        yield file.fileno()


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
