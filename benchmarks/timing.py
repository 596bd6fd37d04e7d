"""Measures several candidates side by side, so that a noisy machine troubles all of them alike.

In every round each candidate takes one sample, in an order that turns from round to round. A
sample is CPU time of this process, not time on the wall, which other processes stretch; it runs
the candidate often enough to last a millisecond, with the garbage collector off. What
counts is the median over the rounds; ratios and differences are taken within a round first.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Runs its subject so many times. Preparation that is not to be measured returns the part that is.
Loop = Callable[[int], Callable[[], object] | None]

SAMPLE_SECONDS = 0.001


def each(subject: Callable[..., object], *arguments: object) -> Loop:
    """Return the loop that calls `subject` with these arguments."""

    def loop(times: int) -> None:
        for _ in range(times):
            subject(*arguments)

    return loop


def each_of(make: Callable[[], Any], subject: Callable[[Any], object]) -> Loop:
    """Return the loop that calls `subject` with new objects, made before the clock starts."""

    def loop(times: int) -> Callable[[], object]:
        made = [make() for _ in range(times)]

        def run() -> None:
            for one in made:
                subject(one)

        return run

    return loop


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of many values, and its quartiles."""

    median: float
    lower: float
    upper: float

    def scaled(self, factor: float) -> Figure:
        """Return the figure in another unit."""
        return Figure(self.median * factor, self.lower * factor, self.upper * factor)

    def as_json(self) -> dict[str, float]:
        """Return it for the JSON file, with four digits that count."""
        values = {"median": self.median, "lower": self.lower, "upper": self.upper}
        return {name: float(f"{value:.4g}") for name, value in values.items()}


def figure(values: list[float]) -> Figure:
    """Return the median and the quartiles of at least one value."""
    if len(values) == 1:
        return Figure(values[0], values[0], values[0])
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(median, lower, upper)


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds per call of each candidate, round by round."""

    rounds: Mapping[str, list[float]]

    def seconds(self, name: str) -> Figure:
        """Return the seconds of one call."""
        return figure(self.rounds[name])

    def ratio(self, name: str, over: str) -> Figure:
        """Return how many times as long one candidate takes as another."""
        pairs = zip(self.rounds[name], self.rounds[over], strict=True)
        return figure([one / other for one, other in pairs])

    def difference(self, name: str, over: str) -> Figure:
        """Return how many seconds longer one candidate takes than another."""
        pairs = zip(self.rounds[name], self.rounds[over], strict=True)
        return figure([one - other for one, other in pairs])


def side_by_side(
    candidates: Mapping[str, Loop], *, rounds: int = 15, sample: float = SAMPLE_SECONDS
) -> Measured:
    """Measure the candidates, interleaved."""
    times = {name: _calibrated(loop, sample) for name, loop in candidates.items()}
    measured: dict[str, list[float]] = {name: [] for name in candidates}
    names = list(candidates)
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            measured[name].append(_sample(candidates[name], times[name]))
    return Measured(measured)


def _calibrated(loop: Loop, sample: float) -> int:
    times = 1
    while (seconds := _sample(loop, times) * times) < sample:
        # At most ten times as many at once: the first calls are slower than all later ones.
        times = max(times + 1, min(10 * times, int(1.2 * times * sample / max(seconds, 1e-9))))
    return times


def _sample(loop: Loop, times: int) -> float:
    gc.collect(0)
    gc.disable()
    try:
        start = time.process_time_ns()
        prepared = loop(times)
        if prepared is not None:
            start = time.process_time_ns()
            prepared()
        stop = time.process_time_ns()
    finally:
        gc.enable()
    return (stop - start) / 1e9 / times
