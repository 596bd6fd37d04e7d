"""The project beside its peers: how fast, and how often in a wrong place."""

from __future__ import annotations

import statistics

from benchmarks import frameworks, subject
from benchmarks.correctness import Judged, decoy_pages, hostile_documents, judged
from benchmarks.pages import ABSENT, BODY, HEAD, Page
from benchmarks.peers import PEERS, Insert, Peer, is_installed
from benchmarks.report import TIMES, Row, Table, short
from benchmarks.scanning import Cell, beside, nanoseconds_per_byte, spanned


def rows(cells: list[Cell]) -> list[Row]:
    """Return the lines about the peers: how many times faster this project is."""
    body = [cell for cell in cells if cell.where == BODY]
    lines = []
    for peer in PEERS:
        places = (BODY, HEAD, ABSENT) if peer.name == "lol-html" else (BODY,)
        for where in places:
            chosen = [cell for cell in cells if cell.where == where] if where != BODY else body
            if any(peer.name in cell.of(peer.name).rounds for cell in chosen):
                lines.append(_faster_than(peer, where, chosen))
    return lines


def _faster_than(peer: Peer, where: str, cells: list[Cell]) -> Row:
    times = {cell.page.name: cell.of(peer.name).ratio(peer.name, "ours") for cell in cells}
    what = {BODY: "tag before </body>", HEAD: "tag in <head>", ABSENT: "without the tag"}[where]
    return Row(
        f"faster than {peer.name}, {what}",
        spanned([one.median for one in times.values()], statistics.median),
        TIMES,
        peer.goal,
        at_least=True,
        beside=beside(cells, ["ours", peer.name]),
        spread="pages",
        details={name: one.as_json() for name, one in times.items()},
    )


def table(cells: list[Cell]) -> Table:
    """Return the table of every page: over the limit, per byte, and in microseconds."""
    peers = [peer.name for peer in PEERS if is_installed(peer)]
    columns = [
        "page",
        "tag",
        "bytes",
        "limit µs",
        "ours µs",
        f"{TIMES} limit",
        "ns/byte",
        f"all in {TIMES} limit",
    ]
    lines = []
    for cell in cells:
        run = cell.measured
        all_in = run.ratio("all in", "limit").median if "all in" in run.rounds else None
        lines.append(
            [
                cell.page.name,
                cell.where,
                str(cell.size),
                short(run.seconds("limit").median * 1e6),
                short(run.seconds("ours").median * 1e6),
                short(run.ratio("ours", "limit").median),
                short(nanoseconds_per_byte(cell)),
                "" if all_in is None else short(all_in),
                *(
                    short(cell.of(name).seconds(name).median * 1e6)
                    if name in cell.of(name).rounds
                    else ""
                    for name in peers
                ),
            ]
        )
    return Table(
        "Every page, in microseconds where nothing else is said",
        columns + [f"{name} µs" for name in peers],
        lines,
    )


def correctness_table(pages: list[Page], *, quick: bool) -> Table:
    """Return how often each of them puts the script into a wrong place."""
    hostile = hostile_documents(500 if quick else 3000)
    decoys = list(decoy_pages(pages))
    plain = [page.with_tag(BODY) for page in pages]
    inserts: list[tuple[str, Insert, bool, bytes]] = [("ours", _ours, True, subject.SCRIPT)]
    inserts += [
        (peer.name, peer.build(), peer.finds_tag, subject.SCRIPT)
        for peer in PEERS
        if is_installed(peer)
    ]
    browser_reload, mark = frameworks.django_browser_reload(), frameworks.BROWSER_RELOAD_MARK
    inserts += [
        ("django-browser-reload", browser_reload, False, mark),
        ("flask-debugtoolbar", frameworks.flask_debugtoolbar(), False, subject.SCRIPT),
    ]
    lines = []
    for name, insert, finds_tag, mark in inserts:
        of_hostile = judged(insert, hostile, finds_tag=finds_tag, mark=mark)
        of_decoys = judged(insert, decoys, finds_tag=finds_tag, mark=mark)
        # Flask-DebugToolbar and the parsers write pages that are not UTF-8 anew.
        kept = sum(_keeps_the_rest(insert, page, mark) for page in plain)
        lines.append([name, *_cells(of_hostile), *_cells(of_decoys), f"{kept} of {len(plain)}"])
    columns = ["", "wrong", "missed", "failed", "wrong", "missed", "failed", "rest unchanged"]
    title = (
        f"Is it right? {len(hostile)} hostile documents; {len(decoys)} pages with a decoy; "
        "the rest of the page, byte for byte"
    )
    return Table(title, columns, lines)


def _ours(body: bytes) -> bytes:
    return subject.answered(subject.injection(), body, subject.EMAIL)


def _cells(result: Judged) -> list[str]:
    shares = (result.wrong_share, result.missed / result.documents)
    return [*(f"{share:.1%}" for share in shares), str(result.failed)]


def _keeps_the_rest(insert: Insert, body: bytes, mark: bytes) -> bool:
    answer = insert(body)
    place = answer.find(mark)
    added = len(answer) - len(body)
    return place < 0 or answer[:place] + answer[place + added :] == body
