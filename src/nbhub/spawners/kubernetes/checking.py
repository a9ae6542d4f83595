"""What is wrong with the settings of pods, found before anybody starts a server."""

from __future__ import annotations

import logging

from nbhub.core import launch as launches
from nbhub.core.launch import HubAddress
from nbhub.core.model import Server, User
from nbhub.errors import ConfigError, NbhubError
from nbhub.spawners import one_server
from nbhub.spawners.kubernetes import objects
from nbhub.spawners.kubernetes.names import SERVER_FIELDS, USER_FIELDS, field_names
from nbhub.spawners.kubernetes.settings import KubeSettings

log = logging.getLogger("nbhub.servers")
SOMEBODY = "somebody"


def check(settings: KubeSettings, *, named_servers: bool) -> None:
    """Raise ConfigError for templates that cannot be filled in, or that give the pods of two servers one name."""
    _names_are_apart(settings, named_servers)
    try:
        _build(settings)
    except NbhubError as error:
        if not any(getattr(settings, name) for name in one_server.HOOKS):
            raise ConfigError(error.message) from error
        log.warning("%s Starts fail, unless a hook of the configuration changes it.", error.message)
    if settings.storage_pvc_ensure and not settings.storage_capacity:
        log.warning(
            "c.KubeSpawner.storage_pvc_ensure is on without c.KubeSpawner.storage_capacity: Kubernetes makes no volume "
            "without a size, such as '10Gi'."
        )


def _names_are_apart(settings: KubeSettings, named_servers: bool) -> None:
    known = field_names(settings.pod_name_template)
    whose = known | (field_names(settings.user_namespace_template) if settings.enable_user_namespaces else set())
    if not USER_FIELDS & whose:
        raise ConfigError(
            f"c.KubeSpawner.pod_name_template = {settings.pod_name_template!r} has no field for the user, so all users "
            "would get one pod. Put {username} or {user_server} into it."
        )
    if named_servers and not SERVER_FIELDS & known:
        raise ConfigError(
            f"c.KubeSpawner.pod_name_template = {settings.pod_name_template!r} has no field for the server, so all "
            "servers of a user would get one pod. Put {servername} or {user_server} into it, or turn off "
            "c.JupyterHub.allow_named_servers."
        )


def _build(settings: KubeSettings) -> None:
    """Build the objects of a start that never happens."""
    user = User(id=1, name=SOMEBODY)
    server = Server(id=1, user_id=1, user_name=SOMEBODY, name="")
    objects.build(settings, launches.build(server, user, (), HubAddress(), settings.template(), "no token"))
