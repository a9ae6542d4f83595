# The organisation's own identity provider: groups decide who may enter and who administers.
import os

from oauthenticator.generic import GenericOAuthenticator

c = get_config()  # noqa: F821

c.JupyterHub.authenticator_class = GenericOAuthenticator
c.JupyterHub.spawner_class = "simple"

provider = os.environ.get("PROVIDER", "https://id.example.org/realms/lab")
c.GenericOAuthenticator.client_id = os.environ.get("CLIENT_ID", "hub")
c.GenericOAuthenticator.client_secret = os.environ.get("CLIENT_SECRET", "not really a secret")
c.GenericOAuthenticator.oauth_callback_url = "https://hub.example.org/hub/oauth_callback"
c.GenericOAuthenticator.authorize_url = provider + "/protocol/openid-connect/auth"
c.GenericOAuthenticator.token_url = provider + "/protocol/openid-connect/token"
c.GenericOAuthenticator.userdata_url = provider + "/protocol/openid-connect/userinfo"
c.GenericOAuthenticator.scope = ["openid", "email", "groups"]
c.GenericOAuthenticator.username_claim = "preferred_username"
c.GenericOAuthenticator.auth_state_groups_key = "oauth_user.groups"
c.GenericOAuthenticator.manage_groups = True
c.GenericOAuthenticator.allowed_groups = {"lab"}
c.GenericOAuthenticator.admin_groups = {"lab-admins"}
c.GenericOAuthenticator.login_service = "Lab account"

c.Authenticator.enable_auth_state = True
c.Authenticator.auto_login = True
c.CryptKeeper.keys = ["0" * 64]


def pass_token(spawner, auth_state):
    if auth_state:
        spawner.environment["ACCESS_TOKEN"] = auth_state.get("access_token", "")


c.Spawner.auth_state_hook = pass_token
c.JupyterHub.tornado_settings = {"cookie_options": {"SameSite": "Lax"}}
