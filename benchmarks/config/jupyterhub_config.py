"""JupyterHub with servers that cost nothing; everything else as it comes."""

import json
import os

from jupyterhub.spawner import SimpleLocalProcessSpawner, Spawner

given = json.loads(os.environ["BENCH"])


class FreeSpawner(Spawner):
    """Every server is the one upstream, or whatever the benchmark opens at the port it names."""

    on = False
    address = 1

    def load_state(self, state):
        super().load_state(state)
        self.on = state.get("on", False)

    def get_state(self):
        return {**super().get_state(), "on": self.on}

    def clear_state(self):
        super().clear_state()
        self.on = False

    async def start(self):
        self.on = True
        if "port" in self.user_options:
            return "127.0.0.1", self.user_options["port"]
        FreeSpawner.address += 1
        return f"127.64.{self.address >> 8 & 255}.{self.address & 255}", given["upstream"]

    async def poll(self):
        return None if self.on else 0

    async def stop(self, now=False):
        self.on = False


c = get_config()  # noqa: F821
c.JupyterHub.bind_url = f"http://127.0.0.1:{given['public']}"
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = given["hub"]
c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "cookie_secret"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = FreeSpawner
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.cleanup_servers = False
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{given['api']}"
c.ConfigurableHTTPProxy.command = [given["proxy"]]
c.JupyterHub.services = [{"name": "bench", "api_token": given["token"]}]
c.JupyterHub.load_roles = [{"name": "admin", "services": ["bench"]}]
if given.get("notebook"):
    c.JupyterHub.spawner_class = SimpleLocalProcessSpawner
    c.SimpleLocalProcessSpawner.home_dir_template = given["home"] + "/{username}"
    c.Spawner.cmd = [given["notebook"]]
    c.Spawner.args = ["--allow-root"] if os.getuid() == 0 else []
