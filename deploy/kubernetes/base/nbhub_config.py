# The configuration of the hub; all settings: nbhub settings
import os

c = get_config()  # noqa: F821

# -- addresses
c.Hub.ip = "0.0.0.0"
c.Hub.hub_ip = "0.0.0.0"
c.Hub.hub_connect_ip = "hub"  # the Service by which notebook servers reach the hub
c.Hub.start_proxy = "CONFIGPROXY_AUTH_TOKEN" not in os.environ  # in split and replicas the proxy runs apart
c.Hub.public_url = "https://hub.example.org/"
c.Proxy.trusted_hops = 1  # the Ingress

# -- state
c.Hub.data_dir = "/data"
c.Hub.db_url = os.environ.get("NBHUB_DB_URL", "")  # from the Secret; empty means SQLite in data_dir
c.Hub.cleanup_servers = False  # notebook servers outlive the hub's pod

# -- who may enter
c.Hub.authenticator_class = "native"

# -- notebook servers
c.Hub.spawner_class = "kubernetes"
c.Hub.idle_timeout = "2h"
c.KubeSpawner.image = "quay.io/jupyter/minimal-notebook:latest"
c.KubeSpawner.start_timeout = 300  # the first start on a node pulls the image
c.KubeSpawner.uid = 1000  # the user of the image, and a group that may write the volume
c.KubeSpawner.fs_gid = 100
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "10Gi"
c.KubeSpawner.volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}]
c.KubeSpawner.volume_mounts = [{"name": "home", "mountPath": "/home/jovyan"}]
c.KubeSpawner.cpu_guarantee = 0.1
c.KubeSpawner.mem_guarantee = "512M"
c.KubeSpawner.mem_limit = "2G"
