"""The volume claim of a server: which one is its own, and what a new one is like. Pure.

What holds somebody's files stays theirs, and nobody else's: under whatever name, template, version and spawner it was
made. Names alone do not say whose a claim is, so what its annotations and labels say is looked at as well.

    choice = known(settings, launch)                  # a server that has started before: nothing to look for
    if choice is None:                                # else list what label_selector selects, get the candidates
        choice = choose(settings, launch, found)

A claim that has to be made may be there already all the same (409): get it, and choose again with it among the found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbhub.core.launch import Launch
from nbhub.errors import SpawnError
from nbhub.spawners.kubernetes import labels, slugs
from nbhub.spawners.kubernetes.names import SERVER_FIELDS, USER_FIELDS, Names, expand, expand_all, field_names
from nbhub.spawners.kubernetes.naming import kept_names, names_of
from nbhub.spawners.kubernetes.plain import fields, without_nothing
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.kubernetes.spelling import Plain

Metadata = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """The claim that a server uses. `is_there` is False where it has to be made, None where nobody has looked."""

    name: str
    is_there: bool | None
    why: str


def known(settings: KubeSettings, launch: Launch) -> Choice | None:
    """Return the claim if it needs no looking for: the server has one already, or none is made for servers."""
    name = kept_names(settings, launch).get("volume")
    if name:
        return Choice(name, None, "as before")
    if not settings.setting(launch, "storage_pvc_ensure"):
        return Choice(names_of(settings, launch).volume, None, "by its name")
    return None


def label_selector(launch: Launch) -> str:
    """Return what selects the claims that may be the user's, whichever version of nbhub or KubeSpawner made them."""
    return f"{labels.USER} in ({','.join(sorted(_user_labels(launch)))})"


def candidates(settings: KubeSettings, launch: Launch) -> tuple[str, ...]:
    """Return the names under which a claim may be there without labels, the one of the present template first."""
    found = names_of(settings, launch)
    template = settings.setting(launch, "pvc_name_template")
    if not settings.setting(launch, "handle_legacy_names") or not USER_FIELDS & field_names(template):
        return (found.volume,)
    user, server = found.fields["escaped_username"], found.fields["escaped_servername"]
    pair = f"{user}--{server}" if server else user
    escaped = {**found.fields, "username": user, "servername": server, "user_server": pair}
    return tuple(dict.fromkeys((found.volume, expand(template, escaped), f"claim-{pair}")))


def choose(settings: KubeSettings, launch: Launch, found: Sequence[Mapping[str, Any]]) -> Choice:
    """Return the claim to use, given those that were found by label_selector and by the names of candidates.

    Raises SpawnError where the name for a new one belongs to somebody else.
    """
    before = known(settings, launch)
    if before is not None:
        return before
    there = {claim["metadata"]["name"]: claim["metadata"] for claim in found}
    if _is_everybodys(settings, launch):
        name = names_of(settings, launch).volume
        return Choice(name, name in there, "by its name")
    usable = {
        name: meta
        for name, meta in there.items()
        if not is_of_another(settings, launch, meta) and not meta.get("deletionTimestamp")
    }
    current, *legacy = candidates(settings, launch)
    if current in usable:
        return Choice(current, True, "by its name")
    for name in legacy:
        if name in usable:
            return Choice(name, True, "by its earlier name")
    for name in sorted(usable, key=lambda name: (str(usable[name].get("creationTimestamp")), name)):
        if _is_home(settings, launch, usable[name]):
            return Choice(name, True, "by its labels")
    return Choice(_free_name(settings, launch, current, there), False, "new")


def is_of_another(settings: KubeSettings, launch: Launch, meta: Metadata) -> bool:
    """Say whether what is written on a claim says that it belongs to another user, or to another of their servers.

    It never does of the one that the server has had or a hook has assigned, and of one that is everybody's.
    """
    if meta.get("name") == kept_names(settings, launch).get("volume") or _is_everybodys(settings, launch):
        return False
    notes, marks = meta.get("annotations") or {}, meta.get("labels") or {}
    if labels.USER in notes:
        if notes[labels.USER] != launch.user.name:
            return True
    elif labels.USER in marks and marks[labels.USER] not in _user_labels(launch):
        return True
    if labels.USER not in notes or not _is_per_server(settings, launch):
        return False
    return bool(notes.get(labels.SERVER, "") != launch.server_name)


def claim(settings: KubeSettings, launch: Launch, names: Names) -> Plain:
    """Return the claim that is made for a launch."""

    def filled(name: str) -> Any:
        return expand_all(settings.setting(launch, name), names.fields)

    notes = {**{key: str(value) for key, value in filled("storage_extra_annotations").items()}, **labels.whose(launch)}
    size = settings.setting(launch, "storage_capacity")
    spec = without_nothing(
        accessModes=list(settings.setting(launch, "storage_access_modes")),
        resources={"requests": {"storage": size}} if size else None,
        selector=expand_all(fields(settings.setting(launch, "storage_selector")), names.fields),
    )
    storage_class = settings.setting(launch, "storage_class")
    if storage_class is not None:  # empty means: none, bind a volume that is there
        spec["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": labels.metadata(names.volume, names, labels.of_volume(settings, launch, names), notes),
        "spec": spec,
    }


def title(user: str) -> Plain:
    """Return the patch for the claim of a user who has another name now.

    Without it the claim would look like that of whoever gets the old name next.
    """
    return {"metadata": {"annotations": {labels.USER: user}, "labels": {labels.USER: slugs.label_value(user)}}}


def is_own(settings: KubeSettings, launch: Launch, name: str) -> bool:
    """Say whether a claim is of one server alone: not if a hook assigned it, or if its template leaves that open."""
    if launch.settings.get("pvc_name") == name:
        return False
    if launch.state.get("pvc_name") == name and "pvc_own" in launch.state:
        return bool(launch.state["pvc_own"])
    return _is_for_one(settings.setting(launch, "pvc_name_template"), launch.server_name)


def is_deleted_with(settings: KubeSettings, state: Metadata) -> bool:
    """Say whether the claim goes when its server is deleted, by what its last start has recorded."""
    own = state.get("pvc_own")
    if own is None:
        own = _is_for_one(settings.pvc_name_template, str(state.get("server_name") or ""))
    return settings.delete_pvc and bool(own)


def _free_name(settings: KubeSettings, launch: Launch, current: str, there: Mapping[str, Metadata]) -> str:
    """Return a name for a new claim: the template's, or one beside it where that belongs to somebody else.

    That happens where both schemes of names have been in use, or where somebody has been renamed.
    """
    digest = slugs.hash8(launch.user.name.encode() + b"\xff" + launch.server_name.encode())
    for name in (current, f"{current}---{digest}"):
        if name not in there or not is_of_another(settings, launch, there[name]):
            return name
    raise SpawnError(
        f"The volume claim {current} belongs to another user, as its annotation {labels.USER} says, so it is not given "
        f"to {launch.user.name}. Ask your administrator to choose another c.KubeSpawner.pvc_name_template, or to "
        "correct the annotation."
    )


def _is_home(settings: KubeSettings, launch: Launch, meta: Metadata) -> bool:
    """Say whether a claim was made as the home of this very server, whatever its name."""
    marks, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    if marks.get(labels.COMPONENT) != labels.STORAGE or notes.get(labels.USER) != launch.user.name:
        return False
    ours = settings.setting(launch, "common_labels")
    if any(key in marks and key in ours and marks[key] != str(ours[key]) for key in labels.HUB):
        return False  # of another hub, where the same name may be another person's
    return not _is_per_server(settings, launch) or notes.get(labels.SERVER, "") == launch.server_name


def _is_for_one(template: str, server_name: str) -> bool:
    known_fields = field_names(template)
    return bool(USER_FIELDS & known_fields) and (not server_name or bool(SERVER_FIELDS & known_fields))


def _is_everybodys(settings: KubeSettings, launch: Launch) -> bool:
    return not USER_FIELDS & field_names(settings.setting(launch, "pvc_name_template"))


def _is_per_server(settings: KubeSettings, launch: Launch) -> bool:
    return bool(SERVER_FIELDS & field_names(settings.setting(launch, "pvc_name_template")))


def _user_labels(launch: Launch) -> set[str]:
    return set(_spellings(launch.user.name))


def _spellings(name: str) -> Iterator[str]:
    yield slugs.label_value(name)
    if slugs.is_label_value(slugs.escape(name)):
        yield slugs.escape(name)
