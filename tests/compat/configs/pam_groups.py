# One machine with accounts: people log in with their system password, some groups may enter, one administers.
import os
import pwd
import subprocess

c = get_config()  # noqa: F821

c.JupyterHub.ip = "0.0.0.0"
c.JupyterHub.port = 8000
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.cookie_secret_file = "cookie_secret"
c.JupyterHub.db_url = "hub.sqlite"
c.JupyterHub.pid_file = "/run/hub.pid"

c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.service = "login"
c.LocalAuthenticator.allowed_groups = {"students", "staff"}
c.PAMAuthenticator.admin_groups = {"staff"}
c.LocalAuthenticator.create_system_users = False
c.PAMAuthenticator.open_sessions = False
c.Authenticator.blocked_users = {"mallory"}

c.JupyterHub.spawner_class = "localprocess"
c.LocalProcessSpawner.shell_cmd = ["bash", "-l", "-c"]
c.Spawner.notebook_dir = "~/work"
c.Spawner.args = ["--ServerApp.terminals_enabled=True"]


def make_work_folder(spawner):
    account = pwd.getpwnam(spawner.user.name)
    folder = os.path.join(account.pw_dir, "work")
    if not os.path.isdir(folder):
        subprocess.check_call(["install", "-d", "-o", spawner.user.name, folder])


c.Spawner.pre_spawn_hook = make_work_folder
c.JupyterHub.last_activity_interval = 120
