"""Settings of servers that are pods, under the names that KubeSpawner gave them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from traitlets import Bool, Callable, Dict, Float, Int, List, Unicode, Union

from nbhub.spawners import one_server
from nbhub.spawners.base import Spawner
from nbhub.spawners.kubernetes.one_pod import ASSIGNABLE, OnePod
from nbhub.spawners.kubernetes.patience_settings import PatienceSettings
from nbhub.spawners.kubernetes.place_settings import PlaceSettings
from nbhub.spawners.kubernetes.pod_settings import PodSettings

# What older files call the settings.
RENAMED: Mapping[str, str] = {
    "image_spec": "image",
    "singleuser_image_spec": "image",
    **{
        f"singleuser_{name}": name
        for name in (
            *("working_dir", "service_account", "extra_labels", "extra_annotations", "image_pull_policy"),
            *("image_pull_secrets", "node_selector", "uid", "fs_gid", "supplemental_gids", "privileged"),
            *("extra_pod_config", "init_containers", "extra_container_config", "extra_containers"),
            *("allow_privilege_escalation", "lifecycle_hooks"),
        )
    },
    **{
        f"user_storage_{name}": f"storage_{name}"
        for name in ("class", "pvc_ensure", "capacity", "extra_labels", "access_modes")
    },
}
# The key under which the settings of a launch hold the object that its hooks got.
ONE = "hooked_spawner"
# Functions of the spawner that give a value of the setting.
_FUNCTIONS = ("uid", "gid", "fs_gid", "supplemental_gids", "container_security_context", "pod_security_context")
_POD_HOOKS = ("modify_pod_hook", "after_pod_created_hook", "get_pod_url")


class KubeSettings(OnePod, PodSettings, PlaceSettings, PatienceSettings, Spawner):
    """Servers as pods in a Kubernetes cluster, each with a volume for its user's files."""

    FETCHES: ClassVar[bool] = True
    RENAMED: ClassVar[Mapping[str, str]] = RENAMED
    ASSIGNED: ClassVar[frozenset[str]] = frozenset(ASSIGNABLE.values())
    PER_START: ClassVar[frozenset[str]] = frozenset(
        {
            *PodSettings.class_trait_names(config=True),
            *PlaceSettings.class_trait_names(config=True),
            *("delete_grace_period", "start_timeout"),
        }
        - {"cmd"}
    )

    start_timeout = Float(60, help="Seconds that a start may take until the pod runs; a scale-up adds to it.").tag(
        config=True
    )
    delete_grace_period = Int(1, min=0, help="Seconds that a server gets to end after it was told to.").tag(config=True)
    delete_stopped_pods = Bool(
        True, help="Delete pods that ended by themselves. Turn it off to look at them; the next start deletes them."
    ).tag(config=True)
    events_enabled = Bool(
        True, help="Read the events of pods, so that the page tells what a start waits for and why it failed."
    ).tag(config=True)
    slow_spawn_message = Unicode(
        "The start takes longer than usual: {seconds} seconds so far.",
        help="What the page says about a slow start; {seconds} is filled in.",
    ).tag(config=True)
    slow_spawn_message_threshold = Int(60, min=0, help="Seconds after which a start counts as slow; 0: never.").tag(
        config=True
    )
    slow_spawn_message_frequency = Int(5, min=1, help="Seconds between two such messages.").tag(config=True)

    # the API server
    k8s_api_host = Unicode(help="URL of the Kubernetes API; empty takes the cluster's own, or KUBECONFIG.").tag(
        config=True
    )
    k8s_api_ssl_ca_cert = Unicode(help="File with the certificate authority of the Kubernetes API.").tag(config=True)
    k8s_api_verify_ssl = Bool(
        None, allow_none=True, help="False talks to the Kubernetes API without checking who answers; for trials only."
    ).tag(config=True)
    k8s_api_request_timeout = Float(3, help="Seconds that one call of the Kubernetes API may take.").tag(config=True)
    k8s_api_request_retry_timeout = Float(
        30, help="Seconds over which a failing call of the Kubernetes API is repeated."
    ).tag(config=True)

    # profiles
    profile_list = Union(
        [List(Dict()), Callable(), Dict()],
        default_value=[],
        help="What users choose from before a start: a list of profiles, a dict of them (in the order of its keys), or "
        "a function of the spawner, which may be async.",
    ).tag(config=True)
    profile_form_template = Unicode(help="Jinja source of a form of your own for the profiles.").tag(config=True)
    additional_profile_form_template_paths = List(
        Unicode(), help="Folders in which a form.html for the profiles is looked for first."
    ).tag(config=True)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(RENAMED.get(name, name), value)

    def __getattr__(self, name: str) -> Any:
        if name not in RENAMED:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        return getattr(self, RENAMED[name])

    # -- one start: on the copy of the spawner that hooks get (see one_server) --

    @property
    def decides_for_each(self) -> bool:
        """See ForOneServer."""
        functions = any(callable(getattr(self, name)) for name in _FUNCTIONS)
        return functions or any(getattr(self, name) is not None for name in _POD_HOOKS)

    async def settle(self) -> None:
        """Let functions give their values."""
        for name in _FUNCTIONS:
            value = getattr(self, name)
            if callable(value):
                given = await one_server.guarded(self.subject, name, value, self)
                await one_server.guarded(self.subject, name, one_server.change, self, name, given)

    def own_settings(self) -> dict[str, Any]:
        """Return the names that hooks have assigned, and this object for the hooks that see the pod."""
        hooked = any(getattr(self, name) is not None for name in _POD_HOOKS)
        return {**self.assigned_names, ONE: self} if hooked else self.assigned_names
