"""What functions of the configuration see and change of one start."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets import TraitError

from nbhub.core.model import User
from nbhub.errors import BadRequest, SpawnError
from nbhub.spawners.one_server import Prepared, Subject, one_server, override, prepare
from nbhub.spawners.process import SimpleLocalProcessSpawner

ALICE = Subject(
    User(7, "alice", admin=True), ("staff", "gpu"), "big", {"memory": ["2G"], "size": "3"}, "/user/alice/big/"
)


def made(**settings: Any) -> SimpleLocalProcessSpawner:
    return SimpleLocalProcessSpawner(data_dir="/nowhere", **settings)


async def prepared(subject: Subject = ALICE, **settings: Any) -> Prepared:
    return await prepare(made(**settings), subject)


async def test_a_hook_reads_the_user_and_changes_one_start_only() -> None:
    seen: dict[str, Any] = {}

    async def hook(spawner: Any) -> None:
        user = spawner.user
        seen.update(name=user.name, id=user.id, admin=user.admin, groups=[group.name for group in user.groups])
        seen.update(server=spawner.name, options=spawner.user_options, url=user.url, state=await user.get_auth_state())
        spawner.environment["COLOUR"] = "green"
        spawner.args.append("--fast")
        spawner.mem_limit = "1G"
        spawner.default_url = "/lab"
        spawner.shell_cmd = ["bash", "-c"]

    spawner = made(pre_spawn_hook=hook, environment={"A": "1"})
    found = await prepare(spawner, ALICE)
    assert seen == {
        "name": "alice",
        "id": 7,
        "admin": True,
        "groups": ["staff", "gpu"],
        "server": "big",
        "options": {"memory": ["2G"], "size": "3"},
        "url": "/user/alice/big/",
        "state": None,
    }
    assert found.template.environment == {"A": "1", "COLOUR": "green"}
    assert found.template.arguments == ("--fast",)
    assert (found.template.mem_limit, found.template.default_url) == (1024**3, "/lab")
    assert found.settings == {"shell_cmd": ["bash", "-c"]}
    assert (spawner.environment, spawner.args, spawner.mem_limit, spawner.shell_cmd) == ({"A": "1"}, [], None, [])


async def test_nothing_special_costs_no_copy() -> None:
    found = await prepared(environment={"A": "1"}, cmd="lab")
    assert (found.template.command, found.template.environment, found.settings) == (("lab",), {"A": "1"}, {})


async def test_functions_as_values_and_plain_hooks() -> None:
    found = await prepared(
        environment={"WHO": lambda spawner: spawner.user.name, "N": 3, "NONE": None},
        pre_spawn_hook=lambda spawner: spawner.environment.update(X=spawner.format_string("{username}")),
        server_token_scopes=lambda spawner: [f"read:users!user={spawner.user.name}"],
        oauth_client_allowed_scopes=["self"],
        hub_connect_url="http://elsewhere:1",
    )
    assert found.template.environment == {"WHO": "alice", "N": "3", "X": "alice"}
    assert found.token_scopes == ("read:users!user=alice",)
    assert found.template.oauth_allowed_scopes == ("self",)
    assert found.hub_connect_url == "http://elsewhere:1"


async def test_the_order_is_state_groups_options_hook() -> None:
    order: list[str] = []

    async def state() -> dict[str, Any]:
        return {"token": "t"}

    found = await prepare(
        made(
            auth_state_hook=lambda spawner, kept: order.append(f"state {kept['token']}"),
            group_overrides=lambda spawner: order.append("groups") or {},
            apply_user_options=lambda spawner, options: order.append(f"options {options['size']}"),
            pre_spawn_hook=lambda spawner: order.append("hook"),
        ),
        Subject(ALICE.user, ALICE.groups, options=ALICE.options, auth_state=state),
    )
    assert order == ["state t", "groups", "options 3", "hook"]
    assert found.template.command == ("jupyterhub-singleuser",)


async def test_groups_override_in_the_order_of_keys() -> None:
    found = await prepared(
        environment={"A": "1", "B": "2"},
        group_overrides={
            "2": {"groups": ["gpu"], "spawner_override": {"mem_limit": "4G", "environment": {"A": None, "C": "3"}}},
            "1": {"groups": ["staff"], "spawner_override": {"mem_limit": "2G", "cpu_limit": lambda spawner: 2.0}},
            "3": {"groups": ["others"], "spawner_override": {"mem_limit": "8G"}},
        },
    )
    assert found.template.mem_limit == 4 * 1024**3
    assert found.template.cpu_limit == 2.0
    assert found.template.environment == {"B": "2", "C": "3"}


async def test_options_become_settings() -> None:
    found = await prepared(apply_user_options={"size": "cpu_limit", "missing": "mem_limit"})
    assert found.template.cpu_limit == 3.0
    with pytest.raises(SpawnError, match="The option size does not take 'many'"):
        await prepared(Subject(ALICE.user, options={"size": "many"}), apply_user_options={"size": "cpu_limit"})


async def test_a_class_that_adds_environment_and_arguments() -> None:
    class Own(SimpleLocalProcessSpawner):
        def get_env(self) -> dict[str, Any]:
            return {**super().get_env(), "OWN": self.user.name}

        def get_args(self) -> list[str]:
            return [*super().get_args(), "--own"]

    found = await prepare(Own(data_dir="/nowhere", environment={"A": "1"}), ALICE)
    assert (found.template.environment, found.template.arguments) == ({"A": "1", "OWN": "alice"}, ("--own",))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("secret"), r"The setting pre_spawn_hook of this hub failed \(ValueError\)"),
        (TraitError("x"), "TraitError"),
        (type("Own", (Exception,), {"jupyterhub_message": "You have no quota left."})(), "You have no quota left."),
    ],
)
async def test_a_hook_that_fails(error: Exception, words: str) -> None:
    def hook(spawner: Any) -> None:
        raise error

    with pytest.raises(SpawnError, match=words) as raised:
        await prepared(pre_spawn_hook=hook)
    assert "secret" not in raised.value.message


async def test_scopes_that_are_no_list() -> None:
    with pytest.raises(SpawnError, match="server_token_scopes of this hub gave no list"):
        await prepared(server_token_scopes=lambda spawner: "self")


async def test_forms() -> None:
    fields = {"size": ["1", "2"]}
    assert await made().form(ALICE) == ""
    assert await made(options_form="<input>").form(ALICE) == "<input>"
    assert await made(options_form=lambda spawner: f"<b>{len(spawner.user.groups)}</b>").form(ALICE) == "<b>2</b>"
    assert await made().read_form(ALICE, fields) == fields
    assert await made(options_from_form="simple").read_form(ALICE, fields) == {"size": "1"}
    assert await made(options_from_form=lambda form: {"n": int(form["size"][0])}).read_form(ALICE, fields) == {"n": 1}
    reader = made(options_from_form=lambda form, spawner: {"who": spawner.user.name})
    assert await reader.read_form(ALICE, fields) == {"who": "alice"}
    with pytest.raises(BadRequest, match="options_from_form"):
        await made(options_from_form=lambda form: 1 / 0).read_form(ALICE, fields)
    with pytest.raises(BadRequest, match="gave no options"):
        await made(options_from_form=lambda form: None).read_form(ALICE, fields)


async def test_after_a_stop() -> None:
    stopped: list[str] = []
    await made(post_stop_hook=lambda spawner: stopped.append(spawner.user.name)).stopped(ALICE)
    assert stopped == ["alice"]
    with pytest.raises(SpawnError, match="post_stop_hook"):
        await made(post_stop_hook=lambda spawner: 1 / 0).stopped(ALICE)


async def test_overrides_ask_functions_merge_dicts_and_know_their_names() -> None:
    one = one_server(made(environment={"A": "1", "B": {"deep": 1}}), ALICE)

    async def twice(spawner: Any) -> int:
        return 2 * len(spawner.user.groups)

    given = {"cpu_limit": twice, "mem_limit": lambda spawner: "2G", "environment": {"A": None, "B": {"wide": 2}}}
    await override(one, given, "profile big")
    assert (one.cpu_limit, one.mem_limit) == (4, 2 * 1024**3)
    assert one.environment == {"B": {"deep": 1, "wide": 2}}

    def hook(spawner: Any) -> None:
        raise AssertionError("called too early")

    await override(one, {"pre_spawn_hook": hook}, "profile big")
    assert one.pre_spawn_hook is hook


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"cpu_limits": 1},
            "changes 'cpu_limits', which is no setting. Did you mean cpu_limit?",
        ),
        ({"cpu_limit": [1]}, "profile big of this hub gives the setting cpu_limit a value that it does not take"),
        ({"cpu_limit": lambda spawner: 1 / 0}, r"The setting profile big: cpu_limit of this hub failed \(ZeroDivision"),
    ],
)
async def test_overrides_that_cannot_be(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SpawnError, match=words):
        await override(one_server(made(), ALICE), given, "profile big")
