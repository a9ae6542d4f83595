# As people have it: KubeSpawner, TmpAuthenticator, a database on the volume, and a Service called hub.
import os

from kubespawner import KubeSpawner
from tmpauthenticator import TmpAuthenticator

data = os.environ.get("HUB_DATA", "/srv/jupyterhub")

c.JupyterHub.ip = "0.0.0.0"
c.JupyterHub.port = 8000
c.JupyterHub.hub_ip = "0.0.0.0"
c.JupyterHub.hub_port = 8081
c.JupyterHub.hub_connect_ip = "hub"
c.JupyterHub.db_url = f"sqlite:///{data}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = f"{data}/jupyterhub_cookie_secret"
c.JupyterHub.cleanup_servers = False

c.JupyterHub.authenticator_class = TmpAuthenticator

c.JupyterHub.spawner_class = KubeSpawner
c.KubeSpawner.namespace = os.environ["POD_NAMESPACE"]
c.KubeSpawner.image = os.environ["NOTEBOOK_IMAGE"]
c.KubeSpawner.image_pull_policy = "IfNotPresent"
c.KubeSpawner.uid = 1000
c.KubeSpawner.gid = 100
c.KubeSpawner.fs_gid = 100
c.KubeSpawner.start_timeout = 60 * 5
c.KubeSpawner.http_timeout = 60 * 2
c.KubeSpawner.default_url = "/lab"
