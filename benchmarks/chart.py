"""Draws the table: every line with a goal, by how much of what the goal allows it uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.report import Row, short

_MET, _MISSED = "#2e7d32", "#c62828"


def draw(path: Path, machine: Mapping[str, object], rows: list[Row]) -> Path:
    """Write the chart as SVG, and return where it is."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # text as text
    matplotlib.rcParams["svg.hashsalt"] = "ensoras"  # the same names in every run
    from matplotlib import pyplot

    lines = [row for row in rows if row.of_goal is not None][::-1]
    figure, axes = pyplot.subplots(figsize=(10, 0.28 * len(lines) + 1.2), layout="constrained")
    shares = [max(row.of_goal or 0, 0.01) for row in lines]
    axes.barh(
        range(len(lines)),
        shares,
        color=[_MET if row.verdict == "met" else _MISSED for row in lines],
        height=0.7,
    )
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(
        range(len(lines)), [row.what.replace("  … ", "… ") for row in lines], fontsize=8
    )
    for at, row in enumerate(lines):
        sign = "≥" if row.at_least else "≤"
        text = f" {short(row.value.median)} {row.unit} ({sign} {short(row.goal or 0)})"
        axes.text(shares[at], at, text, va="center", fontsize=7)
    axes.set_xlim(0.01, 10 * max([*shares, 1]))
    axes.set_xlabel("share of what the goal allows: left of the line it is met", fontsize=8)
    axes.set_title(
        f"ensoras-middleware, {machine['date']}, Python {machine['python']}, {machine['cpu']}",
        fontsize=9,
    )
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return path
