"""Our own kinds of settings."""

from datetime import timedelta
from typing import Any

import pytest
from traitlets import HasTraits, TraitError
from traitlets.config import LoggingConfigurable

from nbhub import traits


class Thing(HasTraits):
    memory = traits.MemorySize(None, allow_none=True)
    duration = traits.Duration(1)
    command = traits.Command(["x"])
    prefix = traits.URLPrefix()
    plugin = traits.Plugin(
        "plain",
        base="traitlets.config.LoggingConfigurable",
        group="nbhub.test.plugins",
        known={"plain": "nbhub.spawners.base.Spawner", "broken": "nbhub.no_such.Thing"},
    )


class Own(LoggingConfigurable):
    pass


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [
        ("memory", None, None),
        ("memory", 100, 100),
        ("memory", "1K", 1024),
        ("memory", "1.5G", 1610612736),
        ("memory", "2T", 2 * 1024**4),
        ("duration", 2, 2.0),
        ("duration", "90", 90.0),
        ("duration", "90s", 90.0),
        ("duration", "1.5h", 5400.0),
        ("duration", "2d", 172800.0),
        ("duration", timedelta(minutes=1), 60.0),
        ("command", "lab", ["lab"]),
        ("command", ["lab", "--x"], ["lab", "--x"]),
        ("command", ("lab",), ["lab"]),
        ("prefix", "", "/"),
        ("prefix", "/", "/"),
        ("prefix", "a/b", "/a/b/"),
        ("plugin", Own, Own),
    ],
)
def test_taken(name: str, given: Any, taken: Any) -> None:
    thing = Thing(**{name: given})
    assert getattr(thing, name) == taken


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("memory", "100"),
        ("memory", "2g"),
        ("memory", "10Gi"),
        ("memory", -1),
        ("memory", True),
        ("duration", "soon"),
        ("duration", -1),
        ("duration", float("inf")),
        ("duration", float("nan")),
        ("duration", None),
        ("command", 3),
        ("command", [1]),
        ("prefix", "http://x/"),
        ("prefix", "a b"),
        ("prefix", "../x"),
        ("prefix", "a?b"),
        ("prefix", 3),
        ("plugin", int),
        ("plugin", 3),
    ],
)
def test_refused(name: str, given: Any) -> None:
    with pytest.raises(TraitError):
        Thing(**{name: given})


def test_every_object_has_a_command_of_its_own() -> None:
    first, second = Thing(), Thing()
    first.command.append("y")
    assert second.command == ["x"]


def test_a_plugin_by_name_and_by_path() -> None:
    assert Thing().plugin.__name__ == "Spawner"
    assert Thing(plugin="nbhub.spawners.base.Spawner").plugin is Thing().plugin
    assert Thing(plugin="nbhub.spawners.base:Spawner").plugin is Thing().plugin


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("plian", "there is none named 'plian'. Did you mean plain?"),
        ("broken", "no Python package 'nbhub.no_such'"),
        ("no_such.Spawner", "no Python package 'no_such'; install it beside nbhub"),
        ("nbhub.spawners.base.Gone", "has no attribute 'Gone'"),
        ("nbhub.errors.NbhubError", "is not a LoggingConfigurable"),
    ],
)
def test_a_plugin_that_cannot_be(given: str, words: str) -> None:
    with pytest.raises(TraitError) as raised:
        Thing(plugin=given)
    assert words in str(raised.value)
