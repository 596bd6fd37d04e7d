"""The core, without any adapter: what a fault of ours, or of the host's data, ends in."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from adapters import ALICE, BOB, PAGE, SECRET, SLUG, TAG, identify_script

from ensoras_middleware import Outcome
from ensoras_middleware.configuration import widget_from
from ensoras_middleware.eligibility import Request
from ensoras_middleware.injection import Injection

HTML: Any = ("Content-Type", "text/html")
BROKEN: Any = ("Vary", None)  # no field has such a value: whoever reads it, fails


def injection(*fields: Any, **options: Any) -> Injection:
    options = {"slug": SLUG, "secret": {SLUG: SECRET}} | options
    widget = widget_from({name: value for name, value in options.items() if value is not ...})
    assert widget is not None
    return Injection(widget, Request("GET", "/", lambda name: None), 200, list(fields))


@pytest.fixture(autouse=True)
def one_warning(caplog: pytest.LogCaptureFixture) -> Any:
    """Each fault here is told once, by type and place, without an address."""
    with caplog.at_level(logging.WARNING, "ensoras_middleware"):
        yield
    if records := caplog.get_records("call"):
        (record,) = records
        assert "failed, and left a page alone" in record.getMessage()
        assert re.search(r"Error at \S+:\d+$", record.getMessage())
        assert "alice" not in record.getMessage()


def test_without_a_fault() -> None:
    """What the faults below would otherwise end in."""
    page = injection(HTML)
    assert page.outcome is None
    assert page.names_widget(PAGE)
    page.user_is(ALICE)
    assert page.whole(PAGE) == PAGE.replace(TAG, identify_script(ALICE) + TAG)
    assert page.outcome is Outcome.IDENTIFIED


def test_fields_that_cannot_be_read() -> None:
    """The response passes as the host made it."""
    page = injection(HTML, (None, "x"))
    assert page.outcome is Outcome.ERROR
    assert page.fields == [HTML, (None, "x")]


@pytest.mark.parametrize("body", ["<p>text", None, 7])
def test_a_body_that_is_none(body: Any) -> None:
    """It is the server's to refuse."""
    page = injection(HTML)
    assert not page.names_widget(body)
    assert page.outcome is Outcome.ERROR


def test_a_whole_page() -> None:
    """The host's own body and fields go out."""
    page = injection(HTML, BROKEN)
    page.user_is(ALICE)
    assert page.whole(PAGE) is PAGE
    assert page.outcome is Outcome.ERROR
    assert page.fields == [HTML, BROKEN]


def test_the_start_of_a_stream() -> None:
    """The host's own fields go out, and then its chunks."""
    page = injection(HTML, BROKEN)
    page.user_is(ALICE)
    page.start_stream()
    assert page.fields == [HTML, BROKEN]
    assert [page.feed(PAGE[:70]), page.feed(PAGE[70:]), page.finish()] == [
        PAGE[:70],
        PAGE[70:],
        b"",
    ]
    assert page.outcome is Outcome.ERROR


@pytest.mark.parametrize("chunk", ["<p>text", None])
def test_a_chunk_that_is_none(chunk: Any) -> None:
    """It passes as it is, for the server to refuse; the rest passes untouched."""
    page = injection(HTML)
    page.user_is(ALICE)
    page.start_stream()
    assert page.feed(b"<p>") == b"<p>"
    assert page.feed(chunk) is chunk
    assert page.feed(TAG) == TAG


@pytest.mark.parametrize(
    ("options", "email", "answers"),
    [
        ({"slug": ...}, ALICE, [True, True, False, False]),
        ({"slug": ...}, None, [False] * 4),
        ({}, ALICE, [False] * 4),
        ({"embed": True}, None, [False] * 4),
    ],
)
def test_when_a_stream_may_ask_for_a_secret(
    options: dict[str, Any], email: str | None, answers: list[bool]
) -> None:
    """Until the widget tag has told which brand it is: an adapter takes a thread for that."""
    page = injection(HTML, **options)
    page.user_is(email)
    page.start_stream()
    told = [page.may_ask_for_secret]
    for chunk in (b"<p>", TAG, b"<p>"):
        page.feed(chunk)
        told.append(page.may_ask_for_secret)
    assert told == answers


OTHER_TAG = TAG.replace(SLUG.encode(), b"other")
NO_SECRET_AND_DOUBT = b"<p>" + OTHER_TAG + b"<svg><font>" + TAG


def test_the_first_reason_counts(caplog: pytest.LogCaptureFixture) -> None:
    """Of a page with a tag of no brand of ours, and a doubt behind it."""
    page = injection(HTML, slug=...)
    assert page.names_widget(NO_SECRET_AND_DOUBT)
    page.user_is(ALICE)
    assert page.whole(NO_SECRET_AND_DOUBT) == NO_SECRET_AND_DOUBT
    assert page.outcome is Outcome.NO_SECRET
    caplog.clear()


def test_a_stream_of_two_brands_under_a_policy(caplog: pytest.LogCaptureFixture) -> None:
    """Its field has left when the tags come: no script goes in that it would block."""
    for policy, script in [("script-src 'self'", b""), ("img-src *", identify_script(ALICE))]:
        page = injection(HTML, ("Content-Security-Policy", policy), slug=...)
        page.user_is(ALICE)
        page.start_stream()
        text = b"".join(page.stream([b"<p>", OTHER_TAG, TAG]))
        assert text == b"<p>" + OTHER_TAG + script + TAG
        assert page.outcome is Outcome.STREAMING
        caplog.clear()


def test_strangers_in_a_stream_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """Each of bob's two scripts is blanked; one error in the log is enough for both."""
    page = injection(HTML)
    page.user_is(None)
    page.start_stream()
    script = identify_script(BOB)
    body = page.feed(script)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    body += page.feed(script) + page.finish()
    assert BOB.encode() not in body
    assert len(body) == 2 * len(script)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    caplog.clear()
