# A demonstration on Kubernetes: every visitor gets a pod that is gone afterwards.
from kubespawner import KubeSpawner
from tmpauthenticator import TmpAuthenticator


class DemoSpawner(KubeSpawner):
    """Gives everybody the same folder of examples."""

    def get_env(self):
        env = super().get_env()
        env["EXAMPLES"] = "/srv/examples"
        return env


c = get_config()  # noqa: F821

c.JupyterHub.authenticator_class = TmpAuthenticator
c.JupyterHub.spawner_class = DemoSpawner
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.last_activity_interval = 60
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0, "headers": {"X-Demo": "1"}}

c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"

c.Spawner.start_timeout = 300
c.Spawner.consecutive_failure_limit = 5
c.KubeSpawner.image = "quay.io/jupyterhub/k8s-singleuser-sample:4.0.0"
c.KubeSpawner.cpu_limit = 1
c.KubeSpawner.mem_guarantee = "512M"
c.KubeSpawner.uid = 1000
c.KubeSpawner.fs_gid = 100
c.KubeSpawner.extra_labels.update({"purpose": "demo"})
c.KubeSpawner.profile_list = [
    {"display_name": "Small", "default": True, "kubespawner_override": {"cpu_limit": 0.5}},
    {"display_name": "Large", "kubespawner_override": {"cpu_limit": 2}},
]


async def label_pod(spawner, pod):
    pod.metadata.labels["seen"] = "yes"
    return pod


c.KubeSpawner.modify_pod_hook = label_pod
