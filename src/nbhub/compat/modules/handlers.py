"""Stands for `jupyterhub.handlers`: pages are nbhub's own, so these can be imported and not derived from."""

from __future__ import annotations

from typing import Any

from nbhub.errors import ConfigError


class BaseHandler:
    """A page of JupyterHub."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        if cls.__module__ != __name__:
            raise ConfigError(
                f"The class {cls.__name__} is a page for JupyterHub's web server, which nbhub does not have. Put pages "
                "of your own into a service with a url (c.JupyterHub.services), words and looks into templates "
                "(c.JupyterHub.template_paths)."
            )


class LoginHandler(BaseHandler):
    """The log-in page."""


class LogoutHandler(BaseHandler):
    """The log-out page."""


class RedirectHandler(BaseHandler):
    """An address that leads elsewhere."""


class StaticFileHandler(BaseHandler):
    """A file."""
