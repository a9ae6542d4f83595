"""A container that does not come up: images, Secrets, commands, crashes, said with what to do about them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nbhub.spawners.kubernetes import ending
from nbhub.spawners.kubernetes.seen import Container, Happening, latest, size, so_far
from nbhub.spawners.kubernetes.sight import Patience, Sight, Stage, with_details

_PULLS = ("ErrImagePull", "ImagePullBackOff")
_NO_FILE = re.compile(r'exec: "([^"]+)": (executable file not found in \$PATH|[^:]+)')
_MISSING = re.compile(r'(secret|configmap) "([^"]+)" not found', re.IGNORECASE)
_MISSING_KEY = re.compile(r"couldn't find key (\S+) in (\S+) \S*?/?([^/\s]+)$", re.IGNORECASE)
_VOLUME = re.compile(r'volume "([^"]+)"')
_UNREACHABLE = re.compile(
    r"no such host|connection refused|i/o timeout|deadline exceeded|no route to host|connection reset|TLS handshake|"
    r"server gave HTTP response to HTTPS|x509|EOF|network is unreachable|50[0-4] ",
    re.IGNORECASE,
)
_UNAUTHORISED = re.compile(
    r"unauthorized|authentication required|denied|no basic auth|insufficient_scope|403 Forbidden|authorization failed",
    re.IGNORECASE,
)
_ABSENT = re.compile(r"not found|manifest unknown|NotFound|name unknown", re.IGNORECASE)
_MOUNT_TROUBLE = ("FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox")
_BEYOND_MOUNTS = ("Pulling", "Pulled", "Created", "Started")


@dataclass(frozen=True, slots=True)
class Scene:
    """What surrounds a container: the pod's events and node, when its node was found, the time now."""

    happened: Sequence[Happening]
    node: str
    since: float
    now: float
    patience: Patience


def look(container: Container, scene: Scene) -> Sight:
    """Say what a container that is waiting waits for."""
    match container.reason:
        case "ErrImageNeverPull" | "InvalidImageName" | "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError":
            return _image(container, scene)
        case "RegistryUnavailable":
            return _image(container, scene)
        case "CreateContainerConfigError":
            return _configuration(container, scene)
        case "RunContainerError":
            return _command(container, container.words, scene)
        case "CreateContainerError" | "PreCreateHookError" | "PreStartHookError" | "PostStartHookError":
            sentence = f"The container {container.name} cannot be made on node {scene.node}."
            return _trouble(Stage.CREATING, with_details(sentence, container.words), container.reason, scene)
        case "CrashLoopBackOff":
            return crashed(container, scene)
    return _on_the_way(container, scene)


# -- images ----------------------------------------------------------------------------------------------------------


def _image(container: Container, scene: Scene) -> Sight:
    image, reason = container.image, container.reason
    if reason == "InvalidImageName":
        sentence = f"The image {image!r} is no valid name. Ask your administrator to correct it."
        return _fatal(Stage.PULLING, with_details(sentence, container.words), reason)
    if reason == "ErrImageNeverPull":
        sentence = (
            f"The image {image} is not on node {scene.node}, and the pull policy Never forbids to fetch it. "
            "Ask your administrator to load it into the nodes, or to allow pulling (image_pull_policy)."
        )
        return _fatal(Stage.PULLING, sentence, reason)
    words = _why_not_pulled(container, scene)
    if _UNREACHABLE.search(words):
        sentence = f"The image {image} cannot be fetched: its registry does not answer, or not as it should."
        return _trouble(Stage.PULLING, with_details(sentence, words), "RegistryUnreachable", scene, "Failed")
    if _UNAUTHORISED.search(words):
        sentence = (
            f"The image {image} may not be fetched: its registry wants a log-in, or there is no such image. Ask your "
            "administrator to check its name and the Secret with the log-in (image_pull_secrets)."
        )
        return _fatal(Stage.PULLING, with_details(sentence, words), "ImageDenied")
    if _ABSENT.search(words):
        sentence = (
            f"The image {image} does not exist in its registry. "
            "Choose another, or ask your administrator to correct its name."
        )
        return _fatal(Stage.PULLING, with_details(sentence, words), "ImageNotFound")
    sentence = f"The image {image} cannot be fetched."
    return _trouble(Stage.PULLING, with_details(sentence, words), reason, scene, "Failed")


def _why_not_pulled(container: Container, scene: Scene) -> str:
    """Return the cluster's words; the state tells them only at some moments, the event always."""
    words = re.sub(r'^Back-off pulling image "[^"]*"(: \w+: )?', "", container.words)
    if words:
        return words
    for item in reversed(scene.happened):
        if item.reason == "Failed" and item.words.startswith("Failed to pull") and item.container == container.name:
            return item.words
    return ""


# -- what the container is told --------------------------------------------------------------------------------------


def _configuration(container: Container, scene: Scene) -> Sight:
    words = container.words
    if found := _MISSING.search(words):
        kind = "Secret" if found.group(1).lower() == "secret" else "ConfigMap"
        sentence = (
            f"The {kind} {found.group(2)} that the server needs does not exist. Ask your administrator to create it in "
            "the namespace of the server, or to take it out of the configuration."
        )
        return _missing(Stage.CREATING, sentence, f"Missing{kind}", scene)
    if found := _MISSING_KEY.search(words):
        kind, name = found.group(2), found.group(3)
        sentence = (
            f"The {kind} {name} has no key {found.group(1)}, which the server needs. Ask your administrator to add it."
        )
        return _missing(Stage.CREATING, sentence, f"Missing{kind}Key", scene)
    if "non-root" in words or "runAsNonRoot" in words:
        sentence = (
            f"The image {container.image} would run as root, which is not allowed. Ask your administrator for an image "
            "with an ordinary user, or for a user number (uid)."
        )
        return _fatal(Stage.CREATING, with_details(sentence, words), "RunsAsRoot")
    return _trouble(
        Stage.CREATING,
        with_details("The server cannot be made as it is configured. Ask your administrator.", words),
        container.reason,
        scene,
    )


def _command(container: Container, words: str, scene: Scene) -> Sight:
    """Say why the first process of a container could not be run: that does not pass by waiting."""
    if found := _NO_FILE.search(words):
        why = "is not there" if "not found" in found.group(2) or "no such file" in found.group(2) else "cannot be run"
        sentence = (
            f"The image {container.image} cannot run the server: the command {found.group(1)} {why} in it. "
            "Choose another image, or ask your administrator for one with jupyterhub-singleuser."
        )
        return _fatal(Stage.CREATING, with_details(sentence, words), "NoCommand")
    sentence = f"The container {container.name} cannot be run on node {scene.node}. Ask your administrator."
    return _fatal(Stage.CREATING, with_details(sentence, words), "RunContainerError")


# -- crashes ---------------------------------------------------------------------------------------------------------


def crashed(container: Container, scene: Scene) -> Sight:
    """Say how a container ended that is to be run again; fatal for a start when it did so too often."""
    last = container.detail if container.state == "terminated" else container.last
    if last.get("reason") == "StartError" or last.get("reason") == "ContainerCannotRun":
        return _command(container, str(last.get("message") or ""), scene)
    runs = container.restarts + 1 if last else 0
    sight = Sight(
        Stage.PREPARING if container.init else Stage.STARTING,
        f"{ending.sentence(container, last, _who_ended(container, scene))} {_again(runs)}",
        reason="OOMKilled" if last.get("reason") == "OOMKilled" else container.reason or "Crashed",
        exit_code=last.get("exitCode"),
        log_of=container.name,
        previous=container.state != "terminated",
        again=10.0,
    )
    return replace(sight, fatal=True, again=None) if runs >= scene.patience.crashes else sight


def _who_ended(container: Container, scene: Scene) -> str:
    """Return a sentence about the probe or hook that had the container ended, if one had."""
    killed = latest(scene.happened, "Killing", container=container.name)
    if killed is None:
        return ""
    if "PostStartHook" in killed.words:
        return "Its postStart command had failed (lifecycle_hooks)."
    found = re.search(r"failed (liveness|startup) probe", killed.words)
    return f"It did not answer its {found.group(1)} probe." if found else ""


def _again(runs: int) -> str:
    return "It is run once more." if runs < 2 else f"It was tried {runs} times."


# -- on the way ------------------------------------------------------------------------------------------------------


def _on_the_way(container: Container, scene: Scene) -> Sight:
    recent = latest(scene.happened, *_BEYOND_MOUNTS, container=container.name)
    if recent is None:
        return _before_images(container, scene)
    if recent.reason == "Pulling":
        return _pulling(container, recent, scene)
    amount = re.search(r"in ([\d.]+\w+).*Image size: (\d+) bytes", recent.words)
    told = f" (fetched in {amount.group(1)}, {size(int(amount.group(2)))})" if amount else ""
    return Sight(Stage.CREATING, f"The container is being made from {container.image}{told}.", again=5.0)


def _pulling(container: Container, pulling: Happening, scene: Scene) -> Sight:
    elapsed = max(0.0, scene.now - pulling.last)
    words, lasts = so_far(elapsed)
    left = max(0.0, scene.patience.pull - elapsed)
    return Sight(
        Stage.PULLING,
        f"The image {container.image} is being fetched to node {scene.node}{f', {words} so far' if words else ''}.",
        reason="Pulling",
        extends=left or None,
        again=lasts,
    )


def _before_images(container: Container, scene: Scene) -> Sight:
    """A pod without events of its images yet: volumes are attached and mounted, its network is set up."""
    stuck = latest(scene.happened, *_MOUNT_TROUBLE)
    if stuck is None or latest(scene.happened, *_BEYOND_MOUNTS) is not None:
        return Sight(Stage.CREATING, f"The container is being made on node {scene.node}.", again=5.0)
    if stuck.reason == "FailedCreatePodSandBox":
        sentence = f"Node {scene.node} cannot set up the pod and its network."
        return _trouble(Stage.CREATING, with_details(sentence, stuck.words), stuck.reason, scene, stuck.reason)
    return _mount(stuck, scene)


def _mount(stuck: Happening, scene: Scene) -> Sight:
    if found := _MISSING.search(stuck.words):
        kind = "Secret" if found.group(1).lower() == "secret" else "ConfigMap"
        sentence = (
            f"The {kind} {found.group(2)}, which is to be mounted, does not exist. Ask your administrator to create it "
            "in the namespace of the server, or to take it out of the configuration."
        )
        return _missing(Stage.VOLUMES, sentence, f"Missing{kind}", scene)
    if "Multi-Attach" in stuck.words:
        sentence = (
            "The volume is still in use by a pod on another node. It comes free when that pod is gone; if it does not, "
            "ask your administrator to look for it."
        )
        return _trouble(Stage.VOLUMES, with_details(sentence, stuck.words), "VolumeInUse", scene, stuck.reason)
    volume = _VOLUME.search(stuck.words)
    doing = "attached to" if stuck.reason == "FailedAttachVolume" else "mounted on"
    sentence = f"The volume {volume.group(1) + ' ' if volume else ''}cannot be {doing} node {scene.node}."
    return _trouble(Stage.VOLUMES, with_details(sentence, stuck.words), stuck.reason, scene, stuck.reason)


# -- how long trouble may last ---------------------------------------------------------------------------------------


def _fatal(stage: Stage, message: str, reason: str) -> Sight:
    return Sight(stage, message, reason=reason, fatal=True)


def _missing(stage: Stage, message: str, reason: str, scene: Scene) -> Sight:
    return _lasting(stage, message, reason, scene.now - scene.since, scene.patience.missing)


def _trouble(stage: Stage, message: str, reason: str, scene: Scene, event: str = "Failed") -> Sight:
    firsts = [item.first for item in scene.happened if item.reason == event and item.first >= scene.since]
    return _lasting(stage, message, reason, scene.now - min(firsts, default=scene.since), scene.patience.trouble)


def _lasting(stage: Stage, message: str, reason: str, lasting: float, allowed: float) -> Sight:
    left = allowed - lasting
    return Sight(stage, message, reason=reason, fatal=left <= 0, again=left if left > 0 else None)
