"""Profiles: what a list may say, what is made of options whichever way they came, and what a choice changes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nbhub.errors import BadRequest, ConfigError
from nbhub.spawners.kubernetes import profiles
from nbhub.spawners.kubernetes.browser_pattern import browser_pattern
from nbhub.spawners.kubernetes.profiles import choose, from_form, parse, slugify

UNLISTED = {
    "enabled": True,
    "validation_regex": "[a-z]+:[0-9]+",
    "validation_message": "A name, a colon and a number.",
    "kubespawner_override": {"image": "own/{value}", "labels": {"{value}": ["{value}", "{other}", 3]}},
}
LIST = [
    {"display_name": "Small CPU", "description": "<b>cheap</b>", "kubespawner_override": {"cpu_limit": 1}},
    {
        "display_name": "Large",
        "slug": "big",
        "default": True,
        "kubespawner_override": {"cpu_limit": 8},
        "profile_options": {
            "size": {
                "display_name": "Size",
                "choices": {
                    "s": {"kubespawner_override": {"mem_limit": "1G"}},
                    "m": {"default": True, "kubespawner_override": {"mem_limit": "2G"}},
                    8: {"display_name": "Eight", "kubespawner_override": {"mem_limit": "8G"}},
                },
            },
            "image": {"choices": {"base": {}}, "unlisted_choice": UNLISTED},
        },
    },
    {"display_name": "Written", "profile_options": {"tag": {"unlisted_choice": UNLISTED}}},
]
PROFILES = parse(LIST)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Small CPU", "small-cpu"),
        ("  R & Python -- 3.11 ", "r-python-3-11"),
        ("Größe: 1,000 Kerne", "grosse-1000-kerne"),
        ("A &amp; B", "a-b"),
        ("Don't", "don-t"),
        ("数据", "profile-e7a2a5a0"),
    ],
)
def test_slugs(name: str, slug: str) -> None:
    assert slugify(name) == slug or (slug.startswith("profile-") and re.fullmatch("profile-[0-9a-f]{8}", slugify(name)))


def test_defaults_are_filled_in() -> None:
    small, large, written = PROFILES
    assert (small.slug, small.description, small.default, small.options) == ("small-cpu", "<b>cheap</b>", False, ())
    size, image = large.options
    assert [(c.key, c.display_name) for c in size.choices] == [("s", "s"), ("m", "m"), ("8", "Eight")]
    assert size.default is not None and size.default.key == "m"
    assert image.default is not None and (image.display_name, image.default.key) == ("image", "base")
    assert image.unlisted is not None and image.unlisted.in_choices == "Other..."
    assert written.options[0].default is None
    assert profiles.default_of(PROFILES) is large
    assert profiles.default_of((small, written)) is small


def test_a_dict_of_profiles_is_taken_in_the_order_of_its_keys() -> None:
    found = parse({"b": {"display_name": "Second"}, "a": {"display_name": "First", "what_is_this": 1}})
    assert [profile.slug for profile in found] == ["first", "second"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("small", "profile_list has to be a list of profiles, not str 'small'"),
        ([{"slug": "x"}], "profile_list[0] has no `display_name`"),
        ([LIST[0], "x"], "profile_list[1] has to be a dict, not str 'x'"),
        ([{"display_name": 3}], "profile_list[0]: `display_name` has to be text, not int 3"),
        ([{"display_name": "A", "slug": "a\n"}], "('A'): the `slug` 'a\\n' cannot be sent"),
        ([{"display_name": "A"}, {"display_name": "a!"}], "'A' and 'a!' cannot be told apart by the slug 'a'"),
        ([{"display_name": "A", "kubespawner_override": ["x"]}], "('A'): kubespawner_override has to be a dict"),
        ([{"display_name": "A", "kubespawner_override": {1: 2}}], "kubespawner_override: 1 is not the name"),
        ([{"display_name": "A", "profile_options": {"o": {}}}], "option 'o' offers nothing"),
        ([{"display_name": "A", "profile_options": {"profile": {"choices": {"a": {}}}}}], "option 'profile'"),
        (
            [{"display_name": "A", "profile_options": {"o": {"choices": {"c": {"kubespawner_override": 1}}}}}],
            "profile_list[0] ('A'): option 'o': choice 'c': kubespawner_override has to be a dict, not int 1",
        ),
        (
            [{"display_name": "A", "profile_options": {"o": {"choices": {"unlisted-choice": {}}}}}],
            "choice 'unlisted-choice': this name means something else",
        ),
        (
            [
                {
                    "display_name": "A",
                    "profile_options": {"o": {"unlisted_choice": {"enabled": True, "validation_regex": "a("}}},
                }
            ],
            "option 'o': unlisted_choice: validation_regex 'a(' is not a regular expression: missing ), unterminated "
            "subpattern at position 1",
        ),
    ],
)
def test_what_is_wrong_is_named(given: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(given)
    assert said in error.value.message


@pytest.mark.parametrize(
    ("options", "slug", "changes", "normal"),
    [
        ({}, "big", {"cpu_limit": 8, "mem_limit": "2G"}, {}),
        ({"profile": None, "size": ""}, "big", {"cpu_limit": 8, "mem_limit": "2G"}, {}),
        ({"unheard": "of"}, "big", {"cpu_limit": 8, "mem_limit": "2G"}, {"unheard": "of"}),
        ({"size": "s"}, "big", {"cpu_limit": 8, "mem_limit": "1G"}, {"size": "s"}),
        ({"size": 8}, "big", {"cpu_limit": 8, "mem_limit": "8G"}, {"size": "8"}),
        ({"profile": "small-cpu", "size": "xx"}, "small-cpu", {"cpu_limit": 1}, {"profile": "small-cpu", "size": "xx"}),
        (
            {"profile": "big", "image": "base", "image--unlisted-choice": "lab:3"},
            "big",
            {"cpu_limit": 8, "mem_limit": "2G", "image": "own/lab:3", "labels": {"lab:3": ["lab:3", "{other}", 3]}},
            {"profile": "big", "image--unlisted-choice": "lab:3"},
        ),
        (
            {"profile": "written", "tag--unlisted-choice": "a:1"},
            "written",
            {"image": "own/a:1", "labels": {"a:1": ["a:1", "{other}", 3]}},
            {"profile": "written", "tag--unlisted-choice": "a:1"},
        ),
    ],
)
def test_what_options_stand_for(
    options: dict[str, Any], slug: str, changes: dict[str, Any], normal: dict[str, Any]
) -> None:
    chosen = choose(PROFILES, options)
    assert chosen is not None
    found: dict[str, Any] = {}
    for _, override in chosen.overrides():
        found |= override
    assert (chosen.profile.slug, found, chosen.options) == (slug, changes, normal)
    again = choose(PROFILES, chosen.options)
    assert again == chosen, "the normal form of a normal form is itself"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"profile": "huge"}, "Option profile is 'huge'; there is small-cpu, big, written."),
        ({"profile": ["big"]}, "Option profile is ['big']; there is small-cpu, big, written."),
        ({"size": "xl"}, "Option size is 'xl'; there is s, m, 8."),
        ({"size": True}, "Option size is True; there is s, m, 8."),
        ({"size": {"s": 1}}, "Option size is {'s': 1}; there is s, m, 8."),
        ({"size": "unlisted-choice"}, "Option size is 'unlisted-choice'; there is s, m, 8."),
        ({"size--unlisted-choice": "64G"}, "Option size takes no text of one's own, but s, m, 8."),
        (
            {"image": "other"},
            "Option image is 'other'; there is base, or a text of your own as image--unlisted-choice.",
        ),
        (
            {"image--unlisted-choice": "lab:3 --privileged"},
            "image: 'lab:3 --privileged' is not allowed. A name, a colon and a number.",
        ),
        ({"image--unlisted-choice": "xlab:3\n"}, "Option image--unlisted-choice has to be one line of text"),
        ({"image--unlisted-choice": ["lab:3"]}, "Option image--unlisted-choice has to be one line of text"),
        ({"image--unlisted-choice": "a" * 1001}, "Option image--unlisted-choice has to be one line of text"),
        ({"image": "unlisted-choice"}, "image: write what you want. A name, a colon and a number."),
        ({"profile": "written"}, "tag: write what you want."),
        ({"profile": "written", "tag": "a:1"}, "Option tag is 'a:1'; it takes a text, given as tag--unlisted-choice."),
    ],
)
def test_what_is_not_in_the_list_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest) as error:
        choose(PROFILES, options)
    assert said in error.value.message


def test_without_profiles() -> None:
    assert choose((), {"anything": 1}) is None
    with pytest.raises(BadRequest, match="there are no profiles"):
        choose((), {"profile": "big"})


@pytest.mark.parametrize(
    ("fields", "options", "unknown"),
    [
        ({"profile": ["small-cpu"], "profile-option-big--size": ["s"]}, {"profile": "small-cpu"}, []),
        (
            {"profile": ["big"], "profile-option-big--size": ["8"], "profile-option-written--tag": ["x"], "odd": ["1"]},
            {"profile": "big", "size": "8"},
            ["odd"],
        ),
        # without scripts both fields are sent, and the list says which one counts
        (
            {"profile-option-big--image": ["base"], "profile-option-big--image--unlisted-choice": ["left:1"]},
            {"image": "base"},
            [],
        ),
        (
            {
                "profile": ["big"],
                "profile-option-big--image": ["unlisted-choice"],
                "profile-option-big--image--unlisted-choice": [" lab:1 "],
            },
            {"profile": "big", "image--unlisted-choice": "lab:1"},
            [],
        ),
        # pages that switch the list off send the text alone
        (
            {"profile": ["big"], "profile-option-big--image--unlisted-choice": ["lab:1"]},
            {"profile": "big", "image--unlisted-choice": "lab:1"},
            [],
        ),
        (
            {
                "profile": ["big"],
                "profile-option-big--image": ["unlisted-choice"],
                "profile-option-big--image--unlisted-choice": [""],
            },
            {"profile": "big", "image": "unlisted-choice"},
            [],
        ),
        ({"profile": ["gone"], "profile-option-gone--size": ["s"]}, {"profile": "gone"}, []),
    ],
)
def test_forms(fields: dict[str, list[str]], options: dict[str, Any], unknown: list[str]) -> None:
    assert from_form(PROFILES, fields) == (options, unknown)


@pytest.mark.parametrize(
    ("python", "browser"),
    [
        ("^.+:.+$", "^.+:.+$"),
        ("[a-zA-Z0-9/:._-]+", r"[a-zA-Z0-9\/\:\._\-]+"),
        (r"[^\w.-]{1,3}", r"[^\p{L}\p{N}_\.\-]{1,3}"),
        (r"quay\.io\/\w+-x\:(a|b)]", r"quay\.io\/[\p{L}\p{N}_]+-x:(a|b)\]"),
        ("[a-c-]|[]]", r"[a-c\-]|[\]]"),
        ("(?i)lab", ""),
        (r"(?P<name>a)\Z", ""),
        ("a{,3}", ""),
    ],
)
def test_patterns_for_browsers(python: str, browser: str) -> None:
    re.compile(python)
    assert browser_pattern(python) == browser
