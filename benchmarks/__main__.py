"""Measure rows side by side and print the table: `python -m benchmarks [--only nbhub] [--scale 0.1] [row …]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from types import ModuleType

import uvloop

from benchmarks import environments, machine, report
from benchmarks.rows import jupyterlab, proxy, readiness, requests, restart, starts
from benchmarks.systems import BOTH

GROUPS: dict[str, ModuleType] = {
    "starts": starts,
    "requests": requests,
    "restart": restart,
    "readiness": readiness,
    "jupyterlab": jupyterlab,
    "proxy": proxy,
}
RESULTS = environments.CACHE / "results.json"


def main() -> None:
    chosen = _arguments()
    environments.make()
    os.sched_setaffinity(0, {machine.LOAD_CORE})
    results = _remembered()
    for group in chosen.groups or GROUPS:
        for kind in BOTH:
            if chosen.only in (None, kind.name):
                _measure(group, kind.name, chosen.scale, results)
                RESULTS.write_text(json.dumps(results, indent=1))
    print(table(results))


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the table of everything that was ever measured here, the latest of each."""
    rows: list[report.Row] = []
    for group, module in GROUPS.items():
        if measured := results.get(group):
            ours, theirs = (report.Values(measured.get(kind.name, {})) for kind in BOTH)
            rows += module.rows(ours, theirs)
    return report.table(rows)


def _measure(group: str, name: str, scale: float, results: dict[str, dict[str, dict[str, float]]]) -> None:
    kind = next(kind for kind in BOTH if kind.name == name)
    begun = time.monotonic()
    print(f"{group}: {name} …", flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        values: report.Values = runner.run(GROUPS[group].measure(kind, scale))
    results.setdefault(group, {})[name] = values.numbers
    said = ", ".join(f"{what} {number:,.4g}" for what, number in values.numbers.items())
    print(f"  {said}  ({time.monotonic() - begun:.0f} s, load {os.getloadavg()[0]:.1f})", flush=True)


def _remembered() -> dict[str, dict[str, dict[str, float]]]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="row", choices=[*GROUPS, []], help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--only", choices=[kind.name for kind in BOTH], help="measure one system")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full counts, for a quick look")
    return parser.parse_args()


if __name__ == "__main__":
    main()
