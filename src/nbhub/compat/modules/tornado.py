"""Stands for `tornado` and `tornado.web`: the error that hooks raise, and what must not be derived from."""

from __future__ import annotations

from typing import Any

from nbhub.compat.modules.handlers import BaseHandler as RequestHandler
from nbhub.compat.modules.handlers import RedirectHandler, StaticFileHandler

__all__ = ["HTTPError", "RedirectHandler", "RequestHandler", "StaticFileHandler", "authenticated"]


class HTTPError(Exception):
    """An answer with a status; its words are shown to the user."""

    def __init__(self, status_code: int = 500, log_message: str | None = None, *args: Any, **kwargs: Any) -> None:
        self.status_code = status_code
        self.reason = kwargs.get("reason")
        self.log_message = (log_message % args if log_message and args else log_message) or self.reason or ""
        super().__init__(self.log_message or f"HTTP {status_code}")


def authenticated(method: Any) -> Any:
    """Return the method; nothing here calls it."""
    return method
