"""Where the API server is and who the hub is there: the pod's own service account, a kubeconfig, or settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import httpx2
import msgspec
import yaml
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import SERVICE_ACCOUNT, KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError as LightkubeError

from nbhub.errors import ConfigError

MOST_CONNECTIONS = 100
IDLE_SECONDS = 60.0
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
    at_once: int = 32


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


def connect(config: SingleConfig) -> httpx2.AsyncClient:
    """Return a client for that address and identity; rotated tokens are read again. Raises ConfigError."""
    parameters = _Parameters(timeout=httpx2.Timeout(None))
    try:
        return client_adapter.AsyncClient(config, parameters)
    except (LightkubeError, OSError, ValueError, AssertionError) as error:
        raise ConfigError(f"The way to the Kubernetes API server cannot be used ({error}). {HOW}") from error


def own_namespace(config: SingleConfig) -> str:
    """Return the namespace that the hub runs in, or that the kubeconfig names."""
    return config.namespace


def hub_namespace() -> str:
    """Return the namespace of the pod that this process runs in; `default` outside of one."""
    try:
        return (Path(SERVICE_ACCOUNT) / "namespace").read_text().strip() or "default"
    except OSError:
        return "default"


@dataclasses.dataclass
class _Parameters(client_adapter.ConnectionParams):
    """What the connections are like."""

    def httpx_params(self, config: SingleConfig) -> dict[str, object]:
        """See ConnectionParams."""
        limits = httpx2.Limits(
            max_connections=None, max_keepalive_connections=MOST_CONNECTIONS, keepalive_expiry=IDLE_SECONDS
        )
        return {**super().httpx_params(config), "limits": limits}
