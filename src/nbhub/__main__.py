"""`python -m nbhub` is the command `nbhub`."""

import sys

from nbhub.cli import main

if __name__ == "__main__":
    sys.exit(main())
