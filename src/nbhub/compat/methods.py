"""What a class of a configuration file may override, and what to use instead of the rest."""

from __future__ import annotations

from collections.abc import Mapping

from nbhub.errors import ConfigError

_PAGES = "put pages of your own into a service with a url (c.JupyterHub.services)"
_TEMPLATES = "change the log-in page with a template of your own (c.JupyterHub.template_paths)"
_HOOK = "do it in c.Spawner.pre_spawn_hook, or write a spawner of nbhub's own kind (nbhub.spawners.base.Spawner)"
_OWN = "write a spawner of nbhub's own kind (nbhub.spawners.base.Spawner)"

_TEXTS = frozenset(("custom_html",))  # what counts although it is no method

AUTHENTICATOR: Mapping[str, str] = {
    "get_handlers": f"{_PAGES}; to log out at the provider too, set c.OAuthenticator.logout_redirect_url",
    "login_url": "use an authenticator that leads to a page of its own, such as generic-oauth",
    "logout_url": "use an authenticator that leads to a page of its own, such as generic-oauth",
    "get_custom_html": _TEMPLATES,
    "custom_html": _TEMPLATES,
    "get_authenticated_user": "use authenticate, check_allowed, normalize_username and c.Authenticator.post_auth_hook",
    "run_post_auth_hook": "set c.Authenticator.post_auth_hook",
    "update_auth_model": "set c.Authenticator.post_auth_hook",
    "delete_user": "clean up in post_spawn_stop or c.Spawner.post_stop_hook",
    "build_auth_state_dict": "set c.Authenticator.post_auth_hook",
    "user_info_to_username": "set username_claim to a function",
    "token_to_user": "set c.Authenticator.post_auth_hook",
    "get_user_groups": "set auth_state_groups_key, or c.Authenticator.post_auth_hook",
    **dict.fromkeys(
        ("build_access_tokens_request_params", "get_token_info"),
        "set c.OAuthenticator.token_params to what else the provider wants to know",
    ),
    **dict.fromkeys(
        ("build_userdata_request_headers", "httpfetch"),
        "let the provider tell what is needed in its ID token (c.OAuthenticator.userdata_from_id_token)",
    ),
    "get_callback_url": "set c.OAuthenticator.oauth_callback_url",
    "get_next_url": "set c.JupyterHub.default_url",
    **dict.fromkeys(
        ("login_handler", "callback_handler", "logout_handler"),
        "set c.OAuthenticator.authorize_url, token_url and logout_redirect_url; " + _PAGES,
    ),
}

# Of classes that make accounts; in others these are names of the file's own.
LOCAL_AUTHENTICATOR: Mapping[str, str] = {
    "system_user_exists": "make accounts in add_user",
    "add_system_user": "make accounts in add_user, or set c.LocalAuthenticator.add_user_cmd",
    "add_user_to_group": "do it in add_user",
}

SPAWNER: Mapping[str, str] = {
    "start": _HOOK,
    "stop": "do it in c.Spawner.post_stop_hook, or " + _OWN,
    "poll": _OWN,
    "progress": _OWN,
    "get_state": _OWN,
    "load_state": _OWN,
    "clear_state": _OWN,
    "get_url": _OWN,
    "make_preexec_fn": "derive from SimpleLocalProcessSpawner where servers are to run as the hub's own user, else set "
    "c.LocalProcessSpawner.popen_kwargs",
    "set_user_setuid": "derive from SimpleLocalProcessSpawner where servers are to run as the hub's own user",
    "rename": _OWN,
    "create_certs": "there are no internal certificates",
    "move_certs": "there are no internal certificates",
    "delete_forever": "clean up in c.Spawner.post_stop_hook",
    "apply_group_overrides": "set c.Spawner.group_overrides to a function",
    "options_from_query": "use options_from_form, which takes what an address carries as well",
    "run_pre_spawn_hook": "set c.Spawner.pre_spawn_hook",
    "run_post_stop_hook": "set c.Spawner.post_stop_hook",
    "template_namespace": "fill in what is needed in c.Spawner.pre_spawn_hook",
    "server_url": _OWN,
    "run_auth_state_hook": "set c.Spawner.auth_state_hook",
    **dict.fromkeys(
        ("get_pod_manifest", "get_service_manifest", "get_secret_manifest", "get_namespace_manifest"),
        "set c.KubeSpawner.modify_pod_hook, or the settings that say what a pod is made of",
    ),
    "get_pvc_manifest": "set c.KubeSpawner.storage_extra_labels, storage_class and the others of storage",
    "_expand_user_properties": "set the templates (c.KubeSpawner.pod_name_template, pvc_name_template)",
    "_build_common_labels": "set c.KubeSpawner.common_labels and extra_labels",
    "_build_common_annotations": "set c.KubeSpawner.extra_annotations",
    "_make_create_pod_request": _OWN,
    "pre_spawn_hook": "set c.Spawner.pre_spawn_hook to a function",
    "post_stop_hook": "set c.Spawner.post_stop_hook to a function",
    "auth_state_hook": "set c.Spawner.auth_state_hook to a function",
}


def refuse(cls: type, table: Mapping[str, str]) -> None:
    """Raise ConfigError if a class of a file overrides what nothing here would call."""
    found = [name for name in vars(cls) if name in table and (callable(vars(cls)[name]) or name in _TEXTS)]
    if found:
        instead = "; ".join(f"instead of {name}: {table[name]}" for name in found)
        raise ConfigError(f"The class {cls.__name__} overrides {', '.join(found)}, which nbhub never calls; {instead}.")
