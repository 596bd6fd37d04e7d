"""The widget tag that the middleware writes itself, with `embed`, as a WordPress plugin would.

It goes before the end tag of the body, and only where every policy of the page lets it run.
"""

from __future__ import annotations

import re

from ensoras_middleware import csp
from ensoras_middleware.caching import Fields
from ensoras_middleware.log import CANNOT_RUN
from ensoras_middleware.widget import Widget
from ensoras_middleware.widget_tag import widget_address, widget_tag

_END_TAG = rb"</[bB][oO][dD][yY]"


def may_end_body(page: bytes) -> bool:
    """Tell whether a page can have an end tag of the body; fragments of pages have none."""
    # Nearly always found at once: it stands at the end.
    return page.rfind(b"</body") >= 0 or re.search(_END_TAG, page) is not None


def nonce_of_widget(widget: Widget, fields: Fields) -> str | None:
    """Return the nonce with which the widget runs in a page, or "" where it needs none.

    It is `None` where the page's policies do not let it run.
    """
    if not csp.governs(fields):
        return ""
    assert widget.slug is not None, "options: `embed` needs it"
    return csp.nonce_for_address(fields, widget_address(widget.origin, widget.slug))


def warn_that_it_cannot_run(widget: Widget) -> None:
    """Log, once, what a policy lacks."""
    widget.warn_once("embed", CANNOT_RUN, widget.origin)


def written_tag(widget: Widget, nonce: str | None) -> bytes:
    """Return the widget tag as it is written into pages."""
    assert widget.slug is not None, "options: `embed` needs it"
    return widget_tag(widget.origin, widget.slug, nonce).encode("ascii")
