"""Services beside the hub: what the configuration says of them, of roles and of groups; and those that the hub runs.

`declared` reads the settings, `apply` puts them into the database at every start, `keeper` keeps managed services
running: one process each, however many hubs share the database.
"""

from __future__ import annotations

from nbhub.services.apply import apply
from nbhub.services.declared import Declared, RoleSpec, declare, declare_managed
from nbhub.services.keeper import Keeper
from nbhub.services.launch import Workshop

__all__ = ["Declared", "Keeper", "RoleSpec", "Workshop", "apply", "declare", "declare_managed"]
