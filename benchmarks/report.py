"""The rows of the table, with their goals, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.timing import Figure

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a figure, what it is set beside, and its goal.

    Without a goal the line tells something worth knowing. `spread` says what lies between the
    figure's lower and upper end.
    """

    what: str
    value: Figure
    unit: str
    goal: float | None = None
    at_least: bool = False
    beside: Mapping[str, str] = field(default_factory=dict)
    spread: str = "quartiles"
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def of_goal(self) -> float | None:
        """Return how much of what the goal allows is used; more than 1 is missed."""
        if self.goal is None:
            return None
        if not self.at_least:
            return self.value.median / self.goal
        return self.goal / self.value.median if self.value.median else float("inf")

    @property
    def verdict(self) -> str:
        """Return whether the goal is met."""
        if self.of_goal is None:
            return ""
        return "met" if self.of_goal <= 1 else "MISSED"


@dataclass(frozen=True, slots=True)
class Table:
    """Figures that are too many for one line."""

    title: str
    columns: list[str]
    lines: list[list[str]]

    def as_text(self) -> str:
        """Return it as Markdown, in columns."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.lines, strict=True)]

        def written(cells: list[str]) -> str:
            padded = [
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            return "| " + " | ".join(padded) + " |"

        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        return "\n".join(
            [f"## {self.title}", "", written(self.columns), rule, *map(written, self.lines)]
        )


def short(value: float) -> str:
    """Return a number with three digits that count."""
    if value == 0 or not abs(value) < float("inf"):
        return f"{value:g}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    digits = 2 if abs(value) < 10 else 1
    return f"{value:.{digits}f}" if abs(value) >= 0.1 else f"{value:.2g}"


def micro(figure: Figure) -> str:
    """Return seconds as microseconds."""
    return f"{short(figure.median * 1e6)} µs"


def goals_table(rows: list[Row]) -> Table:
    """Return the table of all lines and their goals."""
    lines = []
    for row in rows:
        sign = "≥" if row.at_least else "≤"
        lines.append(
            [
                row.what,
                f"{short(row.value.median)} {row.unit}",
                f"{short(row.value.lower)} to {short(row.value.upper)}"
                + ("" if row.spread == "quartiles" else f" {row.spread}"),
                "" if row.goal is None else f"{sign} {short(row.goal)}",
                "" if row.of_goal is None else short(row.of_goal),
                row.verdict,
                ", ".join(f"{name} {value}" for name, value in row.beside.items()),
            ]
        )
    columns = ["what", "figure", "spread", "goal", "of the goal", "", "beside"]
    return Table("What it costs", columns, lines)


def as_json(machine: Mapping[str, object], rows: list[Row], tables: list[Table]) -> str:
    """Return everything for the JSON file."""
    return json.dumps(
        {
            "machine": machine,
            "rows": [
                {
                    "what": row.what,
                    "unit": row.unit,
                    **row.value.as_json(),
                    "spread": row.spread,
                    "goal": row.goal,
                    "at_least": row.at_least,
                    "verdict": row.verdict,
                    "beside": dict(row.beside),
                    "details": dict(row.details),
                }
                for row in rows
            ],
            "tables": [
                {"title": table.title, "columns": table.columns, "lines": table.lines}
                for table in tables
            ],
        },
        indent=1,
        ensure_ascii=False,
    )


def write(folder: Path, name: str, text: str) -> Path:
    """Write one result, and return where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text + "\n", encoding="utf-8")
    return path
