"""What a page that may carry an identity says to caches, and what a browser may ask of the host.

An identified page must never be reused: not for the next visitor of a shared cache, not for the
same browser after log-in or log-out. Header fields are lists of (name, value) pairs; every
function returns a new list.

Source: RFC 9111 (HTTP caching), RFC 9110 sections 8.8 (validators) and 13.1 (preconditions).
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable

Fields = list[tuple[str, str]]

NEVER_REUSED = "private, no-store, max-age=0"

# What is true of the host's own bytes only.
_OF_THE_BYTES = frozenset("accept-ranges content-md5 digest repr-digest content-digest".split())
# What a stored copy would be kept by or compared with, besides.
_DROPPED = _OF_THE_BYTES | frozenset(
    "cache-control expires x-accel-expires edge-control etag last-modified".split()
)


def with_vary_cookie(fields: Fields) -> Fields:
    """Add `Cookie` to `Vary` (RFC 9110, section 12.5.5), which may say so or `*` already."""
    values = [value for name, value in fields if name == "Vary" or name.lower() == "vary"]
    if not values:
        return [*fields, ("Vary", "Cookie")]
    varied = [token for value in values for token in _tokens(value)]
    if "*" in varied or "cookie" in varied:
        return fields
    kept = [(name, value) for name, value in fields if name.lower() != "vary"]
    return [*kept, ("Vary", ", ".join([*filter(None, values), "Cookie"]))]


def never_reused(fields: Fields) -> Fields:
    """Let no cache keep the response, and no validator bring an older one back."""
    transform = ""
    kept = []
    for name, value in fields:
        lower = name.lower()
        if lower in _DROPPED or lower.endswith("-cache-control"):
            if lower == "cache-control" and "no-transform" in _tokens(value):
                transform = ", no-transform"
            continue
        if lower == "surrogate-control":
            # Says which surrogate may process the page (ESI), beside how long it may keep it. Where
            # there is such a field, Varnish looks for `no-store` nowhere else.
            directives = [one.strip() for one in value.split(",")]
            contents = [one for one in directives if one.lower().startswith("content=")]
            if not contents:
                continue
            value = ", ".join(["no-store", *contents])
        kept.append((name, value))
    kept.append(("Cache-Control", NEVER_REUSED + transform))
    return kept


def keeps_a_copy(name: str, value: str) -> bool:
    """Tell whether a field lets a cache keep or compare a copy in spite of `no-store`.

    `Expires` does not: `Cache-Control` outranks it (RFC 9111, section 5.3).
    """
    lower = name.lower()
    if lower == "x-accel-expires":  # nginx: "0" stores nothing
        return value.strip() != "0"
    if lower == "surrogate-control":
        return "no-store" not in _tokens(value)
    if lower.endswith("-cache-control"):
        return not {"no-store", "private"} & set(_tokens(value))
    return lower in _DROPPED - _OF_THE_BYTES - {"cache-control", "expires"}


def of_equivalent_body(fields: Fields) -> Fields:
    """Say only what holds for a body that is as good as the host's, but not the same bytes.

    Source: RFC 9110, section 8.8.1 (weak validators).
    """
    kept = []
    for name, value in fields:
        lower = name.lower()
        if lower == "etag" and not value.startswith("W/"):
            value = f"W/{value}"
        if lower not in _OF_THE_BYTES:
            kept.append((name, value))
    return kept


def with_content_length(fields: Fields, length: int | None) -> Fields:
    """Set the one `Content-Length`, in bytes; with `None` there is none."""
    kept = [(name, value) for name, value in fields if name.lower() != "content-length"]
    return kept if length is None else [*kept, ("Content-Length", str(length))]


def asks_for_page(method: str, path: str, header: Callable[[str], str | None]) -> bool:
    """Tell whether the request asks for a page, and may carry a log-in.

    Such a request must reach the host without `If-None-Match` and `If-Modified-Since`: a 304 would
    bring back a page from before the log-in, or of the user before.
    """
    if method not in ("GET", "HEAD") or not (header("cookie") or header("authorization")):
        return False
    destination = (header("sec-fetch-dest") or "").strip().lower()
    if destination:
        page = destination in ("document", "iframe", "frame") or (
            destination == "empty" and is_script_asking_for_page(header)
        )
    else:
        page = "text/html" in (header("accept") or "").lower()
    return page and _type_of(path) in (None, "text/html")


def is_script_asking_for_page(header: Callable[[str], str | None]) -> bool:
    """Tell whether a request of a script (`Sec-Fetch-Dest: empty`) is for a page.

    Turbo accepts `text/html`; htmx asks for pages with `*/*`: htmx 2 for all, htmx 4 for those that
    Back goes to.
    """
    return (
        "text/html" in (header("accept") or "").lower()
        or header("hx-request") == "true"
        or header("hx-history-restore-request") == "true"
    )


def _type_of(path: str) -> str | None:
    # Not `mimetypes.guess_type`: that reads the machine's own tables, where `.php` is a type.
    global _types
    if _types is None:
        _types = mimetypes.MimeTypes()
    type_, encoding = _types.guess_type(path.rpartition("/")[2])
    return encoding or type_


_types: mimetypes.MimeTypes | None = None


def _tokens(value: str) -> list[str]:
    return [token.strip().lower() for token in value.split(",")]
