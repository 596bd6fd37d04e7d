"""Which responses may be touched, asked directly; `test_scenarios` sees the same in whole sites."""

from __future__ import annotations

import pytest

from ensoras_middleware.configuration import widget_from
from ensoras_middleware.eligibility import (
    Request,
    hides_preconditions,
    is_html,
    refusal,
    withholds_identity,
)
from ensoras_middleware.outcome import Outcome

HTML = ("Content-Type", "text/html")

# By labels of the WHATWG Encoding standard, and of libraries.
NOT_ASCII = (
    "utf-16 utf-16le utf-16be utf16 utf-32 utf32 utf-7 utf7 unicode unicodefffe csunicode ucs-2 "
    "ucs2 ucs-4 ucs4 csucs4 iso-10646-ucs-2 iso10646-ucs-2 iso-2022-jp iso2022-kr csiso2022kr "
    "x-utf-16 hz-gb-2312"
).split()
ASCII = (
    "utf-8 utf8 x-utf-8 us-ascii csascii iso-8859-1 csisolatin1 iso-2023 windows-1252 x-sjis big5 "
    "x-user-defined gbk koi8-r ucs utf-17 utf-1 utf-3 iso-1064 ascii-utf-16"
).split()


def refused(*fields: tuple[str, str], method: str = "GET", status: int = 200) -> Outcome | None:
    return refusal(Request(method, "/", {}.get), status, list(fields))


@pytest.mark.parametrize("form", ["; charset={}", ';CHARSET="{}"', " ; a=b; charset  =  ' {}' ;"])
def test_charsets(form: str) -> None:
    """Where the bytes of ASCII may mean something else, the page is left alone."""
    for charset in NOT_ASCII:
        for one in (charset, charset.upper()):
            field = ("Content-Type", "text/html" + form.format(one))
            assert refused(field) is Outcome.CHARSET, one
    for charset in (*ASCII, ""):
        assert refused(("Content-Type", "text/html" + form.format(charset))) is None, charset


def test_what_is_no_charset() -> None:
    """A parameter of another name, or of none."""
    for parameters in ("; xcharset=utf-16", "; charset", "; a=utf-16", " charset=utf-16"):
        assert refused(("Content-Type", f"text/html{parameters}")) is not Outcome.CHARSET


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, Outcome.STATUS) for status in (100, 101, 199, 204, 205, 206, 304)),
        *((status, None) for status in (200, 201, 202, 203, 207, 301, 303, 305, 404, 500)),
    ],
)
def test_statuses(status: int, outcome: Outcome | None) -> None:
    """Those without a body, and with a part of one (RFC 9110, section 15)."""
    assert refused(HTML, status=status) is outcome


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ([HTML], None),
        ([], Outcome.NOT_HTML),
        ([("Content-Type", "")], Outcome.NOT_HTML),
        ([("Content-Type", "text/htmlx")], Outcome.NOT_HTML),
        ([("content-TYPE", " Text/HTML ; x")], None),
        ([HTML, ("Content-Type", "text/plain")], Outcome.NOT_HTML),
        ([HTML, ("Content-Range", "bytes 0-1/2")], Outcome.STATUS),
        ([("Content-Range", "bytes 0-1/2"), HTML], Outcome.STATUS),
        ([HTML, ("Content-Encoding", "gzip")], Outcome.ENCODED),
        ([HTML, ("Content-Encoding", "")], None),
        ([HTML, ("Content-Encoding", " Identity ")], None),
        ([HTML, ("Content-Encoding", "identity, gzip")], Outcome.ENCODED),
        ([HTML, ("Content-Disposition", "attachment")], Outcome.ATTACHMENT),
        ([HTML, ("Content-Disposition", "unknown; x=inline")], Outcome.ATTACHMENT),
        ([HTML, ("Content-Disposition", " Inline ; filename=a")], None),
        ([HTML, ("Content-Disposition", "")], None),
        ([HTML, ("Content-Disposition", "; filename=a")], None),
        # The first reason is told, whichever others there are.
        ([("Content-Range", "x"), ("Content-Encoding", "br"), HTML], Outcome.STATUS),
        ([("Content-Encoding", "br"), ("Content-Range", "x"), HTML], Outcome.ENCODED),
        ([("Content-Encoding", "br"), ("Content-Disposition", "x"), HTML], Outcome.ENCODED),
        ([("Content-Disposition", "x"), ("Content-Encoding", "br"), HTML], Outcome.ATTACHMENT),
        ([("Content-Language", "gzip"), ("X-Content-Encoding", "gzip"), HTML], None),
    ],
)
def test_fields(fields: list[tuple[str, str]], outcome: Outcome | None) -> None:
    """In any case and order, by the whole of a value."""
    assert refused(*fields) is outcome


def test_what_is_html() -> None:
    """Not what says nothing of itself."""
    assert is_html("text/html") is True
    assert is_html(None) is False


def test_head() -> None:
    """A HEAD is left alone for what it is, unless its GET would be for another reason."""
    assert refused(HTML, method="HEAD") is Outcome.HEAD
    assert refused(HTML, ("Content-Encoding", "br"), method="HEAD") is Outcome.ENCODED
    assert refused(HTML, method="head") is None


@pytest.mark.parametrize(
    ("fields", "withheld"),
    [
        ({}, False),
        ({"site": "none"}, False),
        ({"site": "same-origin", "mode": "cors", "dest": "document"}, False),
        ({"site": "cross-site"}, True),
        ({"site": " Cross-Site "}, True),
        ({"site": "same-site"}, True),
        ({"site": "cross-site", "mode": "no-cors"}, True),
        ({"site": "cross-site", "mode": "navigate"}, False),
        ({"site": "same-site", "mode": " Navigate "}, False),
        ({"site": "cross-site", "mode": "navigate", "dest": "empty"}, True),
        ({"dest": "empty"}, True),
        ({"dest": " Empty "}, True),
        ({"dest": "document"}, False),
    ],
)
def test_withheld(fields: dict[str, str], withheld: bool) -> None:
    """What no visitor opens as a page of this site (Fetch Metadata, sections 2.1 to 2.3)."""
    headers = {f"sec-fetch-{name}": value for name, value in fields.items()}
    assert withholds_identity(Request("GET", "/", headers.get)) is withheld


def test_hidden_preconditions(caplog: pytest.LogCaptureFixture) -> None:
    """Where a page is asked for with a log-in, but no excluded one; a fault hides nothing."""
    widget = widget_from({"slug": "acme", "secret": "0123456789abcdef", "exclude": ["/x"]})
    assert widget is not None
    page = {"cookie": "a=b", "sec-fetch-dest": "document"}
    for path, headers, hidden in [("/", page, True), ("/x/y", page, False), ("/", {}, False)]:
        assert hides_preconditions(widget, Request("GET", path, headers.get)) is hidden
    assert not caplog.records

    def header(name: str) -> str:
        raise ValueError

    assert hides_preconditions(widget, Request("GET", "/", header)) is False
    assert "ValueError" in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "withheld"),
    [
        ("accept", "text/html", False),
        ("accept", "application/json, Text/HTML;q=0.9", False),
        ("accept", "*/*", True),
        ("hx-request", "true", False),
        ("hx-request", "false", True),
        ("hx-history-restore-request", "true", False),
        ("hx-history-restore-request", "1", True),
    ],
)
def test_scripts_that_ask_for_pages(name: str, value: str, withheld: bool) -> None:
    """Turbo, htmx 2 and htmx 4 say that they do."""
    headers = {"sec-fetch-dest": "empty", name: value}
    assert withholds_identity(Request("GET", "/", headers.get)) is withheld
