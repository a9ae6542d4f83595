"""What becomes of a setting of JupyterHub: taken, renamed, taken apart, or not; the table is `verdicts.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("verdicts.toml")
# Spawners of one batch system each, which are all the same to nbhub.
BATCH = (
    *("SlurmSpawner", "TorqueSpawner", "MoabSpawner", "PBSSpawner", "LsfSpawner", "GridengineSpawner"),
    *("CondorSpawner", "BatchSpawnerBase", "BatchSpawnerRegexStates"),
)
KINDS = ("replaced", "not needed", "not supported", "later")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kind` is ours, is, takes or one of KINDS; `words` the other name, or the reason and what to do."""

    kind: str
    words: str = ""

    @property
    def taken(self) -> bool:
        """The value has an effect here."""
        return self.kind not in KINDS

    def __str__(self) -> str:
        return f"{'not here yet' if self.kind == 'later' else self.kind}: {self.words}"


def of(section: str, name: str) -> Verdict | None:
    """Return what becomes of a setting, which may stand in the section of a class that derives from its own."""
    tables = _table()
    for known in _lineage(section):
        if name in tables.get(known, {}):
            return _parsed(tables[known][name])
    return None


def of_section(section: str) -> Verdict | None:
    """Return what becomes of a whole section; None where its settings are looked at one by one."""
    text = _table()["sections"].get("BatchSpawner" if section in BATCH else section)
    return None if text is None else _parsed(text)


def names() -> list[tuple[str, str]]:
    """Return the section and name of every setting in the table."""
    return [(section, name) for section, settings in _table().items() if section != "sections" for name in settings]


@cache
def _table() -> dict[str, dict[str, str]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def _parsed(text: str) -> Verdict:
    if text.startswith("is "):
        return Verdict("is", text.removeprefix("is "))
    kind, _, words = text.partition(": ")
    return Verdict(kind, words)


def _lineage(section: str) -> tuple[str, ...]:
    """Return the sections whose settings a section takes as well: its own, then those of its kind."""
    if section == "Hub":
        return ("JupyterHub",)
    if section == "ConfigurableHTTPProxy":
        return (section, "Proxy")
    if section.endswith("Spawner"):
        return (section, "LocalProcessSpawner", "KubeSpawner", "Spawner")
    if section.endswith("Authenticator"):
        plain = section.removeprefix("Local") if section.endswith("OAuthenticator") else section
        of_providers = ("OAuthenticator",) if section.endswith("OAuthenticator") else ()
        return (section, plain, *of_providers, "LocalAuthenticator", "Authenticator")
    return (section,)
