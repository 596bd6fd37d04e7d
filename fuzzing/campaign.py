"""One job of a campaign: the parts take turns, each for its share of the time."""

from __future__ import annotations

import itertools
import json
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzzing import standard
from fuzzing.documents import documents, extreme_document, hopped_document, random_document
from fuzzing.judging import Judge

# How much of the time each part gets.
SHARES = {"random": 0.4, "standard": 0.35, "generated": 0.03, "guided": 0.12, "adapters": 0.1}
_LONGEST_TURN = 200.0  # of all parts together, in seconds
_SHORTEST_TURN = 5.0  # of the guided part, which has to start first
_SEEDS = 300  # documents that the guided part begins with


def run_job(
    number: int, first_seed: int, output: Path, parts: list[str], seconds: float
) -> dict[str, Tally]:
    """Run one job; for a process of its own."""
    return Job(number, first_seed, output, parts).run(seconds)


@dataclass
class Tally:
    """What became of the documents of one part."""

    seconds: float = 0.0
    documents: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add what became of other documents."""
        self.seconds += other.seconds
        self.documents += other.documents
        self.counts += other.counts
        self.findings += [one for one in other.findings if one not in self.findings]


class Job:
    """Runs the parts until the time is over; `tallies` tells what became of each."""

    def __init__(self, number: int, first_seed: int, output: Path, parts: list[str]) -> None:
        self.tallies = {part: Tally() for part in parts}
        self._number = number
        self._random = Random(f"{first_seed} {number}")
        self._output = output
        self._corpus = output / f"corpus-{number}"
        self._hostile = self._standard = _hostile(self._random)
        if "standard" in parts:
            inputs = standard.inputs(standard.archive_in(output))
            self._standard = standard.spliced(self._random, inputs)

    def run(self, seconds: float) -> dict[str, Tally]:
        """Let the parts take turns for so many seconds."""
        warnings.simplefilter("error")
        logger = logging.getLogger("ensoras_middleware")  # what it says of hostile pages
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
        end = time.monotonic() + seconds
        whole = sum(SHARES[part] for part in self.tallies)
        while (left := end - time.monotonic()) > 0:
            turn = min(left, _LONGEST_TURN)
            for part, tally in self.tallies.items():
                tally.add(self._turn(part, turn * SHARES[part] / whole))
                self._tell(max(0, end - time.monotonic()))
        return self.tallies

    def _tell(self, left: float) -> None:
        total = sum(tally.documents for tally in self.tallies.values())
        findings = sum(len(tally.findings) for tally in self.tallies.values())
        told = f"{total:,} documents, {findings} disagreements, {left:,.0f} s left"
        sys.stderr.write(f"job {self._number}: {told}\n")

    def _turn(self, part: str, seconds: float) -> Tally:
        start = time.monotonic()
        judge = Judge(self._random, self._output, adapters=part == "adapters")
        if part == "guided":
            tally = self._guided(max(seconds, _SHORTEST_TURN))
        else:
            if part == "generated":
                self._generated(judge, start + seconds)
            else:
                self._drawn(judge, start + seconds, part)
            tally = Tally(0.0, judge.documents, judge.counts, judge.findings)
        tally.seconds = time.monotonic() - start
        return tally

    def _drawn(self, judge: Judge, end: float, part: str) -> None:
        sources = {
            "random": [self._hostile],
            "standard": [self._standard],
            "adapters": [self._hostile, self._standard],
        }
        for source in itertools.cycle(sources[part]):
            judge(next(source))
            if time.monotonic() > end or judge.has_enough:
                break

    def _generated(self, judge: Judge, end: float) -> None:
        while time.monotonic() < end and not judge.has_enough:

            @seed(self._random.getrandbits(32))
            @settings(
                max_examples=200,
                phases=[Phase.generate],  # the judge makes findings shorter itself
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(documents())
            def put(document: bytes) -> None:
                judge(document)

            put()

    def _guided(self, seconds: float) -> Tally:
        if not self._corpus.exists():
            self._corpus.mkdir(parents=True)
            for number in range(_SEEDS):
                document = next(self._hostile if number % 2 else self._standard)
                (self._corpus / f"seed-{number}").write_bytes(document)
        with tempfile.TemporaryDirectory() as folder:
            totals = Path(folder, "totals.json")
            run = subprocess.run(
                [
                    *(sys.executable, "-m", "fuzzing.guided", str(seconds)),
                    *(str(self._random.getrandbits(31)), self._output, self._corpus, totals),
                ],
                capture_output=True,
                check=False,
            )
            if run.returncode:
                raise RuntimeError(run.stderr.decode("utf-8", "replace")[-2000:])
            found = json.loads(totals.read_text())
        return Tally(0.0, found["documents"], Counter(found["counts"]), found["findings"])


def _hostile(random: Random) -> Iterator[bytes]:
    while True:
        chance = random.random()
        if chance < 0.01:
            yield extreme_document(random)
        elif chance < 0.2:
            yield hopped_document(random)
        else:
            yield random_document(random)
