"""Settings that say how a server's objects are called, where they are, and what holds its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from traitlets import Bool, Dict, Enum, HasTraits, List, Unicode, default

from nbhub.spawners.kubernetes.names import Templates

_FILLED = "Fields such as {username} are filled in."
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class PlaceSettings(HasTraits):
    """How a server's objects are called, where they are, and what holds its files."""

    # names
    namespace = Unicode(help="Namespace of the pods: the hub's own when it runs in the cluster, else default.").tag(
        config=True
    )
    slug_scheme = Enum(
        ("safe", "escape"),
        "safe",
        help="How names of users and servers become fields of templates: safe is readable and never too long, escape "
        "is what KubeSpawner did before version 7.",
    ).tag(config=True)
    pod_name_template = Unicode(
        "jupyter-{user_server}",
        help="Name of the pod. Fields: username, servername, user_server, each also with safe_, escaped_ or unescaped_ "
        "in front (user_server not with unescaped_), userid, hubnamespace, namespace, pvc_name.",
    ).tag(config=True)
    pvc_name_template = Unicode(
        "claim-{user_server}",
        help="Name of the volume claim that is made for a server; a server that has one already keeps it.",
    ).tag(config=True)
    secret_name_template = Unicode("{pod_name}", help=f"Name of the Secret with the server's token. {_FILLED}").tag(
        config=True
    )
    dns_name_template = Unicode(
        "{name}.{namespace}.svc.cluster.local", help="Host name of a server's Service; {name} is the pod's."
    ).tag(config=True)
    handle_legacy_names = Bool(
        True,
        help="Look for volumes that KubeSpawner made under names of its earlier versions before a new one is made.",
    ).tag(config=True)
    remember_pvc_name = Bool(
        True, help="A server keeps its volume when the template changes. Turn it off to follow the template always."
    ).tag(config=True)
    pod_connect_ip = Unicode(
        help=f"Host name under which the proxy reaches a pod, instead of its address. {_FILLED}"
    ).tag(config=True)
    services_enabled = Bool(
        False, help="Make a Service for every pod, and reach the server through it; for service meshes."
    ).tag(config=True)
    enable_user_namespaces = Bool(
        False, help="Give every user a namespace; the hub then needs rights in the whole cluster."
    ).tag(config=True)
    user_namespace_template = Unicode("{hubnamespace}-{username}", help=f"Name of a user's namespace. {_FILLED}").tag(
        config=True
    )
    user_namespace_labels = Dict(help=f"Labels of users' namespaces. {_FILLED}").tag(config=True)
    user_namespace_annotations = Dict(help=f"Annotations of users' namespaces. {_FILLED}").tag(config=True)

    # files
    storage_pvc_ensure = Bool(False, help="Make a volume claim for every server that has none.").tag(config=True)
    storage_capacity = Unicode(None, allow_none=True, help="Size of a volume that is made, such as 10Gi.").tag(
        config=True
    )
    storage_class = Unicode(
        None,
        allow_none=True,
        help="StorageClass of a volume that is made; None takes the cluster's default, '' none.",
    ).tag(config=True)
    storage_access_modes = List(Unicode(), ["ReadWriteOnce"], help="Access modes of a volume that is made.").tag(
        config=True
    )
    storage_selector = Dict(help=f"Labels of volumes that may be bound. {_FILLED}").tag(config=True)
    storage_extra_labels = Dict(help=f"Further labels of the volume claim. {_FILLED}").tag(config=True)
    storage_extra_annotations = Dict(help=f"Further annotations of the volume claim. {_FILLED}").tag(config=True)
    delete_pvc = Bool(
        True, help="Delete the volume claim, and with it the files, when its server or its user is deleted."
    ).tag(config=True)

    @property
    def hub_namespace(self) -> str:
        """The namespace that the hub runs in; `default` outside of a cluster."""
        try:
            return _OWN_NAMESPACE.read_text(encoding="utf-8").strip() or "default"
        except OSError:
            return "default"

    @default("namespace")
    def _own_namespace(self) -> str:
        return self.hub_namespace


def templates(take: Callable[[str], Any], hub_namespace: str) -> Templates:
    """Return what the settings say about names; `take` gives the value of each."""
    own = take("enable_user_namespaces")
    return Templates(
        namespace=take("user_namespace_template") if own else take("namespace"),
        hub_namespace=hub_namespace,
        slug_scheme=take("slug_scheme"),
        pod=take("pod_name_template"),
        volume=take("pvc_name_template"),
        secret=take("secret_name_template"),
        dns=take("dns_name_template"),
        user_namespaces=own,
    )
