"""Stands for `jupyterhub.spawner`: nbhub's own spawners, for direct use and as bases."""

from __future__ import annotations

from typing import Any

from nbhub.compat import attributes, methods
from nbhub.spawners import base, process


class FileSpawner(base.Spawner):
    """Stands before a spawner of nbhub among the bases of a class in a file."""

    @classmethod
    def section_names(cls) -> list[str]:
        """Return the sections of its settings, each once: its base has the name of what it stands for."""
        return list(dict.fromkeys(super().section_names()))

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if cls.__module__.startswith("nbhub."):
            return
        methods.refuse(cls, methods.SPAWNER)
        attributes.become_defaults(cls)
        reader = vars(cls).get("options_from_form")
        if callable(reader):
            cls.own_form_reader = reader
            del cls.options_from_form


class Spawner(FileSpawner):
    """What all spawners have in common."""


class LocalProcessSpawner(FileSpawner, process.LocalProcessSpawner):
    """Servers run as the system user who logged in."""


class SimpleLocalProcessSpawner(FileSpawner, process.SimpleLocalProcessSpawner):
    """Servers run as the hub's own user, each user in a folder."""
