"""Assertions for a site's own tests: whom a page identifies.

A failure says what the page has instead, and why. It shows no whole address and no hash; nor do
the variables of these functions, where a test runner prints them. Needs the standard library alone.
"""

from __future__ import annotations

import re
from typing import Any

from ensoras_middleware.caching import keeps_a_copy
from ensoras_middleware.explanations import EXPLANATIONS
from ensoras_middleware.identity import canonical_email, verify_identity
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.page import IdentifyCall, Page, Tag, masked, read_page
from ensoras_middleware.received import Received, received
from ensoras_middleware.secret import secret_from_environment
from ensoras_middleware.snippet import MARK

__all__ = ["assert_anonymous", "assert_identified"]

# The traceback of a failure ends in the test: for pytest `__tracebackhide__` says so.
__unittest = True

# Of a reference, what is not its path (RFC 3986, appendix B).
_AROUND_PATH = re.compile(r"\A(?:[^:/?#]+:)?(?://[^/?#]*)?|[?#].*", re.DOTALL)
_WITH_ADDRESS = re.compile(r"[^/]*(?:@|%40)[^/]*")

_NOT_OF_TEXT = re.compile(rb"[\x00-\x08]")


def assert_identified(
    response: Any, email: str, *, secret: str | bytes | None = None, slug: str | None = None
) -> None:
    """Assert that a page identifies this user, and that no cache may keep it.

    It does so once, by this middleware's script, directly before the widget tag; with `slug`, that
    of this widget. The hash is compared where there is a secret: `secret`, else the environment's
    (`ENSORAS_WIDGET_SECRET`, `ENSORAS_WIDGET_SECRET_FILE`).

    `response` is that of the test client of Django, Flask, Starlette or FastAPI, of httpx, requests
    or WebTest; or the page as `bytes` or `str`, of which no header can be seen. A Django stream is
    read, and can be read again.

    Raises `AssertionError`; `TypeError` for what is none of these; and `ConfigurationError` where
    the environment's secret cannot be one.
    """
    __tracebackhide__ = True
    if not isinstance(email, str):
        raise TypeError(f"email must be a str, not {type(email).__name__}")
    if not isinstance(secret, str | bytes | None):
        raise TypeError(f"secret must be a str or bytes, not {type(secret).__name__}")
    problem = _not_identified(received(response), email, secret, slug)
    if problem is not None:
        del response, email, secret
        raise AssertionError(problem)


def assert_anonymous(response: Any) -> None:
    """Assert that a page with the widget identifies nobody, by whatever script.

    A page without the widget tag is a failure too, for it would be anonymous in any case.
    `response` is as for `assert_identified`, and so are the errors.
    """
    __tracebackhide__ = True
    problem = _not_anonymous(received(response))
    if problem is not None:
        del response
        raise AssertionError(problem)


# What is wrong --------------------------------------------------------------------------------


def _not_identified(
    response: Received, email: str, secret: str | bytes | None, slug: str | None
) -> str | None:
    canonical = canonical_email(email)
    if canonical is None:
        return f"Nobody with this address is ever identified. {_explained(Outcome.EMAIL_REFUSED)}"
    page = read_page(response.body)
    tags = _first_tags(page, slug)
    found: str | None
    if not tags:
        found = _instead_of_tag(response, page, slug)
    elif not page.calls:
        found = f"It identifies nobody.{_why(response) or _how_to_know_why(response)}"
    else:
        found = (
            _wrong_calls(page, tags)
            or _wrong_identity(page.calls[0], canonical, secret)
            or _cacheable(response)
        )
    return found and f"The page should identify {masked(canonical)}. {found}"


def _not_anonymous(response: Received) -> str | None:
    page = read_page(response.body)
    if page.calls:
        whom = ", and ".join(map(_whom, page.calls))
        return f"The page should identify nobody. It identifies {whom}."
    if MARK in response.body:
        return f"The page should identify nobody. {_UNRUN_SCRIPT}"
    if not page.tags or _outcome(response) is Outcome.NO_WIDGET:
        found = _instead_of_tag(response, page, None)
        return f"Without the widget tag this proves nothing about who is identified. {found}"
    return None


_UNRUN_SCRIPT = (
    "An identify script stands where no browser runs it, in a comment or a `template`: somebody's "
    "hash all the same. Look for a page or fragment that was kept when it was identified already."
)


def _first_tags(page: Page, slug: str | None) -> list[Tag]:
    """Return the first tag of each widget, for only these are identified."""
    first: dict[str, Tag] = {}
    for tag in page.tags:
        if slug in (None, tag.slug):
            first.setdefault(tag.slug, tag)
    return list(first.values())


def _wrong_calls(page: Page, tags: list[Tag]) -> str | None:
    """Tell what is wrong with the identify calls, whomever they name."""
    if len(page.calls) > 1:
        whom = ", and ".join(map(_whom, page.calls))
        return f"It identifies {len(page.calls)} times: {whom}. Remove what a template writes."
    (call,) = page.calls
    if not call.own:
        return (
            f"It identifies {_whom(call)}. Remove the call from the template; or look for what "
            "rewrites scripts, as minifiers do, if this is the middleware's."
        )
    if page.body.count(MARK) > 1:
        return f"It does, but not once. {_UNRUN_SCRIPT}"
    if not any(page.call_before(tag) is call for tag in tags):
        return (
            f"It identifies {_whom(call)}, but not directly before the widget tag. Look for what "
            "moves scripts, and for the tag of another widget."
        )
    return None


def _wrong_identity(call: IdentifyCall, email: str, secret: str | bytes | None) -> str | None:
    assert call.identity is not None, "it is the middleware's own"
    if call.identity.email != email:
        return f"It identifies somebody else: {masked(call.identity.email)}."
    source = "`secret`"
    if secret is None:
        source, secret = "the environment's secret", secret_from_environment()
    if secret is None or verify_identity(email, call.identity.hash, secret):
        return None
    return f"It does, with a hash that is wrong under {source}: the site signs with another secret."


def _cacheable(response: Received) -> str | None:
    if response.fields is None:
        return None
    control = response.fields.get("cache-control", "")
    if "no-store" not in re.split(r"[\s,]+", control.lower()):
        said = f"`Cache-Control` is `{control}`" if control else "there is no `Cache-Control`"
        return f"It does, but caches may keep it: {said}. {_OUTER_LAYER}"
    for name, value in response.fields.items():
        if keeps_a_copy(name, value):
            return f"It does, but caches may keep it: `{name}` is `{value}`. {_OUTER_LAYER}"
    return None


_OUTER_LAYER = "The middleware forbids that: look for a layer around it that changes the headers."


# In words -------------------------------------------------------------------------------------


def _whom(call: IdentifyCall) -> str:
    email = "somebody" if call.identity is None else masked(call.identity.email)
    return email if call.own else f"{email} (by a call that is not the middleware's)"


def _instead_of_tag(response: Received, page: Page, slug: str | None) -> str:
    """Tell what there is in place of the widget tag."""
    if page.tags:
        slugs = ", ".join(sorted({f"`{tag.slug}`" for tag in page.tags}))
        ours = f"of `{slug}`" if slug else "one of the site's settings"
        return f"It has the widget tag of {slugs}, not {ours}."
    if (other := _no_page(response)) is not None:
        return f"The response is {other}."
    if page.doubt is not None:
        return f"Browsers may disagree about its tags: {page.doubt}.{_why(response)}"
    outcome = Outcome.NO_TAG if page.mentions else Outcome.NO_WIDGET
    return _explained(outcome) + ("" if _outcome(response) is outcome else _why(response))


def _no_page(response: Received) -> str | None:
    """Tell what a response is that is no page that can be read."""
    fields, status = response.fields or {}, response.status or 200
    if status in (204, 205, 304):
        return f"without a body ({status})"
    if status < 400 and "location" in fields:
        return f"a redirect ({status}) to `{_path(fields['location'])}`"
    if status >= 400:
        return f"an error ({status})"
    media_type = fields.get("content-type", "text/html").partition(";")[0].strip().lower()
    if media_type != "text/html":
        return f"`{media_type}`, no page"
    if not response.body:
        return "empty; a stream that the test has read before it passed it is gone"
    encoding = fields.get("content-encoding", "gzip" if response.body[:2] == b"\x1f\x8b" else "")
    if encoding and _NOT_OF_TEXT.search(response.body):  # some clients decode it by themselves
        inside = _outcome(response) == Outcome.ENCODED
        remedy = EXPLANATIONS[Outcome.ENCODED].remedy if inside else _NO_ACCEPT_ENCODING
        return f"compressed (`{encoding}`). {remedy.rstrip('.')}"
    return None


_NO_ACCEPT_ENCODING = "Let the test send no `Accept-Encoding`"


def _path(location: str) -> str:
    """Return the path of a redirect's target, without anybody's address."""
    return _WITH_ADDRESS.sub("…", _AROUND_PATH.sub("", location))


def _why(response: Received) -> str:
    """Return what the middleware itself says, if it does, with a space before it."""
    outcome = _outcome(response)
    return f" X-Ensoras-Outcome: {outcome}. {_explained(outcome)}" if outcome else ""


def _how_to_know_why(response: Received) -> str:
    if response.fields is None:
        return " Pass the whole response, not its body alone, to be told why."
    return (
        " To be told why, set `ENSORAS_DEBUG = True` (keyword `debug`); if it is set, the "
        "middleware is not in use: it is missing, or switched off."
    )


def _outcome(response: Received) -> Outcome | None:
    outcome = (response.fields or {}).get("x-ensoras-outcome")
    return Outcome(outcome) if outcome in list(Outcome) else None


def _explained(outcome: Outcome) -> str:
    cause, remedy = EXPLANATIONS[outcome]
    return f"{cause} {remedy}"
