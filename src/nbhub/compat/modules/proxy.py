"""Stands for `jupyterhub.proxy`: nbhub brings its own, so that `proxy_class` is only told of."""

from __future__ import annotations


class Proxy:
    """What leads people to their servers."""


class ConfigurableHTTPProxy(Proxy):
    """The proxy of JupyterHub."""
