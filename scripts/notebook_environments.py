"""Make the environments with real notebook servers that the tests start, below .cache; once."""

import sys
from pathlib import Path

from nbhub import notebooks
from nbhub.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"


def say(text: str) -> None:
    """Tell at once, also into a pipe."""
    print(text, flush=True)


def main() -> int:
    """Make what is missing; returns the exit status."""
    try:
        notebooks.ensure(CACHE, say)
        notebooks.ensure(CACHE / "jupyterhub-4", say, lock_file=ROOT / "requirements" / "notebook-4.lock")
    except ConfigError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
