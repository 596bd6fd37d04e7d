"""Whole pages and streams: this project beside the limit, and beside its peers.

Every figure of a page comes from one interleaved run over all candidates; what stands for all pages
is the median over the pages.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from benchmarks import subject
from benchmarks.pages import ABSENT, BODY, HEAD, Page
from benchmarks.peers import PEERS, is_installed
from benchmarks.report import TIMES, Row, micro
from benchmarks.timing import Figure, Loop, Measured, each, each_of, side_by_side
from ensoras_middleware.scanner import Scanner

# Nothing that looks at every `<` with Python's `re` can be faster: it matches none.
_LESS_THAN = re.compile(rb"<(?=\x00)")

CHUNK = 64 * 1024
STREAMED_FROM = 3 * CHUNK // 2  # pages that are more than one chunk


@dataclass(frozen=True, slots=True)
class Cell:
    """What was measured of one page with the tag in one place."""

    page: Page
    where: str
    size: int
    measured: Measured
    slow: Measured | None

    def of(self, name: str) -> Measured:
        """Return the run in which a candidate took part."""
        return self.measured if self.slow is None or name in self.measured.rounds else self.slow


def measure(pages: list[Page], rounds: int) -> list[Cell]:
    """Measure all pages with the tag in all places."""
    inserts = {peer.name: peer.build() for peer in PEERS if is_installed(peer)}
    cells = []
    for page in pages:
        for where in (ABSENT, HEAD, BODY):
            body = page.with_tag(where)
            fast = _steps(body, where)
            slow: dict[str, Loop] = {"ours": fast["ours"]}
            for peer in PEERS:
                if peer.name in inserts:
                    (slow if peer.slow else fast)[peer.name] = each(inserts[peer.name], body)
            measured = side_by_side(fast, rounds=rounds)
            of_slow = side_by_side(slow, rounds=max(3, rounds // 4)) if where == BODY else None
            cells.append(Cell(page, where, len(body), measured, of_slow))
    return cells


def _steps(body: bytes, where: str) -> dict[str, Loop]:
    chunks = [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)]
    new = subject.injection
    steps = {
        "limit": each(subject.limit, body),
        "find": each(subject.find, body),
        "search for <": each(_LESS_THAN.search, body),
        "ours": each(subject.ours, body),
        "names": each_of(new, lambda one: one.names_widget(body)),
    }
    if where != ABSENT:
        steps |= {
            "anonymous": each_of(new, lambda one: subject.answered(one, body, None)),
            "all in": each_of(new, lambda one: subject.answered(one, body, subject.EMAIL)),
            "scan": partial(_scan, [body]),
        }
    if where == BODY and len(body) >= STREAMED_FROM:
        steps |= {
            "scan chunks": partial(_scan, chunks),
            "stream": each_of(new, lambda one: subject.streamed(one, chunks)),
        }
    return steps


def _scan(chunks: list[bytes], times: int) -> None:
    for _ in range(times):
        scanner = Scanner(subject.WIDGET.address)
        for chunk in chunks:
            if scanner.feed(chunk) is not None:
                break


# Rows -----------------------------------------------------------------------------------------


def rows(cells: list[Cell]) -> list[Row]:
    """Return the lines about the limit."""
    body = [cell for cell in cells if cell.where == BODY]
    streamed = [cell for cell in body if "stream" in cell.measured.rounds]
    worst = max(body, key=nanoseconds_per_byte)
    return [
        _over("page without the widget, over one find", cells, ABSENT, "names", "find", 1.1),
        _over("anonymous, before </body>, over one find", cells, BODY, "anonymous", "find", 1.2),
        _over("anonymous, in <head>, over one find", cells, HEAD, "anonymous", "find", 1.2),
        _over("identified, tag before </body>, over the limit", cells, BODY, "ours", "limit", 8),
        _over("  … the floor: a bare `re` search for `<`", cells, BODY, "search for <", "limit"),
        Row(
            "identified, tag before </body>, the slowest page",
            spanned([nanoseconds_per_byte(cell) for cell in body], max),
            "ns/byte", 4, spread="pages", details={"page": worst.page.name},
        ),
        _over("identified, tag in <head>, over the limit", cells, HEAD, "ours", "limit", 6),
        _over("  … and signed, with header fields, before </body>", cells, BODY, "all in", "limit"),
        _over("  … and signed, with header fields, in <head>", cells, HEAD, "all in", "limit"),
        _over("64 KB chunks over the whole: scanner", streamed, BODY, "scan chunks", "scan", 1.3),
        _over("64 KB chunks over the whole: all in", streamed, BODY, "stream", "all in", 1.3),
    ]  # fmt: skip


def _over(
    what: str, cells: list[Cell], where: str, name: str, over: str, goal: float | None = None
) -> Row:
    chosen = [cell for cell in cells if cell.where == where]
    ratios = {cell.page.name: cell.measured.ratio(name, over) for cell in chosen}
    return Row(
        what,
        spanned([one.median for one in ratios.values()], statistics.median),
        TIMES,
        goal,
        beside=beside(chosen, [name, over]),
        spread="pages",
        details={name: one.as_json() for name, one in ratios.items()},
    )


def spanned(values: list[float], middle: Callable[[list[float]], float]) -> Figure:
    """Return one value for all pages, with the smallest and the largest."""
    return Figure(middle(values), min(values), max(values))


def beside(cells: list[Cell], names: Iterable[str]) -> dict[str, str]:
    """Return seconds for the page of middle size."""
    cell = sorted(cells, key=lambda one: one.size)[len(cells) // 2]
    shown = {name: micro(cell.of(name).seconds(name)) for name in names}
    return {f"{cell.page.name}:": "", **shown}


def nanoseconds_per_byte(cell: Cell) -> float:
    """Return what a byte of the page takes this project."""
    return cell.measured.seconds("ours").median * 1e9 / cell.size
