"""What the site answers to a path, and what each visitor must get of it: by plain slicing.

A path is `/KIND/MANNER/SIZE/CUT`: a page of so many bytes, whole or as a stream that is cut so many
bytes into its widget tag.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from ensoras_middleware import Identity
from ensoras_middleware.snippet import identify_script

SLUG = "acme"
USERS = range(24)
START_TAG = b'<script src="https://app.ensoras.com/cdn/v1/widget/acme.js" async defer>'
TAG = START_TAG + b"</script>"
NONCE = "c29hazEyMzQ1Njc4OTA"

Fields = dict[str, str]

# Where the host raises an exception, and where a user logs in.
RAISES, LOGIN = "/raises", "/login/"

_HTML = "text/html; charset=utf-8"
_HOST_CACHING = "public, max-age=60"
_POLICY = "script-src https://app.ensoras.com"
SIZES = (0, 500, 5_000, 60_000, 1_000_000)
LONG = 8_000_000  # what a client does not wait for
# What the fields are that a page has besides those of every page.
KINDS: dict[str, Fields] = {
    "page": {},
    "policy": {"content-security-policy": _POLICY},
    "nonce": {"content-security-policy": f"script-src 'nonce-{NONCE}'"},
    "bare": {},  # no widget
    "missing": {},
    "failed": {},
    "style": {"content-type": "text/css"},
}
_STATUS = {"missing": 404, "failed": 500}
MANNERS = ("whole", "stream", "slow", "breaks")

_DECOY = b"<!-- not here: " + TAG + b" -->"
_TEXT = b'<p class="tea">Assam &amp; Darjeeling, <a href="/t?a=1&b=2">from 4 a pot</a></p>\n'


def secret_number(number: int) -> str:
    return f"secret {number:04} of the widget"


def email_of(user: int) -> str:
    """Return the address as the site knows it; it is signed in lower case."""
    return f"Visitor-{user:02}@Soak.example"


@cache
def identity_of(user: int, secret: str) -> Identity:
    email = email_of(user).lower()
    return Identity(email, hmac.new(secret.encode(), email.encode(), hashlib.sha256).hexdigest())


@dataclass(frozen=True)
class Page:
    """What the host answers."""

    status: int
    fields: Fields
    body: bytes
    tag: int | None  # where the widget tag begins
    nonce: str | None
    manner: str
    cut: int

    @property
    def break_at(self) -> int:
        """Return after how many bytes a host breaks off, if it does."""
        return (len(self.body) // 2 if self.tag is None else self.tag) + self.cut

    def chunks(self) -> Iterator[bytes]:
        """Yield the chunks of a stream; the widget tag is cut, at 0 into single bytes."""
        cut, end = self.break_at, len(self.body)
        inside = [cut, cut + 1] if self.cut else range(cut, cut + len(TAG))
        borders = {0, end // 4, *inside, end * 3 // 4, end}
        for start, stop in pairwise(sorted(one for one in borders if one <= end)):
            for part in range(start, stop, 65536):
                yield self.body[part : min(stop, part + 65536)]
            if self.manner == "breaks" and stop == cut:
                raise LookupError("the host's")


# Made once, and at the start, so that memory shows nothing of it.
@cache
def _body(kind: str, size: int) -> tuple[bytes, int | None]:
    half = _TEXT * (size // 2 // len(_TEXT))
    start = b"<!doctype html><title>Tea</title>" + half
    if kind in ("bare", "style"):
        return start + half, None
    tag = TAG.replace(b" async", f' nonce="{NONCE}" async'.encode()) if kind == "nonce" else TAG
    return start + _DECOY + tag + half, len(start + _DECOY)


for _kind in KINDS:
    for _size in (*SIZES, LONG):
        _body(_kind, _size)


def page_at(path: str) -> Page:
    _, kind, manner, size, cut = path.split("/")
    body, tag = _body(kind, int(size))
    fields = {"content-type": _HTML, "cache-control": _HOST_CACHING} | KINDS[kind]
    if manner == "whole":
        fields |= {"etag": '"1"', "content-length": str(len(body))}
    nonce = NONCE if kind == "nonce" else None
    return Page(_STATUS.get(kind, 200), fields, body, tag, nonce, manner, int(cut))


@dataclass(frozen=True)
class Expected:
    """What a visitor must get; of a field that is not there, nothing."""

    status: int
    fields: Fields
    body: bytes


def expected(
    method: str, path: str, user: int | None, secret: str, *, enabled: bool = True
) -> Expected:
    """Return what this user must get, or nobody where it is `None`."""
    page = page_at(path)
    fields, body = dict(page.fields), b"" if method == "HEAD" else page.body
    is_page = enabled and fields["content-type"] == _HTML
    if is_page and (method == "HEAD" or page.manner != "whole" or page.tag is not None):
        fields["vary"] = "Cookie"
        if user is not None and method != "HEAD":
            fields, body = _identified(page, fields, identity_of(user, secret))
    if page.manner == "breaks":  # inside the widget tag, so before a script
        body = page.body[: 0 if method == "HEAD" else page.break_at]
    return Expected(page.status, fields, body)


def _identified(page: Page, fields: Fields, identity: Identity) -> tuple[Fields, bytes]:
    script, body = identify_script(identity), page.body
    if page.tag is not None:
        start = f'<script nonce="{page.nonce}">'.encode() if page.nonce else b"<script>"
        body = body[: page.tag] + start + script + b"</script>" + body[page.tag :]
    is_whole = page.manner == "whole"
    fields["cache-control"] = "private, no-store, max-age=0"
    fields.pop("etag", None)
    if is_whole:
        fields["content-length"] = str(len(body))
    if "content-security-policy" in fields and not (is_whole and page.nonce):
        source = base64.b64encode(hashlib.sha256(script).digest()).decode()
        fields["content-security-policy"] += f" 'sha256-{source}'"
    return fields, body
