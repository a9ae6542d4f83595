"""Grants: tokens, OAuth clients and codes, sessions, roles. One door to the modules that hold them.

Whatever takes a right away rings `grants:…`, so that no process goes on remembering it.
"""

from __future__ import annotations

from nbhub.store.oauth import create_code, delete_client, delete_expired_codes, get_client, take_code
from nbhub.store.owners import TokenOwner, find_session, find_token, granted_to
from nbhub.store.roles import (
    delete_role,
    delete_roles_gone,
    get_role,
    give_role,
    held_by,
    list_roles,
    names_holding,
    put_role,
    roles_of_source,
    set_holders,
    take_role,
)
from nbhub.store.sessions import (
    create_session,
    delete_expired_sessions,
    delete_session,
    delete_sessions_of,
    list_sessions,
    session_lives,
)
from nbhub.store.tokens import (
    API_CLIENT,
    create_token,
    delete_expired_tokens,
    delete_token,
    delete_tokens_of_client,
    get_token,
    issue_server_grants,
    list_tokens,
    put_client,
    revoke_server_grants,
    token_by_hash,
    tokens_of_client,
    touch_many,
)
from nbhub.store.transaction import Writing

__all__ = [
    "API_CLIENT", "TokenOwner", "create_code", "create_session", "create_token", "delete_client", "delete_expired",
    "delete_role", "delete_roles_gone", "delete_session", "delete_sessions_of", "delete_token",
    "delete_tokens_of_client", "find_session", "find_token", "get_client", "get_role", "get_token", "give_role",
    "granted_to", "held_by",
    "issue_server_grants", "list_roles", "list_sessions", "list_tokens", "names_holding", "put_client", "put_role",
    "revoke_server_grants", "roles_of_source", "session_lives", "set_holders", "take_code", "take_role",
    "token_by_hash", "tokens_of_client", "touch_many",
]  # fmt: skip


async def delete_expired(tx: Writing, now: float) -> int:
    """Delete tokens, codes and sessions that have expired; return how many."""
    return (
        await delete_expired_tokens(tx, now)
        + await delete_expired_codes(tx, now)
        + await delete_expired_sessions(tx, now)
    )
