"""Stands for `jupyterhub.handlers`: pages are nbhub's own. Classes that derive from these are never called.

A file may write them; what would use them (`extra_handlers`, `get_handlers`) is told of or refused where it stands.
"""

from __future__ import annotations


class BaseHandler:
    """A page of JupyterHub."""


class LoginHandler(BaseHandler):
    """The log-in page."""


class LogoutHandler(BaseHandler):
    """The log-out page."""


class RedirectHandler(BaseHandler):
    """An address that leads elsewhere."""


class StaticFileHandler(BaseHandler):
    """A file."""
