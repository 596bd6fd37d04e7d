"""The one table: page, user, request → exact bytes and fields, through every adapter.

What a host answers without us is what the same site answers with `enabled=False`; every
expectation is told as a difference to that.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from dataclasses import replace
from typing import Any

import pytest
from adapters import (
    ADAPTERS,
    ALICE,
    BOB,
    PAGE,
    SECRET,
    SLUG,
    TAG,
    Answer,
    Headers,
    Host,
    identify_script,
    serve,
)

from ensoras_middleware import ConfigurationError

NEVER_REUSED = "private, no-store, max-age=0"
HTML = ("Content-Type", "text/html; charset=utf-8")
NAVIGATION = {"sec_fetch_site": "same-origin", "sec_fetch_mode": "navigate"}


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def without_us(adapter: str, host: Host, *request: Any, **headers: str) -> Answer:
    return serve(adapter, host, ALICE, enabled=False).get(*request, **headers)


def fields(headers: Headers) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in headers)


def identified(body: bytes, email: str = ALICE, nonce: str = "", tag: bytes = TAG) -> bytes:
    assert body.count(tag) == 1
    return body.replace(tag, identify_script(email, nonce=nonce) + tag)


def page(*headers: tuple[str, str], **changes: Any) -> Host:
    return replace(Host(), headers=[HTML, *headers], **changes)


def raised(error: Exception) -> object:
    raise error


# Who gets what --------------------------------------------------------------------------------


def test_a_logged_in_users_page_gets_the_script_before_the_tag(adapter: str) -> None:
    """One script, directly before the widget tag, and every other byte as it was."""
    answer = serve(adapter, page(), ALICE).get()
    assert answer.status == 200
    assert answer.body == identified(PAGE)
    assert fields(answer.headers) == fields(
        [
            HTML,
            ("Vary", "Cookie"),
            ("Cache-Control", NEVER_REUSED),
            ("Content-Length", str(len(identified(PAGE)))),
        ]
    )


def test_an_anonymous_visitors_page_is_left_alone_but_varies(adapter: str) -> None:
    """No byte changes; caches learn that another visitor's page may differ."""
    answer = serve(adapter, page(("ETag", '"1"'))).get()
    bare = without_us(adapter, page(("ETag", '"1"')))
    assert answer.body == bare.body == PAGE
    assert fields(answer.headers) == fields([*bare.headers, ("Vary", "Cookie")])


def test_the_page_carries_what_was_signed(adapter: str) -> None:
    """The address is canonical on the page and under the hash."""
    answer = serve(adapter, page(), " Alice@EXAMPLE.com\n").get()
    assert answer.body == identified(PAGE, "alice@example.com")


def test_characters_of_html_and_javascript_are_escaped(adapter: str) -> None:
    """An address with `&`, `'` and `}` is written as JSON escapes."""
    answer = serve(adapter, page(), "a&b'c}@example.com").get()
    script = identify_script("a&b'c}@example.com").replace(
        b"a&b'c}@example.com", b"a\\u0026b\\u0027c\\u007d@example.com"
    )
    assert answer.body == PAGE.replace(TAG, script + TAG)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "nobody",
        "a@b@c",
        "@example.com",
        "alice@",
        "jörg@example.com",
        "\u212aevin@example.com",
        'a"b@example.com',
        "a\\b@example.com",
        "a<b@example.com",
        "a>b@example.com",
        "a,b@example.com",
        "a;b@example.com",
        "a b@example.com",
        "a\x00b@example.com",
        "a\x7fb@example.com",
        "x" * 243 + "@example.com",
        b"alice@example.com",
        42,
    ],
    ids=ascii,
)
def test_an_unsafe_address_is_refused(
    adapter: str, email: object, caplog: pytest.LogCaptureFixture
) -> None:
    """The page stays anonymous; the warning names no address."""
    with caplog.at_level(logging.WARNING, "ensoras_middleware"):
        answer = serve(adapter, page(), email).get()
    assert answer.body == PAGE
    assert answer["Vary"] == "Cookie"
    (record,) = [one for one in caplog.records if one.name == "ensoras_middleware"]
    assert "e-mail" in record.getMessage()
    assert "example" not in record.getMessage()


@pytest.mark.parametrize(
    ("email", "what"),
    [("alice", "this one"), ("", "an empty one"), (" \t", "an empty one"), (42, "a int")],
)
def test_what_is_refused_is_told(
    email: object, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As much as tells a user without an address from one with an odd address."""
    serve("wsgi", page(), email).get()
    (record,) = caplog.records
    assert record.getMessage().endswith(f" local@domain, not {what}.")


def test_a_failure_to_read_the_user_ends_in_an_anonymous_page(
    adapter: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The type and the place are logged, once, and not the words, which may hold an address."""

    def user() -> object:
        raise LookupError("no row for alice@example.com")

    options: dict[str, Any] = {}
    if adapter != "wsgi":
        options["get_email"] = (lambda: user()) if adapter == "flask" else (lambda request: user())
    site = serve(adapter, page(), user if adapter == "wsgi" else None, **options)
    with caplog.at_level(logging.WARNING, "ensoras_middleware"):
        assert site.get().body == PAGE
        assert site.get().body == PAGE
    (record,) = [one for one in caplog.records if one.name == "ensoras_middleware"]
    assert "LookupError" in record.getMessage()
    assert "test_scenarios.py" in record.getMessage()
    assert "alice" not in record.getMessage()
    assert record.exc_info is None


def test_one_answer_of_the_host_serves_everybody(adapter: str) -> None:
    """A site that answers the same to all: each visitor gets their own page."""
    user: list[object] = [None]
    site = serve(adapter, page(("ETag", '"1"')), lambda: user[0])
    for email in (ALICE, BOB, None, ALICE):
        user[0] = email
        assert site.get().body == (PAGE if email is None else identified(PAGE, str(email)))


# What is not touched --------------------------------------------------------------------------

UTF_16 = PAGE.decode().encode("utf-16")

UNTOUCHED: dict[str, Host] = {
    "no widget": page(body=b"<!doctype html><p>Hello"),
    "no widget, cached": page(("Cache-Control", "max-age=600"), body=b"<p>Hello"),
    "empty": page(body=b""),
    "plain text": Host(headers=[("Content-Type", "text/plain")]),
    "xhtml": Host(headers=[("Content-Type", "application/xhtml+xml")]),
    "json": Host(headers=[("Content-Type", "application/json")]),
    "html in name only": Host(headers=[("Content-Type", "text/html-not")]),
    "206": page(("Content-Range", "bytes 0-99/200"), status=206),
    "content-range": page(("Content-Range", "bytes 0-99/200")),
    "gzip": page(("Content-Encoding", "gzip")),
    "br in capitals": page(("content-encoding", "BR")),
    "two encodings": page(("Content-Encoding", "identity, gzip")),
    "attachment": page(("Content-Disposition", "attachment; filename=x.html")),
    "ATTACHMENT": page(("Content-Disposition", " ATTACHMENT")),
    "utf-16": Host(body=UTF_16, headers=[("Content-Type", "text/html; charset=utf-16")]),
    **{
        charset: Host(headers=[("Content-Type", f'text/html; charset="{charset}"')])
        for charset in ("UTF-16LE", "utf-32", "UTF-7", "iso-2022-jp", "hz-gb-2312", "unicode")
    },
    "stranger's slug": page(body=PAGE.replace(b"acme.js", b"other.js")),
    "stranger's origin": page(body=PAGE.replace(b"app.ensoras", b"app.example")),
}


@pytest.mark.parametrize("host", UNTOUCHED.values(), ids=UNTOUCHED)
def test_what_is_no_page_with_the_widget_passes_byte_for_byte(adapter: str, host: Host) -> None:
    """Body and fields are those of the site without us, and nobody asks who is logged in."""
    asked = []
    site = serve(adapter, host, lambda: asked.append(1))
    bare = without_us(adapter, host)
    asked.clear()
    answer = site.get()
    assert (answer.status, answer.body) == (bare.status, bare.body)
    assert fields(answer.headers) == fields(bare.headers)
    if adapter != "flask":  # there the log-in package itself looks at every request
        assert asked == []


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_pass(adapter: str, status: int) -> None:
    """Not even `Vary` is added."""
    host = page(("ETag", '"1"'), status=status, body=b"")
    answer = serve(adapter, host, ALICE).get()
    assert answer.status == status
    assert "vary" not in dict(fields(answer.headers))
    assert answer["ETag"] == '"1"'


@pytest.mark.parametrize("status", [200, 201, 302, 403, 404, 500, 503])
def test_every_status_with_a_body_is_identified(adapter: str, status: int) -> None:
    """An error page carries the chat too; that is when customers need it."""
    answer = serve(adapter, page(status=status), ALICE).get()
    assert (answer.status, answer.body) == (status, identified(PAGE))


def test_the_answer_to_head_only_varies(adapter: str) -> None:
    """Its fields describe a page that was not made, so only `Vary` can be said of it."""
    host = page(("ETag", '"1"'), ("Cache-Control", "max-age=600"))
    bare = without_us(adapter, host, "/", "HEAD")
    answer = serve(adapter, host, ALICE).get("/", "HEAD")
    assert fields(answer.headers) == fields([*bare.headers, ("Vary", "Cookie")])


@pytest.mark.parametrize(
    ("path", "excluded"),
    [
        ("/admin", True),
        ("/admin/", True),
        ("/admin/users/1", True),
        ("/administrators", False),
        ("/shop/admin", False),
        ("/", False),
        ("/api/v1/x", True),
    ],
)
def test_excluded_paths_are_never_touched(adapter: str, path: str, excluded: bool) -> None:
    """By whole segments."""
    site = serve(adapter, page(), ALICE, exclude=["/admin", "/api/v1/", "/X/"])
    assert site.get(path).body == (PAGE if excluded else identified(PAGE))


@pytest.mark.parametrize(
    "content_type",
    ["text/html", "TEXT/HTML", "text/html;charset=ISO-8859-1", "text/html; charset=Shift_JIS; x=y"],
)
def test_every_ascii_compatible_page_is_identified(adapter: str, content_type: str) -> None:
    """Any case, any parameters; bytes that are no ASCII stay as they are."""
    body = b"<p>\x83\x5c\xe9\xff\x81" + PAGE
    host = Host(body=body, headers=[("Content-Type", content_type)])
    assert serve(adapter, host, ALICE).get().body == identified(body)


def test_an_excluded_page_is_not_told_to_be_compressed_elsewhere(
    adapter: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is never touched has no other reason."""
    host = page(("Content-Encoding", "gzip"))
    site = serve(adapter, host, ALICE, exclude=["/admin"], debug=True)
    assert site.get("/admin")["X-Ensoras-Outcome"] == "excluded"
    assert [one for one in caplog.records if one.name == "ensoras_middleware"] == []


def test_switched_off_means_the_hosts_own_bytes(adapter: str) -> None:
    """`enabled=False` needs no secret and leaves no trace."""
    assert serve(adapter, page(), ALICE, enabled=False).get().body == PAGE


# Withheld -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_headers",
    [
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "cors", "sec_fetch_dest": "empty"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-origin", "sec_fetch_dest": "empty", "accept": "*/*"},
        {"sec_fetch_dest": "empty"},
    ],
)
def test_a_request_that_opens_no_page_gets_no_identity(
    adapter: str, request_headers: dict[str, str]
) -> None:
    """But the fields of an identified page, so that it is not kept for one that does."""
    answer = serve(adapter, page(("ETag", '"1"')), ALICE).get(**request_headers)
    assert answer.body == PAGE
    assert fields(answer.headers) == fields(
        [
            HTML,
            ("Vary", "Cookie"),
            ("Cache-Control", NEVER_REUSED),
            ("Content-Length", str(len(PAGE))),
        ]
    )


@pytest.mark.parametrize(
    "request_headers",
    [
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
        {"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors"},
        {"sec_fetch_site": "none", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"},
        {"sec_fetch_dest": "empty", "accept": "text/html, application/xhtml+xml"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"},
        {"sec_fetch_dest": "empty", "accept": "*/*", "hx_request": "true"},
        {"sec_fetch_dest": "empty", "accept": "*/*", "hx_history_restore_request": "true"},
    ],
)
def test_a_request_that_opens_a_page_is_identified(
    adapter: str, request_headers: dict[str, str]
) -> None:
    """A link from another site, Turbo's and htmx's pages and typed addresses are page views."""
    assert serve(adapter, page(), ALICE).get(**request_headers).body == identified(PAGE)


@pytest.mark.parametrize(
    ("policy", "withheld"),
    [
        ("sandbox", True),
        ("default-src 'self'; SANDBOX allow-scripts", True),
        ("sandbox allow-scripts allow-same-origin", False),
    ],
)
def test_a_sandboxed_page_gets_no_identity(adapter: str, policy: str, withheld: bool) -> None:
    """A hosted upload runs in an origin of its own; it is not the customer's page."""
    answer = serve(adapter, page(("Content-Security-Policy", policy)), ALICE).get()
    assert answer.body == (PAGE if withheld else identified(PAGE))
    assert answer["Cache-Control"] == NEVER_REUSED


# Fields ---------------------------------------------------------------------------------------

CACHING: dict[str, tuple[Headers, Headers]] = {
    "cache-control": ([("Cache-Control", "public, max-age=600")], []),
    "no-transform": (
        [("Cache-Control", "max-age=1, No-Transform")],
        [("Cache-Control", NEVER_REUSED + ", no-transform")],
    ),
    "expires": ([("Expires", "Thu, 01 Jan 2099 00:00:00 GMT")], []),
    "cdn": ([("CDN-Cache-Control", "max-age=60"), ("Cloudflare-CDN-Cache-Control", "x")], []),
    "nginx": ([("X-Accel-Expires", "600")], []),
    "akamai": ([("Edge-Control", "max-age=60")], []),
    "surrogate": ([("Surrogate-Control", "max-age=60")], []),
    "surrogate content": (
        [("Surrogate-Control", 'max-age=60, content="ESI/1.0"')],
        [("Surrogate-Control", 'no-store, content="ESI/1.0"')],
    ),
    "validators": (
        [("ETag", 'W/"1"'), ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")],
        [],
    ),
    "ranges": ([("Accept-Ranges", "bytes")], []),
    "digests": (
        [("Content-MD5", "x"), ("Digest", "x"), ("Repr-Digest", "x"), ("Content-Digest", "x")],
        [],
    ),
    "vary": ([("Vary", "Accept-Encoding")], [("Vary", "Accept-Encoding, Cookie")]),
    "vary cookie": ([("Vary", "accept, COOKIE")], [("Vary", "accept, COOKIE")]),
    "vary all": ([("Vary", "*")], [("Vary", "*")]),
    "others": (
        [("X-Frame-Options", "DENY"), ("Link", "</a.css>")],
        [("X-Frame-Options", "DENY"), ("Link", "</a.css>")],
    ),
}


@pytest.mark.parametrize(("given", "kept"), CACHING.values(), ids=CACHING)
def test_no_cache_may_reuse_an_identified_page(adapter: str, given: Headers, kept: Headers) -> None:
    """What lets a cache keep or compare the page is gone; all else stays."""
    body = identified(PAGE)
    answer = serve(adapter, page(*given), ALICE).get()
    expected = {"vary": "Cookie", "cache-control": NEVER_REUSED} | dict(fields(kept))
    expected |= {"content-type": HTML[1], "content-length": str(len(body))}
    assert fields(answer.headers) == sorted(expected.items())
    assert answer.body == body


@pytest.mark.parametrize(("given", "kept"), CACHING.values(), ids=CACHING)
def test_an_anonymous_page_keeps_its_fields(adapter: str, given: Headers, kept: Headers) -> None:
    """Caches go on serving anonymous visitors."""
    answer = serve(adapter, page(*given)).get()
    bare = without_us(adapter, page(*given))
    vary = dict(fields(kept)).get("vary", "Cookie")
    expected = dict(fields(bare.headers)) | {"vary": vary}
    assert fields(answer.headers) == sorted(expected.items())


CONDITIONAL = {"if_none_match": '"1"', "if_modified_since": "Thu, 01 Jan 2026 00:00:00 GMT"}
DOCUMENT = {"sec_fetch_dest": "document", "cookie": "session=1"}


@pytest.mark.parametrize(
    ("path", "method", "request_headers", "taken"),
    [
        ("/", "GET", DOCUMENT, True),
        ("/", "HEAD", DOCUMENT, True),
        ("/shop/", "GET", {"sec_fetch_dest": "iframe", "cookie": "a=b"}, True),
        ("/", "GET", {"sec_fetch_dest": "frame", "authorization": "Basic x"}, True),
        ("/", "GET", {"accept": "text/html,*/*", "cookie": "a=b"}, True),
        ("/index.html", "GET", DOCUMENT, True),
        ("/user/john.doe", "GET", DOCUMENT, True),
        ("/index.php", "GET", DOCUMENT, True),
        ("/catalogue.pdf", "GET", DOCUMENT, False),
        ("/a.b/picture.PNG", "GET", DOCUMENT, False),
        ("/", "GET", {"sec_fetch_dest": "document"}, False),
        ("/", "GET", {"sec_fetch_dest": "image", "cookie": "a=b"}, False),
        ("/", "GET", {"sec_fetch_dest": "style", "cookie": "a=b", "accept": "text/html"}, False),
        ("/", "GET", {"accept": "*/*", "cookie": "a=b"}, False),
        ("/", "GET", {"cookie": "a=b"}, False),
        ("/", "GET", {"sec_fetch_dest": "empty", "accept": "*/*", "cookie": "a=b"}, False),
        # Turbo and htmx
        ("/", "GET", {"sec_fetch_dest": "empty", "accept": "text/html", "cookie": "a=b"}, True),
        ("/", "GET", {"sec_fetch_dest": "empty", "hx_request": "true", "cookie": "a=b"}, True),
        ("/", "POST", DOCUMENT, False),
        ("/", "PUT", DOCUMENT, False),
    ],
)
def test_a_page_view_reaches_the_host_without_preconditions(
    adapter: str, path: str, method: str, request_headers: dict[str, str], taken: bool
) -> None:
    """Else a 304 would bring back the page from before the log-in; assets keep their 304s."""
    site = serve(adapter, page(), ALICE)
    site.get(path, method, **request_headers, **CONDITIONAL)
    (seen,) = site.seen
    assert ("if-none-match" in seen, "if-modified-since" in seen) == (not taken, not taken)
    rest = {name.replace("_", "-") for name in request_headers}
    assert rest <= set(seen)


# Content Security Policy ----------------------------------------------------------------------

SCRIPT = identify_script(ALICE).removeprefix(b"<script>").removesuffix(b"</script>")
HASH = f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT).digest()).decode()}'"
WIDGET = "https://app.ensoras.com"

POLICIES: dict[str, tuple[str, str]] = {
    "no script directive": ("img-src 'self'", "img-src 'self'"),
    "host list": (f"script-src 'self' {WIDGET}", f"script-src 'self' {WIDGET} {HASH}"),
    "elem wins": (
        f"script-src 'self'; script-src-elem {WIDGET}",
        f"script-src 'self'; script-src-elem {WIDGET} {HASH}",
    ),
    "default alone": (
        f"default-src 'self' {WIDGET}; style-src 'unsafe-inline'",
        f"default-src 'self' {WIDGET}; style-src 'unsafe-inline'; "
        f"script-src 'self' {WIDGET} {HASH}",
    ),
    "any case": (f"SCRIPT-SRC {WIDGET}; x", f"SCRIPT-SRC {WIDGET} {HASH}; x"),
    "duplicate": (
        f"script-src {WIDGET}; script-src 'none'",
        f"script-src {WIDGET} {HASH}; script-src 'none'",
    ),
    "unsafe-inline": (
        f"script-src {WIDGET} 'unsafe-inline'",
        f"script-src {WIDGET} 'unsafe-inline'",
    ),
    "unsafe-inline beside a nonce": (
        "script-src 'nonce-abc' 'unsafe-inline'",
        f"script-src 'nonce-abc' 'unsafe-inline' {HASH}",
    ),
    "unsafe-inline beside a hash": (
        "script-src 'unsafe-inline' 'sha384-abc'",
        f"script-src 'unsafe-inline' 'sha384-abc' {HASH}",
    ),
    "unsafe-inline beside strict-dynamic": (
        "script-src 'strict-dynamic' 'Unsafe-Inline'",
        f"script-src 'strict-dynamic' 'Unsafe-Inline' {HASH}",
    ),
    "two in one field": (
        f"script-src {WIDGET}, script-src 'self' {WIDGET}",
        f"script-src {WIDGET} {HASH}, script-src 'self' {WIDGET} {HASH}",
    ),
    "unsafe-inline beside what is no nonce": (
        "script-src 'unsafe-inline' 'nonce-{{ nonce }}' 'sha256-!'",
        "script-src 'unsafe-inline' 'nonce-{{ nonce }}' 'sha256-!'",
    ),
    "trailing semicolon": (
        f"default-src {WIDGET};",
        f"default-src {WIDGET}; script-src {WIDGET} {HASH}",
    ),
}


@pytest.mark.parametrize("suffix", ["", "-Report-Only"])
@pytest.mark.parametrize(("given", "expected"), POLICIES.values(), ids=POLICIES)
def test_the_policy_admits_our_script_and_nothing_else(
    adapter: str, suffix: str, given: str, expected: str
) -> None:
    """By its hash, in the directive in effect; the rest of the policy is untouched."""
    field = "Content-Security-Policy" + suffix
    answer = serve(adapter, page((field, given)), ALICE).get()
    assert answer[field] == expected
    assert answer.body == identified(PAGE)


@pytest.mark.parametrize(
    ("nonce", "policy", "copied", "admitted"),
    [
        ("abc123==", "script-src 'nonce-abc123=='", True, False),
        ("abc123", "script-src 'NONCE-abc123'", True, False),
        ("abc123", "script-src 'nonce-ABC123'", True, True),
        ("a b", "script-src 'nonce-x'", False, True),
        ("", "script-src 'nonce-x'", False, True),
    ],
)
def test_the_tags_nonce_is_copied(
    adapter: str, nonce: str, policy: str, copied: bool, admitted: bool
) -> None:
    """Where the policy has it, no hash is needed."""
    tag = TAG.replace(b" async", f' nonce="{nonce}" async'.encode())
    body = PAGE.replace(TAG, tag)
    host = page(("Content-Security-Policy", policy), body=body)
    answer = serve(adapter, host, ALICE).get()
    assert answer["Content-Security-Policy"] == (f"{policy} {HASH}" if admitted else policy)
    assert answer.body == identified(body, nonce=nonce if copied else "", tag=tag)


@pytest.mark.parametrize("policy", ["script-src 'none'", "default-src 'NONE'", "script-src ;x"])
@pytest.mark.parametrize("chunks", [None, (PAGE[:30], PAGE[30:])])
def test_where_no_script_may_run_there_is_no_identity(
    adapter: str, policy: str, chunks: tuple[bytes, ...] | None
) -> None:
    """The widget cannot run either, and our script would only be a violation more."""
    host = page(("Content-Security-Policy", policy), ("ETag", '"1"'), chunks=chunks)
    answer = serve(adapter, host, ALICE).get()
    assert answer["Content-Security-Policy"] == policy
    assert answer["ETag"] == '"1"'
    assert answer.body == PAGE


def test_a_tag_with_dangling_markup_is_not_identified(adapter: str) -> None:
    """Browsers would not honour its nonce: somebody may have injected markup before it.

    They may have meant the tag behind it, too.
    """
    body = b"<p>" + TAG.replace(b" async", b' x="<ScRipt" nonce="abc" async') + TAG
    assert serve(adapter, page(body=body), ALICE).get().body == body


# The place ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"<!-- " + TAG + b" --><p>",
        b"<textarea>" + TAG + b"</textarea>",
        b"<noscript>" + TAG + b"</noscript>",
        b"<template>" + TAG + b"</template>",
        b"<script>'<!-- " + TAG.replace(b"</script>", b"") + b"'</script>",
        b"<svg>" + TAG + b"</svg>",
        TAG[:-11],
        b"\xff\xfe" + PAGE,
        b"\x1b$B" + PAGE,
        b"<frameset>" + TAG,
    ],
)
def test_a_tag_that_no_browser_runs_is_not_identified(adapter: str, body: bytes) -> None:
    """The page stays as it is; since it names the widget, it varies."""
    answer = serve(adapter, page(body=body), ALICE).get()
    assert answer.body == body
    assert answer["Vary"] == "Cookie"
    assert answer["Cache-Control"] is None


def test_only_the_first_real_tag_is_identified(adapter: str) -> None:
    """Decoys before it and tags behind it stay as they are."""
    body = b"<!--" + TAG + b"--><p>" + TAG + b"<p>" + TAG
    first = body.index(b"<p>") + 3
    expected = body[:first] + identify_script(ALICE) + body[first:]
    assert serve(adapter, page(body=body), ALICE).get().body == expected


@pytest.mark.parametrize(
    "tag",
    [
        b"<SCRIPT SRC='//app.ensoras.com/cdn/v1/widget/acme.js'>",
        b"<script defer src = HTTPS://app.ensoras.com/cdn/v1/widget/acme.js?v=1&amp;w=2>",
        b'<script\nsrc="&#104;ttps://app.ensoras.com/cdn/v1/widget/acme.js#x"/>',
    ],
)
def test_every_way_to_write_the_tag_is_understood(adapter: str, tag: bytes) -> None:
    """As a browser understands it."""
    answer = serve(adapter, page(body=b"<p>" + tag), ALICE).get()
    assert answer.body == b"<p>" + identify_script(ALICE) + tag


# Streams --------------------------------------------------------------------------------------


def stream(*chunks: bytes, headers: Headers | None = None) -> Host:
    return Host(chunks=chunks, headers=[HTML, *(headers or [])])


CUT = PAGE.index(TAG)
STREAMS = {
    "tag in one chunk": (PAGE[:CUT], TAG, PAGE[CUT + len(TAG) :]),
    "tag cut": (PAGE[: CUT + 5], PAGE[CUT + 5 : CUT + 40], PAGE[CUT + 40 :]),
    "bytes": tuple(PAGE[i : i + 1] for i in range(len(PAGE))),
    "two": (PAGE, b"<p>more"),
    "with empty ones": (b"", PAGE[:CUT], b"", PAGE[CUT:], b""),
}


@pytest.mark.parametrize("chunks", STREAMS.values(), ids=STREAMS)
def test_a_stream_is_identified_and_stays_a_stream(adapter: str, chunks: tuple[bytes, ...]) -> None:
    """The same bytes for every cutting, with the fields of an identified page and no length."""
    host = stream(*chunks, headers=[("ETag", '"1"'), ("Cache-Control", "max-age=1")])
    answer = serve(adapter, host, ALICE).get()
    assert answer.body == identified(b"".join(chunks))
    assert fields(answer.headers) == fields(
        [HTML, ("Vary", "Cookie"), ("Cache-Control", NEVER_REUSED)]
    )
    if chunks == STREAMS["tag in one chunk"]:
        script = identify_script(ALICE)
        assert answer.chunks == [chunks[0], script + TAG, chunks[2]]


def test_an_anonymous_stream_passes_chunk_by_chunk(adapter: str) -> None:
    """Only `Vary` is added."""
    host = stream(PAGE[:40], PAGE[40:], headers=[("ETag", '"1"')])
    answer = serve(adapter, host).get()
    assert answer.chunks == [PAGE[:40], PAGE[40:]]
    assert fields(answer.headers) == fields([HTML, ("Vary", "Cookie"), ("ETag", '"1"')])


def test_a_stream_without_a_tag_is_not_kept_either(adapter: str) -> None:
    """Its fields leave before anybody knows whether a tag follows."""
    answer = serve(adapter, stream(b"<p>one", b"<p>two"), ALICE).get()
    assert answer.chunks == [b"<p>one", b"<p>two"]
    assert answer["Cache-Control"] == NEVER_REUSED


def test_a_streams_policy_admits_the_script_by_hash(adapter: str) -> None:
    """The tag's nonce cannot be known when the policy leaves."""
    host = stream(
        PAGE[:40], PAGE[40:], headers=[("Content-Security-Policy", f"script-src {WIDGET}")]
    )
    answer = serve(adapter, host, ALICE).get()
    assert answer["Content-Security-Policy"] == f"script-src {WIDGET} {HASH}"
    assert answer.body == identified(PAGE)


def test_a_broken_off_tag_is_not_lost(adapter: str) -> None:
    """What was held back leaves at the end."""
    answer = serve(adapter, stream(b"<p>", TAG[:30]), ALICE).get()
    assert answer.body == b"<p>" + TAG[:30]


# Somebody else's script -----------------------------------------------------------------------


@pytest.mark.parametrize("user", [None, ALICE])
def test_a_page_never_leaves_with_somebody_elses_identity(
    adapter: str, user: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A cache between two layers: bob's script is taken out, and that is an error in the log."""
    with caplog.at_level(logging.ERROR, "ensoras_middleware"):
        answer = serve(adapter, page(body=identified(PAGE, BOB) + TAG), user).get()
    assert answer.body == (identified(PAGE) if user else PAGE) + TAG
    assert answer["Content-Length"] == str(len(answer.body))
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_rewritten_page_leaves_without_somebody_elses_identity(adapter: str) -> None:
    """Where something has changed bob's script, his address and hash go all the same."""
    body = identified(PAGE, BOB).replace(b"<script>/*", b"<script nonce=abc data-x>/*")
    answer = serve(adapter, page(("Cache-Control", "public"), body=body)).get()
    assert BOB.encode() not in answer.body
    assert b'"hash"' not in answer.body
    assert answer["Cache-Control"] == NEVER_REUSED
    assert answer["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize("user", [None, ALICE])
@pytest.mark.parametrize("size", [1, 7, 200, 100_000])
def test_a_stream_never_leaves_with_somebody_elses_identity(
    adapter: str, user: str | None, size: int
) -> None:
    """However it is cut, bob's address and hash are gone, and no other byte."""
    body = identified(PAGE, BOB) + b"<p>end"
    chunks = tuple(body[i : i + size] for i in range(0, len(body), size))
    answer = serve(adapter, stream(*chunks, b"!"), user).get()
    start = body.index(b'{"email')
    stop = body.index(b"}", start) + 1
    blanked = body[:start] + b" " * (stop - start) + body[stop:]
    assert answer.body == (identified(blanked) if user else blanked) + b"!"


# Secrets --------------------------------------------------------------------------------------


def test_a_callable_secret_rotates_live(adapter: str) -> None:
    """It is asked for every identified page."""
    secrets = ["first-secret-0123456789", "second-secret-0123456789"]
    site = serve(adapter, page(), ALICE, secret=lambda slug: secrets[0] if slug == SLUG else None)
    assert site.get().body == PAGE.replace(TAG, identify_script(ALICE, secrets[0]) + TAG)
    del secrets[0]
    assert site.get().body == PAGE.replace(TAG, identify_script(ALICE, secrets[0]) + TAG)


@pytest.mark.parametrize("streamed", [False, True])
def test_the_page_says_which_of_several_widgets_it_has(adapter: str, streamed: bool) -> None:
    """A mapping of slugs; a stranger's slug gets nothing, and the next own one does."""
    other = TAG.replace(b"acme", b"other")
    stranger = TAG.replace(b"acme", b"stranger")
    secrets = {"acme": SECRET, "other": "the-other-secret-0123456789"}
    body = stranger + b"<p>" + other
    cut = body.index(b"<p>")
    host = stream(body[:50], body[50 : cut + 8], body[cut + 8 :]) if streamed else page(body=body)
    site = serve(adapter, host, ALICE, slug=..., secret=secrets)
    script = identify_script(ALICE, secrets["other"])
    assert site.get().body == stranger + b"<p>" + script + other


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("slugs", "options", "expected"),
    [
        (["x", "x", "acme", "acme"], {"slug": ...}, ["x", "acme"]),
        (["acme", "acme"], {}, ["acme"]),
        ([], {"embed": True}, ["acme"]),
    ],
    ids=["any widget", "one widget", "embed"],
)
def test_a_secret_is_asked_for_once_a_page(
    adapter: str, slugs: list[str], options: dict[str, Any], expected: list[str], streamed: bool
) -> None:
    """It may cost a query, and a new one would be another than the policy has admitted."""
    asked: list[str] = []

    def secret(slug: str) -> str | None:
        asked.append(slug)
        return SECRET if slug == SLUG else None

    body = b"".join(TAG.replace(b"acme", slug.encode()) for slug in slugs) + b"</body>"
    host = stream(body[:20], body[20:]) if streamed else page(body=body)
    site = serve(adapter, host, ALICE, secret=secret, **options)
    asked.clear()  # a site may ask when it starts
    assert identify_script(ALICE) in site.get().body
    assert asked == expected


@pytest.mark.parametrize(("strangers", "found"), [(16, True), (17, False), (99, False)])
def test_a_page_of_many_brands(adapter: str, strangers: int, found: bool) -> None:
    """Whoever names more than a few only wants a secret to be looked for, again and again."""
    asked: list[str] = []

    def secret(slug: str) -> str | None:
        asked.append(slug)
        return SECRET if slug == SLUG else None

    tags = [TAG.replace(b"acme", b"x%d" % number) for number in range(strangers)]
    host = page(body=b"".join(tags) + TAG)
    answer = serve(adapter, host, ALICE, slug=..., secret=secret).get()
    assert (identify_script(ALICE) in answer.body) is found
    assert len(asked) == 17


def test_what_visitors_write_into_pages_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each widget without a secret is told of, and of so many no more."""
    numbers = iter(range(9999))

    def host() -> Host:
        return page(body=b"".join(TAG.replace(b"acme", b"x%d" % next(numbers)) for _ in range(15)))

    site = serve("wsgi", host, ALICE, slug=..., secret=lambda slug: None)
    for _ in range(100):
        site.get()
    assert len(caplog.records) == 1000


@pytest.mark.parametrize(
    "secret",
    [
        lambda slug: None,
        lambda slug: "tiny",
        lambda slug: 1 / 0,
        lambda slug: 42,
        lambda slug: raised(ConfigurationError("the secret is tiny")),
    ],
)
def test_without_a_usable_secret_pages_stay_anonymous(
    adapter: str, secret: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning; the site goes on."""
    site = serve(adapter, page(), ALICE, secret=secret)
    with caplog.at_level(logging.WARNING, "ensoras_middleware"):
        assert site.get().body == PAGE
        assert site.get().body == PAGE
    assert len(caplog.records) == 1
    assert "tiny" not in caplog.text
