"""Pages made to be slow: for every state of the scanner, what repeats in it for ever.

A scanner that looks back, or looks ahead again, needs four times the input to show: then its time
grows by more than four. Every page ends in a widget tag, so that nothing is passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import subject
from benchmarks.report import TIMES, Row
from benchmarks.timing import Figure, Measured, each, side_by_side

# The state, as the HTML standard names it; what enters it; what repeats there.
_STATES: dict[str, tuple[bytes, list[bytes]]] = {
    "data": (b"", [
        b"<", b"</", b"<!", b"<?", b">", b"a", b" ", b"<3", b"<p>", b"<a b='c' d=e>", b"\0", b"=\"",
        b"='", b"='>", b"<a>x=\"", b"<b ='>", b"<div\n", b"<s", b"<style", b"<scripts>", b"</x>",
    ]),
    "tag name": (b"<a", [b"a", b"<", b"\0"]),
    "before attribute name": (b"<a ", [b" ", b"/", b"=", b"a ", b"a=b ", b"<script "]),
    "attribute name": (b"<a b", [b"b", b"'", b"<script"]),
    "after attribute name": (b"<a b ", [b" ", b"\n\t", b"b "]),
    "attribute value, double-quoted": (b'<a b="', [b"a", b"'>", b"<script>", b"=' "]),
    "attribute value, single-quoted": (b"<a b='", [b"a", b'">', b"<!--", b'=" ']),
    "attribute value, unquoted": (b"<a b=", [b"a", b"'", b"=\"", b"<style"]),
    "after attribute value": (b"<a ", [b"b='c'", b'b=""', b"b='c'/"]),
    "end tag": (b"</a ", [b"b='>' ", b"<", b"/"]),
    "bogus comment": (b"<?", [b"a", b"'", b"<script "]),
    "doctype": (b"<!doctype ", [b"'", b"a ", b"<!--"]),
    "comment": (b"<!--", [b"-", b"--!", b"--", b"<!--", b"- ", b"<!-"]),
    "comments": (b"", [b"<!---->", b"<!-->", b"<!-- -->", b"<!--a--!>", b"<!--'-->"]),
    "script data": (b"<script>", [b"<", b"</", b"</script", b"</scrip", b"<!-", b"a"]),
    "script data, escaped": (b"<script><!--", [b"-", b"--", b"<", b"</script", b"<scrip"]),
    "script data, double escaped": (
        b"<script><!--<script>", [b"-", b"</scrip", b"</script ", b"<script "],
    ),
    "scripts": (b"", [
        b"<script></script>", b"<script src=x></script>", b"<script><!--</script>-->",
        b"<script a='", b"<script ", b"<script><!--<script></script></script>",
    ]),
    "raw text": (b"<style>", [b"<", b"</", b"</style", b"</styl", b"<!--"]),
    "RCDATA": (b"<textarea>", [b"<", b"</textarea", b"</", b"&"]),
    "raw text elements": (b"", [b"<style></style>", b"<title></title x>", b"<xmp></xmp/>"]),
    "noscript": (b"<noscript>", [b"<", b"<!--", b"<a b='", b"</noscrip", b"<p>"]),
    "noscripts": (b"", [b"<noscript></noscript>", b"<noscript><!----></noscript>"]),
    "template": (b"<template>", [b"<p>", b"<script></script>", b"<div>", b"<"]),
    "templates": (b"", [
        b"<template></template>", b"</template>", b"<div><template shadowrootmode=open></template>",
    ]),
    "select": (b"<select>", [b"<option>", b"<script></script>", b"<"]),
    "foreign content": (b"<svg>", [
        b"<", b"<g></g>", b"<g/>", b"<path d='M0'/>", b"<g>", b"<!---->", b"<![CDATA[]]>", b"</x>",
        b"<desc></desc>", b"a",
    ]),
    "foreign elements": (b"", [b"<svg></svg>", b"<svg/>", b"<math></math>", b"<svg><p>"]),
    "integration point": (b"<svg><desc>", [b"<p></p>", b"<b>", b"<", b"<svg></svg>"]),
    "CDATA section": (b"<svg><![CDATA[", [b"]", b"]]", b"] ", b">", b"<"]),
    "widget tags of others": (b"", [
        b"<script src=//app.ensoras.com/cdn/v1/widget/other.js></script>",
        b"<!--//app.ensoras.com/cdn/v1/widget/acme.js-->",
        b"/cdn/v1/widget/", b"//app.ensoras.com/cdn/v1/widget/acme.js", b"/* Ensoras identity ",
    ]),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Generator:
    """Makes hostile pages of any size."""

    state: str
    before: bytes
    unit: bytes

    @property
    def name(self) -> str:
        """Return the state and what repeats in it."""
        return f"{self.state}: {self.unit.decode()!r}"

    def page(self, size: int) -> bytes:
        """Return a page of so many bytes, give or take one unit."""
        return self.before + self.unit * (size // len(self.unit)) + subject.TAG


GENERATORS = [
    Generator(state, before, unit) for state, (before, units) in _STATES.items() for unit in units
]

# How a page comes: the bytes of a chunk, and of the smaller page. Both pages are longer than what
# may be held of one tag: where that limit lies between them, the second is read another way.
WAYS = {"whole": (1 << 30, 16_000), "chunks of 1000": (1000, 16_000), "bytes": (1, 5_000)}


def scan(page: bytes, chunk: int) -> None:
    """Send a page through everything, for a user who is logged in."""
    injection = subject.injection()
    if chunk >= len(page):
        subject.answered(injection, page, subject.EMAIL)
        return
    injection.start_stream(subject.EMAIL)
    for at in range(0, len(page), chunk):
        injection.feed(page[at : at + chunk])
    injection.finish()


def rows(rounds: int) -> list[Row]:
    """Return one line for each way: the worst growth of all generators."""
    return [_worst(way, chunk, size, rounds) for way, (chunk, size) in WAYS.items()]


def _worst(way: str, chunk: int, size: int, rounds: int) -> Row:
    # Single bytes are slow to send: one generator for each state is enough there.
    generators = GENERATORS if chunk > 1 else _some_of_each_state(1)
    growth = {one: _growth(one, chunk, size, 3 if chunk > 1 else 1) for one in generators}
    # The worst of many noisy ratios is worse than any of them: look at these once more.
    suspects = sorted(generators, key=lambda one: -growth[one].median)[:6]
    growth |= {one: _growth(one, chunk, size, rounds) for one in suspects}
    worst = max(suspects, key=lambda one: growth[one].median)
    return Row(
        f"hostile pages, {way}: the worst t(4n) / t(n)",
        growth[worst],
        TIMES,
        5,
        beside={"generators": str(len(generators)), "worst": worst.name},
        details={one.name: growth[one].as_json() for one in suspects},
    )


def _some_of_each_state(count: int) -> list[Generator]:
    seen: Counter[str] = Counter()
    return [one for one in GENERATORS if seen.update([one.state]) or seen[one.state] <= count]


def _growth(generator: Generator, chunk: int, size: int, rounds: int) -> Figure:
    return _measured(generator, chunk, [size, 4 * size], rounds).ratio(str(4 * size), str(size))


def _measured(generator: Generator, chunk: int, sizes: list[int], rounds: int) -> Measured:
    loops = {str(size): each(scan, generator.page(size), chunk) for size in sizes}
    return side_by_side(loops, rounds=rounds)


def nanoseconds_per_byte(sizes: list[int]) -> Iterator[tuple[Generator, list[float]]]:
    """Yield for the slowest generator of each state how long a byte takes, for each size."""
    for state in _STATES:
        of_state = [one for one in GENERATORS if one.state == state]
        small = {one: _measured(one, 1 << 30, [1 << 14], 3) for one in of_state}
        slowest = max(of_state, key=lambda one: small[one].seconds(str(1 << 14)).median)
        run = _measured(slowest, 1 << 30, sizes, 3)
        yield slowest, [run.seconds(str(size)).median * 1e9 / size for size in sizes]
