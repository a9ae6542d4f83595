"""What an operator sees of pods: where they are and what they take, and events that say who did what."""

from __future__ import annotations

import asyncio

import pytest

from nbhub.spawners.base import Handle, Note
from nbhub.spawners.details import Amount, Details
from nbhub.spawners.kubernetes.live import LiveView
from nbhub.spawners.kubernetes.spawner import KubeSpawner
from servers.cluster_fixtures import RULES
from spawners.launches import GRACE, a_handle, a_launch, bring_up, until


@pytest.fixture
async def make(namespace, small_image):
    made = []

    def make(**settings):
        given = {
            "namespace": namespace.name,
            "kubeconfig": str(namespace.kubeconfig),
            "image": small_image,
            "image_pull_policy": "Never",
            "start_timeout": 120,
            "mem_limit": "512M",
            "mem_guarantee": "64M",
            "cpu_guarantee": 0.05,
        }
        made.append(KubeSpawner(**{**given, **settings}))
        return made[-1]

    yield make
    for spawner in made:
        await spawner.close()


async def test_where_a_pod_is_and_what_it_takes(make, namespace, small_image):
    spawner = make()
    launch = a_launch(spawner)
    handle = a_handle(launch, (await bring_up(spawner, launch))[-1].state)
    other = Handle(99, "nobody", "nobody", 1, {"generation": 1})
    found, absent = await spawner.details([handle, other])
    pod = namespace.get("pod", "jupyter-alice")
    assert (found.object, found.node, found.image) == ("jupyter-alice", pod["spec"]["nodeName"], small_image)
    assert (found.requests, found.limits) == (Amount(0.05, 64 * 2**20), Amount(None, 512 * 2**20))
    assert absent == Details()
    calls = dict(spawner.backend.api.calls)
    assert [found, absent] == await spawner.details([handle, other])
    assert spawner.backend.api.calls["list", "Pod"] == calls["list", "Pod"], "what was just asked is known"
    if not namespace.cluster.kubectl("api-resources", "--api-group=metrics.k8s.io", "-o", "name"):
        now = [0.0]
        view = LiveView(spawner.backend.api, spawner.backend.scope, lambda: now[0])
        before = spawner.backend.api.calls["list", "PodMetrics"]
        for now[0] in (0.0, 10.0, 20.0):
            assert await view.details([handle]) == [found]
        assert spawner.backend.api.calls["list", "PodMetrics"] == before + 1, "where there are none, nobody asks again"
    await spawner.stop(handle, grace=GRACE)


async def test_events_say_who_did_what(make, namespace, tmp_path, caplog):
    spawner = make()
    launch = a_launch(spawner)
    handle = a_handle(launch, (await bring_up(spawner, launch))[-1].state)
    spawner.note(handle, Note("Stopped", "Stopped by grace"))
    spawner.note(handle, Note("Failed", "It ended.", is_trouble=True))
    spawner.note(Handle(2, "bob", "bob", 1), Note("Started", "There is no pod, so there is nothing to say it of"))

    def told():
        return {
            (event["type"], event["reason"], event["message"])
            for event in namespace.get("events")["items"]
            if event["source"].get("component") == "nbhub"
        }

    await until(lambda: len(told()) >= 2)
    assert told() == {("Normal", "Stopped", "Stopped by grace"), ("Warning", "Failed", "It ended.")}
    described = namespace.kubectl("describe", "pod", "jupyter-alice")
    assert "Stopped by grace" in described

    rules = [rule for rule in RULES if rule["resources"] != ["events"]]
    poorer = make(kubeconfig=str(namespace.identity(tmp_path, "poorer", rules)))
    for number in range(3):
        poorer.note(handle, Note("Started", f"for the {number}. time"))
        await asyncio.gather(*poorer.backend.notes.under_way)
    said = [record.message for record in caplog.records if "Events about servers are not written" in record.message]
    assert len(said) == 1 and "events" in said[0]
    await spawner.stop(handle, grace=GRACE)
    assert (await spawner.poll([handle]))[0].alive is False
