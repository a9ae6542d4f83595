"""Which volume claim is a server's, found out at the API server; making it, and deleting it with its server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nbhub.core.launch import Launch
from nbhub.errors import SpawnError
from nbhub.spawners.kubernetes import records, volume
from nbhub.spawners.kubernetes.api import Refused, Target
from nbhub.spawners.kubernetes.backend import Backend
from nbhub.spawners.kubernetes.settings import KubeSettings

KIND = "PersistentVolumeClaim"


async def choose(
    backend: Backend, settings: KubeSettings, launch: Launch, namespace: str, met: Sequence[Mapping[str, Any]] = ()
) -> volume.Choice:
    """Return the claim of a server: the one it had, one that is its own by name or label, else a name for a new one.

    `met` are claims that creating one came upon. Whether there is one of the usual name is left for that to find out.
    """
    known = volume.known(settings, launch)
    if known is not None:
        return known
    labelled = {"labelSelector": volume.label_selector(launch)}
    found = [
        records.whole(raw) async for page in backend.api.pages(Target(KIND, namespace), labelled) for raw in page.items
    ]
    found += [dict(claim) for claim in met]
    choice = volume.choose(settings, launch, found)
    if choice.is_there:
        return choice
    there = {claim["metadata"]["name"] for claim in found}
    for name in volume.candidates(settings, launch):
        if name not in there and name != choice.name:
            claim = await backend.api.get(Target(KIND, namespace, name))
            found += [] if claim is None else [records.whole(claim)]
    return volume.choose(settings, launch, found)


async def ensure(
    backend: Backend, settings: KubeSettings, launch: Launch, claim: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """See to it that a claim is there; return the one of that name if it belongs to somebody else.

    Raises SpawnError if it is on its way out.
    """
    target = Target(KIND, claim["metadata"]["namespace"], claim["metadata"]["name"])
    try:
        await backend.create(claim)
        return None
    except Refused as error:
        if error.answer not in (403, 409):
            raise
        raw = await backend.api.get(target)  # a quota refuses before it is said that there is one already
        if raw is None:
            raise
    found = records.whole(raw)
    if volume.is_of_another(settings, launch, found["metadata"]):
        return found
    if found["metadata"].get("deletionTimestamp"):
        raise SpawnError(
            f"The volume claim {target.name} in namespace {target.namespace} is being deleted and not gone yet. "
            "Start the server again in a while; if that goes on, ask your administrator which pod still uses it."
        )
    return None


async def rename(backend: Backend, target: Target, before: str, after: str) -> None:
    """Write on a claim that its user has another name now, if it says that it is that user's. Raises Refused."""
    found = await backend.metadata(target)
    if found is None or before == after or (found.annotations or {}).get(records.USER) != before:
        return
    change = volume.title(after)
    change["metadata"]["uid"] = found.uid  # of this very claim
    await backend.api.patch(target, change)


async def forget(backend: Backend, target: Target, names: Collection[str]) -> bool:
    """Delete a claim, if what is written on it says that it is of the user of these names; say whether one was."""
    found = await backend.metadata(target)
    if found is None or (found.annotations or {}).get(records.USER) not in names:
        return False
    return await backend.api.delete(target, uid=found.uid)
