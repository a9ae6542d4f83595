"""The namespace of a user, where each has one. Pure."""

from __future__ import annotations

from nbhub.core.launch import Launch
from nbhub.spawners.kubernetes import labels, slugs
from nbhub.spawners.kubernetes.names import Names, expand_all
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.kubernetes.spelling import Plain


def namespace(settings: KubeSettings, launch: Launch, names: Names) -> Plain:
    """Return the namespace that a launch's objects are in."""
    own = expand_all(settings.setting(launch, "user_namespace_labels"), names.fields)
    notes = expand_all(settings.setting(launch, "user_namespace_annotations"), names.fields)
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": names.namespace,
            "labels": {labels.MANAGED_BY: "nbhub", labels.USER: slugs.label_value(launch.user.name), **own},
            "annotations": {**notes, labels.USER: launch.user.name},
        },
    }
