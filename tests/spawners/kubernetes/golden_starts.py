"""The starts whose objects are kept in `golden/`: settings as hubs have them, and one that sets what it can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbhub.spawners.kubernetes import objects
from nbhub.spawners.kubernetes.settings import KubeSettings
from spawners.kubernetes.starts import prepared_launch

Json = dict[str, Any]
_EXISTS = {"matchExpressions": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}
_USERS = {
    "weight": 100,
    "preference": {"matchExpressions": [{"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}]},
}
_NEAR = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"course": "maths"}}}

# As the chart for JupyterHub sets them.
Z2JH: Mapping[str, Any] = {
    "cmd": "jupyterhub-singleuser",
    "common_labels": {"app": "jupyterhub", "chart": "jupyterhub-4.2.0", "release": "hub"},
    "extra_labels": {"hub.jupyter.org/network-access-hub": "true"},
    "image": "quay.io/jupyterhub/k8s-singleuser-sample:4.2.0",
    "image_pull_secrets": [{"name": "image-pull-secret"}],
    "mem_guarantee": "1G",
    "uid": 1000,
    "fs_gid": 100,
    "storage_pvc_ensure": True,
    "storage_access_modes": ["ReadWriteOnce"],
    "storage_capacity": "10Gi",
    "volumes": [{"name": "volume-{user_server}", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}],
    "volume_mounts": [{"mountPath": "/home/jovyan", "name": "volume-{user_server}"}],
    "node_affinity_preferred": [_USERS],
    "tolerations": [
        {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}
        for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
    ],
    "init_containers": [
        {
            "name": "block-cloud-metadata",
            "image": "quay.io/jupyterhub/k8s-network-tools:4.2.0",
            "command": ["iptables", "-I", "OUTPUT", "-d", "169.254.169.254", "-j", "DROP"],
            "securityContext": {"privileged": True, "runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}},
        }
    ],
    "scheduler_name": "hub-user-scheduler",
    "priority_class_name": "hub-default-priority",
    "default_url": "/lab",
}
EVERYTHING: Mapping[str, Any] = {
    "cmd": ["jupyterhub-singleuser"],
    "args": ["--log-level=INFO", "--collaborative={username}"],
    "ip": "::",
    "port": 9000,
    "image": "registry.example.org/lab:2",
    "image_pull_policy": "IfNotPresent",
    "image_pull_secrets": ["registry"],
    "working_dir": "/home/{username}",
    "environment": {
        "GREETING": "hello {unescaped_username}",
        "BOTH": "$(GREETING) $(NODE)",
        "NODE": {"valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        "DB_PASSWORD": "hunter2",
        "FROM_SECRET": {"value_from": {"secret_key_ref": {"name": "shared", "key": "k", "optional": True}}},
    },
    "mem_limit": "2G",
    "mem_guarantee": "1G",
    "cpu_limit": 2,
    "cpu_guarantee": 0.25,
    "extra_resource_limits": {"nvidia.com/gpu": "1"},
    "extra_resource_guarantees": {"ephemeral-storage": "1Gi"},
    "lifecycle_hooks": {"preStop": {"exec": {"command": ["sync"]}}},
    "extra_container_config": {"terminationMessagePolicy": "FallbackToLogsOnError"},
    "uid": lambda spawner: 1000 + spawner.user.id,
    "gid": 100,
    "fs_gid": 100,
    "supplemental_gids": [2000],
    "pod_security_context": {"fsGroupChangePolicy": "OnRootMismatch"},
    "service_account": "user-{username}",
    "automount_service_account_token": False,
    "node_selector": {"kubernetes.io/os": "linux"},
    "tolerations": {"gpu": {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}},
    "node_affinity_required": [_EXISTS],
    "node_affinity_preferred": [_USERS],
    "pod_affinity_preferred": [{"weight": 10, "podAffinityTerm": _NEAR}],
    "pod_affinity_required": [_NEAR],
    "pod_anti_affinity_preferred": [{"weight": 10, "podAffinityTerm": _NEAR}],
    "pod_anti_affinity_required": [_NEAR],
    "scheduler_name": "default-scheduler",
    "priority_class_name": "system-cluster-critical",
    "volumes": {
        "home": {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}},
        "scratch": {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
    },
    "volume_mounts": {
        "home": {"name": "home", "mountPath": "/home/{username}"},
        "scratch": {"name": "scratch", "mountPath": "/scratch"},
    },
    "init_containers": {"chown": {"name": "prepare", "image": "busybox", "args": ["true"]}},
    "extra_containers": [{"name": "beside", "image": "busybox", "args": ["sleep", "inf"]}],
    "extra_labels": {"course": "maths", "user": "{username}"},
    "extra_annotations": {"example.org/contact": "{unescaped_username}"},
    "extra_pod_config": {"terminationGracePeriodSeconds": 20, "shareProcessNamespace": True},
    "storage_pvc_ensure": True,
    "storage_capacity": "5Gi",
    "storage_class": "fast",
    "storage_access_modes": ["ReadWriteMany"],
    "storage_selector": {"matchLabels": {"kind": "home"}},
    "storage_extra_labels": {"backup": "daily"},
    "storage_extra_annotations": {"example.org/owner": "{username}"},
    "services_enabled": True,
}
STARTS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "default": ("ada", "", {}),
    "z2jh": ("Grace.Hopper@example.org", "", Z2JH),
    "everything": ("Ada L", "big gpu", EVERYTHING),
    "user-namespaces": (
        "ada",
        "gpu",
        {"enable_user_namespaces": True, "storage_pvc_ensure": True, "storage_capacity": "1Gi"},
    ),
    "privileged": ("ada", "", {"privileged": True, "uid": 0}),
}


async def objects_of(name: str, **more: Any) -> Json:
    """Return all objects of a start, by their kind."""
    user, server, given = STARTS[name]
    settings = KubeSettings(**{"namespace": "hub", **given, **more})
    made = objects.build(settings, await prepared_launch(settings, user, server))
    found = (made.namespace, made.pvc, made.secret, made.pod, made.service)
    return {item["kind"]: item for item in found if item is not None}
