"""What a managed service is told, in its environment: the contract with programs that use HubAuth. Pure."""

from __future__ import annotations

import json

from nbhub.core import names
from nbhub.core.launch import HubAddress
from nbhub.services.declared import ServiceSpec


def build(spec: ServiceSpec, hub: HubAddress, api_token: str) -> dict[str, str]:
    """Return the variables; what the settings say of `environment` comes last and wins."""
    prefix = names.service_prefix(hub.base_url, spec.name)
    access = json.dumps(["access:services", f"access:services!service={spec.name}"])
    environment = {
        "JUPYTERHUB_SERVICE_NAME": spec.name,
        "JUPYTERHUB_API_TOKEN": api_token,
        "JPY_API_TOKEN": api_token,
        "JUPYTERHUB_CLIENT_ID": spec.client_id or f"service-{names.quote(spec.name)}",
        "JUPYTERHUB_HOST": hub.public_host,
        "JUPYTERHUB_OAUTH_CALLBACK_URL": spec.redirect_uri or f"{prefix}oauth_callback",
        "JUPYTERHUB_OAUTH_SCOPES": access,
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": access,
        "JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES": json.dumps(list(spec.allowed_scopes)),
        "JUPYTERHUB_USER": spec.user,
        "JUPYTERHUB_SERVER_NAME": "",
        "JUPYTERHUB_API_URL": hub.api_url,
        "JUPYTERHUB_BASE_URL": hub.base_url,
        "JUPYTERHUB_PUBLIC_URL": hub.public_host + prefix if hub.public_url and spec.url else "",
        "JUPYTERHUB_PUBLIC_HUB_URL": f"{hub.public_host}{hub.base_url}hub/" if hub.public_url else "",
        "JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED": "0",
    }
    if spec.url:
        environment |= {"JUPYTERHUB_SERVICE_URL": spec.url, "JUPYTERHUB_SERVICE_PREFIX": prefix}
    return environment | dict(spec.environment)
