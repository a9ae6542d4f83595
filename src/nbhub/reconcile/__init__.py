"""Make it so: the loop that brings every server to what is wanted of it.

Claims rows, looks at the backend, asks `core.lifecycle.decide` and performs the one step it names. Never talks to the
web or the proxy: they meet at the database.
"""

from nbhub.reconcile.reconciler import Reconciler
from nbhub.reconcile.steps import Pace

__all__ = ["Pace", "Reconciler"]
