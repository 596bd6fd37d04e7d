"""Why a response was or was not identified."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What became of one response; every response that passes the middleware has exactly one."""

    # Identified
    IDENTIFIED = "identified"  # the identify script stands before the widget tag
    STREAMING = "streaming"  # a logged-in user's stream: identified where a widget tag follows

    # Pages that name the widget, and stay anonymous
    ANONYMOUS = "anonymous"  # nobody is logged in
    EMAIL_REFUSED = "email-refused"  # the user's address is none that can be signed safely
    UNVERIFIED = "unverified"  # the user's address is known to be unverified
    IMPERSONATED = "impersonated"  # a staff member acts as the user
    USER_ERROR = "user-error"  # reading the user raised
    WITHHELD = "withheld"  # another site's request, an API client's, or a sandboxed page
    NO_SECRET = "no-secret"  # there is no secret for the slug of the page's widget tag
    SECRET_ERROR = "secret-error"  # the secret could not be had, or is unusable
    NO_TAG = "no-tag"  # the address stands in the page, but not in a real widget tag
    AMBIGUOUS = "ambiguous"  # browsers may disagree about where the widget tag is
    DANGLING = "dangling"  # the widget tag looks as if markup had been injected into it
    CSP_BLOCKED = "csp-blocked"  # the page's policy lets no script run, or not one that we embed

    # Responses that are not touched
    NO_WIDGET = "no-widget"  # an HTML page without the widget
    NOT_HTML = "not-html"
    EXCLUDED = "excluded"  # by path, or by a decorator
    STATUS = "status"  # a status without a body, or a part of one
    HEAD = "head"  # the answer to a HEAD request
    ENCODED = "encoded"  # compressed before it reached the middleware
    ATTACHMENT = "attachment"
    CHARSET = "charset"  # an encoding in which ASCII bytes do not mean ASCII characters
    PATHSEND = "pathsend"  # the server sends the file by itself
    ERROR = "error"  # a fault of this middleware; the host's own bytes went out
