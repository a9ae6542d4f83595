"""Between rows and records: JSON columns, phases, and the columns of each record in the order of its fields."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from nbhub.core.model import OAuthClient, Phase, ProgressEvent, Role, Server, Service, ServiceEntry, Token, User
from nbhub.store.transaction import Row

_encoder = msgspec.json.Encoder()
_objects = msgspec.json.Decoder(dict[str, Any])
_strings = msgspec.json.Decoder(list[str])
_events = msgspec.json.Decoder(tuple[ProgressEvent, ...])
_PHASES = {phase.value: phase for phase in Phase}


def dumps(value: Any) -> str:
    """Return `value` as JSON."""
    return _encoder.encode(value).decode()


def loads(text: str) -> dict[str, Any]:
    """Return the object that a JSON column holds."""
    return {} if text == "{}" else _objects.decode(text)


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[str, ...]:
    """Return the strings that a JSON column holds."""
    return tuple(_strings.decode(text))


def user(row: Row) -> User:
    """A row of `users`."""
    number, name, admin, created, last_activity, user_info, temporary = row
    info = None if user_info is None else _objects.decode(user_info)
    return User(number, name, bool(admin), created, last_activity, info, bool(temporary))


def role(row: Row) -> Role:
    """A row of `roles`."""
    return Role(row[0], row[1], row[2], words(row[3]))


def service(row: Row) -> Service:
    """A row of `services`."""
    return Service(row[0], row[1], bool(row[2]), row[3])


def service_entry(row: Row) -> ServiceEntry:
    """A row as `columns.SERVICE_ENTRY` selects it."""
    number, name, admin, url, info, display, command, no_confirm, from_config, process = row
    return ServiceEntry(
        number, name, bool(admin), url, loads(info), bool(display), words(command), bool(no_confirm),
        bool(from_config), loads(process),
    )  # fmt: skip


def server(row: Row) -> Server:
    """A row as `servers.COLUMNS` selects it."""
    (
        number, user_id, user_name, name, display_name, wanted, generation, options, removing, due, phase, observed,
        launched, start_generation, state, url, message, log_tail, events, started, ready, stopped, deadline,
        last_activity, lease_token,
    ) = row  # fmt: skip
    return Server(
        number, user_id, user_name, name, display_name, bool(wanted), generation,
        None if options is None else loads(options), bool(removing), due, _PHASES[phase], observed, bool(launched),
        start_generation, loads(state), url, message, log_tail, () if events == "[]" else _events.decode(events),
        started, ready, stopped, deadline, last_activity, lease_token,
    )  # fmt: skip


def servers(rows: Sequence[Row]) -> list[Server]:
    """Rows as `servers.COLUMNS` selects them."""
    return [server(row) for row in rows]


def token(row: Row) -> Token:
    """A row as `tokens.COLUMNS` selects it."""
    number, user_id, service_id, client_id, session_id, scopes, note, created, expires_at, last_activity, server_id = (
        row
    )
    return Token(
        number, user_id, service_id, client_id, session_id, words(scopes), note, created, expires_at, last_activity,
        server_id,
    )  # fmt: skip


def client(row: Row) -> OAuthClient:
    """A row of `oauth_clients`."""
    identifier, description, secret_hash, redirect_uri, allowed_scopes, server_id, user_id, service_id = row
    return OAuthClient(
        identifier, description, secret_hash, redirect_uri, words(allowed_scopes), server_id, user_id, service_id
    )
