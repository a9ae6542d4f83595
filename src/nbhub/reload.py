"""Settings read again while the hub runs: which may change, and what is done with them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets.config import Configurable

from nbhub import config
from nbhub.app import Hub
from nbhub.authenticators.admission import make_named_users
from nbhub.core import scopes
from nbhub.errors import NbhubError
from nbhub.services import Declared

if TYPE_CHECKING:
    from nbhub.operation import Operation

Reread = Callable[[], tuple[Hub, Sequence[str]]]  # the settings, and what is to be said about them

PID_FILE = "nbhub.pid"

# Settings of the hub that are looked up anew whenever they are needed. All of a spawner's hold from the next start on.
HUB = frozenset(
    {
        *("default_url", "redirect_to_server", "default_server_name", "implicit_spawn_seconds"),
        *("cookie_max_age_days", "shutdown_on_logout", "allow_named_servers", "named_server_limit_per_user"),
        *("active_server_limit", "concurrent_spawn_limit", "slow_spawn_timeout", "slow_stop_timeout", "route_timeout"),
        *("oauth_token_expires_in", "oauth_require_pkce", "token_expires_in_max_seconds"),
        *("authenticate_prometheus", "use_legacy_stopped_server_status_code", "user_redirect_hook"),
        *("api_page_default_limit", "api_page_max_limit", "template_paths", "template_vars", "logo_file"),
        *("services", "load_roles", "load_groups", "custom_scopes", "extra_user_scopes", "idle_timeout"),
        *("log_level", "cleanup_servers", "cleanup_proxy", "shutdown_timeout"),
    }
)
# What the web was built with.
WEB_NOT = ("base_url", "public_url", "trusted_proxies", "max_body_bytes", "response_headers")
SPAWNER_NOT = frozenset({"ip", "run_dir", "data_dir", "log_limit", "port_first", "port_last"})
AUTHENTICATOR = frozenset(
    {
        *("admin_users", "allowed_users", "allow_all", "allow_existing_users", "blocked_users", "username_map"),
        *("username_pattern", "allowed_groups", "admin_groups", "post_auth_hook", "auth_refresh_age", "auto_login"),
        *("auth_refresh_strict", "refresh_pre_spawn", "refresh_pre_stop", "reconcile_auth_state_hook"),
        *("otp_prompt", "signup"),
    }
)


async def renew(running: Operation, reread: Reread) -> None:
    """Take over what may change in a running hub, all or nothing; say what was left."""
    try:
        fresh, warnings = await asyncio.to_thread(reread)
        spawner = config.build(fresh.spawner_class, fresh.config, parent=fresh)
        source = config.build(fresh.authenticator_class, fresh.config, parent=fresh)
        spawner.check_settings()
        source.check_settings()
        settings = fresh.web_settings()
        keys = running.keys_of(fresh)
        declared = fresh.declared()
        if declared != running.declared:
            await running.apply(declared)
    except NbhubError as error:
        running.say(f"The configuration stays as it was: {error.message}")
        return
    for warning in warnings:
        running.say(f"Warning: {warning}")
    pairs: list[tuple[Any, Any, frozenset[str]]] = [(running.hub, fresh, HUB)]
    pairs.append((running.spawner, spawner, spawner_may(running.spawner)))
    pairs.append((running.authenticator, source, AUTHENTICATOR))
    told = [take_over(*pair) for pair in pairs if same(type(pair[0]), type(pair[1]))]
    kept = {name: getattr(running.desk.settings, name) for name in WEB_NOT}
    running.desk.settings = dataclasses.replace(settings, **kept)
    changed_keys = keys != running.keys
    running.use_keys(keys)
    running.reconciler.pace = running.hub.pace(running.spawner)
    running.store.reach.patience = running.hub.route_timeout
    if declared != running.declared:
        _follow(running, declared)
    logging.getLogger().setLevel(str(running.hub.log_level))
    try:
        await make_named_users(running.authenticator, running.store, running.clock())
    except NbhubError as error:
        running.say(f"Warning: not everybody whom the settings name could be made a user: {error.message}")
    if changed_keys:
        told.append((["the hub's secret"], []))
    done, left = (", ".join(names for pair in told for names in pair[which]) for which in (0, 1))
    running.say(f"Configuration read again. Changed: {done or 'nothing'}.")
    if left:
        running.say(f"Only a restart changes: {left}.")


def _follow(running: Operation, declared: Declared) -> None:
    """Let what is running follow the services and scopes that the database has by now."""
    scopes.declare(declared.custom_scopes)
    running.store.wakeup.ring("grants:all", "routes")
    running.keeper.change(declared.services)
    running.declared = declared


def take_over(running: Configurable, fresh: Configurable, may: frozenset[str]) -> tuple[list[str], list[str]]:
    """Give the running object what the fresh one has, where that may change; return the names done and left."""
    done, left = [], []
    for name in sorted(running.trait_names(config=True)):
        value = getattr(fresh, name)
        if same(getattr(running, name), value):
            if name in may and callable(value):
                setattr(running, name, value)  # what it refers to may have changed
            continue
        label = f"{type(running).__name__}.{name}"
        if name in may:
            setattr(running, name, value)
            done.append(label)
        else:
            left.append(label)
    return done, left


def spawner_may(spawner: Configurable) -> frozenset[str]:
    """Return the settings of a spawner that hold from the next start on."""
    return frozenset(spawner.trait_names(config=True)) - SPAWNER_NOT


@contextlib.contextmanager
def announced(hub: Hub) -> Iterator[None]:
    """Write down the hub's process id for `nbhub reload`, until the end of the block."""
    path = hub.folder / PID_FILE
    path.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.read_text().strip() == str(os.getpid()):
                path.unlink()


def signal_hub(folder: Path) -> int | None:
    """Send SIGHUP to the hub of the folder; None when there is none."""
    try:
        pid = int((folder / PID_FILE).read_text())
        if b"nbhub" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return None  # the number was given to another program since
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError):
        return None
    return pid


def same(one: Any, other: Any) -> bool:
    """Functions of a file are new objects at every reading; they are the same if their code is."""
    if callable(one) and callable(other) and hasattr(one, "__code__") and hasattr(other, "__code__"):
        return bool(one.__code__ == other.__code__)
    if isinstance(one, type) and isinstance(other, type):
        return one.__qualname__ == other.__qualname__
    return bool(one == other)
