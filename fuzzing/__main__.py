"""Looks for documents about which the middleware and browser-grade parsers disagree.

    python -m fuzzing [--seconds 300] [--jobs 2] [--seed 1] [--only random,guided] [--again FILE]

`make fuzz` does this. Each document is cut in several ways, and judged by lexbor and html5lib; what
`differences` does not explain is made short and written to a file, which `--again` judges again.
The exit status tells whether there was any. Judged is the `ensoras_middleware` that is imported.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import secrets
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import ensoras_middleware
from fuzzing import standard
from fuzzing.campaign import SHARES, Tally, run_job
from fuzzing.judging import again


def main() -> None:
    """Fuzz, report, and exit."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="the same documents again; else others each time")
    parser.add_argument("--only", default=",".join(SHARES), help="some of " + ", ".join(SHARES))
    parser.add_argument("--output", type=Path, default=Path("build/fuzzing"))
    parser.add_argument("--again", type=Path, metavar="FILE", help="judge a finding again")
    arguments = parser.parse_args()
    if arguments.again is not None:
        sys.exit(again(arguments.again))
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    _say(f"{ensoras_middleware.__path__[0]}, --seed {seed}, --jobs {arguments.jobs}")
    start = time.monotonic()
    arguments.output.mkdir(parents=True, exist_ok=True)
    parts = arguments.only.split(",")
    if "standard" in parts and standard.fetched(arguments.output) is None:
        _say("Skipped: the documents of html5lib-tests, for pip cannot fetch html5lib's source.")
        parts.remove("standard")
    if "guided" in parts and importlib.util.find_spec("atheris") is None:
        _say("Skipped: what coverage guides, for atheris is not installed.")
        parts.remove("guided")
    tallies = _run(arguments.jobs, seed, arguments.output, parts, arguments.seconds)
    findings = _report(tallies, time.monotonic() - start)
    sys.exit(1 if findings else 0)


def _run(jobs: int, seed: int, output: Path, parts: list[str], seconds: float) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as pool:
        running = [
            pool.submit(run_job, number, seed, output, parts, seconds) for number in range(jobs)
        ]
        for one in running:
            for part, tally in one.result().items():
                tallies.setdefault(part, Tally()).add(tally)
    return tallies


def _report(tallies: dict[str, Tally], seconds: float) -> list[str]:
    counts: Counter[str] = Counter()
    for part, tally in tallies.items():
        speed = tally.documents / max(tally.seconds, 1e-9)
        _say(f"{part:10} {tally.documents:10,} documents, {speed:6,.0f} a second")
        counts += tally.counts
    for outcome, times in sorted(counts.items()):
        _say(f"{times:10,} {outcome}")
    total = sum(tally.documents for tally in tallies.values())
    findings = sorted({finding for tally in tallies.values() for finding in tally.findings})
    _say(f"{total:,} documents in {seconds:,.0f} s, {len(findings)} disagreements")
    for finding in findings:
        _say(f"  {finding}")
    return findings


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
