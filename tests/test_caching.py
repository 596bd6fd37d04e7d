"""What an identified page says to caches, asked directly; other tests see it in whole sites."""

from __future__ import annotations

import pytest

from ensoras_middleware import caching

NEVER = ("Cache-Control", "private, no-store, max-age=0")

GONE = (
    "Cache-Control Expires X-Accel-Expires Edge-Control ETag Last-Modified Accept-Ranges "
    "Content-MD5 Digest Repr-Digest Content-Digest CDN-Cache-Control Surrogate-Control"
).split()
OF_THE_BYTES = "Accept-Ranges Content-MD5 Digest Repr-Digest Content-Digest".split()
KEPT = "Age Cache-Controlled Content-Type Expires-X Pragma Vary X-Cache X-ETag".split()


@pytest.mark.parametrize("change", [str, str.lower, str.upper])
def test_nothing_brings_an_identified_page_back(change: type[str]) -> None:
    """No field stays that a cache keeps or compares a copy by, in whatever case."""
    for name in GONE:
        fields = [("A", "b"), (change(name), "x"), ("C", "d")]
        assert caching.never_reused(fields) == [("A", "b"), ("C", "d"), NEVER], name
    for name in KEPT:
        fields = [(change(name), "x")]
        assert caching.never_reused(fields) == [*fields, NEVER]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Cache-Control", "no-transform", f"{NEVER[1]}, no-transform"),
        ("cache-control", "public , No-Transform", f"{NEVER[1]}, no-transform"),
        ("Cache-Control", "no-transformation", NEVER[1]),
        ("CDN-Cache-Control", "no-transform", NEVER[1]),
    ],
)
def test_what_stays_of_cache_control(name: str, value: str, expected: str) -> None:
    """Leave to change the bytes on the way is another matter."""
    assert caching.never_reused([(name, value)]) == [("Cache-Control", expected)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('content="ESI/1.0"', 'no-store, content="ESI/1.0"'),
        ('max-age=9, Content="ESI/1.0" , content=b', 'no-store, Content="ESI/1.0", content=b'),
        ("max-age=9", None),
        ("x-content=1", None),
    ],
)
def test_what_stays_of_surrogate_control(value: str, expected: str | None) -> None:
    """Who may process the page, not how long it may be kept."""
    kept = [] if expected is None else [("surrogate-control", expected)]
    assert caching.never_reused([("surrogate-control", value)]) == [*kept, NEVER]


@pytest.mark.parametrize(
    ("name", "value", "keeps"),
    [
        *((name, "x", False) for name in (*OF_THE_BYTES, *KEPT, "Cache-Control", "Expires")),
        *((name, "x", True) for name in ("ETag", "last-modified", "Edge-Control")),
        ("X-Accel-Expires", "0", False),
        ("x-accel-expires", " 0 ", False),
        ("X-Accel-Expires", "10", True),
        ("X-Accel-Expires", "", True),
        ("Surrogate-Control", "no-store", False),
        ("surrogate-control", "content=a, No-Store", False),
        ("Surrogate-Control", "max-age=9", True),
        ("Surrogate-Control", "private", True),
        ("CDN-Cache-Control", "no-store", False),
        ("cdn-cache-control", "max-age=9, Private", False),
        ("CDN-Cache-Control", "max-age=9", True),
        ("CDN-Cache-Control", "no-cache", True),
    ],
)
def test_what_keeps_a_copy_in_spite_of_no_store(name: str, value: str, keeps: bool) -> None:
    assert caching.keeps_a_copy(name, value) is keeps


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ["Cookie"]),
        ([""], ["Cookie"]),
        (["Accept"], ["Accept, Cookie"]),
        (["Accept", "", "Accept-Language"], ["Accept, Accept-Language, Cookie"]),
        (["*"], ["*"]),
        (["Accept, *"], ["Accept, *"]),
        (["accept , COOKIE"], ["accept , COOKIE"]),
        (["Accept", "Cookie"], ["Accept", "Cookie"]),
        (["X-Cookie"], ["X-Cookie, Cookie"]),
    ],
)
def test_vary(values: list[str], expected: list[str]) -> None:
    """One field says all; where nothing is to be added, the host's stay as they are."""
    fields = [("A", "b"), *(("vARY", value) for value in values), ("C", "d")]
    changed = caching.with_vary_cookie(fields)
    assert [value for name, value in changed if name.lower() == "vary"] == expected
    assert [field for field in changed if field[0].lower() != "vary"] == [("A", "b"), ("C", "d")]


def test_a_body_that_is_as_good() -> None:
    """Its validator is weak, and what is true of the bytes alone is gone."""
    fields = [(name, "x") for name in (*OF_THE_BYTES, "Last-Modified")]
    fields += [("ETag", '"a"'), ("etag", 'W/"b"'), ("X-ETag", '"c"')]
    assert caching.of_equivalent_body(fields) == [
        ("Last-Modified", "x"),
        ("ETag", 'W/"a"'),
        ("etag", 'W/"b"'),
        ("X-ETag", '"c"'),
    ]


def test_content_length() -> None:
    """There is one, or none."""
    fields = [("content-LENGTH", "1"), ("A", "b"), ("Content-Length", "2"), ("Content-Type", "c")]
    rest = [("A", "b"), ("Content-Type", "c")]
    assert caching.with_content_length(fields, 3) == [*rest, ("Content-Length", "3")]
    assert caching.with_content_length(fields, 0) == [*rest, ("Content-Length", "0")]
    assert caching.with_content_length(fields, None) == rest


PAGE = {"cookie": "a=b", "sec-fetch-dest": "document"}
SCRIPT = {"cookie": "a=b", "sec-fetch-dest": "empty"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "asks"),
    [
        ("GET", "/", PAGE, True),
        ("HEAD", "/", PAGE, True),
        ("POST", "/", PAGE, False),
        ("PUT", "/", PAGE, False),
        ("GET", "/", {"authorization": "x", "sec-fetch-dest": "document"}, True),
        ("GET", "/", {"sec-fetch-dest": "document"}, False),
        *(("GET", "/", PAGE | {"sec-fetch-dest": one}, True) for one in ("iframe", " Frame ")),
        *(("GET", "/", PAGE | {"sec-fetch-dest": one}, False) for one in ("image", "script", "x")),
        ("GET", "/", PAGE | {"sec-fetch-dest": "image", "accept": "text/html"}, False),
        ("GET", "/", {"cookie": "a=b"}, False),
        ("GET", "/", {"cookie": "a=b", "accept": "a, Text/HTML"}, True),
        ("GET", "/", {"cookie": "a=b", "accept": "*/*"}, False),
        ("GET", "/", SCRIPT, False),
        ("GET", "/", SCRIPT | {"accept": "text/html"}, True),
        ("GET", "/", SCRIPT | {"accept": "Text/HTML"}, True),
        ("GET", "/", SCRIPT | {"hx-request": "true"}, True),
        ("GET", "/", SCRIPT | {"hx-history-restore-request": "true"}, True),
        *(
            ("GET", path, PAGE, True)
            for path in ("/a.html", "/a.htm", "/a.php", "/a.b/c", "", "/a.")
        ),
        *(("GET", path, PAGE, False) for path in ("/a.pdf", "/a.PNG", "/x/a.css", "/a.html.gz")),
    ],
)
def test_who_asks_for_a_page(method: str, path: str, headers: dict[str, str], asks: bool) -> None:
    """With a log-in, by a method that can be answered 304, and for no file of another type."""
    assert caching.asks_for_page(method, path, headers.get) is asks
