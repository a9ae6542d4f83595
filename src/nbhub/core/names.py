"""Names in URLs, OAuth client ids, cookies, DNS labels and container names."""

from __future__ import annotations

import base64
import hashlib
import re
import urllib.parse

_SAFE_LABEL = re.compile(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9]))*")
_LABEL_LIMIT = 48  # leaves room in a 63 character DNS label for a prefix


def quote(name: str) -> str:
    """Percent-encode a user or server name for a URL path, as JupyterHub does (`@` and `~` stay)."""
    return urllib.parse.quote(name, safe="@~")


def server_prefix(base_url: str, user: str, server: str) -> str:
    """Return the public path of a server, starting and ending with "/"."""
    prefix = f"{base_url}user/{quote(user)}/"
    return f"{prefix}{quote(server)}/" if server else prefix


def service_prefix(base_url: str, service: str) -> str:
    """Return the public path of a service, starting and ending with "/"."""
    return f"{base_url}services/{quote(service)}/"


def server_client_id(user: str, server: str) -> str:
    """Return the OAuth client id of a server; also the name of the cookie that it sets."""
    identifier = f"jupyterhub-user-{urllib.parse.quote(user)}"
    return f"{identifier}-{urllib.parse.quote(server)}" if server else identifier


def object_name(user: str, server: str) -> str:
    """Return a name for a server's object that is safe as a DNS label, file name and container name.

    Injective: two servers never share one. Plain names stay readable (`alice`, `alice--gpu`); all others are cut to
    their safe characters and carry a hash of the whole, after three dashes, which no plain name contains.
    """
    plain = f"{user}--{server}" if server else user
    parts = [user, server] if server else [user]
    if len(plain) <= _LABEL_LIMIT and all(_SAFE_LABEL.fullmatch(part) and "--" not in part for part in parts):
        return plain
    digest = base64.b32encode(hashlib.sha256(user.encode() + b"\xff" + server.encode()).digest())[:16].decode().lower()
    safe = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    if not safe[:1].isalpha():
        safe = f"x-{safe}"
    cut = safe[: _LABEL_LIMIT - 19].rstrip("-")
    return f"{cut}---{digest}"
