"""Stands for `jupyterhub` and `jupyterhub.app`."""

from __future__ import annotations

from nbhub import PROTOCOL_VERSION

__version__ = PROTOCOL_VERSION
version_info = tuple(int(part) for part in PROTOCOL_VERSION.split("."))


def load(module: str, name: str) -> object | None:
    """Return the version; there is nothing else to be had here."""
    return version_info if name == "version_info" else None
