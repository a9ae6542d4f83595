"""The hub's one secret, from which every key is derived: configured, in the environment, or kept in a file."""

from __future__ import annotations

import contextlib
import os
import secrets as random_secrets
from collections.abc import Mapping
from pathlib import Path

from nbhub.errors import ConfigError

VARIABLE = "JPY_COOKIE_SECRET"
FILE = "secret"


def find(given: bytes | str, file: str, folder: Path, environment: Mapping[str, str]) -> bytes:
    """Return the secret: `given`, or the variable JPY_COOKIE_SECRET, or what is in `file`, made when missing.

    Without `file` it is kept in `folder`. Raises ConfigError, and OSError when the folder cannot be used.
    """
    if given:
        return _long_enough(given if isinstance(given, bytes) else _from_hex(given), "c.Hub.cookie_secret")
    if environment.get(VARIABLE):
        return _long_enough(_from_hex(environment[VARIABLE]), f"the variable {VARIABLE}")
    path = Path(file).expanduser().absolute() if file else folder / FILE
    try:
        return read(path)
    except OSError as error:
        if not file:
            raise
        raise ConfigError(
            f"The file {path} for the hub's secret cannot be used: {error.strerror or error}. Make it readable for "
            "this user alone, or name another with c.Hub.cookie_secret_file."
        ) from error


def read(path: Path) -> bytes:
    """Read the secret from a private file, or make both. Raises ConfigError and OSError."""
    if not path.exists():
        _put_once(path, random_secrets.token_hex(32))
    if path.stat().st_mode & 0o007:
        raise ConfigError(f"{path} can be read by everybody. Make it private: chmod 600 {path}")
    secret = _from_hex(path.read_text().strip())
    if len(secret) < 32:
        raise ConfigError(
            f"{path} does not hold 64 hexadecimal digits. Restore it from a backup; with a new one (delete the file) "
            "everybody has to log in again and running servers have to be restarted."
        )
    return secret


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.strip())
    except ValueError:
        return b""


def _long_enough(secret: bytes, place: str) -> bytes:
    if len(secret) < 32:
        raise ConfigError(f"{place} has to be 64 hexadecimal digits or 32 bytes; make some with: openssl rand -hex 32")
    return secret


def _put_once(path: Path, text: str) -> None:
    """Write a private file whole or not at all; another hub that was first wins."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()
