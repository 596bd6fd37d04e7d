"""Which responses may be touched, which requests get no identity, and which no 304."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from ensoras_middleware.caching import Fields, asks_for_page, is_script_asking_for_page
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.widget import Widget

# Statuses without a body, and with a part of one (RFC 9110, section 15).
_NO_WHOLE_BODY = frozenset([204, 205, 206, 304])

# Encodings in which the bytes of ASCII characters may mean others: the UTF-16 and ISO-2022
# families of the WHATWG Encoding standard by all their labels, and UTF-7, UTF-32 and HZ.
_NOT_ASCII = re.compile(
    r";\s*+charset\s*+=[\s\"']*+(?:x-|cs)?"
    r"(?:utf-?(?:7|16|32)|unicode|ucs-?[24]|iso-?(?:2022|10646)|hz)",
    re.IGNORECASE,
)


@dataclass(slots=True)  # not frozen: that costs three times as much for each request
class Request:
    """What must be known of a request.

    `path` is without the root path; `header` takes a lower-case name.
    """

    method: str
    path: str
    header: Callable[[str], str | None]


@lru_cache(maxsize=64)  # a site has a few media types
def is_html(content_type: str | None) -> bool:
    """Tell whether a media type is `text/html`, in any case and with any parameters."""
    return (
        content_type is not None and content_type.partition(";")[0].strip().lower() == "text/html"
    )


def refusal(request: Request, status: int, fields: Fields) -> Outcome | None:
    """Return why a response is not touched, or `None` where its body is to be looked at."""
    content_type = reason = None
    for name, value in fields:
        name = name.lower()
        if not name.startswith("content-"):
            continue
        if name == "content-type":
            content_type = value
            if not is_html(value):
                return Outcome.NOT_HTML
        elif name == "content-range":
            reason = reason or Outcome.STATUS
        elif name == "content-encoding" and value.strip().lower() not in ("", "identity"):
            reason = reason or Outcome.ENCODED
        elif name == "content-disposition" and _disposition(value) not in ("", "inline"):
            reason = reason or Outcome.ATTACHMENT
    if content_type is None:
        return Outcome.NOT_HTML
    if status < 200 or status in _NO_WHOLE_BODY:
        return Outcome.STATUS
    if reason is not None:
        return reason
    if not _is_ascii_compatible(content_type):
        return Outcome.CHARSET
    return Outcome.HEAD if request.method == "HEAD" else None


@lru_cache(maxsize=64)
def _is_ascii_compatible(content_type: str) -> bool:
    return _NOT_ASCII.search(content_type) is None


def _disposition(value: str) -> str:
    # Whatever is not known counts as an attachment (RFC 6266, section 4.2).
    return value.partition(";")[0].strip().lower()


def withholds_identity(request: Request) -> bool:
    """Tell whether a request is one whose answer nobody opens as a page of this site.

    Another site's `<img>`, `<script>` or `fetch`, or this site's own scripts and service workers
    where they did not ask for a page (Fetch Metadata Request Headers, sections 2.1 to 2.3).
    """
    site = (request.header("sec-fetch-site") or "").strip().lower()
    if site in ("cross-site", "same-site"):
        mode = (request.header("sec-fetch-mode") or "").strip().lower()
        if mode != "navigate":
            return True
    destination = (request.header("sec-fetch-dest") or "").strip().lower()
    return destination == "empty" and not is_script_asking_for_page(request.header)


def hides_preconditions(widget: Widget, request: Request) -> bool:
    """Tell whether the host must not see `If-None-Match` and `If-Modified-Since`; see `caching`."""
    try:
        return not widget.excludes(request.path) and asks_for_page(
            request.method, request.path, request.header
        )
    except Exception as error:
        widget.warn_of_fault(error)
        return False
