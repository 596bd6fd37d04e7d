"""What `make fuzz` does for hours, for seconds and from a fixed seed; and that it would tell."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings

from ensoras_middleware.candidate import WidgetTag
from ensoras_middleware.scanner import Scanner
from fuzzing import differences, injecting, judging, scanning, standard
from fuzzing.documents import (
    documents,
    extreme_document,
    hopped_document,
    random_document,
    with_body_ends,
)
from fuzzing.fragments import WIDGET
from tests.adapters import ALICE, BOB, Answer, identify_script

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.no_cover  # it repeats what others run

Make = Callable[[Random], bytes]


def outcomes(check: judging.Check, make: Make, count: int) -> Counter[str]:
    """Return how the checks of so many documents end."""
    random, counts = Random(1), Counter[str]()
    for _ in range(count):
        document = make(random)
        try:
            counts[check(document, random)] += 1
        except AssertionError as error:
            error.add_note(f"document: {document!r}")
            raise
    return counts


def test_random_documents(record_property: pytest.RecordProperty) -> None:
    """On hostile documents no place is ever wrong, and misses are told and not the rule."""
    counts = outcomes(scanning.check, random_document, 2000)
    for outcome, times in counts.most_common():
        record_property(outcome, times)
    missed = sum(times for outcome, times in counts.items() if outcome.startswith("missed"))
    assert missed < counts["found"] / 4, counts


def test_extreme_documents() -> None:
    """Nor on those with tags and nesting near the limits."""
    outcomes(scanning.check, extreme_document, 25)


def test_hopped_documents() -> None:
    """Nor on longer ones, of what the scanner hops over."""
    counts = outcomes(scanning.check, hopped_document, 200)
    assert counts["found"] > 25, counts


def test_body_ends() -> None:
    """The end of the body is where parsers have it."""
    counts = outcomes(
        scanning.check_body_end, lambda random: with_body_ends(random, random_document(random)), 600
    )
    assert counts["found"] > 300, counts


@settings(
    max_examples=125,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(documents())
@example(b"<svg x=/>" + WIDGET)
def test_generated_documents(document: bytes) -> None:
    """The same for documents that hypothesis nests and shrinks."""
    scanning.check(document, Random(len(document)))


def test_injection() -> None:
    """Through every adapter, and in all ways: the host's page, but for a script in its place."""
    counts = outcomes(injecting.check, random_document, 100)
    assert counts["identified, script"] > 15, counts
    assert counts["anonymous, no script"] > 10, counts


# It would tell --------------------------------------------------------------------------------


def finding(check: str, make: Make, folder: Path) -> dict[str, Any]:
    """Return the first disagreement that a judge finds, as it is written to a file."""
    judge = judging.Judge(Random(1), folder)
    random = Random(2)
    for _ in range(500):
        judge.put(check, make(random))
        if judge.findings:
            path = Path(judge.findings[0])
            assert judging.again(path), "it can be judged again"
            found: dict[str, Any] = json.loads(path.read_text())
            return found
    raise AssertionError("nothing was found")


class NaiveScanner(Scanner):
    """Takes the text of a widget tag for one, wherever it stands."""

    def feed(self, chunk: bytes) -> WidgetTag | None:
        place = chunk.find(WIDGET)
        return WidgetTag(place, "acme", None, False) if place >= 0 else None

    @property
    def released(self) -> int:
        return 0


def test_a_wrong_place_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A scanner that knows no comments is found out, by the shortest such document."""
    monkeypatch.setattr(scanning, "Scanner", NaiveScanner)
    monkeypatch.setattr(scanning, "cuttings", lambda random, document: [])

    found = finding("scanner", lambda random: b"<p>x<!--" + random_document(random), tmp_path)
    assert found["document"] == f"<!{WIDGET.decode()}"
    monkeypatch.undo()
    (path,) = tmp_path.iterdir()
    assert judging.again(path) is None


def test_a_silent_miss_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the scanner passes without a reason of the list is a disagreement."""
    monkeypatch.setattr(differences, "DOUBTS", [])
    assert "no difference explains it" in finding("scanner", random_document, tmp_path)["failure"]


def with_body(answer: Answer, body: bytes) -> Answer:
    headers = [one for one in answer.headers if one[0].lower() != "content-length"]
    return Answer(answer.status, [*headers, ("Content-Length", str(len(body)))], [body])


def with_field(answer: Answer, name: str, value: str) -> Answer:
    headers = [one for one in answer.headers if one[0].lower() != name.lower()]
    return Answer(answer.status, [*headers, (name, value)], answer.chunks)


SCRIPT = identify_script(ALICE)
SPOILED: dict[str, Callable[[Answer], Answer]] = {
    "a byte is lost": lambda one: with_body(one, one.body[:-1]),
    "a byte has changed": lambda one: with_body(one, one.body.swapcase()),
    "the script is at the start": lambda one: with_body(
        one, SCRIPT + one.body.replace(SCRIPT, b"") if SCRIPT in one.body else one.body
    ),
    "the script is another's": lambda one: with_body(one, one.body.replace(b"alice@", b"carol@")),
    "the hash is another widget's": lambda one: with_body(
        one, one.body.replace(SCRIPT, identify_script(ALICE, injecting.SECRETS["other"]))
    ),
    "no script": lambda one: with_body(one, one.body.replace(SCRIPT, b"")),
    "another visitor's script": lambda one: with_body(one, one.body + identify_script(BOB)),
    "a nonce": lambda one: with_body(one, one.body.replace(SCRIPT, b"<script nonce=x>")),
    "the length": lambda one: with_field(one, "Content-Length", str(len(one.body) + 1)),
    "a cache may keep it": lambda one: with_field(one, "Cache-Control", "max-age=9"),
    "a validator": lambda one: with_field(one, "ETag", '"other"'),
    "no Vary": lambda one: with_field(one, "Vary", "Accept"),
    "a field is lost": lambda one: with_field(one, "X-Other", "2"),
    "a policy": lambda one: with_field(one, "Content-Security-Policy", "script-src 'self'"),
    "an error page": lambda one: Answer(500, one.headers, one.chunks),
    "an outcome": lambda one: with_field(one, "X-Ensoras-Outcome", "error"),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_spoiled_answer_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spoil: Callable[[Answer], Answer]
) -> None:
    """Whatever is wrong with what leaves, it is a disagreement."""
    get = injecting.Site.get
    monkeypatch.setattr(injecting.Site, "get", lambda *args, **more: spoil(get(*args, **more)))
    finding("wsgi", random_document, tmp_path)


def test_an_adapter_of_its_own_mind_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each adapter must answer as the others do."""
    get = injecting.Site.get

    def spoiled(site: Any, **request: str) -> Answer:
        answer = get(site, **request)
        flask = site is injecting.site("flask", False, False)
        return with_field(answer, "X-Flask", "1") if flask else answer

    monkeypatch.setattr(injecting.Site, "get", spoiled)
    assert "other fields: flask" in finding("adapters", random_document, tmp_path)["failure"]


def test_shrinking() -> None:
    """What matters stays, whatever stands between."""
    text = bytes(range(256)) * 4
    assert judging.shrunk(text, lambda one: b"\x07" in one and b"\xf0" in one) in (
        b"\x07\xf0",
        b"\xf0\x07",
    )


def test_documents_of_html5lib_tests() -> None:
    """Each gets a widget tag at each position, and then they are mixed without end."""
    sources = [b"<p>x", b"<svg>"]
    spliced: Iterator[bytes] = standard.spliced(Random(1), sources)
    first = [next(spliced) for _ in range(5 + 6)]
    expected = [one[:at] + WIDGET + one[at:] for one in sources for at in range(len(one) + 1)]
    assert sorted(first) == sorted(expected)
    assert b"ensoras.com" in b"".join(next(spliced) for _ in range(5))


def test_the_program(tmp_path: Path) -> None:
    """It says what it judged, how fast, and how it ended."""
    options = f"--seconds 1 --jobs 1 --only random,generated,adapters --output {tmp_path}"
    command = [sys.executable, "-m", "fuzzing", *options.split()]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "random " in run.stdout
    assert re.search(r"\d scanner: found", run.stdout)
    assert run.stdout.endswith(" 0 disagreements\n")
