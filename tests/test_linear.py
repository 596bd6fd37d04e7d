"""Hostile input stays linear, and little is kept of it: some of `make linear`, and all of memory.

Nothing here looks at a clock: Valgrind counts instructions, where it is installed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import linear, subject
from benchmarks.hostile import GENERATORS, PAGES, some_of_each_state
from benchmarks.hostile_fields import INPUTS
from benchmarks.linear import Growth
from ensoras_middleware import Outcome, snippet
from ensoras_middleware.snippet import IdentityBlanker
from ensoras_middleware.widget_tag import TAG_LIMIT

needs_valgrind = pytest.mark.skipif(
    not linear.is_possible(), reason="valgrind is not installed (Debian: apt-get install valgrind)"
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What hostile pages let us log is not looked at here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


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


# What it costs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("costs", "is_flat"),
    [
        ([100, 90, 103], True),
        ([100, 90, 104], False),
        ([100, 90, 80, 93], False),
        ([0.1, 0.2, 2.9], True),
        ([1, 4], False),
    ],
)
def test_what_grows_is_told(costs: list[float], is_flat: bool) -> None:
    """By more than a few per cent, beyond what copying takes."""
    growth = Growth("x", "whole", [16_000 << index for index in range(len(costs))], costs)
    assert growth.is_flat is is_flat
    assert ("GROWS" in str(growth)) is not is_flat


# What nothing ends, for `check` to search once and not once for each of them.
ENDLESS = {
    *("attribute value, double-quoted: '<script>'", "scripts: '<script '"),
    *("script data, double escaped: '</script '", "doctype: '<!--'"),
}


@needs_valgrind
def test_a_byte_of_much_costs_what_one_of_little_does() -> None:
    """For one hostile page of each state, whole and in chunks, and one hostile input of a kind."""
    states = {one.state: index for index, one in reversed([*enumerate([*PAGES, *INPUTS])])}
    jobs = [(index, "briefly") for index in states.values()]
    jobs += [
        (index, "briefly in chunks") for index in list(states.values())[::3] if index < len(PAGES)
    ]
    jobs += [(index, "read by `check`") for index, one in enumerate(PAGES) if one.name in ENDLESS]
    found = list(linear.growths(jobs, budget=0))
    assert len(found) == len(jobs)
    assert [str(one) for one in found if not one.is_flat] == []


# What is kept -------------------------------------------------------------------------------

# Of a stream, as it comes: the bytes of a chunk, and of the page, which is longer than the bound.
CUTTINGS = {1: 5_000, 100: 10_000, 1000: 100_000, 30_000: 90_000}

# The open elements are most of it; see `scanner`.
MOST = 64_000

# Of a response, whatever its body is.
_FIXED = {"_widget", "_request", "_host_fields", "fields", "_address", "_hops"}


def kept(one: Any) -> int:
    """Return how many bytes hang on an object of ours."""
    if isinstance(one, bytes | bytearray | str):
        return len(one)
    if isinstance(one, list | tuple | set):
        return sum(8 + kept(part) for part in one)
    names = [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]
    return sum(kept(getattr(one, name)) for name in names if name not in _FIXED)


@pytest.mark.parametrize("chunk", CUTTINGS)
def test_little_is_held_back_and_kept(chunk: int) -> None:
    """Of every hostile page: at most one tag is held back, and what is kept has a bound."""
    size = CUTTINGS[chunk]
    for page in PAGES if chunk > 1 else some_of_each_state(1):
        injection = subject.injection(page.widget)
        injection.user_is(subject.EMAIL)
        injection.start_stream()
        text, sent = page.text(size + len(page.unit)), 0
        for at in range(0, size, chunk):
            sent += len(injection.feed(text[at : at + chunk]))
            # Behind the script, more has left than has come.
            assert at + chunk - sent <= TAG_LIMIT, page.name
            if at % 5000 == 0:
                assert kept(injection) <= MOST, page.name


def test_what_is_kept_is_seen() -> None:
    """By the measure of the test above."""
    injection = subject.injection()
    injection.user_is(subject.EMAIL)
    injection.start_stream()
    before = kept(injection)
    injection.feed(b"<script " + b"a" * 4000)
    assert kept(injection) - before >= 2 * 4008  # held back, and to be read again
    injection.feed(b"></script>" + b"<svg>" * 300)
    assert 300 * 6 < kept(injection) - before < 300 * 40


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_little_is_kept_to_find_the_scripts_of_strangers(chunk: int) -> None:
    """Less than the beginning of one, whatever the stream holds."""
    script = snippet.identify_script(subject.IDENTITY)
    for unit in (b"/* ", snippet.MARK, script[:-90], script, b"}", b"{"):
        blanker, text = IdentityBlanker(), unit * (20_000 // len(unit))
        for at in range(0, len(text), chunk):
            blanker.feed(text[at : at + chunk])
            assert kept(blanker._seen) < len(script)


def test_a_page_of_endless_brands_is_left_alone() -> None:
    """Each of them is asked for once, up to a bound."""
    asked: list[str] = []
    widget = subject.widget(secret=asked.append)
    tag = subject.TAG.decode().replace("acme", "brand%d")
    page = "".join(tag % index for index in range(1000)) + subject.TAG.decode()
    injection = subject.injection(widget)
    assert injection.names_widget(page.encode())
    injection.user_is(subject.EMAIL)
    assert injection.whole(page.encode()) == page.encode()
    assert injection.outcome is Outcome.NO_SECRET
    assert len(asked) == len(set(asked)) < 20
