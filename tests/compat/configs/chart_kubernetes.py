# What a chart for Kubernetes sets, and what its users add below.
import os

from jupyterhub.utils import url_path_join
from kubernetes_asyncio import client
from kubespawner import KubeSpawner  # noqa: F401

c = get_config()  # noqa: F821

c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "correct horse"  # noqa: S105
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.last_activity_interval = 60
c.JupyterHub.concurrent_spawn_limit = 64
c.JupyterHub.allow_named_servers = True
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.base_url = "/hubs/"
c.JupyterHub.load_roles = [
    {
        "name": "jupyterhub-idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["jupyterhub-idle-culler"],
    }
]
c.JupyterHub.services = [{"name": "jupyterhub-idle-culler", "api_token": "0123456789abcdef0123456789abcdef"}]
c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"
c.ConfigurableHTTPProxy.should_start = False

c.Spawner.consecutive_failure_limit = 5
c.Spawner.start_timeout = 300
c.Spawner.cmd = "jupyterhub-singleuser"
c.Spawner.default_url = "/lab"
c.Spawner.mem_guarantee = "1G"

common_labels = c.KubeSpawner.common_labels = {}
common_labels["app"] = "jupyterhub"
common_labels["chart"] = "jupyterhub-4.2.0"
common_labels["release"] = "hub"
c.KubeSpawner.namespace = os.environ.get("POD_NAMESPACE", "default")
c.KubeSpawner.pod_name_template = "jupyter-{user_server}"
c.KubeSpawner.image = "quay.io/jupyterhub/k8s-singleuser-sample:4.2.0"
c.KubeSpawner.image_pull_secrets = [client.V1LocalObjectReference(name="image-pull-secret")]
c.KubeSpawner.events_enabled = True
c.KubeSpawner.extra_labels = {"hub.jupyter.org/network-access-hub": "true"}
c.KubeSpawner.uid = 1000
c.KubeSpawner.fs_gid = 100
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "10Gi"
c.KubeSpawner.storage_access_modes = ["ReadWriteOnce"]
c.KubeSpawner.volumes = [{"name": "volume-{user_server}", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}]
c.KubeSpawner.volume_mounts = [{"mountPath": "/home/jovyan", "name": "volume-{user_server}", "subPath": None}]
c.KubeSpawner.node_affinity_preferred.append(
    {
        "weight": 100,
        "preference": {
            "match_expressions": [{"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}]
        },
    }
)
c.KubeSpawner.tolerations.extend(
    [
        client.V1Toleration(key=key, operator="Equal", value="user", effect="NoSchedule")
        for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
    ]
)
c.KubeSpawner.init_containers = [
    {
        "name": "block-cloud-metadata",
        "image": "quay.io/jupyterhub/k8s-network-tools:4.2.0",
        "command": ["iptables", "-I", "OUTPUT", "-d", "169.254.169.254", "-j", "DROP"],
        "security_context": {"privileged": True, "run_as_user": 0, "capabilities": {"add": ["NET_ADMIN"]}},
    }
]
c.KubeSpawner.scheduler_name = "hub-user-scheduler"
c.KubeSpawner.allow_privilege_escalation = False
c.KubeSpawner.k8s_api_threadpool_workers = 4
c.KubeSpawner.image_spec = "never taken, as the new name is there"

GPU = {"extra_resource_limits": {"nvidia.com/gpu": "1"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}
c.KubeSpawner.profile_list = [
    {"display_name": "Small", "slug": "small", "default": True},
    {
        "display_name": "GPU",
        "slug": "gpu",
        "kubespawner_override": {**GPU, "image_spec": "gpu:1", "common_labels": {"chart": None, "kind": "gpu"}},
    },
]


def add_sidecar(spawner, pod):
    pod.spec.containers.append(client.V1Container(name="sidecar", image="busybox", args=["sleep", "inf"]))
    pod.spec.volumes.append(client.V1Volume(name="shared", empty_dir=client.V1EmptyDirVolumeSource()))
    pod.spec.containers[0].volume_mounts.append(client.V1VolumeMount(name="shared", mount_path="/shared"))
    pod.spec.containers[0].env.append(client.V1EnvVar("PREFIX", url_path_join("/hubs", spawner.user.name)))
    if pod.spec.affinity.pod_affinity is None:
        pod.spec.affinity.pod_affinity = client.V1PodAffinity()
    return pod


c.KubeSpawner.modify_pod_hook = add_sidecar
