"""A pod that has no node yet: what the scheduler misses, whether nodes are being added, what holds up its volumes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nbhub.spawners.kubernetes.seen import Happening, Json, claims, condition, latest, quantity
from nbhub.spawners.kubernetes.sight import Patience, Sight, Stage, with_details

_HEAD = re.compile(r"^(\d+)/(\d+) nodes are available: ?(.*)$", re.DOTALL)
_TAIL = re.compile(r"\.\s+(?:preemption|no new claims|not found)\b.*$|\.\s*$", re.DOTALL)
_COUNTED = re.compile(r"^(\d+) (.+)$", re.DOTALL)
_NAMES = {"cpu": "CPU", "memory": "memory", "ephemeral-storage": "disk space", "pods": "room for pods"}
_WORDS = (
    (re.compile(r"^Insufficient (\S+)$"), "short of {0}"),
    (re.compile(r"^Too many pods$"), "full: no more pods fit"),
    (
        re.compile(r"^node\(s\) had (?:untolerated )?taints? \{?([^}:]+)[^}]*\}?.*$"),
        "reserved by the taint {0}",
    ),
    (re.compile(r"^node\(s\) had untolerated taint\(s\)$"), "reserved by taints"),
    (re.compile(r"^node\(s\) didn't match Pod's node affinity/selector$"), "of another kind than asked for"),
    (re.compile(r"^node\(s\) didn't match pod affinity rules$"), "without the pods that this one has to be near"),
    (re.compile(r"^node\(s\) didn't (?:match|satisfy).*anti-affinity.*$"), "in use by pods that keep this one away"),
    (
        re.compile(r"^node\(s\) had volume node affinity conflict$|.*PersistentVolume's node affinity$"),
        "away from the volume",
    ),
    (re.compile(r"^node\(s\) were unschedulable$"), "closed to new pods"),
    (re.compile(r"^node\(s\) didn't have free ports for the requested pod ports$"), "using the port already"),
    (re.compile(r"^node\(s\) exceed max volume count$"), "unable to attach more volumes"),
)
_MISSING_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found')
_MISSING_CLASS = re.compile(r'storageclass\S* "([^"]+)" not found')
_ADDS_NODES = ("TriggeredScaleUp", "Nominated")


@dataclass(frozen=True, slots=True)
class Wait:
    """What is known about a pod that has no node: the scheduler's words, events, and how old the wait is."""

    pod: Json
    happened: Sequence[Happening]
    words: str  # of the scheduler; empty before it has tried
    age: float
    now: float


def look(pod: Json, happened: Sequence[Happening], now: float, age: float, patience: Patience) -> Sight:
    """Say what a pod without a node waits for. `age` is how many seconds ago it was created."""
    refused = condition(pod, "PodScheduled")
    words = str(refused.get("message") or "") if refused.get("status") == "False" else ""
    if refused.get("reason") == "SchedulingGated":
        return Sight(
            Stage.SCHEDULING, "Waiting: something in the cluster holds the pod back before it is given a node."
        )
    if not words:
        return Sight(Stage.SCHEDULING, "Waiting for a node.", again=5.0)
    wait = Wait(pod, happened, words, age, now)
    if "ersistent" in words and ("unbound" in words or _MISSING_CLAIM.search(words) or "being deleted" in words):
        return _volume(wait, patience)
    return _scaling(wait, patience) or Sight(
        Stage.SCHEDULING, f"Waiting for a node: {missing(words, pod)}{_no_more_nodes(wait)}", reason="Unschedulable"
    )


def missing(words: str, pod: Json) -> str:
    """Return what the scheduler says in a sentence: how many nodes are unfit for which reason."""
    head = _HEAD.match(words.strip())
    if head is None:
        return f"{words.strip().rstrip('.')}."
    total = int(head.group(2))
    if total == 0:
        return "the cluster has no node at all."
    parts = [_part(item, total, pod) for item in re.split(r", (?=\d+ )", _TAIL.sub("", head.group(3)))]
    whole = "the only node is" if total == 1 else f"of {total} nodes,"
    return f"{whole} {', '.join(parts)}."


def _part(item: str, total: int, pod: Json) -> str:
    counted = _COUNTED.match(item.strip())
    count, text = (counted.group(1), counted.group(2)) if counted else ("", item.strip())
    words = _unfit(text.rstrip("."), pod)
    if total == 1 or not count:
        return words
    return f"{count} {'is' if count == '1' else 'are'} {words}"


def _unfit(text: str, pod: Json) -> str:
    for pattern, words in _WORDS:
        if found := pattern.match(text):
            if not found.groups() or found.group(1) is None:
                return words
            name = found.group(1).strip()
            asked = _asked(pod, name) if text.startswith("Insufficient") else ""
            return words.format(_NAMES.get(name, name)) + (f" ({asked} asked for)" if asked else "")
    return f"unfit ({text})"


def _asked(pod: Json, resource: str) -> str:
    """Return how much of a resource the containers ask for, as it is written in the pod."""
    found = []
    for container in (pod.get("spec") or {}).get("containers") or ():
        resources = container.get("resources") or {}
        asked = (resources.get("requests") or {}).get(resource) or (resources.get("limits") or {}).get(resource)
        if asked is not None:
            found.append(quantity(str(asked)) if resource == "memory" else str(asked))
    return " + ".join(found)


def _scaling(wait: Wait, patience: Patience) -> Sight | None:
    """Say that nodes are being added, if they are."""
    added = latest(wait.happened, *_ADDS_NODES)
    if added is None:
        return None
    left = max(0.0, added.first + patience.scale_up - wait.now)
    group = re.search(r"\{(\S+) (\d+->\d+)[^}]*\}", added.words)
    which = f" ({group.group(1)} {group.group(2).replace('->', '→')})" if group else ""
    sentence = f"Waiting for a node: one is being added{which}, which takes some minutes."
    return Sight(Stage.SCHEDULING, sentence, reason="ScaleUp", extends=left or None, again=left or None)


def _no_more_nodes(wait: Wait) -> str:
    refused = latest(wait.happened, "NotTriggerScaleUp")
    if refused is None:
        return ""
    why = refused.words.partition(":")[2].strip()
    why = re.sub(r"\b\d+ ", "", why)
    return f" No node will be added{f': {why}' if why else ''}."


# -- volumes ---------------------------------------------------------------------------------------------------------


def _volume(wait: Wait, patience: Patience) -> Sight:
    if absent := _MISSING_CLAIM.search(wait.words):
        sentence = (
            f"The volume claim {absent.group(1)} does not exist. Ask your administrator to create it, or to let the "
            "hub do so (storage_pvc_ensure)."
        )
        return _held_up(sentence, "MissingClaim", wait.age, patience.missing)
    name = next(iter(claims(wait.pod)), "")
    about = [item for item in wait.happened if item.kind == "PersistentVolumeClaim"]
    failed = about[-1] if about and about[-1].reason in ("ProvisioningFailed", "FailedBinding") else None
    if failed is not None:
        return _unprovisioned(failed, wait, patience)
    if "being deleted" in wait.words:
        return Sight(Stage.VOLUMES, f"Waiting for the old volume {name} to be deleted, before a new one can be made.")
    return Sight(Stage.VOLUMES, f"Waiting for the volume {name} to be made.", reason="VolumePending")


def _unprovisioned(failed: Happening, wait: Wait, patience: Patience) -> Sight:
    lasting = wait.now - max(failed.first, wait.now - wait.age)
    if unknown := _MISSING_CLASS.search(failed.words):
        sentence = (
            f"The volume {failed.name} cannot be made: there is no storage class {unknown.group(1)}. "
            "Ask your administrator to name one that the cluster has (storage_class)."
        )
        return _held_up(sentence, "NoStorageClass", lasting, patience.missing)
    if "no storage class is set" in failed.words:
        sentence = (
            f"The volume {failed.name} cannot be made: no storage class is set, the cluster has no default one, and no "
            "free volume fits. Ask your administrator to name a class (storage_class)."
        )
        return _held_up(sentence, "NoStorageClass", lasting, patience.missing)
    sentence = f"The volume {failed.name} cannot be made. Ask your administrator to look at the cluster's storage."
    return _held_up(with_details(sentence, failed.words), "ProvisioningFailed", lasting, patience.trouble)


def _held_up(message: str, reason: str, lasting: float, allowed: float) -> Sight:
    """Return trouble that is fatal once it has lasted longer than allowed."""
    left = allowed - lasting
    return Sight(Stage.VOLUMES, message, reason=reason, fatal=left <= 0, again=left if left > 0 else None)
