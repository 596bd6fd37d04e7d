"""What a server holds, as the kernel tells it, and how that grows with the answers."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from pathlib import Path

_TCP = Path("/proc/net/tcp")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_OPEN_STATES = ("01", "08")  # ESTABLISHED and CLOSE_WAIT: include/net/tcp_states.h of Linux

_FEWEST = 4  # samples that say anything

# In bytes per answer. What Python allocates is counted exactly; what the kernel gives comes in
# pieces of megabytes, as large pages come and go.
MOST_GROWTH = {"Python": 16.0, "RSS": 2500.0}


@dataclass(frozen=True)
class Sample:
    """What the workers of a server held when so many answers had been given, in bytes."""

    answers: int
    traced: dict[int, int]  # by process: what Python has allocated
    resident: dict[int, int]  # what the kernel has given


def sample(answers: int, traced: dict[int, int]) -> Sample:
    return Sample(answers, traced, {process: _resident(process) for process in traced})


def _resident(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE


def can_be_seen() -> bool:
    """Tell whether this kernel tells what is asked here, as Linux does."""
    return _TCP.exists()


def connections_of(port: int) -> int:
    """Return how many connections the server on this port has not closed."""
    lines = [line.split() for line in _TCP.read_text().splitlines()[1:]]
    return sum(one[1].endswith(f":{port:04X}") and one[3] in _OPEN_STATES for one in lines)


def growth(samples: list[Sample]) -> dict[str, float]:
    """Return by how many bytes per answer a worker grew over the second half; the worst one.

    Nothing, where there are too few samples to tell.
    """
    half = samples[len(samples) // 2 :]
    if len(half) < _FEWEST:
        return {}
    answers = [one.answers for one in half]
    by_process = {
        "Python": [[one.traced[process] for one in half] for process in half[0].traced],
        "RSS": [[one.resident[process] for one in half] for process in half[0].resident],
    }
    return {
        kind: max(statistics.linear_regression(answers, held).slope for held in all_held)
        for kind, all_held in by_process.items()
    }


def beyond(growth: dict[str, float]) -> list[str]:
    """Return what grows by more than is noise."""
    return [kind for kind, slope in growth.items() if slope > MOST_GROWTH[kind]]
