"""The store: what is remembered. The only room that knows SQL.

`Store` gives read and write transactions; the modules `users`, `servers`, `leases`, `grants` … hold the questions that
may be asked, each a function that takes the transaction first and returns records, never rows. Nothing here decides.
"""

from __future__ import annotations

from nbhub.store.base import Store
from nbhub.store.locking import HeldElsewhere
from nbhub.store.transaction import Reading, Writing
from nbhub.store.wakeup import Bell, Wakeup

__all__ = ["Bell", "HeldElsewhere", "Reading", "Store", "Wakeup", "Writing"]
