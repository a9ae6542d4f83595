"""Settings that say what a user's pod is made of."""

from __future__ import annotations

import os
from collections.abc import Mapping

from traitlets import Bool, Callable, Dict, HasTraits, Int, List, Unicode, Union

from nbhub.traits import Command

_FILLED = "Fields such as {username} are filled in."
_KEYED = "A list, or a dict whose values are taken in the order of its keys."


class PodSettings(HasTraits):
    """What a user's pod is made of."""

    hub_environment: Mapping[str, str] = os.environ

    # the container
    cmd = Command(
        None,
        allow_none=True,
        help="Command that starts a server, given to the image as its arguments; None runs what the image runs by "
        "itself, and then `args` has no effect.",
    ).tag(config=True)
    ip = Unicode("0.0.0.0", help="Address that servers listen on inside of their pods; '::' for IPv6.").tag(config=True)  # noqa: S104
    port = Int(8888, min=1, max=65535, help="Port that servers listen on inside of their pods.").tag(config=True)
    image = Unicode(
        "quay.io/jupyterhub/singleuser:latest",
        help="Image of the server's container. Name a version, so that a start today and one tomorrow are the same.",
    ).tag(config=True)
    image_pull_policy = Unicode(
        None,
        allow_none=True,
        help="Always, IfNotPresent or Never; None leaves it to Kubernetes, which pulls the tag latest always.",
    ).tag(config=True)
    image_pull_secrets = Union(
        [List(), Unicode()],
        default_value=[],
        help="Secrets for registries that ask who pulls: a list of their names, or of {'name': …}.",
    ).tag(config=True)
    working_dir = Unicode(
        None, allow_none=True, help=f"Folder that the command starts in; None takes the image's. {_FILLED}"
    ).tag(config=True)
    lifecycle_hooks = Dict(help="What Kubernetes runs in the container: {'postStart': …, 'preStop': …}.").tag(
        config=True
    )
    extra_container_config = Dict(
        help="Laid over the finished container: each key replaces the whole field of that name."
    ).tag(config=True)
    extra_resource_limits = Dict(help="Further limits, such as {'nvidia.com/gpu': '1'}.").tag(config=True)
    extra_resource_guarantees = Dict(help="Further requests, such as {'ephemeral-storage': '1Gi'}.").tag(config=True)
    env_keep = List(
        Unicode(), help="Variables of the hub's own environment that servers get as well; none unless they are named."
    ).tag(config=True)
    secret_environment = List(
        Unicode(),
        ["*TOKEN*", "*SECRET*", "*PASSWORD*", "*PASSWD*", "*API_KEY*", "*ACCESS_KEY*", "*PRIVATE_KEY*"],
        help="Patterns of names of variables that are kept in a Secret, so that whoever may look at pods does not see "
        "their values. Variables with the server's token are kept there always.",
    ).tag(config=True)

    # safety
    uid = Union(
        [Int(), Callable()],
        default_value=None,
        allow_none=True,
        help="User id that the server runs as, or a function of the spawner; None takes the image's.",
    ).tag(config=True)
    gid = Union(
        [Int(), Callable()],
        default_value=None,
        allow_none=True,
        help="Group id that the server runs as, or a function of the spawner; None takes the image's.",
    ).tag(config=True)
    fs_gid = Union(
        [Int(), Callable()],
        default_value=None,
        allow_none=True,
        help="Group that volumes belong to, or a function of the spawner; most images want 100.",
    ).tag(config=True)
    supplemental_gids = Union(
        [List(), Callable()],
        default_value=[],
        help="Further group ids of all containers, for volumes that several users share; or a function of the spawner.",
    ).tag(config=True)
    privileged = Bool(
        False, help="Run the container privileged, which makes users masters of the node; for trusted users only."
    ).tag(config=True)
    allow_privilege_escalation = Bool(
        False,
        allow_none=True,
        help="Let programs such as sudo give more rights than the server has; None leaves it to Kubernetes.",
    ).tag(config=True)
    restricted = Bool(
        True,
        help="Hold servers to the restricted Pod Security Standard as far as other settings do not ask for more: no "
        "capabilities, the runtime's seccomp profile, and not root where `uid` says who it is. Turn it off for images "
        "that need more without a setting that says so.",
    ).tag(config=True)
    container_security_context = Union(
        [Dict(), Callable()],
        default_value={},
        help="Laid over the container's securityContext, as in {'capabilities': {'add': ['NET_ADMIN']}}; or a function "
        "of the spawner.",
    ).tag(config=True)
    pod_security_context = Union(
        [Dict(), Callable()],
        default_value={},
        help="Laid over the pod's securityContext, as in {'fsGroupChangePolicy': 'OnRootMismatch'}; or a function of "
        "the spawner.",
    ).tag(config=True)
    service_account = Unicode(
        None, allow_none=True, help=f"Service account of the pod; None takes the namespace's default. {_FILLED}"
    ).tag(config=True)
    automount_service_account_token = Bool(
        None,
        allow_none=True,
        help="Give the pod a token for the Kubernetes API; None gives one only where `service_account` is set.",
    ).tag(config=True)

    # where it runs
    node_selector = Dict(help="Labels that nodes for servers must have.").tag(config=True)
    tolerations = Union([List(), Dict()], default_value=[], help=f"Taints that servers tolerate. {_KEYED}").tag(
        config=True
    )
    node_affinity_preferred = Union(
        [List(), Dict()], default_value=[], help=f"Nodes to prefer: PreferredSchedulingTerm. {_KEYED}"
    ).tag(config=True)
    node_affinity_required = Union(
        [List(), Dict()], default_value=[], help=f"Nodes to run on: NodeSelectorTerm, one has to fit. {_KEYED}"
    ).tag(config=True)
    pod_affinity_preferred = Union(
        [List(), Dict()], default_value=[], help=f"Pods to be near to: WeightedPodAffinityTerm. {_KEYED}"
    ).tag(config=True)
    pod_affinity_required = Union(
        [List(), Dict()], default_value=[], help=f"Pods that must be near: PodAffinityTerm. {_KEYED}"
    ).tag(config=True)
    pod_anti_affinity_preferred = Union(
        [List(), Dict()], default_value=[], help=f"Pods to stay away from: WeightedPodAffinityTerm. {_KEYED}"
    ).tag(config=True)
    pod_anti_affinity_required = Union(
        [List(), Dict()], default_value=[], help=f"Pods that must not be near: PodAffinityTerm. {_KEYED}"
    ).tag(config=True)
    scheduler_name = Unicode(None, allow_none=True, help="Scheduler that finds the node; None takes the usual.").tag(
        config=True
    )
    priority_class_name = Unicode(help="PriorityClass of the pod; empty takes the usual.").tag(config=True)

    # what else belongs to it
    volumes = Union([List(), Dict()], default_value=[], help=f"Volumes of the pod. {_KEYED} {_FILLED}").tag(config=True)
    volume_mounts = Union(
        [List(), Dict()], default_value=[], help=f"Where the container finds the volumes. {_KEYED} {_FILLED}"
    ).tag(config=True)
    init_containers = Union(
        [List(), Dict()], default_value=[], help=f"Containers that run before the server. {_KEYED} {_FILLED}"
    ).tag(config=True)
    extra_containers = Union(
        [List(), Dict()], default_value=[], help=f"Containers beside the server. {_KEYED} {_FILLED}"
    ).tag(config=True)
    extra_labels = Dict(help=f"Further labels of the pod, its Secret and its Service. {_FILLED}").tag(config=True)
    extra_annotations = Dict(help=f"Further annotations of the pod. {_FILLED}").tag(config=True)
    extra_pod_config = Dict(
        help=f"Laid over the finished spec of the pod: each key replaces the whole field of that name. {_FILLED}"
    ).tag(config=True)
    common_labels = Dict(
        default_value={
            "app.kubernetes.io/name": "jupyterhub",
            "app.kubernetes.io/managed-by": "nbhub",
            "app": "jupyterhub",
            "heritage": "jupyterhub",
        },
        help="Labels of everything that is made for servers.",
    ).tag(config=True)
    component_label = Unicode(
        "singleuser-server", help="Value of the label component of pods; network policies select by it."
    ).tag(config=True)

    # functions
    modify_pod_hook = Callable(
        None,
        allow_none=True,
        help="Called with the spawner and the pod before it is made; returns the pod, or changes it in place.",
    ).tag(config=True)
    after_pod_created_hook = Callable(
        None, allow_none=True, help="Called with the spawner and the pod as Kubernetes has made it."
    ).tag(config=True)
    get_pod_url = Callable(
        None, allow_none=True, help="Called with the spawner and the pod; returns the URL that the server answers at."
    ).tag(config=True)
