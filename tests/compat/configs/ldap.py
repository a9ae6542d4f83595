# The directory of the organisation knows names, passwords and groups.
c = get_config()  # noqa: F821

c.JupyterHub.authenticator_class = "ldapauthenticator.LDAPAuthenticator"
c.LDAPAuthenticator.server_address = "ldap.example.org"
c.LDAPAuthenticator.bind_dn_template = ["uid={username},ou=people,dc=example,dc=org"]
c.LDAPAuthenticator.allowed_groups = {"cn=lab,ou=groups,dc=example,dc=org"}
c.LDAPAuthenticator.valid_username_regex = r"^[a-z][.a-z0-9_-]*$"
c.Authenticator.admin_users = {"ada", "grace"}

c.JupyterHub.spawner_class = "jupyterhub.spawner.SimpleLocalProcessSpawner"
c.Spawner.group_overrides = {
    "big": {"groups": ["gpu"], "spawner_override": {"mem_limit": "8G", "environment": {"BIG": "1"}}},
}
c.JupyterHub.ssl_key = "/etc/hub/hub.key"
c.JupyterHub.ssl_cert = "/etc/hub/hub.crt"
c.JupyterHub.port = 443
c.JupyterHub.logo_file = "/etc/hub/logo.png"
c.JupyterHub.template_vars = {"announcement": "Maintenance on Friday"}
