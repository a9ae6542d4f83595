"""The hub's secret, from which every key is derived: configured, in the environment, or kept in a file.

The first one is in use; those that follow are older ones, which are still accepted while the hub moves to a new one.
"""

from __future__ import annotations

import contextlib
import os
import secrets as random_secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from nbhub.errors import ConfigError

VARIABLE = "JPY_COOKIE_SECRET"
FILE = "secret"
MOST = 8  # older secrets are for days, not for ever

Secrets = tuple[bytes, ...]
Given = bytes | str | Sequence[bytes | str]


def find(given: Given, file: str, folder: Path, environment: Mapping[str, str]) -> Secrets:
    """Return the secrets: `given`, or of the variable JPY_COOKIE_SECRET, or what is in `file`, made when missing.

    Without `file` they are kept in `folder`. Raises ConfigError, and OSError when the folder cannot be used.
    """
    if given:
        several = [given] if isinstance(given, bytes | str) else given
        return _checked([_bytes(one) for one in several], "c.Hub.cookie_secret")
    if environment.get(VARIABLE):
        return _checked(_lines(environment[VARIABLE]), f"the variable {VARIABLE}")
    path = place("", file, folder, {})
    assert path is not None
    try:
        return read(path)
    except OSError as error:
        if not file:
            raise
        raise ConfigError(
            f"The file {path} for the hub's secret cannot be used: {error.strerror or error}. Make it readable for "
            "this user alone, or name another with c.Hub.cookie_secret_file."
        ) from error


def place(given: Given, file: str, folder: Path, environment: Mapping[str, str]) -> Path | None:
    """Return the file that the secrets are kept in; None where they come from the configuration or a variable."""
    if given or environment.get(VARIABLE):
        return None
    return Path(file).expanduser().absolute() if file else folder / FILE


def read(path: Path) -> Secrets:
    """Read the secrets from a private file, or make file and secret. Raises ConfigError and OSError."""
    if not path.exists():
        put_once(path, random_secrets.token_hex(32))
    if path.stat().st_mode & 0o007:
        raise ConfigError(f"{path} can be read by everybody. Make it private: chmod 600 {path}")
    found = _lines(path.read_text())
    if not found or any(len(one) < 32 for one in found):
        raise ConfigError(
            f"{path} does not hold 64 hexadecimal digits in each line. Restore it from a backup; with a new one "
            "(delete the file) servers that are just starting have to be started again, and what identity providers "
            "told of people is unknown until they log in again."
        )
    return _checked(found, str(path))


def write(path: Path, secrets: Sequence[bytes]) -> None:
    """Replace the file as a whole by one with these secrets, of the same owner or its folder's; raises ConfigError."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        _write_private(draft, "".join(f"{one.hex()}\n" for one in secrets))
        before = path.stat() if path.exists() else None
        with contextlib.suppress(PermissionError):  # who is not root makes files of their own
            owner = before or path.parent.stat()
            os.chown(draft, owner.st_uid, owner.st_gid)
        if before is not None:
            draft.chmod(before.st_mode & 0o770)
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise ConfigError(
            f"The file {path} cannot be written: {error.strerror or error}. Change it where it comes from, such as the "
            "Kubernetes Secret: one secret a line, the one in use first."
        ) from error


def new() -> bytes:
    """Return a new secret."""
    return random_secrets.token_bytes(32)


def _bytes(given: bytes | str) -> bytes:
    return given if isinstance(given, bytes) else _from_hex(given)


def _lines(text: str) -> list[bytes]:
    return [_from_hex(word) for word in text.replace(";", " ").split()]


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.strip())
    except ValueError:
        return b""


def _checked(found: Sequence[bytes], where: str) -> Secrets:
    if not found or any(len(one) < 32 for one in found):
        raise ConfigError(f"{where} has to be 64 hexadecimal digits or 32 bytes; make some with: openssl rand -hex 32")
    if len(found) > MOST:
        raise ConfigError(f"{where} holds {len(found)} secrets; take out the oldest, so that {MOST} are left.")
    return tuple(dict.fromkeys(found))


def put_once(path: Path, text: str) -> None:
    """Write a private file whole or not at all; another hub that was first wins."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    _write_private(draft, text)
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
