"""Stands for `jupyterhub.traitlets`: kinds of settings for classes of one's own."""

from __future__ import annotations

from traitlets import Callable
from traitlets import Type as EntryPointType

from nbhub.traits import Command, URLPrefix
from nbhub.traits import MemorySize as ByteSpecification

__all__ = ["ByteSpecification", "Callable", "Command", "EntryPointType", "URLPrefix"]
