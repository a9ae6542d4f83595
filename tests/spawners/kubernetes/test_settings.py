"""Every setting shows in the objects of a start: set it, and look where it has to appear."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nbhub.errors import ConfigError, SpawnError
from nbhub.spawners.kubernetes import checking, objects, service
from nbhub.spawners.kubernetes.models import Model
from nbhub.spawners.kubernetes.settings import RENAMED, KubeSettings
from spawners.kubernetes.starts import prepared_launch

MISSING = object()
TERM = {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
NODE = {"matchExpressions": [{"key": "a", "operator": "Exists"}]}
POD_TERM = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"user_name": "x"}}}
WEIGHTED = {"weight": 5, "podAffinityTerm": POD_TERM}
DURING = "DuringSchedulingIgnoredDuringExecution"
POD, NOTEBOOK, SPEC, SAFETY = "pod", "pod.spec.containers.0", "pod.spec", "pod.spec.containers.0.securityContext"

# setting, its value, where it shows, what is there
TABLE: list[tuple[str, Any, str, Any]] = [
    # the container
    ("cmd", None, f"{NOTEBOOK}.args", MISSING),
    ("cmd", ["jupyterhub-singleuser", "--debug"], f"{NOTEBOOK}.args", ["jupyterhub-singleuser", "--debug"]),
    ("port", 9000, f"{NOTEBOOK}.ports.0.containerPort", 9000),
    ("port", 9000, "env.JUPYTERHUB_SERVICE_URL", "http://0.0.0.0:9000/user/ada/gpu/"),
    ("ip", "::", "env.JUPYTERHUB_SERVICE_URL", "http://[::]:8888/user/ada/gpu/"),
    ("image", "lab:1", f"{NOTEBOOK}.image", "lab:1"),
    ("image", "lab:1", "env.JUPYTER_IMAGE_SPEC", "lab:1"),
    ("image_pull_policy", None, f"{NOTEBOOK}.imagePullPolicy", MISSING),
    ("image_pull_policy", "Always", f"{NOTEBOOK}.imagePullPolicy", "Always"),
    ("image_pull_secrets", "one", f"{SPEC}.imagePullSecrets", [{"name": "one"}]),
    ("image_pull_secrets", ["one", {"name": "two"}], f"{SPEC}.imagePullSecrets", [{"name": "one"}, {"name": "two"}]),
    ("working_dir", "/home/{username}", f"{NOTEBOOK}.workingDir", "/home/ada"),
    ("lifecycle_hooks", {"post_start": {"exec": {}}}, f"{NOTEBOOK}.lifecycle", {"postStart": {"exec": {}}}),
    ("extra_container_config", {"stdin_once": True}, f"{NOTEBOOK}.stdinOnce", True),
    ("extra_container_config", {"args": ["{x}"]}, f"{NOTEBOOK}.args", ["{x}"]),
    ("environment", {"WHO": "{username}"}, "env.WHO", "ada"),
    ("environment", {"WHO": lambda spawner: spawner.user.name.upper()}, "env.WHO", "ADA"),
    (
        "environment",
        {"WHO": {"value_from": {"field_ref": {"field_path": "metadata.name"}}}},
        "env.WHO",
        {"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ),
    ("env_keep", ["KEPT_HERE", "NOT_THERE"], "env.KEPT_HERE", "yes"),
    ("env_keep", ["KEPT_HERE", "NOT_THERE"], "env.NOT_THERE", MISSING),
    ("env_keep", [], "env.KEPT_HERE", MISSING),
    ("mem_limit", "1G", f"{NOTEBOOK}.resources.limits.memory", "1073741824"),
    ("mem_guarantee", "512M", f"{NOTEBOOK}.resources.requests.memory", "536870912"),
    ("cpu_limit", 1.5, f"{NOTEBOOK}.resources.limits.cpu", "1500m"),
    ("cpu_guarantee", 2, f"{NOTEBOOK}.resources.requests.cpu", "2"),
    ("cpu_guarantee", 0, f"{NOTEBOOK}.resources", MISSING),
    ("extra_resource_limits", {"nvidia.com/gpu": 1}, f"{NOTEBOOK}.resources.limits", {"nvidia.com/gpu": "1"}),
    ("extra_resource_guarantees", {"x/y": "2"}, f"{NOTEBOOK}.resources.requests", {"x/y": "2"}),
    ("secret_environment", ["PLAIN"], "env.PLAIN.valueFrom.secretKeyRef", {"name": "jupyter-ada--gpu", "key": "PLAIN"}),
    # safety
    ("uid", 1000, f"{SAFETY}.runAsUser", 1000),
    ("uid", 1000, f"{SAFETY}.runAsNonRoot", True),
    ("uid", None, f"{SAFETY}.runAsNonRoot", MISSING),
    ("uid", 0, f"{SAFETY}", {"runAsUser": 0, "allowPrivilegeEscalation": False}),
    ("uid", lambda spawner: 1000 + spawner.user.id, f"{SAFETY}.runAsUser", 1007),
    ("gid", 100, f"{SAFETY}.runAsGroup", 100),
    ("gid", lambda spawner: 5, f"{SAFETY}.runAsGroup", 5),
    ("fs_gid", 100, f"{SPEC}.securityContext.fsGroup", 100),
    ("fs_gid", lambda spawner: 6, f"{SPEC}.securityContext.fsGroup", 6),
    ("supplemental_gids", [100, 200], f"{SPEC}.securityContext.supplementalGroups", [100, 200]),
    ("supplemental_gids", lambda spawner: [7], f"{SPEC}.securityContext.supplementalGroups", [7]),
    ("privileged", True, SAFETY, {"privileged": True}),
    ("privileged", True, f"{SPEC}.securityContext", MISSING),
    (
        "allow_privilege_escalation",
        False,
        SAFETY,
        {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    ),
    ("allow_privilege_escalation", True, SAFETY, {"allowPrivilegeEscalation": True}),
    ("allow_privilege_escalation", None, SAFETY, MISSING),
    ("restricted", True, f"{SPEC}.securityContext.seccompProfile.type", "RuntimeDefault"),
    ("restricted", False, SAFETY, {"allowPrivilegeEscalation": False}),
    ("container_security_context", {"capabilities": {"add": ["X"]}}, f"{SAFETY}.capabilities", {"add": ["X"]}),
    ("container_security_context", lambda spawner: {"run_as_group": 3}, f"{SAFETY}.runAsGroup", 3),
    ("pod_security_context", {"sysctls": []}, f"{SPEC}.securityContext.sysctls", []),
    ("pod_security_context", lambda spawner: {"fsGroup": 3}, f"{SPEC}.securityContext.fsGroup", 3),
    ("service_account", "robot-{username}", f"{SPEC}.serviceAccountName", "robot-ada"),
    ("service_account", "robot", f"{SPEC}.automountServiceAccountToken", MISSING),
    ("automount_service_account_token", None, f"{SPEC}.automountServiceAccountToken", False),
    ("automount_service_account_token", True, f"{SPEC}.automountServiceAccountToken", True),
    # where it runs
    ("node_selector", {"disk": "ssd"}, f"{SPEC}.nodeSelector", {"disk": "ssd"}),
    ("tolerations", [{"key": "gpu", "operator": "Exists"}], f"{SPEC}.tolerations.0.key", "gpu"),
    ("tolerations", {"b": {"key": "2"}, "a": {"key": "1"}}, f"{SPEC}.tolerations", [{"key": "1"}, {"key": "2"}]),
    (
        "node_affinity_preferred",
        [TERM],
        f"{SPEC}.affinity.nodeAffinity.preferred{DURING}",
        [TERM],
    ),
    (
        "node_affinity_required",
        {"a": NODE},
        f"{SPEC}.affinity.nodeAffinity.required{DURING}",
        {"nodeSelectorTerms": [NODE]},
    ),
    *(
        (
            f"pod_{kind}affinity_{how}",
            [term],
            f"{SPEC}.affinity.{key}.{how}DuringSchedulingIgnoredDuringExecution",
            [term],
        )
        for kind, key in (("", "podAffinity"), ("anti_", "podAntiAffinity"))
        for how, term in (("preferred", WEIGHTED), ("required", POD_TERM))
    ),
    ("scheduler_name", "user-scheduler", f"{SPEC}.schedulerName", "user-scheduler"),
    ("priority_class_name", "users", f"{SPEC}.priorityClassName", "users"),
    # what else belongs to it
    (
        "volumes",
        [{"name": "volume-{user_server}", "persistent_volume_claim": {"claimName": "{pvc_name}"}}],
        f"{SPEC}.volumes",
        [{"name": "volume-ada--gpu", "persistentVolumeClaim": {"claimName": "claim-ada--gpu"}}],
    ),
    ("volumes", {"b": {"name": "b"}, "a": Model(name="a", empty_dir={})}, f"{SPEC}.volumes.0.emptyDir", {}),
    (
        "volume_mounts",
        [{"name": "v", "mountPath": "/home", "subPath": "{username}"}],
        f"{NOTEBOOK}.volumeMounts",
        [{"name": "v", "mountPath": "/home", "subPath": "ada"}],
    ),
    ("init_containers", {"x": {"name": "for-{username}"}}, f"{SPEC}.initContainers", [{"name": "for-ada"}]),
    ("extra_containers", [{"name": "beside", "image": "i"}], f"{SPEC}.containers.1.name", "beside"),
    ("extra_labels", {"course": "{username}"}, f"{POD}.metadata.labels.course", "ada"),
    ("extra_labels", {"course": "x"}, "secret.metadata.labels.course", "x"),
    ("extra_labels", {"component": "x"}, f"{POD}.metadata.labels.component", "singleuser-server"),
    ("extra_annotations", {"note": "{servername}"}, f"{POD}.metadata.annotations.note", "gpu"),
    ("extra_pod_config", {"host_network": True, "x": "{username}"}, f"{SPEC}.hostNetwork", True),
    ("extra_pod_config", {"restartPolicy": "Never"}, f"{SPEC}.restartPolicy", "Never"),
    ("common_labels", {"app": "mine"}, f"{POD}.metadata.labels.app", "mine"),
    ("common_labels", {"app": "mine"}, f"{POD}.metadata.labels.heritage", MISSING),
    ("component_label", "lab", f"{POD}.metadata.labels.component", "lab"),
    # names and places
    ("namespace", "users", f"{POD}.metadata.namespace", "users"),
    ("slug_scheme", "escape", f"{POD}.metadata.name", "jupyter-ada--gpu"),
    ("pod_name_template", "lab-{username}-{servername}", f"{POD}.metadata.name", "lab-ada-gpu"),
    ("pvc_name_template", "home-{username}", "pvc.metadata.name", "home-ada"),
    ("secret_name_template", "env-{pod_name}", "secret.metadata.name", "env-jupyter-ada--gpu"),
    ("enable_user_namespaces", True, f"{POD}.metadata.namespace", "user-ada"),
    ("enable_user_namespaces", True, "namespace.metadata.name", "user-ada"),
    ("services_enabled", True, "service.spec.ports.0.port", 8888),
    ("services_enabled", False, "service", None),
    # files
    ("storage_pvc_ensure", False, "pvc", None),
    ("storage_capacity", "5Gi", "pvc.spec.resources.requests.storage", "5Gi"),
    ("storage_class", None, "pvc.spec.storageClassName", MISSING),
    ("storage_class", "", "pvc.spec.storageClassName", ""),
    ("storage_class", "fast", "pvc.spec.storageClassName", "fast"),
    ("storage_access_modes", ["ReadWriteMany"], "pvc.spec.accessModes", ["ReadWriteMany"]),
    ("storage_selector", {"matchLabels": {"u": "{username}"}}, "pvc.spec.selector.matchLabels.u", "ada"),
    ("storage_extra_labels", {"backup": "{username}"}, "pvc.metadata.labels.backup", "ada"),
    ("storage_extra_annotations", {"note": "{username}"}, "pvc.metadata.annotations.note", "ada"),
]
# Settings whose effect is not in the objects, and where it is looked at.
ELSEWHERE = {
    "modify_pod_hook": "test_hooked_pod.py",
    "delete_pvc": "test_volume.py",
    "delete_grace_period": "tests/cluster",
    "events_enabled": "tests/cluster",
    "profile_list": "test_profiled.py",
}
REFERENCE = Path(__file__).parents[2] / "compat" / "reference_names.txt"


@pytest.fixture(autouse=True)
def environment_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT_HERE", "yes")


async def built(**settings: Any) -> objects.Objects:
    one = KubeSettings(**{"storage_pvc_ensure": True, "environment": {"PLAIN": "p"}, **settings})
    return objects.build(one, await prepared_launch(one, "ada", "gpu"))


def at(made: objects.Objects, path: str) -> Any:
    """Return what is at a path of dots, MISSING if there is nothing."""
    first, *rest = path.split(".")
    found: Any = environment_of(made) if first == "env" else getattr(made, first)
    for key in rest:
        if isinstance(found, list):
            found = found[int(key)] if int(key) < len(found) else MISSING
        elif isinstance(found, Mapping):
            found = found.get(key, MISSING)
        else:
            return MISSING
    return found


def environment_of(made: objects.Objects) -> dict[str, Any]:
    entries = made.pod["spec"]["containers"][0]["env"]
    return {entry["name"]: entry.get("value", {key: entry[key] for key in entry if key != "name"}) for entry in entries}


@pytest.mark.parametrize(("name", "value", "path", "expected"), TABLE)
async def test_a_setting_shows(name: str, value: Any, path: str, expected: Any) -> None:
    found = at(await built(**{name: value}), path)
    assert (found is MISSING) if expected is MISSING else (found == expected)


@pytest.mark.parametrize(("name", "value", "path", "expected"), TABLE)
async def test_a_hook_may_set_it_for_one_start(name: str, value: Any, path: str, expected: Any) -> None:
    def hook(spawner: Any) -> None:
        setattr(spawner, name, value)

    found = at(await built(pre_spawn_hook=hook), path)
    assert (found is MISSING) if expected is MISSING else (found == expected)


def test_every_core_and_common_setting_is_looked_at() -> None:
    rows = [line.split() for line in REFERENCE.read_text().splitlines()]
    wanted = {name for section, name, use in rows if section == "KubeSpawner" and use in ("core", "common")}
    assert wanted - {name for name, *_ in TABLE} - ELSEWHERE.keys() == set()
    assert len(wanted) > 40


async def test_older_names_are_the_settings() -> None:
    def hook(spawner: Any) -> None:
        assert spawner.image_spec == spawner.image
        spawner.image_spec = "old:1"
        spawner.user_storage_capacity = "7Gi"

    made = await built(pre_spawn_hook=hook)
    assert at(made, f"{NOTEBOOK}.image") == "old:1"
    assert at(made, "pvc.spec.resources.requests.storage") == "7Gi"
    assert set(RENAMED.values()) <= set(KubeSettings.class_trait_names(config=True))


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://10.0.0.9:8888"),
        ({"port": 9000}, "http://10.0.0.9:9000"),
        ({"services_enabled": True}, "http://jupyter-ada.hub.svc.cluster.local:8888"),
        ({"services_enabled": True, "dns_name_template": "{name}.x"}, "http://jupyter-ada.x:8888"),
        ({"pod_connect_ip": "lab-{username}--{servername}.pods"}, "http://lab-ada.pods:8888"),
    ],
)
async def test_where_the_proxy_reaches_a_server(given: dict[str, Any], url: str) -> None:
    settings = KubeSettings(namespace="hub", **given)
    launch = await prepared_launch(settings)
    made = objects.build(settings, launch)
    assert service.url(settings, launch, made.names, {"status": {"podIP": "10.0.0.9"}}) == url
    if not given:
        assert service.url(settings, launch, made.names, {"status": {"podIP": "fd00::1"}}) == "http://[fd00::1]:8888"
        assert service.url(settings, launch, made.names, {"status": {}}) == ""


async def test_variables_that_others_refer_to_come_first() -> None:
    made = await built(environment={"A": "$(Z)/$(M)", "M": "$(Z)", "Z": "$(A)", "B": "$$(C)", "C": "c"})
    order = list(environment_of(made))
    assert order.index("Z") < order.index("M") < order.index("A")
    assert order.index("B") < order.index("C")


async def test_secrets_stand_in_the_secret_alone() -> None:
    given = {
        "DB_PASSWORD": "hunter2",
        "COPY": "x token-of-ada-gpu-3",
        "MY_TOKEN": "$(DB_PASSWORD)",
        "ODD_SECRET": "pa$(ss",
        "EMPTY_SECRET": "",
    }
    made = await built(environment=given)
    assert made.secret is not None
    assert set(made.secret["data"]) == {"JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "DB_PASSWORD", "COPY", "ODD_SECRET"}
    assert "token-of-ada" not in repr(made.pod) and "hunter2" not in repr(made.pod) and "pa$(ss" not in repr(made.pod)
    environment = environment_of(made)
    assert environment["MY_TOKEN"] == "$(DB_PASSWORD)"
    assert environment["COPY"] == {"valueFrom": {"secretKeyRef": {"name": "jupyter-ada--gpu", "key": "COPY"}}}


async def test_names_of_users_are_never_read_as_references() -> None:
    settings = KubeSettings()
    made = objects.build(settings, await prepared_launch(settings, "$(PATH) {x}"))
    assert environment_of(made)["JUPYTERHUB_USER"] == "$$(PATH) {x}"


async def test_a_text_that_cannot_be_filled_in_names_itself() -> None:
    with pytest.raises(ConfigError, match=r"The text '\{nothing\}' has the field \{nothing\}"):
        await built(extra_labels={"a": "{nothing}"})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"pod_name_template": "lab"}, "has no field for the user"),
        ({"pod_name_template": "lab-{username}"}, "has no field for the server"),
        ({"pvc_name_template": "home-{user}", "storage_pvc_ensure": True}, r"has the field \{user\}"),
        ({"volumes": [{"name": "v-{nobody}"}]}, r"has the field \{nobody\}"),
        ({"environment": {"JSON": '{"a": 1}'}}, "write {{ and }} for braces"),
        ({"pod_name_template": "Lab-{user_server}"}, "which Kubernetes does not take"),
    ],
)
def test_what_is_wrong_is_said_before_anybody_starts_a_server(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        checking.check(KubeSettings(**given), named_servers=True)


def test_what_is_fine(caplog: pytest.LogCaptureFixture) -> None:
    checking.check(KubeSettings(pod_name_template="lab-{username}", uid=lambda spawner: 1), named_servers=False)
    checking.check(KubeSettings(enable_user_namespaces=True, pod_name_template="lab-{servername}"), named_servers=True)
    assert caplog.messages == []
    checking.check(KubeSettings(storage_pvc_ensure=True), named_servers=True)
    assert "storage_capacity" in caplog.text


async def test_two_starts_of_one_generation_are_identical() -> None:
    assert await built(uid=1000) == await built(uid=1000)


async def test_a_function_that_gives_a_wrong_value() -> None:
    with pytest.raises(SpawnError, match="The setting uid of this hub failed"):
        await built(uid=lambda spawner: "many")
