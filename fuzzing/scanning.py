"""The scanner against the parsers: one document, cut in many ways."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random

from ensoras_middleware.scanner import Scanner
from ensoras_middleware.widget_tag import TAG_LIMIT, BodyEnd
from fuzzing import differences, oracles
from fuzzing.differences import Difference
from fuzzing.documents import cuttings

# An end tag or a foreign name that a chunk cuts, and the like: no state holds back more.
SMALL = 128

END_TAG = re.compile(rb"</body(?=[\t\n\f\r />])", re.IGNORECASE)


class Scan:
    """What a scanner says about a document that arrives in these chunks.

    `found` are the places of widget tags, `nonces` theirs, `body_ends` those of the body's end.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        *,
        address: re.Pattern[str] | None = oracles.ADDRESS,
        body_end: bool = False,
    ) -> None:
        self.scanner = Scanner(address, body_end=body_end)
        self.found: list[int] = []
        self.nonces: list[str | None] = []
        self.body_ends: list[int] = []
        last, fed, released = -1, 0, 0
        for chunk in chunks:
            fed += len(chunk)
            one = self.scanner.feed(chunk)
            while one is not None:
                assert released <= self.scanner.released <= one.start, "the place was released"
                assert last < one.start < fed, "reported twice, or behind the end"
                last = one.start
                if isinstance(one, BodyEnd):
                    self.body_ends.append(one.start)
                else:
                    assert one.slug == "acme"
                    self.found.append(one.start)
                    self.nonces.append(one.nonce)
                one = self.scanner.feed(b"")
            assert released <= self.scanner.released <= fed, "released goes back, or too far"
            released = self.scanner.released
            assert fed - released <= TAG_LIMIT + SMALL, "too much is held back"
        self.doubt = self.scanner.doubt

    @property
    def answer(self) -> tuple[list[int], list[str | None], list[int]]:
        """Return what must not depend on the chunks."""
        # Without the doubt: what no tag can follow is not read until it can.
        return self.found, self.nonces, self.body_ends


def check(document: bytes, random: Random) -> str:
    """Compare the scanner with the parsers; return how the comparison ended."""
    scan = Scan([document])
    for chunks in cuttings(random, document):
        assert Scan(chunks).answer == scan.answer, f"cutting changes the answer: {chunks}"
    places = oracles.places(document)
    assert set(scan.found) <= set(places), f"wrong place; right are {places}"
    for start, nonce in zip(scan.found, scan.nonces, strict=True):
        check_place(document, start, random)
        assert nonce in (None, oracles.nonce(document[start:])), "not the tag's nonce"
    missed = [start for start in places if start not in scan.found]
    outcome = "found" if places else "none"
    for start in missed:
        gave_up = scan.doubt is not None and not any(start < found for found in scan.found)
        outcome = f"missed: {explained(scan.doubt if gave_up else None, document, start)}"
        if gave_up:
            break
    return outcome


def check_place(document: bytes, start: int, random: Random) -> None:
    """Check that a script runs there for every parser, and that all else stays as it is.

    html5lib takes longer than all else together, so it is asked about some places only.
    """
    before = document[:start]
    assert oracles.is_live(before), "no script would run there"
    assert oracles.changes_nothing_else(document, start), "the rest of the page changes"
    assert oracles.is_element_without_scripting(before), "swallowed where scripting is off"
    if random.random() < 0.3 and not differences.first(differences.HTML5LIB, document, start):
        assert oracles.is_live_to_html5lib(before), "html5lib sees no script there"


def explained(
    doubt: str | None,
    document: bytes,
    missed: int,
    passed: list[Difference] = differences.PASSED,
) -> str:
    """Return why something is passed over, or fail where no difference of the list explains it."""
    doubts = [one for one in differences.DOUBTS if one.name == doubt]
    difference = differences.first([*passed, *doubts], document, missed)
    assert difference is not None, f"missed {missed}, and no difference explains it: {doubt}"
    return difference.name


def check_body_end(document: bytes, random: Random) -> str:
    """Compare where the body ends, alone and beside widget tags."""
    scan = Scan([document], address=None, body_end=True)
    both = Scan([document], body_end=True)
    for chunks in cuttings(random, document):
        alone = Scan(chunks, address=None, body_end=True)
        assert alone.answer == scan.answer, f"cutting changes the answer: {chunks}"
        beside = Scan(chunks, body_end=True)
        assert beside.answer == both.answer, f"cutting changes the answer: {chunks}"
    for start in scan.body_ends:
        assert END_TAG.match(document, start)
        check_place(document, start, random)
    outcome = "found" if scan.body_ends else "none"
    for match in END_TAG.finditer(document, 0, *scan.body_ends):
        if oracles.ends_body(document[: match.start()]):
            reason = explained(scan.doubt, document, match.start(), differences.PASSED_BODY_END)
            outcome = f"missed: {reason}"
            break
    tags = Scan([document]).found
    assert both.found == tags, "the body's end hides a widget tag"
    first_tag = tags[0] if tags else len(document)
    ends = [start for start in scan.body_ends if start < first_tag]
    if both.doubt is not None:  # at a widget tag
        ends = ends[: len(both.body_ends)]
    assert both.body_ends == ends, "widget tags change where the body ends"
    return outcome
