"""What sources share whose users are users of this machine: its groups as rules, and accounts made when missing."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from traitlets import Bool, Dict, Int, Unicode, default

from nbhub.authenticators import system
from nbhub.authenticators.base import GroupRules, Identity, RedirectAuthenticator
from nbhub.authenticators.threads import Threads
from nbhub.config import Command
from nbhub.errors import Forbidden

# What goes to a command as an argument: never an option, nothing that a shell or a passwd file takes for more.
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_.@-]{0,31}")


class LocalAuthenticator(GroupRules):
    """For sources whose users have accounts on this machine. Groups in rules are the machine's."""

    create_system_users = Bool(
        False, help="Make the account on this machine when somebody who may enter has none; the hub has to run as root."
    ).tag(config=True)
    add_user_cmd = Command(
        help="Command that makes an account; USERNAME in it is replaced, and the name is its last argument. Empty: "
        "adduser -q --gecos '' --disabled-password."
    ).tag(config=True)
    uids = Dict(
        key_trait=Unicode(),
        value_trait=Int(),
        help="User ids of accounts that are made, by name; given to the command as --uid.",
    ).tag(config=True)

    @default("add_user_cmd")
    def _adduser(self) -> list[str]:
        return ["adduser", "-q", "--gecos", "", "--disabled-password"]

    async def admit(self, identity: Identity, handler: Any = None) -> Identity:
        """See Authenticator. Looks the groups up, and makes the account once the person may enter."""
        if self._groups_are_the_machines and (self.allowed_groups or self.admin_groups or self.manage_groups):
            groups = await self._system.run(system.groups_of, identity.name)
            identity = replace(identity, groups=groups)
        admitted = await super().admit(identity, handler)
        if self.create_system_users and await self._system.run(system.find, admitted.name) is None:
            await self._create(admitted.name)
        return admitted

    async def allows(self, identity: Identity) -> bool:
        """See Authenticator."""
        if self._groups_are_the_machines and self.allowed_groups and identity.groups is None:
            identity = replace(identity, groups=await self._system.run(system.groups_of, identity.name))
        return await super().allows(identity)

    async def _create(self, name: str) -> None:
        if not _ACCOUNT.fullmatch(name):
            raise Forbidden(f"The name {name[:64]!r} cannot be that of an account on this machine.")
        self.log.info("user=%s making the account on this machine", name)
        await self._system.run(system.create, self.add_user_cmd, name, self.uids.get(name))

    @property
    def _groups_are_the_machines(self) -> bool:
        """A provider has groups of its own."""
        return not isinstance(self, RedirectAuthenticator)

    @property
    def _system(self) -> Threads:
        """Threads for the name service, which may ask a server elsewhere."""
        found: Threads | None = getattr(self, "_system_threads", None)
        if found is None:
            found = self._system_threads = Threads(4, system.COMMAND_SECONDS + 5, "The machine's list of users")
        return found
