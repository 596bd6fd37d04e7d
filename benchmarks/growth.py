"""How time grows: with the page, with the chunk, and with hostile input in every state.

Straight lines on the first chart, and level ones on the others, are what is wanted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from benchmarks import report, subject
from benchmarks.hostile import PAGES, some_of_each_state
from benchmarks.hostile import Page as HostilePage
from benchmarks.hostile_fields import Step
from benchmarks.pages import BODY, Page, made_page
from benchmarks.peers import PEERS, Insert, is_installed
from benchmarks.report import TIMES, Row
from benchmarks.timing import Figure, Loop, each, each_of, side_by_side
from ensoras_middleware.injection import Injection

KB, MB = 1 << 10, 1 << 20

SIZES = [KB << step for step in range(0, 14)]
CHUNKS = [1, 16, 256, 4 * KB, 64 * KB]
HOSTILE_SIZES = [MB, 2 * MB, 4 * MB, 8 * MB]
CHUNKED_PAGE = 128 * KB

# Beyond this a peer is left out: all of them grow in proportion, and some take seconds.
LONGEST_SAMPLE = 0.6

Curves = dict[str, list[tuple[int, float]]]


def run(folder: Path, machine: Mapping[str, object], *, quick: bool) -> None:
    """Measure, print, and write `growth.json` and `growth.svg`."""
    rounds = 3 if quick else 7
    curves = {
        "page": _over_size(SIZES[:9] if quick else SIZES, rounds),
        "chunk": _over_chunk(3),
        "hostile": _over_hostile(HOSTILE_SIZES[:2] if quick else HOSTILE_SIZES),
    }
    for title, lines in curves.items():
        sys.stdout.write("\n" + _table(title, lines).as_text() + "\n")
    if not quick:
        text = json.dumps({"machine": machine, "nanoseconds per byte": curves}, indent=1)
        report.write(folder, "growth.json", text)
        _draw(folder / "growth.svg", curves)


def _over_size(sizes: list[int], rounds: int) -> Curves:
    inserts: dict[str, Insert] = {"ours": subject.ours, "limit": subject.limit}
    inserts |= {peer.name: peer.build() for peer in PEERS if is_installed(peer) and peer.finds_tag}
    curves: Curves = {name: [] for name in inserts}
    for size in sizes:
        page = Page("", made_page(size)).with_tag(BODY)
        loops = {
            name: each(insert, page)
            for name, insert in inserts.items()
            if not curves[name] or curves[name][-1][1] * size / 1e9 < LONGEST_SAMPLE
        }
        measured = side_by_side(loops, rounds=rounds)
        for name in loops:
            per_byte = measured.seconds(name).median * 1e9 / len(page)
            curves[name].append((size, per_byte))
    return curves


def _over_chunk(rounds: int) -> Curves:
    page = Page("", made_page(CHUNKED_PAGE)).with_tag(BODY)
    curves: Curves = {}
    for size in CHUNKS:
        chunks = [page[at : at + size] for at in range(0, len(page), size)]
        loops: dict[str, Loop] = {
            "ours": each_of(subject.injection, partial(_streamed, chunks)),
            "joining the chunks": each(b"".join, chunks),
        }
        for name, streaming in _streaming_peers().items():
            loops[name] = each(streaming, chunks)
        measured = side_by_side(loops, rounds=rounds)
        for name in loops:
            per_byte = measured.seconds(name).median * 1e9 / len(page)
            curves.setdefault(name, []).append((size, per_byte))
    return curves


def _streamed(chunks: list[bytes], injection: Injection) -> bytes:
    return subject.streamed(injection, chunks)


def _streaming_peers() -> dict[str, Callable[[list[bytes]], object]]:
    """Return the peers that write while they read; the others gather the page first."""
    try:
        import lolhtml
    except ImportError:
        return {}

    class Handler:
        def element(self, element: lolhtml.Element) -> None:
            if element.get_attribute("src") == subject.ADDRESS.decode():
                element.before(subject.SCRIPT.decode(), lolhtml.ContentType.HTML)

    def of_lol_html(chunks: list[bytes]) -> bytes:
        parts: list[bytes] = []
        rewriter = lolhtml.HTMLRewriter(parts.append)
        rewriter.on("script[src]", Handler())
        for chunk in chunks:
            rewriter.write(chunk)
        rewriter.end()
        return b"".join(parts)

    return {"lol-html": of_lol_html}


# Hostile pages, with a clock, beside the others: one of each state. `linear` counts for all.

# The bytes of a chunk, and of the smaller page.
_WAYS = {"whole": (1 << 30, 16_000), "chunks of 1000": (1000, 16_000), "bytes": (1, 5_000)}


def rows(rounds: int) -> list[Row]:
    """Return one line for each way of sending hostile pages: the worst growth of any state's."""
    return [_worst(way, chunk, size, rounds) for way, (chunk, size) in _WAYS.items()]


def _worst(way: str, chunk: int, size: int, rounds: int) -> Row:
    pages = {one.name: one for one in some_of_each_state(1)}
    growth = {name: _growth(one, chunk, size, 3 if chunk > 1 else 1) for name, one in pages.items()}
    # The worst of many noisy ratios is worse than any of them: look at these once more.
    suspects = sorted(pages, key=lambda name: -growth[name].median)[:6]
    growth |= {name: _growth(pages[name], chunk, size, rounds) for name in suspects}
    worst = max(suspects, key=lambda name: growth[name].median)
    return Row(
        f"hostile pages, {way}: the worst t(4n) / t(n)",
        growth[worst],
        TIMES,
        5,
        beside={"generators": str(len(pages)), "worst": worst},
        details={name: growth[name].as_json() for name in suspects},
    )


def _growth(page: HostilePage, chunk: int, size: int, rounds: int) -> Figure:
    loops = {
        str(one): each_of(partial(_sending, page, chunk, one), _called) for one in (size, 4 * size)
    }
    return side_by_side(loops, rounds=rounds).ratio(str(4 * size), str(size))


def _sending(page: HostilePage, chunk: int, size: int) -> Step:
    return page.whole(size) if chunk > size else next(page.stream(chunk, [size]))


def _over_hostile(sizes: list[int]) -> Curves:
    """Return how long a byte takes, of the slowest page of each state."""
    curves: Curves = {}
    for state in dict.fromkeys(one.state for one in PAGES):
        of_state = {one.name: one for one in PAGES if one.state == state}
        small = _seconds(of_state.values(), 16 * KB)
        slowest = of_state[max(small, key=lambda name: small[name])]
        per_byte = [_seconds([slowest], size)[slowest.name] * 1e9 / size for size in sizes]
        curves[slowest.name] = list(zip(sizes, per_byte, strict=True))
    return curves


def _seconds(pages: Iterable[HostilePage], size: int) -> dict[str, float]:
    loops = {one.name: each_of(partial(one.whole, size), _called) for one in pages}
    measured = side_by_side(loops, rounds=3)
    return {name: measured.seconds(name).median for name in loops}


def _called(step: Step) -> None:
    step.read()


_TITLES = {
    "page": "Nanoseconds per byte over the size of the page",
    "chunk": f"Nanoseconds per byte over the size of a chunk, page of {CHUNKED_PAGE // KB} KB",
    "hostile": "Nanoseconds per byte over the size of a hostile page, slowest of each state",
}


def _table(title: str, curves: Curves) -> report.Table:
    sizes = sorted({size for points in curves.values() for size, _ in points})
    lines = [
        [name, *(report.short(found[size]) if size in found else "" for size in sizes)]
        for name, points in curves.items()
        for found in [dict(points)]
    ]
    return report.Table(_TITLES[title], ["", *map(_size, sizes)], lines)


def _size(size: int) -> str:
    if size >= MB:
        return f"{size // MB} MB"
    return f"{size // KB} KB" if size >= KB else f"{size} B"


def _draw(path: Path, curves: Mapping[str, Curves]) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # text as text
    matplotlib.rcParams["svg.hashsalt"] = "ensoras"
    from matplotlib import pyplot

    figure, charts = pyplot.subplots(3, 1, figsize=(10, 20), layout="constrained")
    for axes, (title, lines) in zip(charts, curves.items(), strict=True):
        for name, points in lines.items():
            sizes, values = zip(*points, strict=True)
            width = 2.5 if name == "ours" else 1
            axes.plot(sizes, values, marker="o", markersize=3, linewidth=width, label=name[:60])
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        ticks = sorted({size for points in lines.values() for size, _ in points})
        axes.set_xticks(ticks, map(_size, ticks), fontsize=7)
        axes.set_title(_TITLES[title], fontsize=10)
        axes.legend(fontsize=6, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.06))
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
