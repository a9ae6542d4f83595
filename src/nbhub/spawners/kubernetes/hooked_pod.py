"""Functions of the configuration that see the pod: modify_pod_hook, after_pod_created_hook and get_pod_url."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nbhub.core.launch import Launch
from nbhub.errors import SpawnError
from nbhub.spawners.kubernetes import labels
from nbhub.spawners.kubernetes.models import model_of, plain_of
from nbhub.spawners.kubernetes.objects import Objects
from nbhub.spawners.kubernetes.pod import CONTAINER
from nbhub.spawners.kubernetes.settings import ONE, KubeSettings
from nbhub.spawners.kubernetes.spelling import Plain
from nbhub.spawners.one_server import Subject, guarded, one_server

# What the driver finds a pod by, whatever a hook does to it.
_OWN_LABELS = (labels.USER, labels.SERVER, labels.SERVER_ID, labels.GENERATION, labels.COMPONENT)
_OWN_NOTES = (labels.USER, labels.SERVER, labels.FULL_NAME, labels.LAUNCH)


async def modified(settings: KubeSettings, launch: Launch, objects: Objects) -> Objects:
    """Return the objects with the pod as modify_pod_hook wants it: changed in place, or returned in whatever form.

    Raises SpawnError if the hook fails, or if what it returns is not this server's pod any more.
    """
    hook = settings.setting(launch, "modify_pod_hook")
    if hook is None:
        return objects
    one, pod = the_one(settings, launch), model_of(objects.pod)
    found = await guarded(one.subject, "modify_pod_hook", hook, one, pod)
    return replace(objects, pod=_checked(pod if found is None else found, objects.pod))


async def created(settings: KubeSettings, launch: Launch, pod: Mapping[str, Any]) -> None:
    """Call after_pod_created_hook with the pod as the API gives it; raises SpawnError if the hook fails."""
    hook = settings.setting(launch, "after_pod_created_hook")
    if hook is not None:
        one = the_one(settings, launch)
        await guarded(one.subject, "after_pod_created_hook", hook, one, model_of(pod))


async def url(settings: KubeSettings, launch: Launch, pod: Mapping[str, Any]) -> str | None:
    """Return what get_pod_url says about a pod; None without such a function. Raises SpawnError if it fails."""
    hook = settings.setting(launch, "get_pod_url")
    if hook is None:
        return None
    one = the_one(settings, launch)
    found = await guarded(one.subject, "get_pod_url", hook, one, model_of(pod))
    if not isinstance(found, str) or not found.startswith(("http://", "https://")):
        raise SpawnError(
            "The setting get_pod_url of this hub gave no URL that begins with http://. Ask your administrator to "
            "correct it."
        )
    return found.rstrip("/")


def the_one(settings: KubeSettings, launch: Launch) -> KubeSettings:
    """Return the spawner as hooks of this start have got it; without any, one with the settings of the launch."""
    found = launch.settings.get(ONE)
    if isinstance(found, KubeSettings):
        return found
    subject = Subject(
        user=launch.user,
        groups=launch.groups,
        server_name=launch.server_name,
        options=launch.options,
        prefix=launch.prefix,
        api_token=launch.api_token,
        state=launch.state,
    )
    made = one_server(settings, subject)
    assert isinstance(made, KubeSettings)
    for name, value in launch.settings.items():
        if name != ONE:
            setattr(made, name, value)
    return made


def _checked(found: Any, before: Plain) -> Plain:
    """Return what a hook returned as a pod of the API that is still the one it has got."""
    pod = plain_of(found)
    if not isinstance(pod, dict) or not isinstance(pod.get("spec"), dict) or not isinstance(pod.get("metadata"), dict):
        raise SpawnError(
            f"The setting modify_pod_hook of this hub returned {type(found).__name__} instead of a pod. Ask your "
            "administrator to let it return the pod that it gets."
        )
    meta, own = pod["metadata"], before["metadata"]
    for name in ("name", "namespace"):
        if meta.setdefault(name, own[name]) != own[name]:
            raise SpawnError(
                f"The setting modify_pod_hook of this hub changes the {name} of the pod {own['name']}, by which nbhub "
                "finds it again. Ask your administrator to change the templates of names instead."
            )
    containers = pod["spec"].get("containers") or ()
    if not any(isinstance(item, dict) and item.get("name") == CONTAINER for item in containers):
        raise SpawnError(
            f"The setting modify_pod_hook of this hub takes the container {CONTAINER} away from the pod {own['name']}. "
            "Ask your administrator to keep it: the server runs in it."
        )
    meta["labels"] = (meta.get("labels") or {}) | {key: own["labels"][key] for key in _OWN_LABELS}
    notes = {key: own["annotations"][key] for key in _OWN_NOTES if key in own["annotations"]}
    meta["annotations"] = (meta.get("annotations") or {}) | notes
    return {**pod, "apiVersion": "v1", "kind": "Pod"}
