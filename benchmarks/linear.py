"""Counts the instructions of hostile input: a byte of much must cost what one of little does.

    python -m benchmarks.linear [--budget N] [-k WORDS]

`make linear` does this, and ends with status 1 where something grows faster than its input. Each
input is doubled until it has 8 MB, or the next one would take more instructions than the budget:
Valgrind takes a second for some 100 million. No limit in the code is above 40 KB.

The process under Valgrind makes a call that nothing else makes where a count begins and ends.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import gc
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.hostile import CROSSED, GENERATORS, PAGES, Page, some_of_each_state
from benchmarks.hostile_fields import INPUTS, Step
from ensoras_middleware.widget_tag import TAG_LIMIT

ROOT = Path(__file__).parent.parent

BUDGET = 150_000_000

# How much more a byte may cost than one of less input. Below three instructions it is copied, in
# another way from some size on.
TOLERANCE = 1.15
_COPIED = 3

# The index of a generator, and the name of a way.
Job = tuple[int, str]

_SUMMARY = re.compile(r"^summary: (\d+)", re.MULTILINE)


class Way(NamedTuple):
    """How pages come, and how many bytes of them at least and at most.

    The least is more than what may be held of one tag: below this limit they are read another way.
    """

    steps: Callable[[Page, Iterable[int]], Iterator[Step]]
    is_stream: bool
    least: int
    most: int = 8_192_000


WAYS = {
    "whole": Way(lambda page, sizes: map(page.whole, sizes), False, 16_000),
    "chunks of 1000": Way(lambda page, sizes: page.stream(1000, sizes), True, 16_000),
    "single bytes": Way(lambda page, sizes: page.stream(1, sizes), True, 16_000),
    "read by `check`": Way(lambda page, sizes: map(page.read, sizes), False, 16_000),
    "briefly": Way(lambda page, sizes: map(page.whole, sizes), False, 5_000, 10_000),
    "briefly in chunks": Way(lambda page, sizes: page.stream(250, sizes), True, 16_000, 32_000),
}


class Growth(NamedTuple):
    """What one generator costs: the sizes, in bytes, and the instructions for each byte."""

    name: str
    way: str
    sizes: list[int]
    costs: list[float]

    @property
    def factor(self) -> float:
        """Return how much more a byte costs at most than one of less input."""
        costs = [max(cost, _COPIED) for cost in self.costs]
        return max(cost / min(costs[: index + 1]) for index, cost in enumerate(costs))

    @property
    def is_flat(self) -> bool:
        """Tell whether the input costs in proportion to its length."""
        return self.factor <= TOLERANCE

    def __str__(self) -> str:
        costs = " ".join(f"{cost:.4g}" for cost in self.costs)
        remark = "" if self.is_flat else f"  GROWS by {self.factor:.2f}"
        return f"{self.name}, {self.way}, up to {self.sizes[-1]:,} bytes: {costs}{remark}"


def is_possible() -> bool:
    """Tell whether there is something to count with."""
    return shutil.which("valgrind") is not None


def main() -> int:
    """Count, and say what grows."""
    parser = argparse.ArgumentParser(prog="make linear", description=__doc__)
    parser.add_argument("--budget", type=int, default=BUDGET, help="for one input of one size")
    parser.add_argument("-k", default="", metavar="WORDS", help="only what has these words")
    parser.add_argument("--count", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.count is not None:
        _count(Path(arguments.count), **json.load(sys.stdin))
        return 0
    if not is_possible():
        _say("Skipped: valgrind is not installed (Debian: apt-get install valgrind).")
        return 0
    jobs = [job for job in all_jobs() if arguments.k in f"{GENERATORS[job[0]].name}, {job[1]}"]
    processes = os.cpu_count() or 1
    with concurrent.futures.ThreadPoolExecutor(processes) as pool:
        parts = [jobs[at::processes] for at in range(processes)]
        counted = pool.map(lambda part: _told(growths(part, arguments.budget)), parts)
        found = [one for part in counted for one in part]
    growing = [one for one in found if not one.is_flat]
    _say("\n".join(["", f"{len(growing)} of {len(found)} grow.", *map(str, growing)]))
    return 1 if growing or not found else 0


def all_jobs() -> list[Job]:
    """Return all that is counted: single bytes are slow, so only one page of each state is."""
    ways = {id(one): ["whole", "chunks of 1000", "read by `check`"] for one in PAGES}
    for one in some_of_each_state(1):
        ways[id(one)].append("single bytes")
    ways |= {id(one): ["whole"] for one in INPUTS} | {id(one): ["briefly"] for one in CROSSED}
    return [(index, way) for index, one in enumerate(GENERATORS) for way in ways[id(one)]]


def _told(growths: Iterable[Growth]) -> list[Growth]:
    found = []
    for one in growths:
        _say(str(one))
        found.append(one)
    return found


def growths(jobs: Sequence[Job], budget: int) -> Iterator[Growth]:
    """Count in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [
                "valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no",
                "--dump-before=getppid", f"--callgrind-out-file={folder}/counts",
                sys.executable, "-m", "benchmarks.linear", "--count", folder,
            ],
            cwd=ROOT,
            # Nothing of the shell's, which would move everything in memory.
            env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        with process:
            json.dump({"jobs": jobs, "budget": budget}, process.stdin)
            process.stdin.close()
            for line in process.stdout:
                yield Growth(*json.loads(line))
        if process.returncode:
            raise RuntimeError(f"the process that counts ended with {process.returncode}")


# Under Valgrind ---------------------------------------------------------------------------------


def _count(folder: Path, jobs: list[Job], budget: int) -> None:
    logging.disable(logging.CRITICAL)
    for job in jobs:
        for step in _steps(job, [1000]):
            step.read()  # what is loaded, compiled and looked up once
    gc.disable()
    control = ["callgrind_control", "-i", "on", str(os.getpid())]
    subprocess.run(control, check=True, capture_output=True)
    counter = _Counter(folder)
    for job in jobs:
        _say(json.dumps(_growth(counter, job, budget)))
        gc.collect()
    os._exit(0)


def _growth(counter: _Counter, job: Job, budget: int) -> Growth:
    """Count what seems to grow again with some units more, and take the dearer of each size.

    Input may end where it happens to cost less: behind as many quotes as are closed, say.
    """
    growth = _counted(counter, job, budget, 0)
    for units in range(1, 4):
        if growth.is_flat:
            break
        other = _counted(counter, job, budget, units)
        growth = growth._replace(costs=list(map(max, growth.costs, other.costs)))
    return growth


def _counted(counter: _Counter, job: Job, budget: int, units: int) -> Growth:
    generator, way = GENERATORS[job[0]], WAYS[job[1]]
    more = units * len(generator.unit)
    sizes = [size + more for step in range(20) if (size := way.least << step) <= way.most]
    growth = Growth(generator.name, job[1], [], [])
    total = 0
    for step in _steps(job, sizes):
        count = counter.count(step)
        total = total + count if way.is_stream else count
        growth.sizes.append(step.size)
        # What is held of the first tag of a stream has cost next to nothing yet.
        growth.costs.append(total / (step.size - TAG_LIMIT * way.is_stream))
        if len(growth.sizes) > 1 and total > budget / 2:
            break
    return growth


def _steps(job: Job, sizes: Iterable[int]) -> Iterator[Step]:
    generator = GENERATORS[job[0]]
    if isinstance(generator, Page):
        return WAYS[job[1]].steps(generator, sizes)
    return map(generator.whole, sizes)


class _Counter:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dumps = 0

    def count(self, step: Step) -> int:
        """Return how many instructions a step takes."""
        os.getppid()
        step.read()
        os.getppid()
        before, counts = (self._folder / f"counts.{self._dumps + one}" for one in (1, 2))
        self._dumps += 2
        found = _SUMMARY.search(counts.read_text())
        before.unlink()
        counts.unlink()
        assert found is not None
        return int(found[1])


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
