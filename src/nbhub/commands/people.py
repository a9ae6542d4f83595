"""Commands about accounts: invite, reset-password, token."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine

from nbhub import accounts
from nbhub.commands.call import Call


def invite(call: Call) -> int:
    """Print a link with which somebody makes an account."""
    name = call.words[0] if call.words else None
    return _print_link(accounts.invitation(call.hub(), name, admin="--admin" in call.flags))


def reset_password(call: Call) -> int:
    """Print a link with which a user sets a new password."""
    return _print_link(accounts.password_reset(call.hub(), call.words[0]))


def token(call: Call) -> int:
    """Print a new API token, alone on its line."""
    print(asyncio.run(accounts.new_token(call.hub(), call.words[0], admin="--admin" in call.flags)))
    return 0


def _print_link(made: Coroutine[None, None, accounts.Link]) -> int:
    link = asyncio.run(made)
    print(link.url)
    print(f"It works once, until {link.expiry}.", file=sys.stderr)
    return 0
