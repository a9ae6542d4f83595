"""For whom the options of a server are chosen, and whether they may be what they are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from nbhub.authenticators.admission import Admission
from nbhub.core.model import User
from nbhub.spawners.one_server import Subject
from nbhub.store import servers, users
from nbhub.web import places
from nbhub.web.desk import Desk


async def subject(desk: Desk, owner: User, name: str, options: Mapping[str, Any] | None = None) -> Subject:
    """Return for whom the options of a server are to be chosen; without `options` with those that it started with."""
    async with desk.store.read() as tx:
        groups = (await users.groups_of(tx, [owner.id])).get(owner.id, ())
        record = await servers.get(tx, owner.name, name) if options is None else None
    if options is None:
        options = (record.options if record is not None else None) or {}
    admission = Admission(desk.authenticator, desk.store, desk.keys, desk.clock)
    prefix = places.own_prefix(desk, owner, name)
    return Subject(owner, groups, name, options, prefix, auth_state=partial(admission.state_of, owner))


async def checked(desk: Desk, owner: User, name: str, options: Any) -> Any:
    """Return options in their normal form; those that a server keeps are only looked at. Raises BadRequest."""
    if options is servers.KEEP:
        if desk.spawner.has_choices:
            kept = await subject(desk, owner, name)
            await desk.spawner.validate_options(kept, kept.options)
        return options
    return await desk.spawner.validate_options(await subject(desk, owner, name, options), options)
