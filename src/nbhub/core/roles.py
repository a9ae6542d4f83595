"""Roles: named lists of scopes. The built-in ones, and what a role may be called."""

from __future__ import annotations

import re

from nbhub.core.model import Role
from nbhub.errors import BadRequest

USER, ADMIN, SERVER, TOKEN = "user", "admin", "server", "token"
_NAME = re.compile(r"[a-z][a-z0-9\-_~.]{1,253}[a-z0-9]")

BUILT_IN: dict[str, Role] = {
    USER: Role(0, USER, "Every user: own profile, servers and tokens.", ("self",)),
    ADMIN: Role(
        0,
        ADMIN,
        "Administrators: everything, on everybody's behalf.",
        (
            "admin-ui",
            "admin:users",
            "admin:servers",
            "admin:services",
            "tokens",
            "admin:groups",
            "list:services",
            "read:services",
            "read:hub",
            "proxy",
            "shutdown",
            "access:services",
            "access:servers",
            "read:roles",
            "read:metrics",
            "shares",
        ),
    ),
    SERVER: Role(
        0,
        SERVER,
        "Every running server: reports activity, lets its owner in.",
        ("users:activity!user", "access:servers!server"),
    ),
    TOKEN: Role(0, TOKEN, "Tokens without scopes of their own: all that their owner may do.", ("inherit",)),
}

# What each may be given in the configuration is decided there, except for administrators, who must stay able to act.
FIXED = frozenset((ADMIN,))


def check_name(name: str) -> None:
    """Raise BadRequest unless a role may be called that."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name[:80]!r} cannot be the name of a role: it takes 3 to 255 characters out of a-z, 0-9 and -_~. "
            "and begins with a letter, ends with a letter or digit."
        )
