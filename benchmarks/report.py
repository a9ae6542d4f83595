"""What was measured, and the table that is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratio` is how many times better nbhub is; `met` whether the goal is reached."""

    what: str
    nbhub: str
    jupyterhub: str
    ratio: float | None
    goal: str
    met: bool | None


@dataclass
class Values:
    """What one system did, by name of the measure; missing when it was not measured."""

    numbers: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.numbers.get(name, float("nan"))

    def __setitem__(self, name: str, value: float) -> None:
        self.numbers[name] = value


def better_when_small(ours: float, theirs: float) -> float | None:
    return theirs / ours if ours == ours and theirs == theirs and ours > 0 else None


def better_when_large(ours: float, theirs: float) -> float | None:
    return ours / theirs if ours == ours and theirs == theirs and theirs > 0 else None


def judge(value: float, reached: bool) -> bool | None:
    """Say whether a goal is reached, None where nothing was measured."""
    return reached if value == value else None


def shown(value: float | None, form: str = "{:.1f}") -> str:
    return "–" if value is None or value != value else form.format(value)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | nbhub | JupyterHub | ratio | goal | reached |", "|---|---|---|---|---|---|"]
    for row in rows:
        reached = {True: "yes", False: "**no**", None: "–"}[row.met]
        ratio = shown(row.ratio, "{:.1f} ×")
        lines.append(f"| {row.what} | {row.nbhub} | {row.jupyterhub} | {ratio} | {row.goal} | {reached} |")
    return "\n".join(lines)
