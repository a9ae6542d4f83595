"""Whose a volume claim is: kept through renames and changes of templates, found again, never somebody else's."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.core.launch import Launch
from nbhub.errors import SpawnError
from nbhub.spawners.kubernetes import objects, volume
from nbhub.spawners.kubernetes.settings import KubeSettings
from nbhub.spawners.kubernetes.volume import Choice
from spawners.kubernetes.starts import prepared_launch

USER, SERVER = "hub.jupyter.org/username", "hub.jupyter.org/servername"


def claim(
    name: str,
    user: str | None = None,
    server: str | None = None,
    *,
    label: str | None = None,
    created: str = "2026-01-01T00:00:00Z",
    component: str = "singleuser-storage",
    **more: Any,
) -> dict[str, Any]:
    """A claim as some hub made it, with what is written on it."""
    notes = {key: value for key, value in ((USER, user), (SERVER, server)) if value is not None}
    labels = {"component": component} | ({} if label is None else {USER: label})
    meta = {"name": name, "annotations": notes, "labels": labels, "creationTimestamp": created, **more}
    return {"metadata": meta}


def settings(**more: Any) -> KubeSettings:
    return KubeSettings(**{"storage_pvc_ensure": True, "namespace": "hub", **more})


async def chosen(
    *found: dict[str, Any], user: str = "bob.smith", server: str = "", state: Any = None, **more: Any
) -> Choice:
    one = settings(**more)
    return volume.choose(one, await prepared_launch(one, user, server, state=state), found)


OWN = "claim-bob-smith---365b77fb"


async def test_a_new_server_gets_a_new_claim() -> None:
    assert await chosen() == Choice(OWN, False, "new")
    assert await chosen(user="ada", server="gpu") == Choice("claim-ada--gpu", False, "new")


async def test_what_an_earlier_start_recorded_wins() -> None:
    state = {"pvc_name": "claim-of-old", "generation": 1}
    assert await chosen(claim(OWN, "bob.smith"), state=state) == Choice("claim-of-old", None, "as before")
    found = await chosen(claim(OWN, "bob.smith"), state=state, remember_pvc_name=False)
    assert found == Choice(OWN, True, "by its name")


async def test_no_claim_is_looked_for_where_none_is_made() -> None:
    assert await chosen(storage_pvc_ensure=False) == Choice(OWN, None, "by its name")


@pytest.mark.parametrize(
    "there",
    [
        claim(OWN, "bob.smith"),  # as nbhub and KubeSpawner 7 make it
        claim("claim-bob-2esmith", "bob.smith"),  # KubeSpawner up to 6
        claim("claim-bob-2esmith", label="bob-2esmith"),  # without annotations
        claim("claim-bob-2esmith"),  # before there were labels
        claim("home-42", "bob.smith"),  # a template of those days
        claim("home-42", "bob.smith", label="bob.smith"),
    ],
)
async def test_what_an_existing_hub_made_is_found(there: dict[str, Any]) -> None:
    others = [claim("claim-other", "other"), claim("claim-bob-smith", "bob-smith"), claim("x", "bob.smith", "gpu")]
    found = await chosen(there, *others)
    assert (found.name, found.is_there) == (there["metadata"]["name"], True)


async def test_the_claim_of_a_named_server() -> None:
    older = claim("claim-bob-2esmith--my-20lab", "bob.smith", "my lab")
    default = claim("claim-bob-2esmith", "bob.smith")
    assert (await chosen(default, older, server="my lab")).name == "claim-bob-2esmith--my-20lab"
    assert (await chosen(default, older)).name == "claim-bob-2esmith"
    assert (await chosen(default, server="my lab")).why == "new"
    theirs = claim("home-7", "bob.smith", "my lab")
    assert (await chosen(default, theirs, server="my lab")).name == "home-7"


async def test_a_template_of_ones_own_in_the_older_scheme() -> None:
    found = await chosen(claim("home-bob-2esmith"), pvc_name_template="home-{username}")
    assert found == Choice("home-bob-2esmith", True, "by its earlier name")
    off = await chosen(claim("home-bob-2esmith"), pvc_name_template="home-{username}", handle_legacy_names=False)
    assert off.why == "new"


async def test_the_present_name_goes_before_earlier_ones_and_labels() -> None:
    found = await chosen(claim("home-1", "bob.smith"), claim("claim-bob-2esmith", "bob.smith"), claim(OWN, "bob.smith"))
    assert found.name == OWN
    found = await chosen(claim("home-1", "bob.smith"), claim("claim-bob-2esmith", "bob.smith"))
    assert found.name == "claim-bob-2esmith"
    first, second = (claim(f"home-{day}", "bob.smith", created=f"2026-01-0{day}T00:00:00Z") for day in (2, 1))
    assert (await chosen(first, second)).name == "home-1"


@pytest.mark.parametrize(
    "theirs",
    [
        claim(OWN, "somebody"),
        claim(OWN, "bob.smith", "gpu"),
        claim(OWN, label="somebody"),
        claim(OWN, "somebody", label="bob.smith"),
    ],
)
async def test_a_claim_of_somebody_else_is_never_used(theirs: dict[str, Any]) -> None:
    found = await chosen(theirs)
    assert found.why == "new"
    assert found.name.startswith(f"{OWN}---") and found.name != OWN
    one = settings()
    launch = await prepared_launch(one, "bob.smith")
    made = objects.build(one, launch, found.name)
    assert made.pvc is not None
    assert made.pvc["metadata"]["name"] == made.names.fields["pvc_name"] == found.name
    with pytest.raises(SpawnError, match=r"belongs to another user, as its annotation hub.jupyter.org/username says"):
        await chosen(theirs, claim(found.name, "somebody"))


async def test_users_whose_names_meet_across_the_schemes() -> None:
    """The user a-20b has the name in the safe scheme that "a b" had in the other."""
    theirs = claim("claim-a-20b", "a b")
    assert (await chosen(theirs, user="a-20b")).name.startswith("claim-a-20b---")
    assert (await chosen(theirs, user="a b")).name == "claim-a-20b"


async def test_a_claim_that_is_being_deleted_is_not_used() -> None:
    going = claim(OWN, "bob.smith", deletionTimestamp="2026-01-02T00:00:00Z")
    assert await chosen(going) == Choice(OWN, False, "new")


async def test_one_claim_for_everybody() -> None:
    shared = claim("shared", "ada")
    assert await chosen(shared, pvc_name_template="shared") == Choice("shared", True, "by its name")
    assert not volume.is_deleted_with(settings(pvc_name_template="shared"), {})


async def test_one_claim_for_all_servers_of_a_user() -> None:
    first = claim("home-bob-smith---365b77fb", "bob.smith", "gpu")
    found = await chosen(first, pvc_name_template="home-{username}")
    assert (found.name, found.is_there) == ("home-bob-smith---365b77fb", True)
    one = settings(pvc_name_template="home-{username}")
    assert volume.is_deleted_with(one, {}) and not volume.is_deleted_with(one, {"server_name": "gpu"})


def test_what_goes_with_a_deleted_server() -> None:
    assert volume.is_deleted_with(settings(), {"server_name": "gpu"}) and volume.is_deleted_with(settings(), {})
    old = settings(pvc_name_template="claim-{username}--{servername}")
    assert volume.is_deleted_with(old, {"server_name": "gpu"})
    assert not volume.is_deleted_with(settings(delete_pvc=False), {"pvc_own": True})


async def test_what_to_ask_for() -> None:
    one = settings()

    async def asked(user: str, server: str = "") -> tuple[str, tuple[str, ...]]:
        launch = await prepared_launch(one, user, server)
        return volume.label_selector(launch), volume.candidates(one, launch)

    assert await asked("ada") == (f"{USER} in (ada)", ("claim-ada",))
    assert await asked("bob.smith") == (f"{USER} in (bob-2esmith,bob.smith)", (OWN, "claim-bob-2esmith"))
    assert (await asked("-x-"))[0] == f"{USER} in (x---{volume.slugs.hash8(b'-x-')})"
    assert (await asked("ada", "My Lab"))[1][1] == "claim-ada---4dy-20-4cab"


async def renamed(state: dict[str, Any]) -> tuple[KubeSettings, Launch]:
    one = settings()
    return one, await prepared_launch(one, "eve", "gpu", state=state)


async def test_a_renamed_user_keeps_the_claim_and_it_gets_the_new_name() -> None:
    state = {"pvc_name": "claim-ada--gpu", "pvc_user": "ada", "pod_name": "jupyter-ada--gpu", "generation": 1}
    one, launch = await renamed(state)
    known = volume.known(one, launch)
    assert known is not None and known.name == "claim-ada--gpu"
    made = objects.build(one, launch)
    assert made.names.volume == "claim-ada--gpu"
    assert made.names.pod == "jupyter-eve--gpu"  # a new start, so the pod of whoever is called ada now is not met
    assert volume.title("eve") == {"metadata": {"annotations": {USER: "eve"}, "labels": {USER: "eve"}}}
    assert not volume.is_of_another(one, launch, claim("claim-ada--gpu", "ada", "gpu")["metadata"])
    assert volume.is_of_another(one, launch, claim("claim-eve--gpu", "ada", "gpu")["metadata"])


async def test_a_start_that_is_repeated_keeps_the_name_of_its_pod() -> None:
    state = {"pod_name": "jupyter-before", "dns_name": "before.svc", "namespace": "hub", "generation": 3}
    one = settings(pod_name_template="lab-{username}")
    made = objects.build(one, await prepared_launch(one, "ada", state=state, generation=3))
    assert (made.names.pod, made.names.dns) == ("jupyter-before", "before.svc")
    made = objects.build(one, await prepared_launch(one, "ada", state=state, generation=4))
    assert made.names.pod == "lab-ada"


async def test_a_namespace_stays_a_users() -> None:
    one = settings(enable_user_namespaces=True, user_namespace_template="new-{username}")
    made = objects.build(one, await prepared_launch(one, "ada", state={"namespace": "old-ada", "generation": 1}))
    assert made.pod["metadata"]["namespace"] == "old-ada"
    moved = settings(namespace="other")
    made = objects.build(moved, await prepared_launch(moved, "ada", state={"namespace": "hub", "generation": 1}))
    assert made.pod["metadata"]["namespace"] == "other"


async def test_a_hook_may_say_which_claim_it_is() -> None:
    def hook(spawner: Any) -> None:
        spawner.pvc_name = f"course-{spawner.user.groups[0].name}"

    one = settings(pre_spawn_hook=hook)
    launch = await prepared_launch(one, "ada", groups=("maths",), state={"pvc_name": "claim-ada", "generation": 1})
    known = volume.known(one, launch)
    assert known is not None and known.name == "course-maths"
    assert not volume.is_of_another(one, launch, claim("course-maths", "bob")["metadata"])
    assert not volume.is_own(one, launch, "course-maths")
    assert not volume.is_deleted_with(one, {"pvc_own": False})
    later = await prepared_launch(settings(), "ada", state={"pvc_name": "course-maths", "pvc_own": False})
    assert not volume.is_own(settings(), later, "course-maths")  # nor when the hook is gone
    assert volume.is_own(settings(), later, "claim-ada")


async def test_a_claim_of_another_hub_in_the_namespace_is_not_found_by_its_labels() -> None:
    theirs = claim("home-1", "bob.smith")
    theirs["metadata"]["labels"]["release"] = "other"
    assert (await chosen(theirs, common_labels={"release": "mine"})).why == "new"
    theirs["metadata"]["labels"]["release"] = "mine"
    assert (await chosen(theirs, common_labels={"release": "mine"})).name == "home-1"
