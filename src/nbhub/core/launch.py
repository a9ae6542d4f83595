"""Launch: everything that one start of one server is made of; built once, never mutated.

The environment is the contract with `jupyterhub-singleuser` 1.x to 6.x images, which take all they know from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nbhub.core import names
from nbhub.core.model import Server, User

_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class HubAddress:
    """Where servers and browsers reach the hub. `api_url` has no trailing slash; `base_url` has one at both ends."""

    base_url: str = "/"
    api_url: str = "http://127.0.0.1:8081/hub/api"
    public_url: str = ""  # full public URL of base_url, ending in "/"; empty when unknown
    cookie_options: Mapping[str, Any] = field(default_factory=dict)

    def reached_at(self, connect_url: str) -> HubAddress:
        """Return the address for servers that reach the hub elsewhere, such as at http://hub:8081."""
        return replace(self, api_url=f"{connect_url.rstrip('/')}{self.base_url}hub/api")

    @property
    def public_host(self) -> str:
        """Origin of the public URL, without a path; empty when unknown."""
        scheme, separator, rest = self.public_url.partition("://")
        return f"{scheme}{separator}{rest.partition('/')[0]}" if separator else ""


@dataclass(frozen=True, slots=True)
class LaunchTemplate:
    """What the configuration says about every server of a spawner. Memory in bytes, CPU in cores."""

    command: tuple[str, ...] = ("jupyterhub-singleuser",)
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # variables that the backend fetches itself
    default_url: str = ""
    notebook_dir: str = ""
    debug: bool = False
    disable_user_config: bool = False
    mem_limit: int | None = None
    mem_guarantee: int | None = None
    cpu_limit: float | None = None
    cpu_guarantee: float | None = None
    oauth_allowed_scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of one server, complete but for the address it will listen on (see `bound_to`)."""

    server_id: int
    generation: int
    object_name: str  # safe as a DNS label, a file name and a container name; the same for every start of the server
    user: User
    groups: tuple[str, ...]
    server_name: str
    prefix: str  # "/user/alice/", percent-encoded
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    options: Mapping[str, Any]
    state: Mapping[str, Any]  # as last recorded: what an earlier start left behind
    api_token: str = field(repr=False)
    template: LaunchTemplate = field(default_factory=LaunchTemplate)
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the driver, where this start has its own

    def with_environment(self, extra: Mapping[str, str]) -> Launch:
        """Return the launch with variables added or replaced."""
        return replace(self, environment={**self.environment, **extra})

    def bound_to(self, ip: str, port: int) -> Launch:
        """Return the launch told to listen on `ip` and `port`; only this way do servers since 2.0 learn it."""
        host = f"[{ip}]" if ":" in ip else ip
        return self.with_environment({"JUPYTERHUB_SERVICE_URL": f"http://{host}:{port}{self.prefix}"})


def build(
    server: Server,
    user: User,
    groups: tuple[str, ...],
    hub: HubAddress,
    template: LaunchTemplate,
    api_token: str,
    settings: Mapping[str, Any] | None = None,
) -> Launch:
    """Build the launch of the server's current generation; the same inputs give the identical launch."""
    prefix = names.server_prefix(hub.base_url, user.name, server.name)
    fill = {"username": user.name, "base_url": prefix}
    environment = _identity(server, user, hub, prefix, api_token)
    environment |= _preferences(template, fill)
    environment |= _limits(template)
    environment |= template.environment
    return Launch(
        server_id=server.id,
        generation=server.generation,
        object_name=names.object_name(user.name, server.name),
        user=user,
        groups=groups,
        server_name=server.name,
        prefix=prefix,
        command=template.command,
        arguments=tuple(expand(a, fill) for a in template.arguments),
        environment=environment,
        options=server.options or {},
        state=server.state,
        api_token=api_token,
        template=template,
        settings=settings or {},
    )


def expand(text: str, fields: Mapping[str, str]) -> str:
    """Replace `{username}` and `{base_url}`; other braces stay, since shells and JSON have them too."""
    return _FIELD.sub(lambda found: fields.get(found[1], found[0]), text)


def _identity(server: Server, user: User, hub: HubAddress, prefix: str, api_token: str) -> dict[str, str]:
    full_name = f"{user.name}/{server.name}"
    environment = {
        "JUPYTERHUB_API_TOKEN": api_token,
        "JPY_API_TOKEN": api_token,
        "JUPYTERHUB_CLIENT_ID": names.server_client_id(user.name, server.name),
        "JUPYTERHUB_HOST": hub.public_host,
        "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{prefix}oauth_callback",
        "JUPYTERHUB_USER": user.name,
        "JUPYTERHUB_SERVER_NAME": server.name,
        "JUPYTERHUB_API_URL": hub.api_url,
        "JUPYTERHUB_ACTIVITY_URL": f"{hub.api_url}/users/{names.quote(user.name)}/activity",
        "JUPYTERHUB_BASE_URL": hub.base_url,
        "JUPYTERHUB_SERVICE_PREFIX": prefix,
        "JUPYTERHUB_PUBLIC_URL": hub.public_host + prefix if hub.public_url else "",
        "JUPYTERHUB_PUBLIC_HUB_URL": f"{hub.public_host}{hub.base_url}hub/" if hub.public_url else "",
        "JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED": "0",
    }
    access = json.dumps([f"access:servers!server={full_name}", f"access:servers!user={user.name}"])
    environment["JUPYTERHUB_OAUTH_SCOPES"] = access  # the only name that 2.x knows
    environment["JUPYTERHUB_OAUTH_ACCESS_SCOPES"] = access
    if hub.cookie_options:
        environment["JUPYTERHUB_COOKIE_OPTIONS"] = json.dumps(dict(hub.cookie_options))
    return environment


def _preferences(template: LaunchTemplate, fill: Mapping[str, str]) -> dict[str, str]:
    environment = {"JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES": json.dumps(list(template.oauth_allowed_scopes))}
    if template.notebook_dir:
        environment["JUPYTERHUB_ROOT_DIR"] = expand(template.notebook_dir, fill)
    if template.default_url:
        environment["JUPYTERHUB_DEFAULT_URL"] = expand(template.default_url, fill)
    if template.debug:
        environment["JUPYTERHUB_DEBUG"] = "1"
    if template.disable_user_config:
        environment["JUPYTERHUB_DISABLE_USER_CONFIG"] = "1"
    return environment


def _limits(template: LaunchTemplate) -> dict[str, str]:
    limits = {
        "MEM_LIMIT": template.mem_limit,
        "MEM_GUARANTEE": template.mem_guarantee,
        "CPU_LIMIT": None if template.cpu_limit is None else float(template.cpu_limit),
        "CPU_GUARANTEE": None if template.cpu_guarantee is None else float(template.cpu_guarantee),
    }
    return {name: str(value) for name, value in limits.items() if value}  # 0 sets none
