"""Profiles in a whole hub, as programs choose them: what is refused, when, and what is remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servers.hub import HubProcess, running_hub
from servers.profiled_hub import SETTINGS

REFUSED = [
    ({"profile": "gpu"}, "Option profile is 'gpu'; there is python-for-everybody, data, own."),
    ({"user_options": {"profile": "data", "size": "xl"}}, "Option size is 'xl'; there is s, m, l."),
    ({"profile": "data", "year--unlisted-choice": "a b"}, "Image: 'a b' is not allowed. Its name and tag, such as"),
    ({"profile": "own"}, "Image: write what you want. A name and a tag, with a colon between them."),
]


async def test_what_programs_choose(folder: Path) -> None:
    settings = SETTINGS + "c.Hub.allow_named_servers = True\n"
    async with running_hub(folder, settings) as hub, hub.client(await hub.token("ada")) as api:

        async def chosen(name: str = "") -> Any:
            listed = (await api.get("/users/ada?include_stopped_servers=1")).json()["servers"]
            return listed[name]["user_options"] if name in listed else "no server"

        for body, said in REFUSED:
            for call in (api.post("/users/ada/server", json=body), api.post("/users/ada/servers/x", json=body)):
                answer = await call
                assert (answer.status_code, said in answer.json()["message"]) == (400, True), (body, answer.text)
        assert await chosen() == await chosen("x") == "no server", "what is refused leaves nothing behind"

        assert (await api.post("/users/ada/server")).status_code == 201
        assert await chosen() is None  # the default profile, whatever it is by then
        await api.delete("/users/ada/server")
        options = {"profile": "data", "size": "l", "mine": [1]}
        assert (await api.post("/users/ada/server", json={"user_options": options})).status_code == 201
        await api.delete("/users/ada/server")
        assert (await api.post("/users/ada/server")).status_code == 201
        assert await chosen() == options, "the last choice holds, and what profiles do not know is kept"
        await api.delete("/users/ada/server")
        assert (await api.post("/users/ada/server", json={"user_options": {}})).status_code == 201
        assert await chosen() == {}

        wrong: dict[str, Any] = {"user_options": {"profile": "own"}}
        assert (await api.put("/users/ada/servers/y", json=wrong)).status_code == 400
        right = {"user_options": {"profile": "own", "image--unlisted-choice": "a:1"}}
        assert (await api.put("/users/ada/servers/y", json=right)).status_code == 201
        assert (await api.patch("/users/ada/servers/y", json=wrong)).status_code == 400
        assert await chosen("y") == right["user_options"]


async def test_a_list_that_changed_is_noticed_when_the_last_choice_is_asked_for_again(folder: Path) -> None:
    async with running_hub(folder, SETTINGS) as hub, hub.client(await hub.token("ada")) as api:
        await api.post("/groups/gpu")
        assert (await api.post("/groups/gpu/users", json={"users": ["ada"]})).status_code == 200
        assert (await api.post("/users/ada/server", json={"profile": "gpu"})).status_code == 201
        await api.delete("/users/ada/server")
        await api.request("DELETE", "/groups/gpu/users", json={"users": ["ada"]})
        refused = await api.post("/users/ada/server")
        assert refused.status_code == 400
        assert "Option profile is 'gpu'" in refused.json()["message"]


async def test_a_mistake_in_the_list_stops_the_hub_at_its_start(folder: Path) -> None:
    wrong = '[{"display_name": "A", "kubespawner_override": {"mem_limt": "1G"}}]'
    hub_settings = f"{SETTINGS}\nc.ProfiledFake.profile_list = {wrong}\n"
    ended = HubProcess(folder, hub_settings).refused()
    assert ended.status == 2
    assert ended.reason.startswith("Profile 'a': kubespawner_override: there is no setting 'mem_limt'. Did you mean")
