"""Where the API server is and who the hub is there: the pod's own service account, a kubeconfig, or settings."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import yaml
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError as LightkubeError

from nbhub.errors import ConfigError
from nbhub.spawners.kubernetes.wire import Wire

HOW = "Run the hub in a pod with a service account, or name a kubeconfig by KUBECONFIG or by c.KubeSpawner.kubeconfig."


@dataclass(frozen=True, slots=True)
class Access:
    """The settings that say how to reach the API server; empty ones leave what the environment says."""

    kubeconfig: str = ""
    host: str = ""
    ca_cert: str = ""
    verify: bool | None = None
    attempt_seconds: float = 3.0
    retry_seconds: float = 30.0
    at_once: int = 16


def load(access: Access) -> SingleConfig:
    """Return the address and the identity that are in force; raises ConfigError."""
    try:
        config = KubeConfig.from_file(access.kubeconfig) if access.kubeconfig else KubeConfig.from_env()
        found = config.get()
    except (LightkubeError, OSError, yaml.YAMLError, msgspec.ValidationError, KeyError, TypeError) as error:
        raise ConfigError(f"No way to a Kubernetes API server was found ({error}). {HOW}") from error
    assert found is not None
    changed = {"server": access.host, "certificate_auth": access.ca_cert}
    cluster = msgspec.structs.replace(found.cluster, **{name: value for name, value in changed.items() if value})
    if access.ca_cert:
        cluster.certificate_auth_data = None
    if access.verify is False:
        cluster = msgspec.structs.replace(cluster, insecure=True, certificate_auth=None, certificate_auth_data=None)
    return found._replace(cluster=cluster)


def connect(config: SingleConfig) -> Wire:
    """Return the way to the API server as that identity; raises ConfigError."""
    try:
        user = config.user or User()
        tls = client_adapter.verify_cluster(config.cluster, user, config.abs_file)
        identity = client_adapter.user_auth(config.user)
    except (LightkubeError, OSError, ValueError) as error:
        raise ConfigError(f"The way to the Kubernetes API server cannot be used ({error}). {HOW}") from error
    tls.set_alpn_protocols(["http/1.1"])
    return Wire(config.cluster.server, tls, identity)
