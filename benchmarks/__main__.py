"""Measure rows side by side and print the table: `python -m benchmarks [--only nbhub] [--scale 0.1] [row …]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import time
from types import ModuleType

import uvloop

from benchmarks import environments, machine, report
from benchmarks.rows import jupyterlab, proxy, readiness, requests, restart, starts
from benchmarks.systems import BOTH, System

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
    for group in chosen.groups or GROUPS:
        for kind in BOTH:
            if chosen.only in (None, kind.name):
                try:
                    numbers = _measure(group, kind, chosen.scale)
                except (RuntimeError, OSError, TimeoutError, subprocess.SubprocessError) as error:
                    print(f"  not measured: {error}", flush=True)
                    continue
                results = _remembered()
                results.setdefault(group, {})[kind.name] = numbers
                RESULTS.write_text(json.dumps(results, indent=1))
    print(table(_remembered()))


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the table of everything that was ever measured here, the latest of each."""
    rows: list[report.Row] = []
    for group, module in GROUPS.items():
        if measured := results.get(group):
            ours, theirs = (report.Values(measured.get(kind.name, {})) for kind in BOTH)
            rows += module.rows(ours, theirs)
    return report.table(rows)


def _measure(group: str, kind: type[System], scale: float) -> dict[str, float]:
    print(f"{group}: {kind.name} …", flush=True)
    begun = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        values: report.Values = runner.run(GROUPS[group].measure(kind, scale))
    said = ", ".join(f"{what} {number:,.4g}" for what, number in values.numbers.items())
    print(f"  {said}  ({time.monotonic() - begun:.0f} s, load {os.getloadavg()[0]:.1f})", flush=True)
    return values.numbers


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
