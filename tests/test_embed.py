"""`embed`: the middleware writes the widget too, through every adapter.

What a host answers without us is what the same site answers with `enabled=False`. In the pages of
the tables `▼` stands for the place, where there is one.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
from adapters import (
    ADAPTERS,
    ALICE,
    BOB,
    SECRET,
    SLUG,
    TAG,
    Answer,
    Headers,
    Host,
    Site,
    identify_script,
    serve,
)

from ensoras_middleware.configuration import widget_from
from ensoras_middleware.eligibility import Request
from ensoras_middleware.injection import Injection

NEVER_REUSED = "private, no-store, max-age=0"
HTML = ("Content-Type", "text/html; charset=utf-8")
PAGE = b"<!doctype html><title>Shop</title><body><p>Hello</p></body>\n</html>\n"
TEXT = TAG.decode()


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def site(adapter: str, host: Host, user: object = None, **options: Any) -> Site:
    return serve(adapter, host, user, embed=True, **options)


def page(*headers: tuple[str, str], body: bytes = PAGE, **changes: Any) -> Host:
    return Host(body=body, headers=[HTML, *headers], **changes)


def without_us(adapter: str, host: Host) -> Answer:
    return serve(adapter, host, ALICE, enabled=False).get()


def fields(headers: Headers) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in headers)


def embedded(body: bytes, email: str | None = None, nonce: str = "") -> bytes:
    """Return the page with what we put before its first `</body>`."""
    tag = TAG.replace(b" async defer", f' async defer nonce="{nonce}"'.encode()) if nonce else TAG
    script = identify_script(email, nonce=nonce) if email else b""
    place = body.lower().index(b"</body")
    return body[:place] + script + tag + body[place:]


# Who gets what --------------------------------------------------------------------------------


def test_an_anonymous_visitor_gets_the_widget(adapter: str) -> None:
    """The tag before the end of the body, every other byte as it was, and no other field."""
    answer = site(adapter, page(("Cache-Control", "max-age=60"))).get()
    assert answer.body == embedded(PAGE)
    assert fields(answer.headers) == fields(
        [
            HTML,
            ("Vary", "Cookie"),
            ("Cache-Control", "max-age=60"),
            ("Content-Length", str(len(embedded(PAGE)))),
        ]
    )


def test_a_logged_in_user_gets_both(adapter: str) -> None:
    """The identify script directly before the tag, and the fields of an identified page."""
    answer = site(adapter, page(("ETag", '"1"'), ("Last-Modified", "x")), ALICE).get()
    assert answer.body == embedded(PAGE, ALICE)
    assert fields(answer.headers) == fields(
        [
            HTML,
            ("Vary", "Cookie"),
            ("Cache-Control", NEVER_REUSED),
            ("Content-Length", str(len(embedded(PAGE, ALICE)))),
        ]
    )


def test_it_is_off_by_default(adapter: str) -> None:
    """A page without the widget costs no user, and passes as it is."""
    answer = serve(adapter, page(), ALICE, debug=True).get()
    assert answer.body == PAGE
    assert answer["Vary"] is None
    assert answer["X-Ensoras-Outcome"] == "no-widget"


@pytest.mark.parametrize("status", [200, 403, 404, 500])
def test_every_page_with_a_body_gets_it(adapter: str, status: int) -> None:
    """Error pages too: that is when customers need it."""
    answer = site(adapter, page(status=status)).get()
    assert (answer.status, answer.body) == (status, embedded(PAGE))


def test_nobody_is_handed_what_another_got(adapter: str) -> None:
    """One answer of the host serves everybody, each their own."""
    user: list[object] = [None]
    served = site(adapter, page(), lambda: user[0])
    for email in (ALICE, None, BOB, ALICE):
        user[0] = email
        assert served.get().body == embedded(PAGE, email)


@pytest.mark.parametrize(
    ("user", "options", "request_headers", "outcome"),
    [
        ("nobody", {}, {}, "email-refused"),
        (ALICE, {"secret": lambda slug: None}, {}, "no-secret"),
        (ALICE, {"secret": lambda slug: 1 / 0}, {}, "secret-error"),
        (ALICE, {}, {"sec_fetch_site": "cross-site"}, "withheld"),
        (ALICE, {}, {"sec_fetch_dest": "empty"}, "withheld"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_whoever_cannot_be_identified_gets_the_widget(
    adapter: str, user: str, options: Any, request_headers: Any, outcome: str, streamed: bool
) -> None:
    """Without identity; an answer that is withheld is not kept for one that is not."""
    host = page(chunks=(PAGE[:30], PAGE[30:])) if streamed else page()
    answer = site(adapter, host, user, debug=True, **options).get(**request_headers)
    assert answer.body == embedded(PAGE)
    assert answer["X-Ensoras-Outcome"] == outcome
    assert answer["Cache-Control"] == (NEVER_REUSED if outcome == "withheld" else None)
    assert answer["Content-Length"] == (None if streamed else str(len(embedded(PAGE))))


def test_a_failure_to_read_the_user_costs_the_identity_alone(adapter: str) -> None:
    """The widget is there."""

    def fail(*request: object) -> object:
        raise LookupError

    host = page()
    served = site(adapter, host, fail) if adapter == "wsgi" else site(adapter, host, get_email=fail)
    assert served.get().body == embedded(PAGE)


# Which pages, and where -----------------------------------------------------------------------

PLACES = {
    "before the first of two": "<p>x▼</body><p>y</body>",
    "in capitals": "<BODY><p>x▼</BODY></HTML>",
    "a decoy in a script": "<script>'</body>'</script><p>▼</body>",
    "a decoy in a comment": "<!-- </body> --><p>▼</body>",
    "a widget tag in a comment": f"<!-- {TEXT} --><p>▼</body>",
    "a widget tag in a template": f"<template>{TEXT}</template>▼</body>",
    "a widget tag in a script, behind it": f"<p>▼</body><script>'{TEXT[:-9]}'</script>",
    "somebody else's widget": f"<p>{TEXT.replace('acme', 'other')}▼</body>",
    "bytes that are no ASCII": "<p>é▼</body>é",
}
# The widget tag of the page is as good as ours: `▼` is the place of the identify script alone.
OWN_TAGS = {
    "a tag": f"<p>▼{TEXT}</body>",
    "a tag with other attributes": f"<p>▼<script src='{TEXT[13:58]}'></script></body>",
    "two tags": f"<p>▼{TEXT}{TEXT}</body>",
    "a tag behind the body": f"<p></body>▼{TEXT}</html>",
    "a tag behind the body of a page that begins with its address": (
        f"{TEXT[19:58]}</body>▼{TEXT}"
    ),
    "a tag behind a decoy": f"<!--{TEXT}--><p></body><p>▼{TEXT}</body>",
}
UNTOUCHED = {
    "a fragment": page(body=b"<p>Hello</p><table><tr><td>x</table>"),
    "a fragment with a start tag": page(body=b"<body><p>Hello"),
    "an empty page": page(body=b""),
    "a decoy alone": page(body=b"<p><script>'</body>'</script>"),
    "a decoy in a comment alone": page(body=b"<!--</BODY>--><p>"),
    "another name": page(body=b"<p></bodyx>"),
    "in svg": page(body=b"<svg></body></svg>"),
    "in an open select": page(body=b"<select></body>"),
    "a frameset": page(body=b"<frameset></frameset></body>"),
    "an escape sequence": page(body=b"\x1b$B</body>"),
    "json": Host(body=PAGE, headers=[("Content-Type", "application/json")]),
    "xhtml": Host(body=PAGE, headers=[("Content-Type", "application/xhtml+xml")]),
    "utf-16": Host(body=PAGE, headers=[("Content-Type", "text/html; charset=utf-16")]),
    "an attachment": page(("Content-Disposition", "attachment")),
    "encoded": page(("Content-Encoding", "gzip")),
    "a part": page(("Content-Range", "bytes 0-1/2"), status=206),
}


@pytest.mark.parametrize("text", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("user", [None, ALICE])
def test_place(adapter: str, text: str, user: str | None) -> None:
    """Before the first end tag of the body that a browser reads, and nowhere else."""
    before, after = text.encode().split("▼".encode())
    script = identify_script(user) if user else b""
    body = before + script + TAG + after
    assert site(adapter, page(body=before + after), user).get().body == body


@pytest.mark.parametrize("text", OWN_TAGS.values(), ids=OWN_TAGS)
@pytest.mark.parametrize("user", [None, ALICE])
def test_a_page_with_a_widget_tag_gets_no_second_one(
    adapter: str, text: str, user: str | None
) -> None:
    """It is identified as it is without `embed`."""
    before, after = text.encode().split("▼".encode())
    script = identify_script(user) if user else b""
    answer = site(adapter, page(("ETag", '"1"'), body=before + after), user).get()
    assert answer.body == before + script + after
    assert answer["ETag"] == (None if user else '"1"')
    assert answer["Vary"] == "Cookie"


@pytest.mark.parametrize("text", OWN_TAGS.values(), ids=OWN_TAGS)
def test_a_page_with_a_widget_tag_gets_no_second_one_without_a_secret(
    adapter: str, text: str
) -> None:
    """A tag that gets no identity is a tag all the same."""
    body = text.replace("▼", "").encode()
    assert site(adapter, page(body=body), ALICE, secret=lambda slug: None).get().body == body


@pytest.mark.parametrize("user", [None, ALICE])
@pytest.mark.parametrize("host", UNTOUCHED.values(), ids=UNTOUCHED)
def test_what_has_no_real_end_of_the_body_is_untouched(
    adapter: str, host: Host, user: str | None
) -> None:
    """Body and fields are those of the site without us, whoever is logged in."""
    host = host.with_headers(("ETag", '"1"'), ("Accept-Ranges", "bytes"))
    bare = without_us(adapter, host)
    answer = site(adapter, host, user).get()
    assert (answer.status, answer.body) == (bare.status, bare.body)
    assert fields(answer.headers) == fields(bare.headers)


@pytest.mark.parametrize("body", [b"<p>Hello</p>" * 9, b"", b"<body>"])
def test_a_fragment_costs_no_user(adapter: str, body: bytes) -> None:
    """Nobody asks who is logged in."""
    asked: list[object] = []
    options: dict[str, Any] = {}
    if adapter == "flask":  # there the log-in package itself looks at every request
        options["get_email"] = lambda: asked.append(1)
    site(adapter, page(body=body), lambda: asked.append(1), **options).get()
    assert asked == []


def test_an_answer_to_head_and_an_excluded_path_are_as_ever(adapter: str) -> None:
    """Nothing is written into either."""
    served = site(adapter, page(), exclude=["/admin"])
    assert served.get("/admin/users").body == PAGE
    assert served.get("/administrators").body == embedded(PAGE)
    assert served.get("/", "HEAD")["Vary"] == "Cookie"


@pytest.mark.parametrize(
    ("host", "user", "outcome"),
    [
        (page(), None, "anonymous"),
        (page(), ALICE, "identified"),
        (page(body=b"<p>"), ALICE, "no-widget"),
        (page(body=b"<!--</body>-->"), ALICE, "no-widget"),
        (page(body=b"<svg></body>"), None, "ambiguous"),
        (page(("Content-Security-Policy", "script-src 'self'")), None, "csp-blocked"),
        (page(("Content-Security-Policy", "script-src 'self'")), ALICE, "csp-blocked"),
        (page(chunks=(PAGE[:9], PAGE[9:])), None, "anonymous"),
        (page(chunks=(PAGE[:9], PAGE[9:])), ALICE, "streaming"),
        (
            page(("Content-Security-Policy", "default-src 'self'"), chunks=(PAGE[:9], PAGE[9:])),
            None,
            "csp-blocked",
        ),
        (  # a widget tag of the page's own may follow
            page(("Content-Security-Policy", "default-src 'self'"), chunks=(PAGE[:9], PAGE[9:])),
            ALICE,
            "streaming",
        ),
    ],
)
def test_debug_tells_the_outcome(adapter: str, host: Host, user: str | None, outcome: str) -> None:
    """A page that got no widget says why."""
    assert site(adapter, host, user, debug=True).get()["X-Ensoras-Outcome"] == outcome


# Fields ---------------------------------------------------------------------------------------

OF_THE_BYTES: dict[str, tuple[Headers, Headers]] = {
    "strong validator": ([("ETag", '"1"')], [("ETag", 'W/"1"')]),
    "weak validator": ([("ETag", 'W/"1"')], [("ETag", 'W/"1"')]),
    "date": ([("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")],) * 2,
    "caching": ([("Cache-Control", "public, max-age=9"), ("Expires", "0")],) * 2,
    "ranges": ([("Accept-Ranges", "bytes")], []),
    "digests": (
        [("Content-MD5", "x"), ("Digest", "x"), ("Repr-Digest", "x"), ("content-digest", "x")],
        [],
    ),
    "others": ([("Link", "</a.css>"), ("X-Frame-Options", "DENY")],) * 2,
    "vary": ([("Vary", "Accept")], [("Vary", "Accept, Cookie")]),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("given", "kept"), OF_THE_BYTES.values(), ids=OF_THE_BYTES)
def test_only_what_holds_for_the_changed_page_is_said(
    adapter: str, given: Headers, kept: Headers, streamed: bool
) -> None:
    """What describes the host's own bytes goes; an anonymous page may still be cached."""
    chunks = (PAGE[:9], PAGE[9:]) if streamed else None
    answer = site(adapter, page(*given, chunks=chunks)).get()
    length = [] if streamed else [("Content-Length", str(len(embedded(PAGE))))]
    vary = [] if ("Vary", "Accept, Cookie") in kept else [("Vary", "Cookie")]
    assert fields(answer.headers) == fields([HTML, *kept, *length, *vary])


# Streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [None, ALICE])
@pytest.mark.parametrize("size", [1, 7, 30, 64])
def test_a_stream_gets_it_and_stays_a_stream(adapter: str, user: str | None, size: int) -> None:
    """The same bytes however it is cut, and no length."""
    chunks = tuple(PAGE[at : at + size] for at in range(0, len(PAGE), size))
    host = page(("Content-Length", str(len(PAGE))), chunks=chunks)
    answer = site(adapter, host, user).get()
    assert answer.body == embedded(PAGE, user)
    assert answer["Content-Length"] is None
    assert answer["Cache-Control"] == (NEVER_REUSED if user else None)


def test_a_streams_chunks_leave_one_by_one(adapter: str) -> None:
    """Nothing waits but what may still be a tag."""
    chunks = (b"<p>one", b"<p>two</bo", b"dy>", b"<p>three")
    answer = site(adapter, page(chunks=chunks)).get()
    assert answer.chunks == [b"<p>one", b"<p>two", TAG + b"</body>", b"<p>three"]


@pytest.mark.parametrize("user", [None, ALICE])
def test_a_stream_holds_nothing_back_behind_its_widget_tag(adapter: str, user: str | None) -> None:
    """What looks like another tag need not be whole to leave."""
    chunks = (b"<p>one", TAG, b"<p>two<scr", b"ipt></bo", b"dy>")
    answer = site(adapter, page(chunks=chunks), user).get()
    script = identify_script(user) if user else b""
    assert answer.chunks == [chunks[0], script + TAG, *chunks[2:]]


@pytest.mark.parametrize("user", [None, ALICE])
def test_a_stream_without_an_end_is_left_as_it_is(adapter: str, user: str | None) -> None:
    """What was held back leaves at its end."""
    answer = site(adapter, page(chunks=(b"<p>one", b"<p>two</bod")), user).get()
    assert answer.body == b"<p>one<p>two</bod"


@pytest.mark.parametrize("user", [None, ALICE])
def test_a_stream_with_a_widget_tag_gets_no_second_one(
    adapter: str, user: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it stands before the end of the body."""
    body = PAGE.replace(b"</body>", TAG + b"</body>")
    answer = site(adapter, page(chunks=(body[:40], body[40:])), user).get()
    script = identify_script(user) if user else b""
    assert answer.body == body.replace(TAG, script + TAG)
    assert caplog.records == []


@pytest.mark.parametrize("user", [None, ALICE])
def test_every_cut_gives_the_same(user: str | None) -> None:
    """Each page of the tables, in two chunks, and in single bytes, through the core."""
    widget = widget_from({"slug": SLUG, "secret": SECRET, "embed": True})
    assert widget is not None
    script = identify_script(user) if user else b""
    rows = [(text, TAG) for text in PLACES.values()]
    rows += [(text, b"") for name, text in OWN_TAGS.items() if "behind" not in name]
    # A stream does not wait for what is behind it.
    rows += [(f"<p>▼</body>{text}</html>", TAG) for text in (TEXT, TAG.decode())]
    for text, tag in rows:
        before, after = text.encode().split("▼".encode())
        body, expected = before + after, before + script + tag + after
        single = [body[at : at + 1] for at in range(len(body))]
        for chunks in [[body[:at], body[at:]] for at in range(len(body))] + [single]:
            injection = Injection(widget, Request("GET", "/", lambda name: None), 200, [HTML])
            injection.user_is(user)
            injection.start_stream()
            assert b"".join(injection.stream(chunks)) == expected, chunks


def test_without_embed_a_stream_without_a_secret_is_as_ever(adapter: str) -> None:
    """Its fields say nothing of an identity, and its bytes are the host's."""
    host = page(("ETag", '"1"'), body=b"", chunks=(PAGE[:30], PAGE[30:]))
    answer = serve(adapter, host, ALICE, secret=lambda slug: None).get()
    assert answer.body == PAGE
    assert answer["ETag"] == '"1"'
    assert answer["Cache-Control"] is None


# Somebody else's script -----------------------------------------------------------------------


@pytest.mark.parametrize("user", [None, ALICE])
def test_a_page_that_arrives_with_everything_leaves_with_this_visitors(
    adapter: str, user: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A cache between two layers: bob's script is taken out, and the tag stays the only one."""
    with caplog.at_level(logging.ERROR, "ensoras_middleware"):
        answer = site(adapter, page(body=embedded(PAGE, BOB)), user).get()
    assert answer.body == embedded(PAGE, user)
    assert answer["Content-Length"] == str(len(answer.body))
    assert [record.levelname for record in caplog.records] == ["ERROR"]
