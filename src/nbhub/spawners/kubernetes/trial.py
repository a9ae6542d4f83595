"""Trial pods: like those of users in everything but the command, to see what a server would meet."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from nbhub.core import findings, launch
from nbhub.core.findings import Finding
from nbhub.core.launch import HubAddress
from nbhub.core.model import Server, User
from nbhub.errors import SpawnError
from nbhub.spawners.kubernetes import explain, objects, seen
from nbhub.spawners.kubernetes.api import Api, Refused, Target
from nbhub.spawners.kubernetes.objects import Objects
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.kubernetes.sight import Sight
from nbhub.spawners.kubernetes.spelling import Plain

MARK = "nbhub.io/doctor"
SCRIPT = Path(__file__).with_name("trial_script.py")
LIFE_SECONDS = 900
LOOK_SECONDS = 1.0
HEAR_SECONDS = 30.0
NAME = "nbhub-doctor"
METADATA = ("cloud metadata (169.254.169.254)", "169.254.169.254", 80)
API = ("the Kubernetes API", "$KUBERNETES_SERVICE_HOST", 443)
NEIGHBOUR = "other servers"


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: the settings, the hub that servers call, the image to try instead of the settings' own."""

    settings: KubeSettings
    api: Api
    hub: HubAddress
    image: str
    word: str  # makes the names of this trial its own

    @property
    def hub_api(self) -> str:
        """Where servers call the hub."""
        own = self.settings.hub_connect_url
        return (self.hub.reached_at(own) if own else self.hub).api_url

    def objects(self, who: str, plan: Mapping[str, Any]) -> tuple[Plain, Plain | None]:
        """Return the pod of one side of the trial, and the claim that it mounts. Raises NbhubError."""
        made = self._built(who)
        own = self._own_claim(made)
        return self._pod(made, plan), None if own is None else _marked(own)

    def asked(self) -> tuple[Plain, Plain | None]:
        """Return a pod and the claim as a user's start would ask for them, to be looked at only. Raises NbhubError."""
        made = self._built("c")
        return self._pod(made, {"port": self.settings.port, "forbidden": []}), made.pvc

    def namespace(self) -> Plain:
        """Return a user's own namespace, where each has one, to be looked at only. Raises NbhubError."""
        made = self._built("c").namespace
        assert made is not None
        return made

    def _own_claim(self, made: Objects) -> Plain | None:
        """Return the claim that may be made for a trial: what may not be deleted again is not made."""
        return made.pvc if self.settings.delete_pvc else None

    def _pod(self, made: Objects, plan: Mapping[str, Any]) -> Plain:
        secret, claim = (obj["metadata"]["name"] if obj else "" for obj in (made.secret, self._own_claim(made)))
        return trial_pod(made.pod, plan, image=self.image or usual_image(self.settings), secret=secret, claim=claim)

    def _built(self, who: str) -> Objects:
        user = User(0, f"{NAME}-{self.word}-{who}")
        server = Server(0, 0, user.name, "", generation=1)
        built = launch.build(server, user, (), self.hub, self.settings.template(), "")
        return objects.build(self.settings, built)


def usual_image(settings: KubeSettings) -> str:
    """Return the image of the profile that is chosen at first; empty where profiles do not say."""
    listed = settings.profile_list
    if callable(listed):
        return ""
    profiles = list(listed.values() if isinstance(listed, Mapping) else listed)
    chosen = next((item for item in profiles if item.get("default")), profiles[0] if profiles else {})
    image = (chosen.get("kubespawner_override") or {}).get("image")
    return image if isinstance(image, str) else ""


def _marked(obj: Plain) -> Plain:
    """Return an object of which everybody sees that an examination made it."""
    return {**obj, "metadata": {**obj["metadata"], "labels": {**obj["metadata"].get("labels", {}), MARK: "true"}}}


def trial_pod(pod: Plain, plan: Mapping[str, Any], *, image: str, secret: str, claim: str) -> Plain:
    """Return a user's pod with the trial's command, without what belongs to a user: token, volumes of others."""
    spec, server = dict(pod["spec"]), dict(pod["spec"]["containers"][0])
    volumes = [item for item in spec.get("volumes", ()) if item.get("persistentVolumeClaim", {}) in ({}, _of(claim))]
    kept = {item["name"] for item in volumes}
    server |= {
        "command": ["python3", "-c", SCRIPT.read_text()],
        "env": [
            *(item for item in server.get("env", ()) if _source(item) not in (None, secret)),
            {"name": "NBHUB_TRIAL", "value": json.dumps({**plan, "folder": _folder(server, volumes, claim)})},
        ],
        "volumeMounts": [item for item in server.get("volumeMounts", ()) if item["name"] in kept],
    }
    if image:
        server["image"] = image
    for name in ("args", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        server.pop(name, None)
    spec |= {
        "containers": [server],
        "volumes": volumes,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": LIFE_SECONDS,
        "terminationGracePeriodSeconds": 1,
    }
    spec.pop("initContainers", None)
    return _marked({**pod, "spec": spec})


def _of(claim: str) -> Plain:
    return {"claimName": claim}


def _source(variable: Mapping[str, Any]) -> str | None:
    """Return the Secret that a variable comes from, "" for another source; None for a plain value."""
    if "valueFrom" not in variable:
        return None
    return str((variable["valueFrom"].get("secretKeyRef") or {}).get("name", ""))


def _folder(server: Plain, volumes: Sequence[Plain], claim: str) -> str:
    """Return where the claim of the trial is mounted; empty when it is not."""
    own = {item["name"] for item in volumes if claim and item.get("persistentVolumeClaim") == _of(claim)}
    return next((str(item["mountPath"]) for item in server.get("volumeMounts", ()) if item["name"] in own), "")


# -- running ---------------------------------------------------------------------------------------------------------


async def run(trial: Trial) -> AsyncIterator[Finding]:
    """Start two trial pods, let one try everything, tell what it met, and take both away."""
    made: list[Target] = []
    port = trial.settings.port
    try:
        other = await _started(trial, "b", {"port": port, "forbidden": []}, made)
        if isinstance(other, Finding):
            yield other
            return
        forbidden = [METADATA, API, (NEIGHBOUR, other["status"]["podIP"], port)]
        plan = {"port": port, "api_url": trial.hub_api, "forbidden": forbidden}
        begun = time.monotonic()
        pod = await _started(trial, "a", plan, made)
        if isinstance(pod, Finding):
            yield pod
            return
        took = time.monotonic() - begun
        image = pod["spec"]["containers"][0]["image"]
        yield findings.ok("trial pod", f"{image} runs on node {pod['spec'].get('nodeName')} after {took:.0f} s")
        told, reached = await _hear(trial, pod, port)
        yield _from_hub(reached, pod)
        for finding in _met(told, trial, forbidden):
            yield finding
    finally:
        await asyncio.shield(_remove(trial.api, made))


async def _started(trial: Trial, who: str, plan: Mapping[str, Any], made: list[Target]) -> Plain | Finding:
    """Create one pod and wait until it runs; return what is in its way if it does not."""
    about = "trial pod"
    try:
        pod, claim = trial.objects(who, plan)
        for obj in (claim, pod):
            if obj is not None:
                made.append(Target(obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]))
                await trial.api.create(obj)
    except SpawnError as error:
        return findings.split(about, error.message)
    target = made[-1]
    limit = time.monotonic() + trial.settings.start_timeout
    while True:
        found = await _read(trial.api, target)
        events, patience = await _events(trial.api, target, found), trial.settings.patience
        sight = explain.look(found, events, now=time.time(), patience=patience)
        if sight.ready and found is not None:
            return dict(found)
        if sight.extends:
            limit = max(limit, time.monotonic() + sight.extends)
        if sight.fatal or time.monotonic() > limit:
            return await _failed(trial, target, sight)
        await asyncio.sleep(LOOK_SECONDS)


async def _failed(trial: Trial, target: Target, sight: Sight) -> Finding:
    words, _, details = sight.message.partition("\n\n")
    if sight.log_of:
        try:
            raw = await trial.api.call("GET", Target("Pod", target.namespace, target.name, "log"))
            details = f"{details}\n{raw.decode(errors='replace')[-2000:]}"
        except SpawnError:
            pass
    if not sight.fatal:
        words = f"not up in time. {words}"
    return findings.failed("trial pod", words, details.strip())


async def _read(api: Api, target: Target) -> Plain | None:
    raw = await api.get(target)
    return None if raw is None else msgspec.json.decode(raw)


async def _events(api: Api, target: Target, pod: Plain | None) -> list[Plain]:
    """Return events about the pod and its claims; none where the hub may not read them."""
    names = [("Pod", target.name), *(("PersistentVolumeClaim", name) for name in seen.claims(pod or {}))]
    found: list[Plain] = []
    try:
        for kind, name in names:
            asked = {"fieldSelector": f"involvedObject.kind={kind},involvedObject.name={name}"}
            async for page in api.pages(Target("Event", target.namespace), asked):
                found += [msgspec.json.decode(raw) for raw in page.items]
    except Refused:
        return found
    return found


async def _hear(trial: Trial, pod: Plain, port: int) -> tuple[Plain, bool]:
    """Return what the pod met, and whether this process reaches it: told by HTTP, else by its last words."""
    ip = pod["status"]["podIP"]
    url = f"http://{f'[{ip}]' if ':' in ip else ip}:{port}"
    end = time.monotonic() + HEAR_SECONDS
    told: Plain = {}
    async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
        while time.monotonic() < end and not told.get("done"):
            try:
                told = (await client.get(url)).json()
            except (httpx2.HTTPError, ValueError, OSError):
                if told:
                    break
            await asyncio.sleep(LOOK_SECONDS)
    return (told, True) if told.get("done") else (await _last_words(trial, pod), bool(told))


async def _last_words(trial: Trial, pod: Plain) -> Plain:
    target = Target("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
    end = time.monotonic() + 3 * HEAR_SECONDS
    while time.monotonic() < end:
        found = await _read(trial.api, target)
        for container in seen.containers(found or {}):
            if container.state == "terminated":
                try:
                    return dict(json.loads(container.words))
                except ValueError:
                    return {}
        await asyncio.sleep(LOOK_SECONDS)
    return {}


async def _remove(api: Api, made: Sequence[Target]) -> None:
    for target in reversed(made):
        found = await _read(api, target)
        if found is not None:
            await api.delete(target, uid=found["metadata"]["uid"], grace=0)


async def remove_old(api: Api, namespace: str, kinds: Sequence[str], now: float) -> int:
    """Take away what an examination that was killed has left; return how many objects."""
    count = 0
    for kind in kinds:
        async for page in api.pages(Target(kind, namespace), {"labelSelector": f"{MARK}=true"}):
            for raw in page.items:
                meta = msgspec.json.decode(raw)["metadata"]
                if now - (seen.seconds(meta["creationTimestamp"]) or 0) > LIFE_SECONDS:
                    count += await api.delete(Target(kind, namespace, meta["name"]), uid=meta["uid"], grace=0)
    return count


# -- telling ---------------------------------------------------------------------------------------------------------


def _from_hub(reached: bool, pod: Plain) -> Finding:
    about, where = "from here to servers", f"{pod['status']['podIP']}"
    if reached:
        return findings.ok(about, f"{where} answers")
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return findings.warning(
            about,
            f"{where} cannot be reached: this machine is outside of the cluster's network.",
            "Run the hub in the cluster, or give this machine a way to the network of the pods.",
        )
    remedy = "Let a NetworkPolicy allow the hub (and the proxy) to reach servers at their port."
    return findings.failed(about, f"{where} cannot be reached.", remedy)


def _met(told: Plain, trial: Trial, forbidden: Sequence[tuple[str, str, int]]) -> list[Finding]:
    if not told.get("done"):
        return [findings.failed("trial pod", "told nothing.", "Try again, or with --image one that has python3.")]
    found = [to_hub(told["hub"], trial.hub_api)]
    if told.get("folder"):
        found.append(
            findings.failed(
                "volume",
                f"its user cannot write to it: {told['folder']}.",
                "Give the pod a group that may (c.KubeSpawner.fs_gid), or look at the access mode of the volume.",
            )
        )
    elif "folder" in told:
        found.append(findings.ok("volume", "made, mounted and written to"))
    return found + [reach(name, name in told["reached"]) for name, _, _ in forbidden]


def to_hub(told: Mapping[str, Any], url: str) -> Finding:
    """Say how a request of a server to the hub went."""
    about, failed, words = "from servers to the hub", told.get("failed"), told.get("words", "")
    if not failed:
        return findings.ok(about, f"{url} answers (version {told.get('version')})")
    if failed == "name":
        return findings.failed(
            about,
            f"the name {told['host']} of {url} is not known in the cluster ({words}).",
            "Set c.Hub.hub_connect_ip or hub_connect_url to the Service of the hub (kubectl get services), and see "
            "that servers may ask name servers at port 53.",
        )
    if failed == "connection":
        return findings.failed(
            about,
            f"{url} ({told.get('address')}) cannot be connected to: {words}.",
            "See that the hub runs and listens there (c.Hub.hub_ip = '0.0.0.0', hub_port), that the Service has its "
            "labels and port, and that NetworkPolicies allow it.",
        )
    said = f"something at {url} answers that is no hub{f': {words}' if words else ''}."
    return findings.failed(about, said, "Set c.Hub.hub_connect_ip or hub_connect_url to the Service of the hub.")


def reach(name: str, reached: bool) -> Finding:
    """Say whether servers are kept from what is none of their business."""
    about = f"from servers to {name}"
    if not reached:
        return findings.ok(about, "kept apart")
    return findings.warning(
        about,
        "can be reached, and should not be.",
        "Apply the NetworkPolicy notebook-servers (nbhub kubernetes init writes it). If it is there, the cluster's "
        "network does not enforce policies: it needs a plugin that does, such as Calico or Cilium.",
    )
