"""The life of pods: started, looked at, ended by many hands, stopped; on a real cluster."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.parse

import pytest

from nbhub.core.lifecycle import Observation
from nbhub.errors import BackendUnavailable, SpawnError
from nbhub.spawners.kubernetes.spawner import KubeSpawner
from nbhub.spawners.kubernetes.watching import Pace
from servers.cluster_fixtures import RULES
from servers.relay import Relay
from spawners.launches import GRACE, a_handle, a_launch, bring_up, until, until_answering, until_dead, url_of

HOME = {
    "storage_pvc_ensure": True,
    "storage_capacity": "1Mi",
    "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}],
    "volume_mounts": [{"name": "home", "mountPath": "/home/jovyan"}],
}


@pytest.fixture
async def make(namespace, small_image):
    made = []

    def make(**settings):
        spawner = KubeSpawner(
            **{
                "namespace": namespace.name,
                "kubeconfig": str(namespace.kubeconfig),
                "image": small_image,
                "image_pull_policy": "Never",
                "cmd": ["jupyterhub-singleuser"],
                "start_timeout": 300,
                **settings,
            }
        )
        made.append(spawner)
        return spawner

    yield make
    for spawner in made:
        await spawner.close()


@pytest.fixture
async def relay(cluster):
    address = urllib.parse.urlsplit(cluster.server)
    relay = Relay(address.hostname, address.port or 443)
    await relay.mend()
    yield relay
    await relay.cut()


def through(relay):
    """Settings for a hub whose way to the API server is the relay."""
    return {
        "k8s_api_host": f"https://127.0.0.1:{relay.own_port}",
        "k8s_api_verify_ssl": False,  # the certificate names another address
        "k8s_api_request_timeout": 2,
        "k8s_api_request_retry_timeout": 4,
    }


async def until_heard(spawner, handle):
    """Wait until a hub that does not wait long for answers knows of the server and watches it."""
    while not spawner.backend.cache.fresh:
        with contextlib.suppress(BackendUnavailable):
            assert (await spawner.poll([handle]))[0].alive
        await asyncio.sleep(0.1)


def calls_of(spawner):
    """Return how many calls were made that are not the watches' own."""
    watches = {("watch", "Pod"), ("watch", "Event"), ("list", "Pod"), ("list", "Event")}
    return sum(count for call, count in spawner.backend.api.calls.items() if call not in watches)


async def started(spawner, **options):
    """Return the launch of a server that was brought up, its handle and its address."""
    launch = a_launch(spawner, **options)
    checkpoints = await bring_up(spawner, launch)
    return launch, a_handle(launch, checkpoints[-1].state), url_of(checkpoints)


async def test_a_day_of_a_server(make, namespace):
    spawner = make(**HOME)
    launch = a_launch(spawner)
    checkpoints = await bring_up(spawner, launch)
    assert any("container" in checkpoint.message for checkpoint in checkpoints)
    await until_answering(url_of(checkpoints))
    handle = a_handle(launch, checkpoints[-1].state)
    assert (await spawner.poll([handle]))[0] == Observation(alive=True, url=url_of(checkpoints))
    looks = spawner.backend.api.calls.get(("get", "Pod"), 0)  # for want of news; more of them on a slow machine
    assert calls_of(spawner) - looks <= 5
    assert namespace.get("secret", "jupyter-alice")["metadata"]["ownerReferences"][0]["name"] == "jupyter-alice"

    await spawner.stop(handle, grace=GRACE)
    assert namespace.names("pods") == []
    await until(lambda: namespace.names("secrets") == [])  # taken away by Kubernetes, with its owner
    assert namespace.names("pvc") == ["claim-alice"]
    assert not (await spawner.poll([handle]))[0].alive
    await spawner.forget(handle)
    await until(lambda: namespace.names("pvc") == [])


# -- ended by others ---------------------------------------------------------------------------------------------------


async def test_a_pod_deleted_by_hand_is_told_at_once_and_in_words(make, namespace):
    spawner = make()
    _, handle, _ = await started(spawner)
    hints = spawner.watch()
    first = asyncio.ensure_future(anext(hints))
    await asyncio.sleep(0)
    namespace.kubectl("delete", "pod", "jupyter-alice", "--grace-period=1")
    assert await asyncio.wait_for(first, 100) == handle.server_id
    seen = await until_dead(spawner, handle)
    assert "deleted" in seen.message
    await hints.aclose()


def kill_the_server(namespace):
    """Kill it within its pod; whoever does that may be gone with the container before kubectl hears of it."""
    command = ["sh", "-c", "kill -9 $(cat /proc/1/task/1/children)"]
    namespace.kubectl("exec", "jupyter-alice", "--", *command, check=False)


async def test_a_server_that_crashes_is_run_again_in_its_place(make, namespace):
    spawner = make()
    _, handle, url = await started(spawner)
    await until_answering(url)
    kill_the_server(namespace)
    restarts = "jsonpath={.status.containerStatuses[0].restartCount}"
    await until(lambda: namespace.kubectl("get", "pod", "jupyter-alice", "-o", restarts) == "1")
    await until_answering(url)
    seen = (await spawner.poll([handle]))[0]
    assert seen.alive
    assert seen.url in (url, None)


async def test_a_pod_that_ended_is_deleted_after_its_log_could_be_read(make, namespace, monkeypatch):
    monkeypatch.setattr("nbhub.spawners.kubernetes.spawner.TIDY_SECONDS", 0.5)
    spawner = make(extra_pod_config={"restartPolicy": "Never"})
    _, handle, url = await started(spawner)
    await until_answering(url)
    kill_the_server(namespace)
    assert (await until_dead(spawner, handle)).exit_code == -9
    await until(lambda: namespace.names("pods") == [])
    assert not (await spawner.poll([handle]))[0].alive


# -- not ours ----------------------------------------------------------------------------------------------------------


def a_pod(name, image, **metadata):
    container = {"name": "notebook", "image": image, "imagePullPolicy": "Never", "args": ["sleep", "600"]}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **metadata},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
        }
    )


async def test_a_strangers_pod_of_the_same_name_is_left_alone(make, namespace, small_image):
    namespace.kubectl("create", "-f", "-", text=a_pod("jupyter-alice", small_image))
    spawner = make()
    launch = a_launch(spawner)
    with pytest.raises(SpawnError, match="nbhub did not make it for server alice/"):
        await bring_up(spawner, launch)
    await spawner.stop(a_handle(launch, {"pod_name": "jupyter-alice", "namespace": namespace.name}), grace=GRACE)
    assert "deletionTimestamp" not in namespace.get("pod", "jupyter-alice")["metadata"]


async def test_a_pod_that_kubespawner_left_is_seen_and_replaced(make, namespace, small_image):
    of_old = {"annotations": {"hub.jupyter.org/username": "alice"}, "labels": {"component": "singleuser-server"}}
    namespace.kubectl("create", "-f", "-", text=a_pod("jupyter-alice", small_image, **of_old))
    spawner = make()
    launch = a_launch(spawner)
    imported = a_handle(launch, {"pod_name": "jupyter-alice", "namespace": namespace.name})
    assert (await spawner.poll([imported]))[0].alive
    before = namespace.get("pod", "jupyter-alice")["metadata"]["uid"]
    checkpoints = await bring_up(spawner, launch)
    assert checkpoints[-1].state["pod_uid"] != before


async def test_a_secret_of_an_earlier_start_is_replaced_with_its_pod(make, namespace):
    spawner = make()
    _, handle, _ = await started(spawner)
    first = namespace.get("secret", "jupyter-alice")
    await started(make(), generation=2)
    second = namespace.get("secret", "jupyter-alice")
    assert first["data"] != second["data"]
    assert namespace.names("pods") == ["jupyter-alice"]
    assert handle.state["pod_uid"] != second["metadata"]["ownerReferences"][0]["uid"]


# -- in the middle of things -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", range(1, 7))
async def test_a_start_cancelled_at_any_call_leaves_nothing_that_a_stop_does_not_take(make, namespace, calls):
    spawner = make(**HOME)
    launch = a_launch(spawner)
    told = []

    async def run():
        async for checkpoint in spawner.start(launch):
            told[:] = [checkpoint.state]

    task = asyncio.ensure_future(run())
    await until(lambda: calls_of(spawner) >= calls or task.done())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await spawner.stop(a_handle(launch, told[-1] if told else {}), grace=GRACE)
    assert namespace.names("pods") == []
    await until(lambda: namespace.names("secrets") == [])
    await started(make(**HOME), generation=2)
    assert namespace.names("pvc") == ["claim-alice"]


async def test_a_pod_that_is_held_back_is_told_by_a_stop(make, namespace):
    spawner = make(stop_timeout=6)
    _, handle, _ = await started(spawner)
    held = {"metadata": {"finalizers": ["example.org/held"]}}
    namespace.kubectl("patch", "pod", "jupyter-alice", "--type=merge", "-p", json.dumps(held))
    with pytest.raises(SpawnError, match=r"example.org/held"):
        await spawner.stop(handle, grace=GRACE)
    namespace.kubectl("patch", "pod", "jupyter-alice", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    await make().stop(handle, grace=GRACE)
    assert namespace.names("pods") == []


# -- without rights ----------------------------------------------------------------------------------------------------


def without(*taken):
    """Return the usual rules but for some (resource, verb)."""
    rules = []
    for rule in RULES:
        verbs = [verb for verb in rule["verbs"] if not any((what, verb) in taken for what in rule["resources"])]
        if verbs:
            rules.append({**rule, "verbs": verbs})
    return rules


async def test_without_the_right_to_watch_it_asks_again_and_again_and_says_so_once(make, namespace, tmp_path, caplog):
    taken = ("pods", "watch"), ("events", "watch"), ("events", "list")
    identity = namespace.identity(tmp_path, "blind", without(*taken))
    spawner = make(kubeconfig=str(identity))
    _, handle, url = await started(spawner)
    await until_answering(url)
    assert (await spawner.poll([handle]))[0].alive
    assert sum("cannot be watched" in record.message or "watch" in record.message for record in caplog.records) == 1
    namespace.kubectl("delete", "pod", "jupyter-alice", "--grace-period=1")
    await until_dead(spawner, handle)


async def test_without_the_right_to_change_secrets_a_stop_deletes_them(make, namespace, tmp_path, caplog):
    identity = namespace.identity(tmp_path, "older", without(("secrets", "patch")))
    spawner = make(kubeconfig=str(identity))
    _, handle, _ = await started(spawner)
    assert sum("patch" in record.message for record in caplog.records) == 1
    await spawner.stop(handle, grace=GRACE)
    assert namespace.names("secrets") == []


# -- the API server is away --------------------------------------------------------------------------------------------


async def test_while_the_api_server_is_away_nothing_is_concluded(make, namespace, relay):
    _, handle, url = await started(make())
    spawner = make(**through(relay))
    await until_heard(spawner, handle)
    await relay.cut()
    await until(lambda: not spawner.backend.cache.fresh)
    with pytest.raises(BackendUnavailable, match="did not answer"):
        await spawner.poll([handle])
    with pytest.raises(BackendUnavailable):
        await spawner.stop(handle, grace=GRACE)
    await until_answering(url)
    await relay.mend()
    await until_heard(spawner, handle)  # the watch is back by itself
    assert (await spawner.poll([handle]))[0].alive


async def test_an_api_server_that_asks_for_fewer_calls_is_obeyed(make, namespace, cluster):
    """A level of priority with room for one call refuses those that come beside it (429, with a Retry-After)."""
    spawner = make(k8s_api_request_retry_timeout=300)
    await spawner.check()
    throttle = spawner.backend.api.throttle
    narrowest = [throttle.most]
    cluster.kubectl("apply", "-f", "-", text=json.dumps(no_room_for(namespace.name)))
    try:
        async with asyncio.timeout(400):
            while narrowest[-1] == throttle.most:
                calls = [asyncio.ensure_future(spawner.backend.pods()) for _ in range(40)]
                while not all(call.done() for call in calls):
                    await asyncio.wait(calls, timeout=0.05)
                    narrowest.append(min(throttle.bound, narrowest[-1]))
                assert [call.result() for call in calls] == [[]] * 40
    finally:
        cluster.kubectl("delete", "flowschemas,prioritylevelconfigurations", namespace.name)
    assert narrowest[-1] < throttle.most


def no_room_for(name):
    """Return a level of priority that lets one call through at a time, and what leads the hub of a namespace there."""
    subject = {"kind": "ServiceAccount", "serviceAccount": {"name": "hub", "namespace": name}}
    resources = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    limited = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0}
    level = {"type": "Limited", "limited": {**limited, "limitResponse": {"type": "Reject"}}}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
                "kind": "PriorityLevelConfiguration",
                "metadata": {"name": name},
                "spec": level,
            },
            {
                "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
                "kind": "FlowSchema",
                "metadata": {"name": name},
                "spec": {
                    "matchingPrecedence": 2,
                    "priorityLevelConfiguration": {"name": name},
                    "rules": [{"subjects": [subject], "resourceRules": [resources]}],
                },
            },
        ],
    }


async def test_a_start_survives_an_api_server_that_goes_and_comes_back(make, namespace, relay):
    spawner = make(**{**through(relay), "k8s_api_request_retry_timeout": 200}, **HOME)
    launch = a_launch(spawner)
    run = asyncio.ensure_future(bring_up(spawner, launch))
    await until(lambda: calls_of(spawner) >= 3)
    await relay.cut()
    await asyncio.sleep(2)
    await relay.mend()
    await until_answering(url_of(await run))
    assert namespace.names("pods") == ["jupyter-alice"]
    assert namespace.names("pvc") == ["claim-alice"]


async def test_a_watch_whose_connection_has_died_silently_is_noticed(make, namespace, relay):
    _, handle, _ = await started(make())
    spawner = make(**through(relay))
    spawner.pace = Pace(renew=10, silence=3)
    await until_heard(spawner, handle)
    relay.fall_silent()
    namespace.kubectl("delete", "pod", "jupyter-alice", "--grace-period=1")
    await until(lambda: not spawner.backend.cache.fresh)
    relay.speak()
    with contextlib.suppress(BackendUnavailable):
        assert not (await spawner.poll([handle]))[0].alive
    await until(lambda: spawner.backend.cache.fresh)
    await until_dead(spawner, handle)
