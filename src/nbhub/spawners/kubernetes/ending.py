"""Servers that came to their end: by themselves, by a limit, by the cluster; and pods that do not go away."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from nbhub.spawners.kubernetes.seen import MAIN, Container, Happening, Json, condition, latest, quantity, seconds
from nbhub.spawners.kubernetes.sight import Sight, Stage, with_details

STUCK_SECONDS = 30.0  # beyond its grace, after which a pod that should be gone is called stuck
_DISRUPTIONS = {
    "PreemptionByScheduler": "The cluster gave the server's place to a pod of higher priority.",
    "DeletionByTaintManager": "The server's node was taken out of use or did not answer any more.",
    "EvictionByEvictionAPI": "The server's node was emptied by an administrator or by the cluster.",
    "DeletionByPodGC": "The server's node no longer exists.",
    "TerminationByKubelet": "The server's node ended it.",
}
_POD_REASONS = {
    "Evicted": "The server's node was short of something and put the server out.",
    "NodeLost": "The server's node does not answer any more.",
    "NodeShutdown": "The server's node was shut down.",
    "Terminated": "The server's node was shut down.",
    "Shutdown": "The server's node was shut down.",
    "DeadlineExceeded": "The server has reached the time that a pod may run (activeDeadlineSeconds).",
    "Preempting": "The server's node gave its place to a pod that the node needs.",
    "UnexpectedAdmissionError": "The server's node refused it.",
    "OutOfcpu": "The server's node had no CPU left when it arrived. Try again.",
    "OutOfmemory": "The server's node had no memory left when it arrived. Try again.",
    "OutOfpods": "The server's node had no room for more pods when it arrived. Try again.",
    "NodeAffinity": "The server's node did not fit it any more when it arrived. Try again.",
}
_EVENTS = {
    "Preempted": "The cluster gave the server's place to a pod of higher priority.",
    "Evicted": "The server's node was short of something and put the server out.",
    "TaintManagerEviction": "The server's node was taken out of use or did not answer any more.",
    "NodeNotReady": "The server's node does not answer any more.",
    "Killing": "The pod was deleted.",
}


def sentence(container: Container, last: Json, ended_by: str = "") -> str:
    """Say how a container's run ended: `last` is its terminated state, `ended_by` a sentence on what had it ended."""
    who = "The server" if container.name == MAIN else f"The container {container.name}"
    code = last.get("exitCode")
    limit = ((container.spec.get("resources") or {}).get("limits") or {}).get("memory")
    allowed = f"its limit of {quantity(str(limit))}" if limit else "the node had left"
    if last.get("reason") == "OOMKilled":
        return f"{who} used more memory than {allowed} and was killed."
    if code is None:
        said = f"{who} ended."
    elif code == 0:
        said = f"{who} shut itself down."
    elif code == 128 + signal.SIGKILL and not ended_by:
        # A runtime hears of the end and of the kernel's lack of memory by two ways, and may miss the second.
        said = f"{who} was killed by SIGKILL, most likely because it used more memory than {allowed}."
    elif name := _signal(int(code)):
        said = f"{who} was killed by {name}."
    else:
        said = f"{who} exited with code {code}."
    return f"{said} {ended_by}".rstrip()


def _signal(code: int) -> str:
    """Return the name of the signal that an exit code above 128 stands for; empty when it stands for none."""
    try:
        return signal.Signals(code - 128).name if 128 < code < 160 else ""
    except ValueError:
        return ""


def is_over(pod: Json, main: Container | None) -> bool:
    """Say whether the server has ended and is not run again, though its pod does not say so yet, or never will."""
    if main is None or main.state != "terminated":
        return False
    policy = (pod.get("spec") or {}).get("restartPolicy")
    return policy == "Never" or (policy == "OnFailure" and main.detail.get("exitCode") == 0)


def of_pod(pod: Json, main: Container | None) -> Sight:
    """Say why a pod that is over (Succeeded, Failed) came to its end."""
    status = pod.get("status") or {}
    last = main.detail if main is not None and main.state == "terminated" else {}
    code = last.get("exitCode")
    if why := _by_the_cluster(pod):
        return Sight(Stage.ENDED, why, _code(pod), fatal=True, ended=True, exit_code=code)
    words = str(status.get("message") or "")
    if status.get("phase") == "Succeeded":
        return Sight(Stage.ENDED, "The server shut itself down.", "Completed", True, True, exit_code=code or 0)
    if main is None or not last:
        message = with_details("The server's pod has failed.", words)
        return Sight(Stage.ENDED, message, str(status.get("reason") or "Failed"), fatal=True, ended=True)
    return Sight(
        Stage.ENDED,
        sentence(main, last),
        str(last.get("reason") or "Error"),
        fatal=True,
        ended=True,
        exit_code=code,
        log_of=main.name,
    )


def _by_the_cluster(pod: Json) -> str:
    """Say why the cluster ended a pod; empty when it did not."""
    status = pod.get("status") or {}
    reason, words = str(status.get("reason") or ""), str(status.get("message") or "")
    if reason in _POD_REASONS:
        return with_details(_POD_REASONS[reason], words)
    disrupted = condition(pod, "DisruptionTarget")
    if disrupted.get("status") == "True" and disrupted.get("reason") in _DISRUPTIONS:
        return with_details(_DISRUPTIONS[str(disrupted["reason"])], words or str(disrupted.get("message") or ""))
    return ""


def _code(pod: Json) -> str:
    reason = (pod.get("status") or {}).get("reason")
    return str(reason or condition(pod, "DisruptionTarget").get("reason") or "Ended")


def terminating(pod: Json, main: Container | None, now: float) -> Sight:
    """Say why a pod is going away, and what holds it when it does not."""
    metadata = pod["metadata"]
    overdue = now - (seconds(metadata.get("deletionTimestamp")) or now)
    over = main is None or main.state == "terminated"
    why, _, details = (_by_the_cluster(pod) or "The pod was deleted.").partition("\n\n")
    held = [str(item) for item in metadata.get("finalizers") or ()]
    if over and held:
        why = f"{why} It is kept from going away by {', '.join(held)}: whatever set that has to take it off."
    elif overdue > STUCK_SECONDS:
        node = (pod.get("spec") or {}).get("nodeName") or "its node"
        why = f"{why} It does not go away: {node} does not say that it has ended."
    return Sight(
        Stage.TERMINATING,
        with_details(why, details),
        _code(pod) if _by_the_cluster(pod) else "Deleted",
        fatal=True,
        ended=over or overdue > STUCK_SECONDS,
        exit_code=main.detail.get("exitCode") if main is not None and main.state == "terminated" else None,
        again=max(1.0, STUCK_SECONDS - overdue),
    )


def vanished(happened: Sequence[Happening]) -> Sight:
    """Say why a pod is no longer there, as far as events tell."""
    found = latest(happened, *_EVENTS)
    if found is None:
        return Sight(
            Stage.ABSENT,
            "The pod is gone, and nothing says why: somebody or its node may have taken it away.",
            "Absent",
            ended=True,
        )
    words = "" if found.reason == "Killing" else re.sub(r"\s+", " ", found.words)
    return Sight(Stage.ABSENT, with_details(_EVENTS[found.reason], words), found.reason, ended=True)
