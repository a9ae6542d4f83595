"""What a profile changes of one start, whom it is offered to, and how its form looks; without any cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbhub.core.model import User
from nbhub.errors import BadRequest, ConfigError, SpawnError
from nbhub.spawners.kubernetes.profiled import ProfiledSpawner
from nbhub.spawners.one_server import Prepared, Subject, prepare
from page_reader import Page

IMAGE = {
    "enabled": True,
    "validation_regex": "[a-z:0-9]+",
    "validation_message": "Small letters and digits.",
    "kubespawner_override": {"image": "own/{value}"},
}
LIST: list[dict[str, Any]] = [
    {"display_name": "Small", "description": "For <em>everybody</em>"},
    {
        "display_name": "Big",
        "kubespawner_override": {
            "mem_limit": "8G",
            "cpu_limit": "4",
            "image_spec": "big:1",
            "environment": {"KIND": "big", "DROPPED": None},
            "node_selector": {"pool": "big"},
            "default_url": lambda spawner: f"/lab/{spawner.user.name}",
        },
        "profile_options": {
            "size": {
                "display_name": "Size",
                "choices": {
                    "m": {"display_name": "Medium"},
                    "l": {
                        "display_name": "Large",
                        "kubespawner_override": {"mem_limit": "32G", "node_selector": {"size": "l", "zone": None}},
                    },
                },
            },
            "image": {"display_name": "Image", "choices": {"base": {}}, "unlisted_choice": IMAGE},
        },
    },
]


def made(given: Any = LIST, **settings: Any) -> ProfiledSpawner:
    settings = {"environment": {"DROPPED": "1", "KEPT": "1"}, "node_selector": {"zone": "a"}, **settings}
    return ProfiledSpawner(profile_list=given, **settings)


def subject(options: dict[str, Any] | None = None, groups: tuple[str, ...] = ()) -> Subject:
    return Subject(User(7, "alice"), groups, "", options or {}, "/user/alice/")


async def prepared(options: dict[str, Any], spawner: ProfiledSpawner | None = None) -> Prepared:
    return await prepare(spawner or made(), subject(options))


async def form(spawner: ProfiledSpawner, options: dict[str, Any] | None = None) -> Page:
    return Page(await spawner.form(subject(options)))


async def test_a_profile_and_its_options_change_one_start_only() -> None:
    spawner = made()
    found = await prepared({"profile": "big", "size": "l", "image--unlisted-choice": "lab:3"}, spawner)
    assert found.template.environment == {"KEPT": "1", "KIND": "big"}
    assert (found.template.mem_limit, found.template.cpu_limit) == (32 * 2**30, 4.0)
    assert found.template.default_url == "/lab/alice"
    assert found.settings == {"image": "own/lab:3", "node_selector": {"pool": "big", "size": "l"}}
    found = await prepared({}, spawner)
    assert (found.template.mem_limit, found.settings) == (None, {})
    assert (await prepared({"profile": "big"}, spawner)).settings["image"] == "big:1"


async def test_profiles_come_after_the_hook_which_may_change_the_list() -> None:
    def hook(spawner: Any) -> None:
        spawner.mem_limit = "1G"
        spawner.profile_list = [*spawner.profile_list, {"display_name": "New", "kubespawner_override": {"image": "n"}}]

    found = await prepared({"profile": "new"}, made(pre_spawn_hook=hook))
    assert (found.template.mem_limit, found.settings["image"]) == (2**30, "n")
    assert (await prepared({"profile": "big"}, made(pre_spawn_hook=hook))).template.mem_limit == 8 * 2**30


async def test_the_list_may_depend_on_the_user() -> None:
    async def profiles(spawner: Any) -> Any:
        names = [group.name for group in spawner.user.groups]
        return [*LIST, {"display_name": "GPU"}] if "gpu" in names else LIST[:1]

    spawner = made(profiles)
    assert await spawner.validate_options(subject(groups=("gpu",)), {"profile": "gpu"}) == {"profile": "gpu"}
    with pytest.raises(BadRequest, match="Option profile is 'gpu'; there is small"):
        await spawner.validate_options(subject(), {"profile": "gpu"})
    assert "GPU" not in (await form(spawner)).words
    nothing = made(lambda spawner: None)
    assert await nothing.form(subject()) == ""
    assert await nothing.validate_options(subject(), {"mine": 1}) == {"mine": 1}
    assert (await prepared({"mine": 1}, nothing)).settings == {}


async def test_a_start_with_options_that_are_no_longer_there_says_so() -> None:
    with pytest.raises(BadRequest, match="Option profile is 'huge'; there is small, big"):
        await prepared({"profile": "huge"})


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            {"mem_limt": "1G"},
            "kubespawner_override: there is no setting 'mem_limt'. Did you mean mem_limit?",
        ),
        ({"mem_limit": "lots"}, "Profile 'a': kubespawner_override: The 'mem_limit' trait"),
        ({"node_selector": ["x"]}, "Profile 'a': kubespawner_override: The 'node_selector' trait"),
    ],
)
async def test_mistakes_in_the_list_are_told_at_the_start_of_the_hub(override: Any, said: str) -> None:
    wrong = [{"display_name": "A", "kubespawner_override": override}]
    with pytest.raises(ConfigError) as error:
        await made(wrong).check()
    assert said in error.value.message
    for given in (wrong, lambda spawner: wrong):  # where they are seen only later, users hear no details
        with pytest.raises(SpawnError, match=r"Profile 'a' of this hub (changes|gives)"):
            await prepared({}, made(given))


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (
            {"kubespawner_overide": {}},
            r"profile_list\[0\] \('A'\): there is no key 'kubespawner_overide'. Did",
        ),
        ({"profile_options": {"o": {"choice": {}}}}, "option 'o': there is no key 'choice'. Did you mean choices"),
        ({"profile_options": {"o": {"choices": {"x": {"defaults": True}}}}}, "choice 'x': there is no key 'defaults'"),
        ({"profile_options": {"o": {"unlisted_choice": {"enable": True}}}}, "there is no key 'enable'. Did you mean"),
    ],
)
def test_keys_that_are_nearly_right_are_told_of(profile: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made([{"display_name": "A", **profile}]).check_settings()
    made([{"display_name": "A", "dynamic_image_building": True, "allowed_teams": []}]).check_settings()


def test_several_profiles_that_are_the_default(caplog: pytest.LogCaptureFixture) -> None:
    made([{"display_name": name, "default": True} for name in ("A", "B")]).check_settings()
    assert "profile_list: A, B are all marked as default; the first of them is." in caplog.text


async def test_choices_are_looked_at_too() -> None:
    option = {"choices": {"x": {"kubespawner_override": {"imag": "x"}}}}
    with pytest.raises(ConfigError, match="Profile 'a', option 'o', 'x': kubespawner_override: there is no setting"):
        await made([{"display_name": "A", "profile_options": {"o": option}}]).check()
    option = {"unlisted_choice": {"enabled": True, "kubespawner_override": {"cpu_limit": "{value}"}}}
    spawner = made([{"display_name": "A", "profile_options": {"o": option}}])
    await spawner.check()
    assert (await prepared({"o--unlisted-choice": "2.5"}, spawner)).template.cpu_limit == 2.5
    with pytest.raises(SpawnError):
        await prepared({"o--unlisted-choice": "many"}, spawner)


async def test_a_function_that_fails_is_told_without_its_secrets() -> None:
    def profiles(spawner: Any) -> Any:
        raise RuntimeError("password123")

    with pytest.raises(SpawnError, match=r"The setting profile_list of this hub failed \(RuntimeError\)"):
        await made(profiles).form(subject())


async def test_the_form_shows_what_was_chosen_last() -> None:
    page = await form(made())
    assert page.has("input", type="radio", name="profile", value="small", checked="")
    assert page.has("em") and not page.has("script")
    assert page.has("input", name="profile-option-big--size", value="m", checked="")
    text = {"name": "profile-option-big--image--unlisted-choice", "pattern": "[a-z\\:0-9]+"}
    assert page.has("input", value="", **text)
    page = await form(made(), {"profile": "big", "size": "l", "image--unlisted-choice": '"><script>'})
    assert page.has("input", type="radio", name="profile", value="big", checked="")
    assert page.has("input", name="profile-option-big--size", value="l", checked="")
    assert page.has("input", name="profile-option-big--image", value="unlisted-choice", checked="")
    assert page.has("input", value='"><script>', **text) and not page.has("script")
    page = await form(made(), {"profile": "gone", "size": "gone"})
    assert page.has("input", type="radio", name="profile", value="small", checked="")


async def test_what_the_form_sends_is_understood() -> None:
    fields = {
        "profile": ["big"],
        "profile-option-big--size": ["l"],
        "profile-option-big--image": ["unlisted-choice"],
        "profile-option-big--image--unlisted-choice": ["lab:3"],
        "odd": ["x"],
    }
    spawner = made()
    options = await spawner.read_form(subject(), fields)
    assert options == {"profile": "big", "size": "l", "image--unlisted-choice": "lab:3"}
    assert await spawner.validate_options(subject(), options) == options


async def test_one_profile_needs_no_choice_and_many_choices_become_a_list() -> None:
    many = {f"v{number}": {"display_name": f"Version {number}"} for number in range(9)}
    page = await form(made([{"display_name": "Only", "profile_options": {"version": {"choices": many}}}]))
    assert page.has("input", type="hidden", name="profile", value="only")
    assert page.has("select", name="profile-option-only--version")
    assert page.has("option", value="v0", selected="")


async def test_templates_of_an_operators_own(tmp_path: Path) -> None:
    (tmp_path / "form.html").write_text(
        "{% for p in profile_list %}<i>{{ p.slug }} {{ p.default }} {{ p.description }}{{ p.own }}"
        "{% for k, o in p.profile_options.items() %} {{ k }}={{ o.choices.keys()|join(',') }}"
        " {{ o.unlisted_choice.enabled }}{% endfor %}</i>{% endfor %}"
    )
    given = [{**LIST[0], "own": "mine"}, LIST[1]]
    said = await made(given, additional_profile_form_template_paths=[str(tmp_path)]).form(subject())
    assert said == "<i>small True For <em>everybody</em>mine</i><i>big False  size=m,l False image=base True</i>"
    said = await made(profile_form_template="{% extends 'form.html' %}").form(subject())
    assert 'value="small"' in said
    with pytest.raises(SpawnError):
        await made(profile_form_template="{% nonsense %}").form(subject())


async def test_a_form_of_the_configuration_goes_first() -> None:
    spawner = made(options_form="<b>own</b>", options_from_form=lambda fields: {"profile": fields["kind"][0]})
    assert await spawner.form(subject()) == "<b>own</b>"
    assert await spawner.read_form(subject(), {"kind": ["big"]}) == {"profile": "big"}


async def test_a_class_of_the_configuration_may_add_to_the_form() -> None:
    class Own(ProfiledSpawner):
        async def get_options_form(self) -> str:
            return f"<p>Welcome</p>{await super().get_options_form()}"

    said = await Own(profile_list=LIST).form(subject())
    assert said.startswith("<p>Welcome</p>") and 'value="big"' in said
