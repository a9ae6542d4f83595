"""Moving a hub to a new secret without anybody noticing: put a new one in front, wait, take the old ones out.

What depends on the secret: what identity providers told of people (sealed in the database), the tokens of servers that
are just starting, log-ins that are under way, and pages that are open in browsers. Log-ins and the tokens of running
servers do not: they are in the database by their hashes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import InvalidToken, MultiFernet

from nbhub import accounts, reload, secret
from nbhub.app import Hub
from nbhub.core import secrets
from nbhub.core.secrets import Keys
from nbhub.errors import ConfigError, Conflict
from nbhub.store import Reading, Store, grants, identities, servers


@dataclass(frozen=True, slots=True)
class Dependence:
    """What in the database still needs an older secret."""

    names: tuple[str, ...]  # of the secrets, the one in use first
    sealed: int  # auth states that only an older secret opens
    lost: int  # auth states that none of the secrets opens
    starting: int  # servers that are being started with a token of an older secret

    @property
    def is_over(self) -> bool:
        """Whether the older secrets can be taken out."""
        return not self.sealed and not self.starting


def rotate(hub: Hub) -> int | None:
    """Put a new secret in front of the others; return the hub's process that was told, if one runs.

    Raises ConfigError where the secret is not in a file that can be written, and Conflict when there are many already.
    """
    path = _file(hub)
    found = secret.read(path)
    if len(found) >= secret.MOST:
        raise Conflict(f"{path} holds {len(found)} secrets already. Take the older ones out first: nbhub secret retire")
    secret.write(path, [secret.new(), *found])
    return reload.signal_hub(hub.folder)


async def dependence(hub: Hub) -> Dependence:
    """Count what still needs an older secret."""
    found = _secrets(hub)
    keys = Keys.from_secrets(*found)
    async with accounts.opened(hub) as store:
        sealed, lost = await _sealed(store, keys)
        async with store.read() as tx:
            starting = await _starting(tx, keys)
    return Dependence(tuple(map(secrets.fingerprint, found)), len(sealed), lost, starting)


async def retire(hub: Hub) -> tuple[int, int | None]:
    """Seal anew what older secrets sealed, then take them out of the file.

    Returns how many older ones there were, and the process of the hub that was told. Raises Conflict while servers
    are being started with a token of an older one, and ConfigError, with everything sealed anew, where the file
    cannot be written or there is none.
    """
    found = _secrets(hub)
    keys = Keys.from_secrets(*found)
    async with accounts.opened(hub) as store:
        async with store.read() as tx:
            starting = await _starting(tx, keys)
        if starting:
            raise Conflict(f"{starting} server(s) are being started under an older secret. Wait until they run.")
        sealed, _ = await _sealed(store, keys)
        async with store.write() as tx:
            for user_id, state in sealed:
                # Rewritten only if it is still the same: the hub may have learned something newer meanwhile.
                await identities.reseal(tx, user_id, state, keys.auth_state_box().rotate(state).decode())
    if len(found) > 1:
        secret.write(_file(hub), found[:1])
    return len(found) - 1, reload.signal_hub(hub.folder)


async def _sealed(store: Store, keys: Keys) -> tuple[list[tuple[int, str]], int]:
    """Return the auth states that only an older secret opens, and how many none does."""
    async with store.scan() as tx:
        states = await identities.all_states(tx)
    first, every = Keys.auth_state_box(_alone(keys)), keys.auth_state_box()
    sealed, lost = [], 0
    for user_id, state in states:
        if _opens(first, state):
            continue
        if _opens(every, state):
            sealed.append((user_id, state))
        else:
            lost += 1
    return sealed, lost


async def _starting(tx: Reading, keys: Keys) -> int:
    count = 0
    for server in await servers.starting(tx):
        for former in keys.former:
            token = secrets.server_token(former.tokens, server.id, server.start_generation)
            count += await grants.token_by_hash(tx, secrets.hash_token(token), 0.0) is not None
    return count


def _alone(keys: Keys) -> Keys:
    return Keys(keys.tokens, keys.cookies, keys.xsrf, keys.auth_state)


def _opens(box: MultiFernet, state: str) -> bool:
    try:
        box.decrypt(state)
    except InvalidToken:
        return False
    return True


def _secrets(hub: Hub) -> secret.Secrets:
    return secret.find(hub.cookie_secret, hub.cookie_secret_file, hub.folder, os.environ)


def _file(hub: Hub) -> Path:
    path = secret.place(hub.cookie_secret, hub.cookie_secret_file, hub.folder, os.environ)
    if path is None:
        raise ConfigError(
            f"The secret comes from c.Hub.cookie_secret or the variable {secret.VARIABLE}, so it is changed there: "
            "a new one (openssl rand -hex 32) in front of the present one, which is taken out after "
            "`nbhub secret retire` has sealed anew what it sealed."
        )
    return path
