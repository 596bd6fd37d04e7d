"""What is measured: this project's own steps, and the least that any injector must do.

The least, called the limit, is one `bytes.find` of the widget's address and one join of the body
around the script.
"""

from __future__ import annotations

from typing import Unpack

from ensoras_middleware import Identity, identity_hash, snippet
from ensoras_middleware.configuration import widget_from_keywords
from ensoras_middleware.eligibility import Request
from ensoras_middleware.injection import Injection
from ensoras_middleware.options import Options
from ensoras_middleware.scanner import Scanner
from ensoras_middleware.widget import Widget

SLUG = "acme"
SECRET = "a-secret-of-the-benchmarks-01234"
EMAIL = "alice@example.com"
OPTIONS: Options = {"slug": SLUG, "secret": SECRET}

ADDRESS = b"https://app.ensoras.com/cdn/v1/widget/acme.js"
TAG = b'<script src="' + ADDRESS + b'" async defer></script>'
NEEDLE = b"//app.ensoras.com/cdn/v1/widget/"

IDENTITY = Identity(EMAIL, identity_hash(EMAIL, SECRET))
SCRIPT = snippet.script_element(snippet.identify_script(IDENTITY), None)


def widget(**options: Unpack[Options]) -> Widget:
    """Return a widget with the secret, and these options."""
    found = widget_from_keywords({"secret": SECRET, **options})
    assert found is not None
    return found


WIDGET = widget(slug=SLUG)
EMBEDDING = widget(slug=SLUG, embed=True)
OF_ANY_BRAND = widget(secret={"acme": SECRET})

REQUEST = Request("GET", "/", {"accept": "text/html", "cookie": "session=1"}.get)
FIELDS = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", "1")]


def injection(widget: Widget = WIDGET) -> Injection:
    """Return the decision about one HTML response."""
    return Injection(widget, REQUEST, 200, FIELDS)


_INJECTION = injection()


def limit(body: bytes) -> bytes:
    """Do the least: it is wrong wherever the address is not that of a live tag."""
    place = body.find(NEEDLE)
    if place < 0:
        return body
    view = memoryview(body)
    return b"".join((view[:place], SCRIPT, view[place:]))


def find(body: bytes) -> int:
    """Do the least for a page that stays as it is."""
    return body.find(NEEDLE)


def ours(body: bytes) -> bytes:
    """Find the widget tag and put the script before it, without signing and header fields."""
    if not _INJECTION.names_widget(body):
        return body
    tag = Scanner(WIDGET.address, WIDGET.needle, mention=_INJECTION._mention).feed(body)
    return body if tag is None else snippet.inserted(body, tag.start, SCRIPT)


def answered(injection: Injection, body: bytes, email: str | None) -> bytes:
    """Do all that becomes of a whole page: judge, scan, sign, insert, and set header fields."""
    if injection.names_widget(body):
        injection.user_is(email)
        return injection.whole(body)
    return body


def streamed(injection: Injection, chunks: list[bytes]) -> bytes:
    """Do the same for a page that comes in chunks."""
    injection.user_is(EMAIL)
    injection.start_stream()
    return b"".join(injection.stream(chunks))
