"""Hostile input stays linear, and little is kept of it: some of `make linear`, and all of memory.

Nothing here looks at a clock: Valgrind counts instructions, where it is installed.
"""

from __future__ import annotations

import pytest

from benchmarks import linear
from benchmarks.hostile import GENERATORS, PAGES, some_of_each_state
from benchmarks.linear import Growth

counted = pytest.mark.skipif(
    not linear.is_possible(), reason="valgrind is not installed (Debian: apt-get install valgrind)"
)


# What is made -------------------------------------------------------------------------------


def test_hostile_input_is_made_for_every_state() -> None:
    """Of the size asked for, under a name of its own, and each repeats what its name says."""
    assert len(some_of_each_state(1)) >= 50
    assert len({one.name for one in GENERATORS}) == len(GENERATORS)
    for one in PAGES:
        text = one.text(20_000)
        assert 0 <= 20_000 - len(text) < len(one.unit) + 5
        assert text.startswith(one.before + one.unit.replace(b"%d", b"0000000"))
        assert one.text(40_000).startswith(text)
        assert text.count(one.unit[-1:]) > 1


@pytest.mark.parametrize(
    ("costs", "is_flat"),
    [([100, 90, 103], True), ([100, 90, 104], False), ([0.1, 0.2, 2.9], True), ([1, 4], False)],
)
def test_what_grows_is_told(costs: list[float], is_flat: bool) -> None:
    """By more than a few per cent, beyond what copying takes."""
    growth = Growth("x", "whole", [16_000 << index for index in range(len(costs))], costs)
    assert growth.is_flat is is_flat
    assert ("GROWS" in str(growth)) is not is_flat
