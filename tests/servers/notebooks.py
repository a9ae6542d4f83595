"""Real notebook servers for tests: environments with jupyterhub-singleuser, made once below `.cache`.

`make test` makes them beforehand (`scripts/notebook_environments.py`); a test that comes first makes its own.
"""

from __future__ import annotations

from pathlib import Path

from nbhub import notebooks

_ROOT = Path(__file__).resolve().parents[2]
_CACHE = _ROOT / ".cache"


def commands() -> Path:
    """Return the folder of commands of the environment that nbhub itself installs (jupyterhub-singleuser 6)."""
    return notebooks.ensure(_CACHE, print)


def older_commands() -> Path:
    """Return the folder of commands of an environment with jupyterhub-singleuser 4."""
    lock_file = _ROOT / "requirements" / "notebook-4.lock"
    return notebooks.ensure(_CACHE / "jupyterhub-4", print, lock_file=lock_file)
