"""The Pod of a server. Pure: settings and launch in, the dict that the API takes out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nbhub.core.launch import Launch
from nbhub.spawners.kubernetes import labels
from nbhub.spawners.kubernetes.names import Names, expand, expand_all
from nbhub.spawners.kubernetes.plain import fields, listed, without_nothing
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.kubernetes.spelling import Plain

CONTAINER = "notebook"
PORT = "notebook-port"


class _Taking:
    """The settings of one launch."""

    def __init__(self, settings: KubeSettings, launch: Launch, names: Names) -> None:
        self.settings, self.launch, self.fields = settings, launch, names.fields

    def __call__(self, name: str) -> Any:
        return self.settings.setting(self.launch, name)

    def filled_list(self, name: str) -> list[Any]:
        """Return a setting that is a list of parts, with its fields filled in."""
        return [expand_all(item, self.fields) for item in listed(self(name))]


def pod(settings: KubeSettings, launch: Launch, names: Names, env: Sequence[Plain]) -> Plain:
    """Return the pod of a launch, with these variables."""
    take = _Taking(settings, launch, names)
    spec = {
        "restartPolicy": "OnFailure",
        **without_nothing(
            automountServiceAccountToken=_automount(take),
            serviceAccountName=expand(take("service_account") or "", names.fields),
            imagePullSecrets=_pull_secrets(take("image_pull_secrets")),
            initContainers=take.filled_list("init_containers"),
            securityContext=_pod_security(take),
            nodeSelector=dict(take("node_selector")),
            tolerations=listed(take("tolerations")),
            affinity=_affinity(take),
            schedulerName=take("scheduler_name"),
            priorityClassName=take("priority_class_name"),
            volumes=take.filled_list("volumes"),
        ),
        "containers": [_container(take, env), *take.filled_list("extra_containers")],
    }
    spec |= expand_all(fields(take("extra_pod_config")), names.fields)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": labels.metadata(
            names.pod,
            names,
            labels.of_pod(settings, launch, names),
            labels.notes(launch, take("extra_annotations"), names),
        ),
        "spec": spec,
    }


def _container(take: _Taking, env: Sequence[Plain]) -> Plain:
    launch = take.launch
    container = without_nothing(
        name=CONTAINER,
        image=take("image"),
        imagePullPolicy=take("image_pull_policy"),
        args=[*launch.command, *launch.arguments] if launch.command else None,
        workingDir=expand(take("working_dir") or "", take.fields),
        ports=[{"name": PORT, "containerPort": take("port"), "protocol": "TCP"}],
        env=list(env),
        resources=_resources(take),
        securityContext=_container_security(take),
        lifecycle=fields(take("lifecycle_hooks")),
        volumeMounts=take.filled_list("volume_mounts"),
    )
    return container | fields(take("extra_container_config"))


def _resources(take: _Taking) -> Plain:
    template = take.launch.template
    limits = without_nothing(cpu=_cores(template.cpu_limit), memory=_bytes(template.mem_limit))
    requests = without_nothing(cpu=_cores(template.cpu_guarantee), memory=_bytes(template.mem_guarantee))
    limits |= {key: str(value) for key, value in take("extra_resource_limits").items() if value is not None}
    requests |= {key: str(value) for key, value in take("extra_resource_guarantees").items() if value is not None}
    return without_nothing(limits=limits, requests=requests)


def _cores(value: float | None) -> str | None:
    """Return a number of cores as Kubernetes writes it, such as "500m"; None and 0 say nothing."""
    if not value:
        return None
    milli = math.ceil(round(value * 1000, 3))
    return f"{milli}m" if milli % 1000 else str(milli // 1000)


def _bytes(value: int | None) -> str | None:
    return str(value) if value else None


def _container_security(take: _Taking) -> Plain:
    """Return what the container may do: what the settings say, and where they are silent as little as possible."""
    uid, privileged, escalation = take("uid"), take("privileged"), take("allow_privilege_escalation")
    context: Plain = without_nothing(runAsUser=uid, runAsGroup=take("gid"))
    if privileged:
        context["privileged"] = True
    elif escalation is not None:  # Kubernetes refuses False for privileged containers
        context["allowPrivilegeEscalation"] = escalation
    if take("restricted") and not privileged:
        if uid:
            context["runAsNonRoot"] = True
        if uid != 0 and escalation is False:  # root and sudo are of no use without capabilities
            context["capabilities"] = {"drop": ["ALL"]}
    return context | fields(take("container_security_context"))


def _pod_security(take: _Taking) -> Plain:
    context = without_nothing(fsGroup=take("fs_gid"), supplementalGroups=list(take("supplemental_gids")))
    if take("restricted") and not take("privileged"):
        context["seccompProfile"] = {"type": "RuntimeDefault"}
    return context | fields(take("pod_security_context"))


def _automount(take: _Taking) -> bool | None:
    chosen: bool | None = take("automount_service_account_token")
    return False if chosen is None and not take("service_account") else chosen


def _pull_secrets(value: Any) -> list[Plain]:
    names = [value] if isinstance(value, str) else value
    return [{"name": item} if isinstance(item, str) else fields(item) for item in names if item]


def _affinity(take: _Taking) -> Plain:
    def terms(kind: str, required: Any) -> Plain:
        return without_nothing(
            preferredDuringSchedulingIgnoredDuringExecution=listed(take(f"{kind}_preferred")),
            requiredDuringSchedulingIgnoredDuringExecution=required,
        )

    nodes = listed(take("node_affinity_required"))
    return without_nothing(
        nodeAffinity=terms("node_affinity", {"nodeSelectorTerms": nodes} if nodes else None),
        podAffinity=terms("pod_affinity", listed(take("pod_affinity_required"))),
        podAntiAffinity=terms("pod_anti_affinity", listed(take("pod_anti_affinity_required"))),
    )
