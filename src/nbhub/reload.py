"""Settings read again while the hub runs: which may change, and what is done with them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from traitlets.config import Configurable

from nbhub.app import Hub

PID_FILE = "nbhub.pid"

# Settings of the hub that are looked up anew whenever they are needed. All of a spawner's hold from the next start on.
HUB = frozenset(
    {
        *("default_url", "redirect_to_server", "default_server_name", "implicit_spawn_seconds"),
        *("cookie_max_age_days", "shutdown_on_logout", "allow_named_servers", "named_server_limit_per_user"),
        *("active_server_limit", "concurrent_spawn_limit", "slow_spawn_timeout", "slow_stop_timeout"),
        *("oauth_token_expires_in", "oauth_require_pkce", "token_expires_in_max_seconds"),
        *("authenticate_prometheus", "use_legacy_stopped_server_status_code", "user_redirect_hook"),
        *("api_page_default_limit", "api_page_max_limit", "template_paths", "template_vars", "logo_file"),
        *("log_level", "cleanup_servers", "cleanup_proxy", "shutdown_timeout"),
    }
)
# What the web was built with.
WEB_NOT = ("base_url", "public_url", "trusted_proxies", "max_body_bytes", "response_headers")
SPAWNER_NOT = frozenset({"poll_interval", "ip", "run_dir", "data_dir", "log_limit", "port_first", "port_last"})
AUTHENTICATOR = frozenset(
    {
        *("admin_users", "allowed_users", "allow_all", "allow_existing_users", "blocked_users", "username_map"),
        *("username_pattern", "allowed_groups", "admin_groups", "post_auth_hook", "auth_refresh_age", "auto_login"),
    }
)


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
