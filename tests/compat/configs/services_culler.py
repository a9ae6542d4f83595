# Services with their own rights, a culler of idle servers, a course with a group of its own.
import sys

c = get_config()  # noqa: F821

c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.Authenticator.allowed_users = {"teacher", "student1", "student2"}
c.Authenticator.admin_users = {"teacher"}

c.JupyterHub.load_groups = {"course": {"users": ["student1", "student2"]}, "teachers": {"users": ["teacher"]}}
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    },
    {"name": "teacher", "scopes": ["access:servers!group=course", "list:users!group=course"], "groups": ["teachers"]},
]
c.JupyterHub.services = [
    {
        "name": "idle-culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"],
    },
]
c.JupyterHub.services.append({"name": "grader", "url": "http://127.0.0.1:10101", "api_token": "g" * 40})
c.Spawner.server_token_scopes = ["users:activity!user", "access:servers!server"]
c.JupyterHub.concurrent_spawn_limit = 20
c.JupyterHub.active_server_limit = 100
