"""The Secret with the variables of a server that are nobody else's business. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from nbhub.core.launch import Launch
from nbhub.spawners.kubernetes import labels
from nbhub.spawners.kubernetes.names import Names
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.kubernetes.spelling import Plain


def secret(settings: KubeSettings, launch: Launch, names: Names, values: Mapping[str, str]) -> Plain:
    """Return the Secret of a launch that holds these values."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": labels.metadata(
            names.secret, names, labels.of_server(settings, launch, names), labels.notes(launch, {}, names)
        ),
        "type": "Opaque",
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in sorted(values.items())},
    }
