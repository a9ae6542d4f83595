"""Findings for people and for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import msgspec

from nbhub.core.findings import Finding, State


def line(finding: Finding) -> str:
    """Return one finding for the terminal, with its remedy below."""
    text = f"{finding.state:<8} {finding.about}: {finding.said}"
    return f"{text}\n{textwrap.indent(finding.remedy, ' ' * 9)}" if finding.remedy else text


def summary(found: Sequence[Finding]) -> str:
    """Return the last line: how many findings of each kind."""
    counts = {state: sum(1 for finding in found if finding.state is state) for state in State}
    if not counts[State.FAILED] and not counts[State.WARNING]:
        return f"All {len(found)} findings are as they should be."
    return f"{counts[State.OK]} ok, {counts[State.WARNING]} to look at, {counts[State.FAILED]} failed."


def as_json(found: Iterable[Finding]) -> str:
    """Return all findings for programs."""
    return msgspec.json.format(msgspec.json.encode({"findings": list(found)}), indent=2).decode()


def status(found: Iterable[Finding]) -> int:
    """Return the exit status: 1 when something failed."""
    return 1 if any(finding.state is State.FAILED for finding in found) else 0
