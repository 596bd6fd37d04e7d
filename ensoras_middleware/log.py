"""What the logger `ensoras_middleware` says: never a secret, a hash, an address or a path."""

from __future__ import annotations

import contextlib
import logging
from functools import partial

from ensoras_middleware.outcome import Outcome

logger = logging.getLogger("ensoras_middleware")

_OUR_PACKAGES = ("ensoras_middleware", "flask_ensoras", "django_ensoras")

# It costs half of a call that logs nothing.
is_debugging = partial(logger.isEnabledFor, logging.DEBUG)


def say(level: int, message: str, *arguments: object) -> None:
    """Log a line; a handler or a filter of the site that fails must not fail its pages."""
    with contextlib.suppress(Exception):
        logger.log(level, message, *arguments, stacklevel=2)


# The outcomes that a site should do something about, with the remedy.
PROBLEMS = {
    Outcome.EMAIL_REFUSED: (
        "A logged-in user's e-mail cannot be signed safely, so the visitor stays anonymous: signed "
        "are plain ASCII addresses of the form local@domain, not %s."
    ),
    Outcome.UNVERIFIED: (
        "A logged-in user's e-mail is not known to be verified, so the visitor stays anonymous: "
        "let users verify theirs, or set ENSORAS_TRUST_EMAILS (keyword `trust_emails`) where "
        "nobody can enter an address that is not their own."
    ),
    Outcome.USER_ERROR: "Reading the user failed, so the visitor stays anonymous: %s",
    Outcome.NO_SECRET: "There is no secret for the slug of a widget tag, `%s`.",
    Outcome.SECRET_ERROR: (
        "The secret of the widget `%s` cannot be had, so its visitors stay anonymous: %s"
    ),
    Outcome.DANGLING: (
        "A widget tag holds `<script` or `<style` in an attribute, as if markup had been injected "
        "before it, so its page stays anonymous."
    ),
    Outcome.ENCODED: (
        "A page is compressed before it reaches the Ensoras middleware, so it stays anonymous: "
        "move the compressing middleware to the outside of this one."
    ),
    Outcome.ERROR: "The Ensoras middleware failed, and left a page alone: %s",
}

STRANGER = (
    "A page reached the Ensoras middleware with an identify script in it, perhaps another "
    "visitor's: it was taken out. Use one layer of this middleware, outside every cache."
)

# An authenticated user is read by default, but there is none.
NO_USER = (
    "Nothing tells Ensoras who is logged in: add Starlette's AuthenticationMiddleware, or give "
    "`get_email`, a function that returns the e-mail of the logged-in user."
)
UNKNOWN_USER = (
    'The user in scope["user"] has no `is_authenticated` or no `email`, so the visitor stays '
    "anonymous: give them both to the user's class, or give `get_email`, a function that returns "
    "the e-mail of the logged-in user."
)

# Layers of an ASGI stack on the wrong side, and what to move where; see `order`.
WRONG_ORDER = {
    "compression": (
        "%s is inside of the Ensoras middleware, which cannot read what is compressed, so pages "
        "stay anonymous: move it to the outside. With `add_middleware` the last one added is "
        "outermost: add it after EnsorasMiddleware."
    ),
    "cache": (
        "%s is around the Ensoras middleware, and keeps pages for everybody whatever their "
        "Cache-Control says, so every page stays anonymous: move it to the inside. With "
        "`add_middleware` the last one added is outermost: add it before EnsorasMiddleware."
    ),
    "csp": (
        "%s sets a Content-Security-Policy around the Ensoras middleware, and blocks the identify "
        "script: move it to the inside. With `add_middleware` the last one added is outermost: "
        "add it before EnsorasMiddleware."
    ),
    "user": (
        "%s is around %s, and hides its user from the Ensoras middleware, so pages stay anonymous: "
        "move the cache to the inside of that one."
    ),
    "twice": (
        "The Ensoras middleware is there twice, and only the outer one counts, with its options: "
        "remove one. For several widgets give one of them a mapping as `secret`."
    ),
}

ON_OUTCOME_FAILED = "`on_outcome` failed, and the response went out all the same: %s"

CANNOT_RUN = (
    "A page's Content-Security-Policy does not let the Ensoras widget run, so it was not written "
    "into the page: add %s to its script-src and connect-src, or a nonce; or exclude the page."
)


def kind_and_place(error: BaseException) -> str:
    """Say what was raised and where, but not with which words: they may hold an address.

    Where somebody else's function that we called has called on, its own line is told too.
    """
    place = called = ""
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        place = f"{frame.f_code.co_filename}:{traceback.tb_lineno}"
        package = str(frame.f_globals.get("__name__")).partition(".")[0]  # code may set any name
        called = called or ("" if package in _OUR_PACKAGES else place)
        traceback = traceback.tb_next
    return "".join(
        [
            type(error).__qualname__,
            f" at {place}" if place else "",
            f", called from {called}" if called not in ("", place) else "",
        ]
    )
