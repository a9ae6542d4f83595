"""Stands for `tornado.httpclient` and `tornado.httputil`: the real ones where Tornado is installed, else refusals.

Files of the Kubernetes chart choose an implementation of the client. nbhub makes its own calls, so that is left out.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from nbhub.compat import imports
from nbhub.errors import ConfigError

__all__ = ["AsyncHTTPClient", "url_concat"]


def url_concat(url: str, args: Any) -> str:
    """Return the URL with further parameters in its query."""
    pairs = list(args.items() if isinstance(args, dict) else args or ())
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query, keep_blank_values=True), *pairs])))


class AsyncHTTPClient:
    """The client, which a file may set up and, with Tornado, use."""

    @classmethod
    def configure(cls, impl: Any, **kwargs: Any) -> None:
        """Do nothing: it would speed up calls of JupyterHub's that nbhub does not make."""

    def __new__(cls, *given: Any, **named: Any) -> Any:
        """Return the real one."""
        return _real("httpclient", "AsyncHTTPClient")(*given, **named)


def load(module: str, name: str) -> Any:
    """Return the real thing of that name."""
    return _real(module.partition(".")[2], name)


def _real(module: str, name: str) -> Any:
    try:
        return getattr(imports.genuine(f"tornado.{module}"), name, None)
    except ModuleNotFoundError:
        return type(name, (Exception,), {"__module__": __name__}) if name.endswith("Error") else _refusing(module, name)


def _refusing(module: str, name: str) -> Any:
    def refuse(*given: Any, **named: Any) -> Any:
        raise ConfigError(f"tornado.{module}.{name} needs the Python package tornado. Install it beside nbhub.")

    return refuse
