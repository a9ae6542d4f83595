"""What nbhub writes about pods for those who look at the cluster."""

from __future__ import annotations

from nbhub.spawners.base import Handle, Note
from nbhub.spawners.kubernetes.noting import event

STATE = {"namespace": "hub", "pod_name": "jupyter-ada", "pod_uid": "1234"}


def test_a_note_becomes_an_event_about_the_pod() -> None:
    found = event(Handle(7, "ada", "ada", 3, STATE), Note("Stopped", "Stopped by grace"), 1741944413.7, "0a1b")
    assert found["metadata"] == {"name": "jupyter-ada.0a1b", "namespace": "hub"}
    about = {"apiVersion": "v1", "kind": "Pod", "namespace": "hub", "name": "jupyter-ada", "uid": "1234"}
    assert found["involvedObject"] == about
    assert (found["type"], found["reason"], found["message"]) == ("Normal", "Stopped", "Stopped by grace")
    assert found["firstTimestamp"] == found["lastTimestamp"] == "2025-03-14T09:26:53Z"
    assert (found["source"]["component"], found["count"]) == ("nbhub", 1)


def test_trouble_is_a_warning_and_no_longer_than_an_event_may_be() -> None:
    found = event(Handle(7, "ada", "ada", 3, STATE), Note("Failed", "x" * 5000, is_trouble=True), 0.0, "0")
    assert found["type"] == "Warning"
    assert len(found["message"]) <= 1024
