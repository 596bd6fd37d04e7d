"""The widget tag: how it is written, and how its address is recognised.

<script src="https://app.ensoras.com/cdn/v1/widget/SLUG.js" async defer></script>
"""

from __future__ import annotations

import re
from typing import NamedTuple

DEFAULT_ORIGIN = "https://app.ensoras.com"
PATH = "/cdn/v1/widget/"
ADDRESS_PATH = PATH.encode()

SLUG = re.compile(r"[A-Za-z0-9_-]+")
NONCE = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")  # CSP Level 3, section 2.3.1, nonce-source

# The longest start tag that is still taken for a widget tag, and so the most that is held back of
# a stream, in bytes.
TAG_LIMIT = 4096


class BodyEnd(NamedTuple):
    """Where the widget tag goes in a page that has none: before the first real `</body>`.

    `start` is the offset of its `<` in the page, in bytes.
    """

    start: int


def widget_tag(origin: str, slug: str, nonce: str | None = None) -> str:
    """Return the widget tag as Ensoras' dashboard shows it; all arguments are valid ones."""
    attribute = f' nonce="{nonce}"' if nonce else ""
    return f'<script src="{widget_address(origin, slug)}" async defer{attribute}></script>'


def widget_address(origin: str, slug: str) -> str:
    """Return the address of a widget's script."""
    return f"{origin}{PATH}{slug}.js"


def needle(origin: str, slug: str | None) -> bytes:
    """Return the part of the widget's address that every page with the widget holds as it is.

    All of it but the scheme, with the host in lower case. Long, for long strings are found faster.
    """
    script = f"{slug}.js" if slug else ""
    return f"//{origin.partition('//')[2]}{PATH}{script}".encode()


def address_pattern(origin: str, slug: str | None) -> re.Pattern[str]:
    """Return what matches the whole address of a widget script; its first group is the slug.

    Scheme and host are read in any case, and the scheme may be left out, as in any URL. Without
    `slug`, every slug matches.
    """
    scheme, host = (re.escape(part) for part in origin.split("//"))
    slugs = re.escape(slug) if slug else SLUG.pattern
    return re.compile(
        rf"(?i:{scheme})?//(?i:{host}){re.escape(PATH)}({slugs})\.js(?:[?#].*)?",
        re.DOTALL | re.ASCII,
    )
