"""How the cluster is, as `nbhub doctor` wants to know it: the API, rights, namespace, storage, a trial pod."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from nbhub.core import findings
from nbhub.core.findings import Finding, State
from nbhub.core.launch import HubAddress
from nbhub.errors import NbhubError
from nbhub.spawners.kubernetes import access, refusals, rights, room, trial
from nbhub.spawners.kubernetes.api import PLURALS, Api, Refused, Target
from nbhub.spawners.kubernetes.rights import Right
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.kubernetes.spelling import Plain
from nbhub.spawners.kubernetes.trial import Trial
from nbhub.spawners.kubernetes.wire import Broken

SKEW_SECONDS = 2.0
BAD_SKEW_SECONDS = 30.0
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


async def examine(
    settings: KubeSettings, api: Api, hub: HubAddress, *, quick: bool, image: str
) -> AsyncIterator[Finding]:
    """Look at the cluster, and unless `quick` start trial pods in it; everything is taken away again."""
    async for finding in _api(api):
        yield finding
        if finding.state is State.FAILED:
            return
    lacking = False
    async for finding in rights_of(settings, api):
        yield finding
        lacking = lacking or finding.state is State.FAILED
    tried = Trial(settings, api, hub, image, secrets.token_hex(3))
    if settings.enable_user_namespaces:
        yield await _own_namespace(tried)
        if settings.storage_pvc_ensure:
            yield await _storage(settings, api)
        yield findings.ok("trial pod", "none is made where every user has a namespace, which the hub may not delete")
        return
    refused = False
    async for finding in _admission(tried):
        yield finding
        refused = refused or finding.state is State.FAILED
    if settings.storage_pvc_ensure:
        yield await _storage(settings, api)
    if quick or lacking or refused:
        return
    kinds = ["Pod", "PersistentVolumeClaim"] if settings.storage_pvc_ensure and settings.delete_pvc else ["Pod"]
    await trial.remove_old(api, settings.namespace, kinds, time.time())
    async for finding in trial.run(tried):
        yield finding


# -- the API server --------------------------------------------------------------------------------------------------


async def _api(api: Api) -> AsyncIterator[Finding]:
    about, server = "Kubernetes API", api.config.cluster.server
    begun = time.perf_counter()
    try:
        async with contextlib.aclosing(access.connect(api.config)) as wire, asyncio.timeout(10):
            answer = await wire.request("GET", "/version", None, None, "")
            took, now = time.perf_counter() - begun, time.time()
    except Broken as error:
        yield findings.failed(
            about,
            f"{server} does not answer: {str(error) or type(error).__name__}.",
            "Correct the address, or let a NetworkPolicy allow the hub to reach it.",
        )
        return
    if answer.status == 401:
        yield findings.failed(about, f"{server} does not know who asks.", "Renew the kubeconfig or service account.")
        return
    version = msgspec.json.decode(answer.content).get("gitVersion", "?") if answer.is_success else "?"
    yield findings.ok(about, f"{server} answers ({version}, {1000 * took:.0f} ms)")
    if date := answer.headers.get("date"):
        yield _clock(findings.ahead(parsedate_to_datetime(date).timestamp() + 0.5, now - took, now))


def _clock(ahead: float) -> Finding:
    about, words = "clock of the cluster", f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine"
    if abs(ahead) <= SKEW_SECONDS:
        return findings.ok(about, "the same time as here")
    remedy = "Let both keep their time by NTP."
    if abs(ahead) > BAD_SKEW_SECONDS:
        return findings.failed(about, f"{words}.", remedy)
    return findings.warning(about, f"{words}.", remedy)


# -- rights ----------------------------------------------------------------------------------------------------------


async def rights_of(settings: KubeSettings, api: Api) -> AsyncIterator[Finding]:
    """Say for each right that the hub needs whether it is there."""
    needed = rights.needed(settings)
    answers = await asyncio.gather(*(_denied(api, right, settings.namespace) for right in needed))
    for right, denied in zip(needed, answers, strict=True):
        yield _right(right, denied, settings.namespace)


async def _denied(api: Api, right: Right, namespace: str) -> list[str]:
    """Return the verbs of a right that the hub does not have."""
    answers = await asyncio.gather(*(_may(api, right, verb, namespace) for verb in right.verbs))
    return [verb for verb, allowed in zip(right.verbs, answers, strict=True) if not allowed]


async def _may(api: Api, right: Right, verb: str, namespace: str) -> bool:
    resource, _, sub = right.resource.partition("/")
    asked = {"verb": verb, "group": right.group, "resource": resource, "subresource": sub}
    if not right.cluster:
        asked["namespace"] = namespace
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    raw = await api.call("POST", Target("Pod"), path=REVIEWS, body=msgspec.json.encode(review))
    return bool(msgspec.json.decode(raw)["status"].get("allowed"))


def _right(right: Right, denied: list[str], namespace: str) -> Finding:
    resource = f"{right.resource}{f' ({right.group})' if right.group else ''}"
    about = f"right to {', '.join(right.verbs)} {resource}"
    if not denied:
        return findings.ok(about, right.why)
    where = "the hub's ClusterRole" if right.cluster else f"the hub's Role in namespace {namespace}"
    remedy = f"Add to {where}:\n{refusals.rule_yaml(right.group, right.resource, denied)}"
    said = f"{', '.join(denied)} is not allowed; it {right.why}."
    return findings.warning(about, said, remedy) if right.optional else findings.failed(about, said, remedy)


# -- namespace, quota, admission -------------------------------------------------------------------------------------


async def _admission(tried: Trial) -> AsyncIterator[Finding]:
    """Let the API server check a user's pod and volume without making them: namespace, quotas, rules, themselves."""
    settings, api = tried.settings, tried.api
    about = f"namespace {settings.namespace}"
    try:
        pod, claim = tried.asked()
        made = await _as_if(api, pod)
        taken = await _as_if(api, claim) if claim is not None else None
    except Refused as error:
        yield findings.split(about, error.message)
        return
    except NbhubError as error:
        yield findings.split("configuration of servers", error.message)
        return
    yield findings.ok(about, f"would take a pod{'' if claim is None else ' and a volume'} like those of users")
    for finding in room.of_defaults(pod, made):
        yield finding
    amounts = room.needed(made, taken, secret=True, service=settings.services_enabled)
    for finding in room.of_quotas(await _quotas(api, pod["metadata"]["namespace"]), amounts):
        yield finding


async def _own_namespace(tried: Trial) -> Finding:
    """Let the API server look at a user's namespace without making it."""
    about = "namespaces of users"
    try:
        wanted = tried.namespace()
        await _as_if(tried.api, wanted)
    except NbhubError as error:
        return findings.split(about, error.message)
    return findings.ok(about, f"one such as {wanted['metadata']['name']} would be made")


async def _as_if(api: Api, obj: Plain) -> Plain:
    """Return an object as the API server would make it; raises Refused if it would not."""
    meta = obj["metadata"]
    where = f"namespaces/{meta['namespace']}/" if "namespace" in meta else ""
    path = f"/api/v1/{where}{PLURALS[obj['kind']]}"
    target = Target(obj["kind"], meta.get("namespace", ""), meta["name"])
    raw = await api.call("POST", target, path=path, params={"dryRun": "All"}, body=msgspec.json.encode(obj))
    made: Plain = msgspec.json.decode(raw)
    return made


async def _quotas(api: Api, namespace: str) -> list[Plain]:
    """Return the quotas of a namespace; none where the hub may not see them, which is no lack."""
    try:
        raw = await api.call("GET", Target("Pod"), path=f"/api/v1/namespaces/{namespace}/resourcequotas")
    except Refused:
        return []
    found: list[Plain] = msgspec.json.decode(raw)["items"]
    return found


# -- storage ---------------------------------------------------------------------------------------------------------


async def _storage(settings: KubeSettings, api: Api) -> Finding:
    about, wanted = "storage class", settings.storage_class
    try:
        raw = await api.call("GET", Target("Pod"), path=CLASSES)
    except Refused:
        return findings.ok(
            about, f"{wanted or 'the default one'}; whether it is there may not be seen, a trial pod tells"
        )
    classes: list[Plain] = msgspec.json.decode(raw)["items"]
    return storage_class(classes, wanted)


def storage_class(classes: list[Plain], wanted: str | None) -> Finding:
    """Say whether the class of users' volumes is there, and when it makes them."""
    about, names = "storage class", ", ".join(sorted(item["metadata"]["name"] for item in classes)) or "none"
    if wanted:
        chosen = [item for item in classes if item["metadata"]["name"] == wanted]
    else:
        chosen = [item for item in classes if _is_default(item)]
    if not chosen:
        said = f"there is no {wanted}." if wanted else "none is named, and the cluster has no default one."
        return findings.failed(about, said, f"Name one that there is (c.KubeSpawner.storage_class): {names}.")
    mode = chosen[0].get("volumeBindingMode", "Immediate")
    when = "when a pod has a node" if mode == "WaitForFirstConsumer" else "at once"
    reclaim = chosen[0].get("reclaimPolicy", "Delete")
    words = f"{chosen[0]['metadata']['name']}{'' if wanted else ' (the default)'} makes volumes {when}"
    return findings.ok(about, f"{words}; what a deleted claim held is {'kept' if reclaim == 'Retain' else 'deleted'}")


def _is_default(item: dict[str, Any]) -> bool:
    return (item["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"
