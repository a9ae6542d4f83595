"""The dashboard and the alerts ask for what the hub has, and are of the form that Grafana and Prometheus load."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from nbhub.metrics import Metrics
from nbhub.proxy.meters import Meters
from servers import postgresql
from servers.hub import running_hub, until

ROOT = Path(__file__).parents[2] / "deploy" / "monitoring"
ALERTS = ROOT / "alerts.yaml"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "grafana-dashboard.json").read_text())
OF_PROMETHEUS = {"up"}
WORDS = frozenset(
    ["by", "without", "and", "or", "unless", "on", "ignoring", "group_left", "group_right", "bool", "offset"]
)
LABELS_OF_A_SCRAPE = frozenset({"job", "instance"})


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((\w+), job\)", variable["query"]["query"])
            assert asked is not None
            yield f"variable {variable['name']}", asked[1]


def selectors(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the metrics of a query, with the labels that each is asked for."""
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)|\[[^\]]*\]", "", expression)
    tokens = re.findall(r"\{[^}]*\}|\"[^\"]*\"|\$?\w+|[^\s\w]", bare)
    for name, following in zip(tokens, [*tokens[1:], ""], strict=True):
        if re.fullmatch(r"[a-z_]\w*", name) and following != "(" and name not in WORDS:
            yield name, dict(re.findall(r'(\w+)=~?"([^"]*)"', following))


def grouped_by(expression: str) -> set[str]:
    return {name.strip() for names in re.findall(r"\bby\s*\(([^)]*)\)", expression) for name in names.split(",")}


def known() -> dict[str, set[str]]:
    """Return the names that /hub/metrics has, with the labels of each."""
    metrics = Metrics(prefix="jupyterhub")
    meters = Meters(metrics.registry)
    metrics.request("GET", "/hub/home", 200, 0.1)
    metrics.start_ended(True, 1.0)
    metrics.start_ended(False, 1.0)
    metrics.stop_ended(1.0)
    metrics.polled(0.1)
    metrics.logins.labels("success").observe(0.1)
    metrics.active_users.labels("24h").set(1)
    meters.replaced(0.1, refused=False)
    found: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_metric_that_is_asked_for_exists() -> None:
    there = known()
    asked: set[str] = set()
    for place, expression in expressions():
        found = list(selectors(expression))
        assert found, place
        for name, labels in found:
            asked.add(name)
            assert name in there or name in OF_PROMETHEUS, f"{place}: no metric {name}"
            strange = set(labels) - there.get(name, set()) - LABELS_OF_A_SCRAPE
            assert not strange, f"{place}: {name} has no label {strange}"
        names = set().union(*(there.get(name, set()) for name, _ in found)) | LABELS_OF_A_SCRAPE
        assert grouped_by(expression) <= names, place
    unused = {name.removesuffix("_bucket") for name in there if name.startswith(("jupyterhub_", "nbhub_"))}
    assert len(asked) > 15 and len(unused) > 10


def test_the_check_finds_what_is_wrong() -> None:
    asked = dict(selectors('sum by (job) (rate(gone_total{code=~"5.."}[5m])) > 0.2 * up and on (job) max(other)'))
    assert asked == {"gone_total": {"code": "5.."}, "up": {}, "other": {}}


def test_alerts_are_complete() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


CASES = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: 'up{{job="nbhub", instance="a"}}', values: '1 1 1 0 0 0 0 0'}}
      - {{series: 'jupyterhub_server_spawn_duration_seconds_count{{job="nbhub", status="failure"}}', values: '0+1x40'}}
      - {{series: 'jupyterhub_server_spawn_duration_seconds_count{{job="nbhub", status="success"}}', values: '0+2x40'}}
      - {{series: 'jupyterhub_running_servers{{job="nbhub"}}', values: '5x60'}}
      - {{series: 'jupyterhub_server_poll_duration_seconds_count{{job="nbhub"}}', values: '0+9x20 180x60'}}
      - {{series: 'nbhub_proxy_updates_total{{job="nbhub", instance="a", outcome="refused"}}', values: '0x10 1x50'}}
    alert_rule_test:
      - {{eval_time: 2m, alertname: NbhubDown, exp_alerts: []}}
      - eval_time: 6m
        alertname: NbhubDown
        exp_alerts: [{{exp_labels: {{severity: critical, job: nbhub, instance: a}}, exp_annotations: {down}}}]
      - {{eval_time: 3m, alertname: NbhubStartsFail, exp_alerts: []}}
      - eval_time: 30m
        alertname: NbhubStartsFail
        exp_alerts: [{{exp_labels: {{severity: warning, job: nbhub}}, exp_annotations: {starts}}}]
      - {{eval_time: 20m, alertname: NbhubNotLooking, exp_alerts: []}}
      - eval_time: 50m
        alertname: NbhubNotLooking
        exp_alerts: [{{exp_labels: {{severity: critical, job: nbhub}}, exp_annotations: {looking}}}]
      - {{eval_time: 8m, alertname: NbhubRoutesRefused, exp_alerts: []}}
"""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (package prometheus) is not installed")
def test_prometheus_takes_the_alerts_and_fires_them(tmp_path: Path) -> None:
    checked = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    said = {rule["alert"]: rule["annotations"] for rule in rules()}
    down = {key: text.replace("{{ $labels.instance }}", "a") for key, text in said["NbhubDown"].items()}
    cases = tmp_path / "cases.yaml"
    cases.write_text(
        CASES.format(
            rules=ALERTS,
            down=json.dumps(down),
            starts=json.dumps(said["NbhubStartsFail"]),
            looking=json.dumps(said["NbhubNotLooking"]),
        )
    )
    tested = subprocess.run(["promtool", "test", "rules", cases], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stderr + tested.stdout


def test_the_dashboard_is_one_that_grafana_loads() -> None:
    assert DASHBOARD["schemaVersion"] >= 36 and DASHBOARD["uid"] and "id" not in DASHBOARD
    everything = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert {panel["type"] for panel in everything} == {"row", "stat", "timeseries"}
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}" and panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= variables, panel["title"]


async def test_metrics_tell_that_the_database_is_away(tmp_path: Path) -> None:
    if not postgresql.available():
        pytest.skip("PostgreSQL is not installed")
    database = postgresql.PostgresqlServer()
    try:
        database.start()
        settings = (
            "c.Hub.authenticator_class = 'dummy'\nc.Hub.spawner_class = 'fake'\nc.Hub.authenticate_prometheus = False\n"
        )
        async with running_hub(tmp_path, settings, db_url=database.url("postgres")) as hub:
            address = f"{hub.url}/hub/metrics"
            assert "nbhub_database_up 1.0" in await _text(address)
            database.stop()
            text = await until(lambda: _says(address, "nbhub_database_up 0.0"), "it says that the database is away")
            assert "jupyterhub_total_users" in text
            database.start()
            await until(lambda: _says(address, "nbhub_database_up 1.0"), "it says that the database is back")
    finally:
        database.remove()


async def _text(address: str) -> str:
    async with httpx.AsyncClient(timeout=200) as client:
        answer = await client.get(address)
    assert answer.status_code == 200, answer.text
    return answer.text


async def _says(address: str, words: str) -> str:
    text = await _text(address)
    return text if words in text else ""
