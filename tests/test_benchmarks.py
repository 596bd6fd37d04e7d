"""The benchmarks measure what they say: made pages, peers that do the job, and a budget that bites.

Nothing here looks at a clock. The peers are in requirements-bench.txt, which `make bench` installs.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from benchmarks import correctness, instructions, pages, peers, profile, report, subject
from benchmarks.pages import ABSENT, BODY, HEAD
from benchmarks.timing import Figure, Measured, each, figure, side_by_side
from ensoras_middleware.scanner import Scanner
from fuzzing import oracles

SIMPLE = (
    b"<!doctype html><html><head><meta charset=utf-8><title>Shop</title></head>\n<body>\n"
    b"<p>Hello</p>\n" + subject.TAG + b"\n</body></html>"
)
INSTALLED = [
    pytest.param(
        peer,
        id=peer.name,
        marks=pytest.mark.skipif(
            not peers.is_installed(peer),
            reason=f"{peer.distribution} is not installed: `make bench` does it",
        ),
    )
    for peer in peers.PEERS
]


# Pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10_000, 50_000, 200_000])
def test_made_pages_hold_what_real_ones_do(size: int) -> None:
    """Of about the size asked for, the same every time, and nowhere near a doubt."""
    page = pages.made_page(size)
    assert page == pages.made_page(size)
    assert 0.9 * size < len(page) < 1.1 * size
    for part in (
        b"<!DOCTYPE", b"<style>", b"<script>", b"application/ld+json", b"<!--[if", b"<noscript>",
        b"<svg class=", b"<select ", b"<textarea ", b"data-price='{", "€".encode(), b"&amp;",
    ):  # fmt: skip
        assert part in page
    assert 30 < len(page) / page.count(b"<") < 60
    assert subject.NEEDLE not in page
    scanner = Scanner(subject.WIDGET.address)
    assert scanner.feed(page) is None
    assert scanner.doubt is None


@pytest.mark.parametrize("page", pages.made_pages()[:3], ids=lambda page: page.name)
def test_the_tag_of_a_page_is_live_where_it_is_put(page: pages.Page) -> None:
    """The judge of the scanner's own tests sees it, in the head and at the end."""
    assert page.with_tag(ABSENT) == page.text
    assert page.place(HEAD) < page.place(BODY)
    for where in (HEAD, BODY):
        document = page.with_tag(where)
        assert oracles.places(document) == [page.place(where)]
        assert subject.ours(document) == inserted(document, page.place(where))


def test_pages_come_from_the_folder_if_it_has_any(tmp_path: object) -> None:
    """A page without head or body, and no folder, are no reason to fail."""
    folder = pages.Path(str(tmp_path))
    assert pages.pages(None) == pages.pages(str(folder / "none")) == pages.pages(str(folder))
    (folder / "odd.html").write_bytes(b"<p>no body")
    (folder / "has the widget.html").write_bytes(SIMPLE)
    (folder / "b.html").write_bytes(b"<head></head><body>longer</body>")
    (folder / "a.html").write_bytes(b"<head></head><body></body>")
    assert [page.name for page in pages.pages(str(folder))] == ["a", "b"]


# Peers ----------------------------------------------------------------------------------------


def inserted(document: bytes, place: int) -> bytes:
    return document[:place] + subject.SCRIPT + document[place:]


@pytest.mark.parametrize("peer", INSTALLED)
def test_each_peer_does_the_job_on_a_simple_page(peer: peers.Peer) -> None:
    """What is slower or faster than this project has at least done the same."""
    insert = peer.build()
    answer = insert(SIMPLE)
    assert answer.count(subject.SCRIPT) == 1
    assert insert(SIMPLE) == answer, "the second call is like the first"
    if not peer.finds_tag:
        assert answer == inserted(SIMPLE, SIMPLE.index(b"<title>"))
        return
    place = answer.index(subject.SCRIPT)
    assert oracles.places(answer) == [place + len(subject.SCRIPT)]
    assert oracles.is_live(answer[:place])
    without = SIMPLE.replace(subject.TAG, b"<script src=other.js></script>")
    assert subject.SCRIPT not in insert(without)


@pytest.mark.parametrize("name", ["django-browser-reload", "flask-debugtoolbar"])
def test_middleware_peers_insert_before_the_end_of_the_body(name: str) -> None:
    """By their own code, in their own frameworks."""
    module = name.replace("-", "_")
    pytest.importorskip(module, reason=f"{name} is not installed: `make bench` does it")
    program = (
        "import sys; from benchmarks import frameworks as f; page = sys.stdin.buffer.read();"
        f"theirs, ours = f.{module}(), f.{name.partition('-')[0]}_ours();"
        "sys.stdout.buffer.write(theirs(page) + b'|' + ours(page))"
    )
    # In a process of its own: Django can be configured once.
    result = subprocess.run(
        [sys.executable, "-c", program],
        input=SIMPLE,
        capture_output=True,
        check=True,
        cwd=instructions.ROOT,
    )
    theirs, _, ours = result.stdout.partition(b"|")
    begin, end = SIMPLE.split(b"</body>")
    assert theirs.startswith(begin + b"<script")
    assert theirs.endswith(b"</script></body>" + end)
    assert ours == inserted(SIMPLE, SIMPLE.index(subject.TAG))


def test_the_limit_does_the_least() -> None:
    """One search, and one join where it has found something."""
    assert subject.limit(SIMPLE).replace(subject.SCRIPT, b"") == SIMPLE
    assert subject.limit(b"<p>") == b"<p>"
    assert subject.find(SIMPLE) == SIMPLE.index(subject.NEEDLE)


def test_all_ways_through_this_project_agree() -> None:
    """What is measured as parts, as a whole and as a stream inserts the same script."""
    expected = inserted(SIMPLE, SIMPLE.index(subject.TAG))
    assert subject.ours(SIMPLE) == expected
    assert subject.answered(subject.injection(), SIMPLE, subject.EMAIL) == expected
    assert subject.answered(subject.injection(), SIMPLE, None) == SIMPLE
    chunks = [SIMPLE[at : at + 7] for at in range(0, len(SIMPLE), 7)]
    assert subject.streamed(subject.injection(), chunks) == expected


def test_the_judge_tells_right_from_wrong() -> None:
    """Else the column about correctness would flatter everybody."""
    decoy = b"<!-- " + subject.TAG + b" -->"
    first = correctness.judged(peers.exact_replace(), [SIMPLE, decoy, decoy + SIMPLE, b"<p>"])
    assert (first.documents, first.wrong, first.missed) == (4, 2, 0)
    assert first.wrong_share == 0.5
    nothing = correctness.judged(lambda body: body, [SIMPLE, decoy])
    assert (nothing.wrong, nothing.missed) == (0, 1)
    at_once = correctness.judged(lambda body: subject.SCRIPT + body, [SIMPLE, decoy])
    assert at_once.wrong == 2
    assert correctness.judged(lambda body: subject.SCRIPT + body, [SIMPLE], finds_tag=False) == (
        correctness.Judged(1, 0, 0, 0)
    )
    assert correctness.judged(lambda body: body[10**9], [SIMPLE]).failed == 1  # type: ignore[arg-type,return-value]


def test_decoys_are_none_of_the_live_tags() -> None:
    """Each decoy page has one live tag, and this project finds that one."""
    page = pages.Page("simple", SIMPLE.replace(subject.TAG, b""))
    documents = list(correctness.decoy_pages([page]))
    assert len(documents) == 3 * len(correctness.DECOYS)
    for document in documents:
        assert document.count(subject.TAG) == 2
        (live,) = oracles.places(document)
        assert subject.ours(document) == inserted(document, live)
    assert correctness.hostile_documents(20) == correctness.hostile_documents(20)


# Figures --------------------------------------------------------------------------------------


def test_figures_are_medians_and_pairs_are_compared_by_round() -> None:
    """A round in which everything was slow does not change a ratio."""
    run = Measured({"a": [2.0, 20.0, 2.0], "b": [1.0, 10.0, 1.0]})
    assert run.seconds("a") == Figure(2.0, 2.0, 11.0)
    assert run.ratio("a", "b") == Figure(2.0, 2.0, 2.0)
    assert run.difference("a", "b") == Figure(1.0, 1.0, 5.5)
    assert figure([3.0]) == Figure(3.0, 3.0, 3.0)
    assert Figure(1, 2, 3).scaled(2) == Figure(2, 4, 6)


def test_candidates_take_turns() -> None:
    """Each candidate has one sample in each round, and no one is always first."""
    order: list[str] = []

    def loop(name: str) -> object:
        def run(times: int) -> None:
            order.append(name)

        return run

    run = side_by_side({"a": loop("a"), "b": loop("b")}, rounds=4, sample=0)  # type: ignore[dict-item]
    assert "".join(order) == "ab" + "abba" * 2
    assert {name: len(values) for name, values in run.rounds.items()} == {"a": 4, "b": 4}
    calls: list[int] = []
    each(calls.append, 1)(3)
    assert calls == [1, 1, 1]


def test_a_row_says_whether_its_goal_is_met() -> None:
    """In both directions, and without a goal nothing."""
    at_most = report.Row("x", Figure(2, 1, 3), "µs", 4)
    at_least = report.Row("y", Figure(2, 1, 3), "x", 4, at_least=True)
    told = report.Row("z", Figure(2, 1, 3), "x")
    assert [(one.of_goal, one.verdict) for one in (at_most, at_least, told)] == [
        (0.5, "met"),
        (2, "MISSED"),
        (None, ""),
    ]
    text = report.goals_table([at_most, at_least, told]).as_text()
    assert re.search(r"\| x +\| 2.00 µs \| 1.00 to 3.00 \| ≤ 4.00 +\| +0.50 \| +met \|", text)
    assert "MISSED" in report.as_json({}, [at_least], [])


# The budget -----------------------------------------------------------------------------------


def test_the_budget_reports_what_got_worse() -> None:
    """By more than a tenth; what got better, or is new, is no failure."""
    budget = {"a": 1000.0, "b": 1000.0, "c": 1000.0}
    lines, worse = instructions.compared(budget, {"a": 1099.0, "b": 1101.0, "c": 500.0, "d": 7.0})
    assert worse
    assert [line.rpartition("  ")[2] for line in lines] == [
        lines[0],
        "WORSE",
        "better: renew the budget",
        lines[3],
    ]
    assert "+9.9%" in lines[0]
    assert not instructions.compared(budget, {"a": 1099.0, "b": 1.0})[1]


def test_the_budget_names_every_step() -> None:
    """A step without a budget would never be looked at."""
    budget = instructions.json.loads(instructions.BUDGET.read_text())
    names = {*instructions.STEPS, *instructions.OVER_BARE, instructions.IMPORT}
    assert set(budget["instructions"]) == names
    assert len(names) <= 10
    assert {"python", "starlette", "flask", "django", "werkzeug"} <= set(budget)


def test_a_profile_tells_what_takes_how_much() -> None:
    body = pages.Page("", pages.made_page(50_000)).with_tag(BODY)
    shares = profile.shares_of(lambda: [subject.ours(body) for _ in range(20)])
    assert sum(shares.values()) == pytest.approx(1)
    # The expressions run inside of one builtin, and are called by the hops. Which of them takes
    # more is not asked: what measures coverage slows our own lines down.
    assert shares["method 'search' of 're.Pattern' objects"] > 0
    assert shares["ensoras_middleware/hops.py"] > 0
