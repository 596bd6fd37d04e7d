"""Runs every measurement, and prints and writes the table.

    python -m benchmarks [--corpus FOLDER] [--quick] [--only WORD]
    python -m benchmarks growth [--corpus FOLDER] [--quick]

`make bench` and `make bench-growth` do this. `--quick` takes a third of the rounds; nothing of a
part of the lines, or of a quick run, is written to the results.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import importlib.metadata
import logging
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from benchmarks import adapters, chart, comparison, costs, growth, report, scanning, servers
from benchmarks.pages import Page, pages
from benchmarks.report import Row, Table

RESULTS = Path(__file__).parent / "results"

_VERSIONS = (
    "starlette", "flask", "django", "werkzeug", "jinja2", "uvicorn", "gunicorn", "selectolax",
    "python-lolhtml", "lxml", "beautifulsoup4", "django-browser-reload", "flask-debugtoolbar",
    "newrelic",
)  # fmt: skip


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["growth", "quick"])
    parser.add_argument("--corpus", help="a folder of real pages; without it they are made")
    parser.add_argument("--quick", action="store_true", help="a third of the rounds")
    parser.add_argument("--only", help="only the parts with this word in their name")
    arguments = parser.parse_args()
    # As in production: what is logged for developers costs nothing.
    logging.getLogger("ensoras_middleware").setLevel(logging.CRITICAL)
    gc.freeze()
    quick = arguments.quick or arguments.what == "quick"
    chosen = pages(arguments.corpus)
    machine = machine_facts(chosen)
    _say("\n".join(f"{name}: {fact}" for name, fact in machine.items()))
    if arguments.what == "growth":
        growth.run(RESULTS, machine, quick=quick)
        return
    rows, tables, failed = measure(chosen, quick=quick, only=arguments.only)
    for table in [report.goals_table(rows), *tables]:
        _say("\n" + table.as_text())
    missed = sum(row.verdict == "MISSED" for row in rows)
    _say(f"\n{sum(row.verdict == 'met' for row in rows)} goals met, {missed} missed.")
    if failed:
        sys.exit(f"Not measured, so nothing is written: {', '.join(failed)}")
    if not quick and not arguments.only:
        written = report.write(RESULTS, "results.json", report.as_json(machine, rows, tables))
        drawn = chart.draw(RESULTS / "results.svg", machine, rows)
        _say(f"Written to {written} and {drawn}")


def measure(
    chosen: list[Page], *, quick: bool, only: str | None
) -> tuple[list[Row], list[Table], list[str]]:
    """Return all lines and tables, part by part, and the names of the parts that failed."""
    failed: list[str] = []
    rows: list[Row] = []
    tables: list[Table] = []
    rounds = 5 if quick else 15

    def whole_pages() -> None:
        cells = scanning.measure(chosen, rounds)
        rows.extend([*scanning.rows(cells), *comparison.rows(cells)])
        tables.append(comparison.table(cells))

    parts: dict[str, Callable[[], None]] = {
        "pages": whole_pages,
        "frameworks": lambda: rows.extend(adapters.rows_of_pages(chosen, rounds)),
        "streams": lambda: rows.extend(costs.streams(chosen)),
        "hostile": lambda: rows.extend(growth.rows(rounds)),
        "adapters": lambda: rows.extend(adapters.rows(3 * rounds)),
        "costs": lambda: rows.extend([costs.signing(2 * rounds), costs.memory(chosen[1])]),
        "import": lambda: rows.extend(costs.imports(rounds)),
        "servers": lambda: rows.extend(servers.rows(4 if quick else 10, 0.5 if quick else 1)),
        "correctness": lambda: tables.append(comparison.correctness_table(chosen, quick=quick)),
    }
    for name, part in parts.items():
        if only is None or only in name:
            start = time.perf_counter()
            try:
                part()
            except Exception:
                traceback.print_exc()
                failed.append(name)
            _say(f"{name}: {time.perf_counter() - start:.0f} s", sys.stderr)
    return rows, tables, failed


def machine_facts(chosen: list[Page]) -> dict[str, object]:
    """Return on what, when and with which versions this ran."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "load": "{:.1f} {:.1f} {:.1f} (if above the CPUs, figures in µs are too high)".format(
            *os.getloadavg()
        ),
        "versions": ", ".join(f"{name} {_version(name)}" for name in _VERSIONS),
        "pages": ", ".join(f"{page.name} ({len(page.text)} bytes)" for page in chosen),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _say(text: str, file: TextIO = sys.stdout) -> None:
    file.write(text + "\n")


if __name__ == "__main__":
    main()
