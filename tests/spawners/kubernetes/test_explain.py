"""What real pods in trouble, saved with their events, say to their user; and how the words follow time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nbhub.spawners.kubernetes import explain, seen
from nbhub.spawners.kubernetes.sight import Patience, Sight, Stage

SEEN = Path(__file__).parent / "seen"

# What each saved object says: the words are those that come before the cluster's own.
EXPLAINED: dict[str, dict[str, Any]] = json.loads((SEEN.parent / "explained.json").read_text())


def load(name: str) -> dict[str, Any]:
    return json.loads((SEEN / f"{name}.json").read_text())  # type: ignore[no-any-return]


def look(name: str, later: float = 0.0, **change: Any) -> Sight:
    saved = load(name)
    return explain.look(saved["pod"], saved["events"], now=saved["now"] + later, **change)


@pytest.mark.parametrize("name", EXPLAINED)
def test_a_pod_in_trouble_says_why(name: str) -> None:
    sight, words = look(name), EXPLAINED[name]
    assert (sight.stage, sight.reason) == (words["stage"], words["reason"])
    assert (sight.fatal, sight.ended) == (words["fatal"], words["ended"])
    assert sight.message.split("\n\n")[0] == words["words"]


def test_every_saved_object_is_in_the_table() -> None:
    assert {path.stem for path in SEEN.glob("*.json")} == set(EXPLAINED)


@pytest.mark.parametrize(
    ("limits", "allowed"), [({"memory": "30Mi"}, "its limit of 30Mi"), ({}, "the node had left")], ids=["limit", "none"]
)
def test_a_kill_that_the_runtime_did_not_explain_is_most_likely_for_memory(
    limits: dict[str, str], allowed: str
) -> None:
    saved = load("oom")
    saved["pod"]["spec"]["containers"][0]["resources"]["limits"] = limits
    saved["pod"]["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] = "Error"
    sight = explain.look(saved["pod"], saved["events"], now=saved["now"])
    assert sight.message == (
        f"The server was killed by SIGKILL, most likely because it used more memory than {allowed}. "
        "It was tried 6 times."
    )


def test_what_is_missing_may_still_be_made() -> None:
    saved = load("missing-secret")
    found = seen.seconds(seen.condition(saved["pod"], "PodScheduled")["lastTransitionTime"])
    assert found is not None
    early = explain.look(saved["pod"], saved["events"], now=found + 4, patience=Patience(missing=10))
    assert not early.fatal
    assert early.again == pytest.approx(6)
    assert "missing-secret" in early.message
    late = explain.look(saved["pod"], saved["events"], now=found + 11, patience=Patience(missing=10))
    assert late.fatal


def test_a_registry_that_does_not_answer_gets_time() -> None:
    saved = load("pull-no-registry")
    begun = min(item.first for item in seen.happenings(saved["pod"], saved["events"]) if item.reason == "Failed")
    assert not explain.look(saved["pod"], saved["events"], now=begun + 30).fatal
    assert explain.look(saved["pod"], saved["events"], now=begun + 61).fatal


def pulling(at: float) -> Sight:
    """A pod whose image is being pulled: the one of an image not found, before the answer came."""
    saved = load("pull-not-found")
    pod = saved["pod"]
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ContainerCreating"}}
    events = [event for event in saved["events"] if event["reason"] == "Pulling"]
    for event in events:
        event["lastTimestamp"] = event["firstTimestamp"]
    begun = seen.seconds(events[-1]["firstTimestamp"])
    assert begun is not None
    return explain.look(pod, events, now=begun + at, patience=Patience(pull=900))


def test_a_pull_says_how_long_it_takes_and_is_given_time() -> None:
    assert pulling(2).message == "The image 10.77.0.1:5000/nothing:1 is being fetched to node node."
    assert pulling(2).again == pytest.approx(8)
    assert pulling(31).message.endswith("node, 30 s so far.")
    assert pulling(200).message.endswith("node, 3 min so far.")
    assert pulling(200).extends == pytest.approx(700)
    assert pulling(901).extends is None


def test_the_words_of_a_pull_change_seldom() -> None:
    assert len({pulling(at).message for at in range(600)}) < 20


def test_a_server_that_crashed_once_is_tried_again() -> None:
    saved = load("crash")
    status = saved["pod"]["status"]["containerStatuses"][0]
    status["restartCount"] = 0
    status["state"] = {"terminated": status["lastState"]["terminated"]}
    status["lastState"] = {}
    sight = explain.look(saved["pod"], saved["events"], now=saved["now"])
    assert not sight.fatal
    assert sight.message == "The server exited with code 3. It is run once more."
    assert explain.look(saved["pod"], saved["events"], now=saved["now"], patience=Patience(crashes=1)).fatal


def test_a_running_server_outlives_a_crash_but_not_a_row_of_them() -> None:
    saved = load("crash")
    waiting = saved["pod"]["status"]["containerStatuses"][0]["state"]["waiting"]
    for pause, ended in (("10s", False), ("20s", False), ("40s", True), ("1m20s", True), ("5m0s", True)):
        waiting["message"] = f"back-off {pause} restarting failed container=notebook pod=crash_hub(1)"
        assert explain.look(saved["pod"], saved["events"], now=saved["now"]).ended is ended


def test_trouble_beside_a_running_server_does_not_end_it() -> None:
    assert not look("sidecar-fails").ended
    assert look("sidecar-fails").log_of == "logger"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "0/5 nodes are available: 2 Insufficient cpu, 1 Insufficient memory, 2 node(s) had untolerated taint "
            "{node.kubernetes.io/not-ready: }. preemption: 0/5 nodes are available: 5 Preemption is not helpful.",
            "of 5 nodes, 2 are short of CPU, 1 is short of memory, 2 are reserved by the taint "
            "node.kubernetes.io/not-ready.",
        ),
        (
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) had volume node affinity conflict.",
            "of 3 nodes, 1 is closed to new pods, 2 are away from the volume.",
        ),
        ("0/2 nodes are available: 2 Too many pods. preemption: none", "of 2 nodes, 2 are full: no more pods fit."),
        (
            "0/4 nodes are available: 1 node(s) didn't match pod affinity rules, 2 node(s) didn't satisfy existing "
            "pods anti-affinity rules, 1 node(s) exceed max volume count.",
            "of 4 nodes, 1 is without the pods that this one has to be near, 2 are in use by pods that keep this one "
            "away, 1 is unable to attach more volumes.",
        ),
        (
            "0/21 nodes are available: 1 Insufficient memory, 20 node(s) had untolerated taint(s). no new claims to "
            "deallocate, preemption: 0/21 nodes are available: 21 Preemption is not helpful for scheduling.",
            "of 21 nodes, 1 is short of memory, 20 are reserved by taints.",
        ),
        ("0/0 nodes are available: ", "the cluster has no node at all."),
        ("no nodes available to schedule pods", "no nodes available to schedule pods."),
        ("0/1 nodes are available: 1 something new.", "the only node is unfit (something new)."),
    ],
)
def test_what_the_scheduler_misses(words: str, sentence: str) -> None:
    saved = load("unsched-selector")
    for item in saved["pod"]["status"]["conditions"]:
        item["message"] = words
    sight = explain.look(saved["pod"], [], now=saved["now"])
    assert sight.message == f"Waiting for a node: {sentence}"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("31457280", "30Mi"),
        ("536870912k", "500Gi"),
        ("1500M", "1.4Gi"),
        ("1Gi", "1Gi"),
        ("512", "512"),
        ("1.5Gi", "1.5Gi"),
        ("2048", "2Ki"),
    ],
)
def test_amounts_of_memory_are_written_as_people_do(written: str, read: str) -> None:
    assert seen.quantity(written) == read


def scaling(reason: str, words: str) -> Sight:
    saved = load("unsched-memory")
    at = saved["pod"]["metadata"]["creationTimestamp"]
    about = {"kind": "Pod", "uid": saved["pod"]["metadata"]["uid"]}
    event = {"involvedObject": about, "reason": reason, "message": words, "firstTimestamp": at, "lastTimestamp": at}
    begun = seen.seconds(at)
    assert begun is not None
    return explain.look(saved["pod"], [event], now=begun + 100, patience=Patience(scale_up=900))


def test_a_node_that_is_being_added_is_waited_for() -> None:
    sight = scaling("TriggeredScaleUp", "pod triggered scale-up: [{pool-1 1->2 (max: 10)}]")
    assert sight.message == "Waiting for a node: one is being added (pool-1 1→2), which takes some minutes."
    assert sight.extends == pytest.approx(800)


def test_a_node_that_will_not_be_added_is_said() -> None:
    sight = scaling("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached")
    assert sight.message == (
        "Waiting for a node: the only node is short of memory (500Gi asked for). "
        "No node will be added: max node group size reached."
    )
    assert sight.extends is None


def test_a_pod_that_vanished_is_explained_by_its_events() -> None:
    about = {"kind": "Pod", "name": "jupyter-alice"}
    event = {"involvedObject": about, "reason": "Preempted", "message": "Preempted by pod 1 on node a"}
    sight = explain.look(None, [event | {"eventTime": "2026-11-26T23:30:31.000000Z"}], now=0.0)
    assert sight.ended
    assert sight.stage is Stage.ABSENT
    assert sight.message.startswith("The cluster gave the server's place to a pod of higher priority.")
    assert explain.look(None, [], now=0.0).message.startswith("The pod is gone, and nothing says why")


def test_a_stuck_pod_names_what_holds_it() -> None:
    saved = load("finalizer")
    del saved["pod"]["metadata"]["finalizers"]
    saved["pod"]["status"]["containerStatuses"][0]["state"] = {"running": {}}
    sight = explain.look(saved["pod"], [], now=saved["now"] + 60)
    assert sight.ended
    assert "node does not say that it has ended" in sight.message


def test_a_server_on_a_lost_node_has_ended_once_it_should_be_gone() -> None:
    assert not look("node-lost").ended
    sight = look("node-lost", later=90)
    assert sight.ended
    assert sight.message == (
        "The server's node was taken out of use or did not answer any more. It does not go away: node-7 does not say "
        "that it has ended.\n\nTaint manager: deleting due to NoExecute taint"
    )


@pytest.mark.parametrize("reason", ["PreemptionByScheduler", "DeletionByTaintManager", "EvictionByEvictionAPI"])
def test_a_disruption_is_named(reason: str) -> None:
    saved = load("finalizer")
    saved["pod"]["status"]["conditions"].append({"type": "DisruptionTarget", "status": "True", "reason": reason})
    sight = explain.look(saved["pod"], [], now=saved["now"])
    assert sight.reason == reason
    assert not sight.message.startswith("The pod was deleted.")


def test_events_of_an_older_pod_are_left_out() -> None:
    saved = load("pull-not-found")
    saved["pod"]["metadata"]["uid"] = "another"
    assert not seen.happenings(saved["pod"], saved["events"])
