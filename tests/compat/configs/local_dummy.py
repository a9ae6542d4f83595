# A trial hub on one machine: any name, one password, servers of the hub's own user, a form to choose from.
import os

from jupyterhub.auth import DummyAuthenticator
from jupyterhub.spawner import SimpleLocalProcessSpawner

here = os.path.dirname(os.path.abspath(__file__))

c = get_config()  # noqa: F821

c.JupyterHub.bind_url = "http://127.0.0.1:8000/trial/"
c.JupyterHub.authenticator_class = DummyAuthenticator
c.DummyAuthenticator.password = "let me in please"
c.Authenticator.admin_users = {"Ada"}
c.Authenticator.allow_all = True

c.JupyterHub.spawner_class = SimpleLocalProcessSpawner
c.SimpleLocalProcessSpawner.home_dir_template = "/tmp/trial-{username}"
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = lambda handler: 5 if handler.current_user.admin else 2

c.Spawner.cmd = ["jupyterhub-singleuser", "--log-level=INFO"]
c.Spawner.default_url = "/lab"
c.Spawner.environment.update({"GREETING": "hello", "WHO": lambda spawner: spawner.user.name})
c.Spawner.env_keep.append("TZ")
c.Spawner.mem_limit = "1G"
c.Spawner.http_timeout = 60

c.Spawner.options_form = """
<label for="size">Size</label>
<select name="size"><option value="1">small</option><option value="2">large</option></select>
"""


def options_from_form(form):
    return {"size": int(form["size"][0])}


def before(spawner):
    spawner.cpu_limit = spawner.user_options.get("size", 1)


c.Spawner.options_from_form = options_from_form
c.Spawner.pre_spawn_hook = before
c.ConfigurableHTTPProxy.debug = False
c.JupyterHub.cleanup_servers = True
