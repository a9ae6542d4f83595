"""The secret that a hub shares with proxies that run apart: in a file, in a variable, or made beside the hub's data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from nbhub import secret
from nbhub.core import feed, secrets
from nbhub.errors import ConfigError

log = logging.getLogger("nbhub")

VARIABLE = "CONFIGPROXY_AUTH_TOKEN"
FILE = "proxy-token"


def find(file: str, folder: Path, environment: Mapping[str, str], *, make: bool) -> tuple[str, ...]:
    """Return the tokens: of `file`, else of the variable CONFIGPROXY_AUTH_TOKEN, else of `folder`/proxy-token.

    Several lines are several tokens: the first is used, all are accepted, for the days in which they are changed. With
    `make` that last file is made when missing. Empty when there is none. Raises ConfigError.
    """
    if file:
        return _read(Path(file).expanduser().absolute())
    if environment.get(VARIABLE):
        return _checked(environment[VARIABLE].split(), f"the variable {VARIABLE}")
    path = folder / FILE
    try:
        if make and not path.exists():
            secret.put_once(path, f"{secrets.new_token()}\n")
        return _read(path) if path.exists() else ()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be made: {error.strerror or error}. Name a file with --token-file."
        ) from error


def _read(path: Path) -> tuple[str, ...]:
    try:
        words = path.read_text().split()
        open_to_all = path.stat().st_mode & 0o007
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The proxy's token {path} cannot be read: {error}. Make it readable for this user, or name another file"
            " (--token-file of nbhub proxy, c.Hub.proxy_token_file of the hub)."
        ) from error
    if open_to_all:
        log.warning(
            "file=%s holds a secret and can be read by everybody on this machine; make it private: chmod 600", path
        )
    return _checked(words, str(path))


def _checked(words: list[str], place: str) -> tuple[str, ...]:
    if not words or any(len(one) < feed.MIN_TOKEN_LENGTH or not one.isascii() for one in words):
        raise ConfigError(
            f"{place} has to hold a token of at least {feed.MIN_TOKEN_LENGTH} ASCII characters; make one with: "
            "openssl rand -hex 32"
        )
    return tuple(words)
