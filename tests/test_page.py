"""A page read from outside says what a browser would run in it, and never shows whom it names."""

from __future__ import annotations

import pytest

from ensoras_middleware import Identity, identity_hash
from ensoras_middleware.markup import RAW_TEXT
from ensoras_middleware.page import masked, read_page
from ensoras_middleware.snippet import identify_script, script_element

ALICE = Identity("alice@example.com", identity_hash("alice@example.com", "a secret, long enough"))
OWN = script_element(identify_script(ALICE), None)
TAG = b'<script src="https://app.ensoras.com/cdn/v1/widget/acme.js" async defer></script>'
LOCAL = b"<script src=http://127.0.0.1:8400/cdn/v1/widget/demo.js?v=1></script>"


def test_widget_tags() -> None:
    """Of every origin and slug, in their order, with what the tag itself says."""
    page = read_page(b"<p>" + TAG + b"\n" + LOCAL.replace(b"<script", b'<script nonce="abc"'))
    assert [(tag.address, tag.slug, tag.nonce) for tag in page.tags] == [
        ("https://app.ensoras.com/cdn/v1/widget/acme.js", "acme", None),
        ("http://127.0.0.1:8400/cdn/v1/widget/demo.js", "demo", "abc"),
    ]
    assert [page.body[tag.start :][:7] for tag in page.tags] == [b"<script"] * 2
    assert (page.mentions, page.doubt) == (2, None)


@pytest.mark.parametrize(
    "body",
    [b"<!-- " + TAG + b" -->", b"<noscript>" + TAG + b"</noscript>", b"<template>" + TAG],
)
def test_tags_that_do_not_run(body: bytes) -> None:
    """They are mentions, not tags."""
    page = read_page(body)
    assert (page.tags, page.mentions) == ((), 1)


@pytest.mark.parametrize("scheme", ["http\u017f:", "ftp:", "https", ":"])
def test_other_addresses(scheme: str) -> None:
    """No browser asks them for a script; a long s is none, for all that it is alike in Python."""
    body = f'<meta charset=utf-8><script src="{scheme}//x.com/cdn/v1/widget/acme.js"></script>'
    assert read_page(body.encode()).tags == ()


def test_doubt() -> None:
    assert read_page(b"<svg><font>" + TAG).doubt is not None


@pytest.mark.parametrize("between", [b"", b"\n  "])
def test_own_script(between: bytes) -> None:
    """The script of this middleware is told from others, and found directly before its tag."""
    page = read_page(b"<p>" + OWN + between + TAG)
    (call,) = page.calls
    assert (call.identity, call.own, page.body[call.start : call.end]) == (ALICE, True, OWN)
    assert page.call_before(page.tags[0]) is call


@pytest.mark.parametrize(
    ("before", "calls"),
    [
        (b"<!-->", 1),
        (b"<!--->", 1),
        (b"<!-- --!>", 1),
        (b"<!---->", 1),
        (b"<!-->-->", 1),
        (b"!--<!-", 1),
        (b"<!-- - -> -! -- >", 0),
        (b"<!-- ", 0),
        (b"<!--", 0),
        (b"<title>", 0),
        (b"<TITLE><b>title</b></title>", 1),
        (b"<title></title-page>/title </title", 0),
        (b"<template></textarea>", 0),
        (b"title <template-list><style-guide/><titles><script-list>", 1),
        (b"<script></script>", 1),
        (b"<script></></script-list><a></script>", 1),
        (b"<script></script-list><!--</script>", 1),
    ],
)
def test_call_behind_what_may_be_open(before: bytes, calls: int) -> None:
    """As in browsers, what nothing ends goes on to the end of the page."""
    assert [call.own for call in read_page(before + OWN).calls] == [True] * calls


@pytest.mark.parametrize("name", [*RAW_TEXT, "template"])
def test_call_in_what_is_no_markup(name: str) -> None:
    """What looks like a script there does not run; behind it, one does."""
    start, end = f"<{name} id=x>".encode(), f"</{name}>".encode()
    assert read_page(start + OWN + end).calls == ()
    for inside in (b"", OWN, b"</", b"<" + name.encode()):
        assert len(read_page(start + inside + end + OWN).calls) == 1


def test_calls_before_their_tags() -> None:
    """Each tag has the one directly before it, however many there are."""
    page = read_page(OWN + b"<p>" + OWN + TAG + OWN + TAG)
    assert [page.call_before(tag) for tag in page.tags] == [page.calls[1], page.calls[2]]


@pytest.mark.parametrize("end", [b"", b"</script", b"</script "])
def test_call_that_is_not_ended(end: bytes) -> None:
    """It does not run."""
    assert read_page(OWN.replace(b"</script>", end)).calls == ()


@pytest.mark.parametrize("between", [b"<p>", b"<!-- -->"])
def test_call_elsewhere(between: bytes) -> None:
    page = read_page(OWN + between + TAG + OWN)
    assert len(page.calls) == 2
    assert page.call_before(page.tags[0]) is None


@pytest.mark.parametrize(
    ("script", "identity"),
    [
        ("Ensoras('identify', { email: 'a@b.c', hash: 'f00' });", Identity("a@b.c", "f00")),
        ('Ensoras ("identify",{"hash":"f00",\n"email":"a@b.c"})', Identity("a@b.c", "f00")),
        ("window.Ensoras(`identify`, {email: 'a@b.c', hash: ''})", Identity("a@b.c", "")),
        (
            r"Ensoras('identify', {email: 'o\x27h\u0040\'b.\"c', hash: ''})",
            Identity("o'h@'b.\"c", ""),
        ),
        (
            r"Ensoras( 'identify', {email: '\x30\x39\x4A\x4F\x6a\x6f@b.c', hash: '\"'})",
            Identity("09JOjo@b.c", '"'),
        ),
        (r"""Ensoras('identify', {email: "o\'h@b.c", hash: "\""})""", Identity("o'h@b.c", '"')),
        (r"""Ensoras('identify', {email: "\\'", hash: 'a\\x41"'})""", Identity(r"\'", r'a\x41"')),
        ("// \xff\nEnsoras('identify', {email: 'a@b.c', hash: 'f00'})", Identity("a@b.c", "f00")),
        # Not as plain strings
        ("Ensoras('identify', {hash: ''})", None),
        ("Ensoras('identify', {email: ''})", None),
        ("Ensoras('identify', { email: user.email, hash: user.hash })", None),
        ("Ensoras('identify', customer)", None),
        (r"Ensoras('identify', {email: '\q', hash: ''})", None),
        (r"Ensoras('identify', {email: '\x4', hash: ''})", None),
        (r"Ensoras('identify', {email: '\xg0', hash: ''})", None),
    ],
)  # fmt: skip
def test_call_by_hand(script: str, identity: Identity | None) -> None:
    """As the official snippets and templates write it."""
    (call,) = read_page(b"<SCRIPT defer>" + script.encode("latin-1") + b"</SCRIPT >" + TAG).calls
    assert (call.identity, call.own) == (identity, False)


@pytest.mark.parametrize(
    "body",
    [
        b"<!-- <script>Ensoras('identify', {email: '', hash: ''})</script> -->",
        b"<textarea><script>Ensoras('identify', {email: '', hash: ''})</script></textarea>",
        b"<script>Ensoras('open')</script>",
        b"<p>Ensoras('identify', {})</p>",
        b"<script>MyEnsoras('identify', 1)</script>",
    ],
)
def test_no_call(body: bytes) -> None:
    assert read_page(body).calls == ()


def test_broken_own_script() -> None:
    """Cut or changed on the way, it is a call like any other."""
    (call,) = read_page(OWN.replace(b'"hash"', b'"hush"')).calls
    assert (call.identity, call.own) == (None, False)
    (call,) = read_page(OWN.replace(b'{"email"', b"{email")).calls
    assert not call.own


def test_nothing_shown() -> None:
    """A failing assertion of somebody's test prints what it compares."""
    page = read_page(OWN + TAG)
    assert "alice" not in repr(page)
    assert ALICE.hash not in repr(page)


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("alice@example.com", "a…@example.com"),
        ("ab@example.com", "a…@example.com"),
        ("@example.com", "…@example.com"),
        ("a@example.com", "…@example.com"),
        ("alice", "a…"),
        ("", "…"),
        ("a\x1b[31m@example.com", "…"),
    ],
)
def test_masked(email: str, shown: str) -> None:
    assert masked(email) == shown
