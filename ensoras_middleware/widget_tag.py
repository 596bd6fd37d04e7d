"""The widget tag: how it is written, and how its address is recognised.

<script src="https://app.ensoras.com/cdn/v1/widget/SLUG.js" async defer></script>
"""

from __future__ import annotations

import re

DEFAULT_ORIGIN = "https://app.ensoras.com"
PATH = "/cdn/v1/widget/"

SLUG = re.compile(r"[A-Za-z0-9_-]+")
NONCE = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")  # CSP Level 3, section 2.3.1, nonce-source


def widget_tag(origin: str, slug: str, nonce: str | None = None) -> str:
    """Return the widget tag as Ensoras' dashboard shows it; all arguments are valid ones."""
    attribute = f' nonce="{nonce}"' if nonce else ""
    return f'<script src="{origin}{PATH}{slug}.js" async defer{attribute}></script>'


def address_pattern(origin: str, slug: str | None) -> re.Pattern[str]:
    """Return what matches the whole address of a widget script; its first group is the slug.

    Scheme and host are read in any case, and the scheme may be left out, as in any URL. Without
    `slug`, every slug matches.
    """
    scheme, host = (re.escape(part) for part in origin.split("//"))
    slugs = re.escape(slug) if slug else SLUG.pattern
    return re.compile(
        rf"(?i:{scheme})?//(?i:{host}){re.escape(PATH)}({slugs})\.js(?:[?#].*)?", re.DOTALL
    )
