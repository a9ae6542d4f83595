"""What real answers of an API server say when they are put in words; and the rights that avoid some of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from nbhub.spawners.kubernetes import refusals, rights

REFUSED = Path(__file__).parent / "refused"
# For each saved answer: the call that it refused, and what is said about it, line by line.
WORDS: dict[str, dict[str, Any]] = json.loads((REFUSED.parent / "refusals.json").read_text())


def load(name: str) -> dict[str, Any]:
    return json.loads((REFUSED / f"{name}.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", WORDS)
def test_a_refusal_says_what_and_why(name: str) -> None:
    assert refusals.in_words(load(name), **WORDS[name]["call"]).split("\n") == WORDS[name]["words"]


def test_every_saved_answer_is_in_the_table() -> None:
    assert {path.stem for path in REFUSED.glob("*.json")} == set(WORDS)


@pytest.mark.parametrize("kind", ["Pod", "pods"])
def test_a_kind_may_be_named_as_kind_or_resource(kind: str) -> None:
    words = refusals.in_words(load("invalid-name"), verb="create", kind=kind, name="jupyter-alice", namespace="hub")
    assert words.startswith("The pod jupyter-alice is not valid.")


def test_the_missing_rule_is_yaml() -> None:
    assert yaml.safe_load(refusals.missing_right(load("rbac-metrics"))) == [
        {"apiGroups": ["metrics.k8s.io"], "resources": ["pods"], "verbs": ["list"]}
    ]
    assert refusals.missing_right(load("quota-pods")) == ""


@pytest.mark.parametrize(("code", "words"), [(429, "too much to do"), (503, "has trouble"), (418, "refused it")])
def test_an_answer_never_seen_keeps_its_own_words(code: int, words: str) -> None:
    status = {"kind": "Status", "code": code, "message": "etcd leader changed"}
    said = refusals.in_words(status, verb="create", kind="Secret", name="x", namespace="hub")
    assert words in said.split("\n\n")[0]
    assert said.endswith("\n\netcd leader changed")


@dataclass(frozen=True)
class Settings:
    events_enabled: bool = True
    storage_pvc_ensure: bool = True
    delete_pvc: bool = True
    services_enabled: bool = False
    enable_user_namespaces: bool = False


def resources(settings: Settings) -> dict[str, list[str]]:
    return {f"{rule['apiGroups'][0]}/{rule['resources'][0]}": rule["verbs"] for rule in rights.rules(settings)}


def test_a_role_holds_what_the_settings_need_and_no_more() -> None:
    usual = resources(Settings())
    assert set(usual["/pods"]) == {"get", "list", "create", "delete", "watch"}
    assert "/services" not in usual
    assert "/namespaces" not in usual
    assert not any("*" in verbs or "deletecollection" in verbs for verbs in usual.values())
    assert "/events" in usual
    assert resources(replace(Settings(), events_enabled=False))["/events"] == ["create"]
    kept = resources(replace(Settings(), delete_pvc=False))
    assert "delete" not in kept["/persistentvolumeclaims"]
    none = resources(replace(Settings(), storage_pvc_ensure=False, delete_pvc=False))
    assert "/persistentvolumeclaims" not in none
    assert "/services" in resources(replace(Settings(), services_enabled=True))


def test_a_namespace_for_each_user_needs_rights_in_the_whole_cluster() -> None:
    needed = rights.needed(replace(Settings(), enable_user_namespaces=True))
    assert all(right.cluster for right in needed)
    assert any(right.resource == "namespaces" for right in needed)
    assert not any(right.cluster for right in rights.needed(Settings()))


def test_the_role_in_the_documentation_is_what_is_needed() -> None:
    page = (Path(__file__).parents[3] / "docs" / "kubernetes.md").read_text()
    (block,) = [part.partition("```")[0] for part in page.split("```yaml\n")[1:] if part.startswith("rules:")]
    written = {rule["resources"][0]: set(rule["verbs"]) for rule in yaml.safe_load(block)["rules"]}
    usual = [rule for rule in rights.rules(Settings()) if rule["apiGroups"] == [""]]
    assert written == {rule["resources"][0]: set(rule["verbs"]) for rule in usual}
