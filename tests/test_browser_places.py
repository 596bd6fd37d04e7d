"""Chromium judges where a page's widget tags are, and whether the page is as it was without us.

Each document is loaded twice, without and with the middleware. Where the widget runs, it must find
the identity in its queue; where it does not, the page must leave as the host wrote it. A page may
stay anonymous although the widget runs, for a reason that the outcome tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from browser_documents import (
    CASES,
    DEAD,
    RUNS,
    STANDS,
    Case,
    hostile_documents,
)
from chromium import ALICE, HASH, IDENTIFY, Document, Site, Visit, Visitor, chromium

from ensoras_middleware import Outcome
from ensoras_middleware.snippet import MARK
from fuzzing import oracles
from fuzzing.documents import cuts
from fuzzing.fragments import WIDGET

pytestmark = pytest.mark.browser

BATCHES, BATCH_SIZE = 7, 28

# The share of pages with a running widget that may stay anonymous, of random soup of every
# fragment that is hostile; real pages are in doubt far less often.
DOUBT_LIMIT = 0.25


class Judge:
    """Loads documents without and with the middleware, and compares."""

    def __init__(self, site: Site, host: Visitor, ours: Visitor) -> None:
        self._site, self._host, self._ours = site, host, ours
        self._told_before = 0  # by the visit without the middleware

    def load(self, document: bytes, charset: str | None = "utf-8") -> tuple[Visit, Visit]:
        site = self._site
        body = here(document, site)
        site.pages["/page"] = Document([body], charset=charset)
        site.pages["/stream"] = Document(cuts(Random(len(body)), body), charset=charset)
        site.told.clear()
        host = self._host.visit("/page")
        self._told_before = len(site.told)
        ours = self._ours.visit("/page")
        assert host.body == body, "the judge must see the host's own bytes"
        return host, ours

    def judge(self, document: bytes, charset: str | None = "utf-8") -> tuple[Visit, Visit]:
        """Return the visit without and the one with the middleware; what must always hold, holds.

        A widget that runs was told the identity, once, before it began, or nothing at all where
        the page is untouched. All else of the page is the same.
        """
        site = self._site
        host, ours = self.load(document, charset)
        body = host.body
        before, after = site.told[: self._told_before], site.told[self._told_before :]
        assert {told["page"] for told in site.told} <= {site.origin + "/page", "about:srcdoc"}
        assert [told for told in after if not told["framed"]] == ours.told
        assert all(not told["calls"] for told in [*before, *after] if told["framed"])
        assert len(ours.runs) == len(host.runs)
        if ours.outcome == Outcome.IDENTIFIED:
            assert all(identities(run) == [IDENTIFY] for run in ours.runs)
            assert without_script(ours.body) == body
        else:
            assert ours.body == body
            assert ours.runs == host.runs
        same_page(host, ours)
        if ours.outcome != Outcome.NO_WIDGET:  # a stream is not searched for the address first
            assert site.fetch("/stream") == ours.body, "cutting the page must change nothing"
        return host, ours


def same_page(host: Visit, ours: Visit) -> None:
    """The rest of the page is as the host made it."""
    assert ours.tree == host.tree
    assert (ours.text, ours.title, ours.mode) == (host.text, host.title, host.mode)
    assert ours.steps == host.steps
    # Whether two tags of one address share a request changes from one load to the next.
    assert set(ours.requests) == set(host.requests)
    assert ours.errors == host.errors
    shown = repr((ours.tree, ours.text, ours.title, ours.steps, ours.requests, ours.errors))
    assert ALICE not in shown
    assert HASH not in shown


def identities(run: list[object]) -> list[object]:
    """Return the calls of `identify` that waited when the widget began to run."""
    return [call for call in run if isinstance(call, list) and call[:1] == ["identify"]]


def without_script(body: bytes) -> bytes:
    """Return a page without its one identify script."""
    before, mark, rest = body.partition(MARK)
    assert mark
    assert MARK not in rest
    return before[: before.rindex(b"<script")] + rest.partition(b"</script>")[2]


def here(document: bytes, site: Site) -> bytes:
    """Point a document's addresses to the stand-in for the widget."""
    host = site.widget_origin.removeprefix("http://").encode()
    document = document.replace(b"http://app.ensoras.com", b"https://" + host)  # the other scheme
    document = document.replace(b"https://app.ensoras.com", b"http://" + host)
    document = document.replace(b"&#104;ttps:", b"&#104;ttp:")
    return document.replace(b"APP.ensoras.com", host.upper()).replace(b"app.ensoras.com", host)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Site(tells=True).running() as site, chromium() as browser:
        host = Visitor(browser, site, bare=True)
        yield Judge(site, host, Visitor(browser, site, bare=False))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_written_document(judge: Judge, case: Case) -> None:
    """Each document has a known verdict of the browser, and a known outcome."""
    host, ours = judge.judge(case.document, case.charset)
    assert (bool(host.runs), ours.outcome) == (case.verdict == RUNS, case.outcome)
    assert (case.outcome == Outcome.IDENTIFIED) <= (case.verdict in (RUNS, STANDS))
    assert ours.left_scripts == case.left_scripts


@pytest.mark.parametrize("opener", ["<textarea>", "<!--", "<plaintext style=display:none>"])
def test_opener_that_a_script_writes(judge: Judge, opener: str) -> None:
    """A known limit: nobody can tell what a page's script will write in front of the widget tag.

    Then neither the widget nor our script is a script, and the visitor's own page may show text of
    ours to the visitor. It is not executed, and nobody is told.
    """
    own = f"<p>x</p><script>document.write('{opener}')</script>".encode()
    host, ours = judge.load(own + WIDGET)
    assert ours.outcome == Outcome.IDENTIFIED
    assert host.runs == ours.runs == []
    assert ours.queue is None
    assert ours.requests == host.requests
    assert ours.errors == host.errors


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_documents(judge: Judge, batch: int, record_property: pytest.RecordProperty) -> None:
    """A script stands before every widget that runs, unless in doubt, and nowhere else."""
    seen: Counter[tuple[str, str | None]] = Counter()
    wrong = []
    for document in hostile_documents(BATCH_SIZE, seed=batch):
        try:
            host, ours = judge.judge(document)
        except AssertionError as error:
            error.add_note(f"document: {document!r}")
            raise
        verdict = RUNS if host.runs else DEAD
        seen[verdict, ours.outcome] += 1
        # A tag whose address is not written out is nobody's, though it runs.
        passed = (verdict, ours.outcome) == (RUNS, Outcome.NO_TAG) and oracles.places(document)
        if passed or (verdict, ours.outcome) == (DEAD, Outcome.IDENTIFIED):
            wrong.append((verdict, document))
    for (verdict, outcome), times in seen.most_common():
        record_property(f"{verdict}, {outcome}", times)
    assert wrong == []
    missed = sum(times for (verdict, outcome), times in seen.items() if verdict == RUNS)
    missed -= seen[RUNS, Outcome.IDENTIFIED]
    assert seen[RUNS, Outcome.IDENTIFIED] >= BATCH_SIZE / 4, seen
    assert missed <= DOUBT_LIMIT * (missed + seen[RUNS, Outcome.IDENTIFIED]), seen
