"""What pages say to caches, and whether one has answered.

Source: RFC 9111 (HTTP caching), RFC 9211 (`Cache-Status`).
"""

from __future__ import annotations

import re

from ensoras_middleware.caching import Fields, keeps_a_copy, with_vary_cookie
from ensoras_middleware.check.answer import CUSTOMER, Answer
from ensoras_middleware.check.finding import Finding, Findings, Status

_ORDER = (
    "Let nothing outside of the middleware change what it says to caches: the "
    "documentation's page Caching tells what your framework, proxy and CDN need."
)
_MORE = "The documentation's page Caching has nginx, Varnish and CDNs."

# Fields in which caches tell whether they had a copy: nginx, Varnish, Squid and CDNs.
_TOLD_BY_CACHES = frozenset(
    "x-cache x-cache-status x-proxy-cache x-varnish-cache x-nginx-cache x-fastcgi-cache "
    "cf-cache-status cdn-cache x-vercel-cache x-litespeed-cache cache-status".split()
)
_HIT = re.compile(r"(?<![a-z])(?:hit|stale|updating|revalidated)(?![a-z]|-for)", re.IGNORECASE)


def caching(answer: Answer) -> Findings:
    """Tell what a page with the widget, identified or not, says to caches."""
    if any(identity.hash for identity in answer.identities):
        yield from _of_identified(answer)
        yield _age(answer)
    if answer.page.tags or answer.page.calls:
        yield _vary(answer)


def shared_cache_signs(fields: Fields) -> list[str]:
    """Return the names of the fields that say that a stored copy was sent."""
    signs = []
    for name, value in fields:
        lower = name.lower()
        if lower == "age":
            is_sign = value.strip().isdecimal() and int(value) > 0
        elif lower == "x-varnish":  # a second id is that of the request which filled the cache
            is_sign = len(value.split()) > 1
        else:
            is_sign = lower in _TOLD_BY_CACHES and _HIT.search(value) is not None
        if is_sign:
            signs.append(name)
    return signs


def not_modified(status: int | None) -> Finding:
    """Tell how a customer is answered who has the anonymous page stored.

    `status` is `None` where that page has no validators to ask with.
    """
    title = "after log-in"
    if status is None:
        found = "The anonymous page has no validators, so no 304 brings it back."
        return Finding(Status.OK, title, found, page=CUSTOMER)
    if status != 304:
        found = "The customer gets a new page, though the anonymous one has validators."
        return Finding(Status.OK, title, found, page=CUSTOMER)
    return Finding(
        Status.PROBLEM,
        title,
        "With the validators of the anonymous page the customer gets a 304, and goes on seeing it.",
        "What answers so is outside of the middleware: let it pass requests that have a session "
        "cookie, or take validators off pages with the widget.",
        CUSTOMER,
    )


def _of_identified(answer: Answer) -> Findings:
    title = "Cache-Control"
    directives = {one.strip().lower() for one in answer.value("cache-control").split(",")}
    if "no-store" not in directives or "public" in directives:
        found = "The identified page may be stored: it does not say `private, no-store`."
        yield Finding(Status.PROBLEM, title, found, _ORDER, answer.visitor)
    else:
        found = "The identified page says `no-store`."
        yield Finding(Status.OK, title, found, page=answer.visitor)
    others = sorted({name for name, value in answer.fields if keeps_a_copy(name, value)})
    if others:
        found = f"The identified page has {', '.join(others)}, by which a copy is kept or compared."
        yield Finding(Status.PROBLEM, title, found, _ORDER, answer.visitor)


def _vary(answer: Answer) -> Finding:
    if with_vary_cookie(answer.fields) == answer.fields:
        return Finding(Status.OK, "Vary", "The page varies on `Cookie`.", page=answer.visitor)
    return Finding(
        Status.PROBLEM,
        "Vary",
        "The page has the widget, and does not say `Vary: Cookie`.",
        "The middleware says so on every page with its widget. See that it is installed and does "
        "not exclude this page, that slug and origin are those of the tag, that nothing inside of "
        "it compresses the page, and that nothing outside of it takes the field away.",
        answer.visitor,
    )


def _age(answer: Answer) -> Finding:
    title = "shared cache"
    signs = shared_cache_signs(answer.fields)
    if not signs:
        found = "Nothing says that a cache has answered."
        return Finding(Status.OK, title, found, page=answer.visitor)
    if "age" in map(str.lower, signs):
        return Finding(
            Status.PROBLEM,
            title,
            f"A cache has answered with a stored identified page: {', '.join(signs)}.",
            "Purge it, let it pass requests with your session cookie, and let it obey `no-store`; "
            f"then rotate the widget secret. {_MORE}",
            answer.visitor,
        )
    return Finding(
        Status.NOTE,
        title,
        f"A cache says that it has answered from its store: {', '.join(signs)}.",
        "Inside of the middleware that is fine: there it stores pages without identity. One around "
        "it must obey `no-store` and pass requests with your session cookie; if it does not, purge "
        f"it and rotate the widget secret. {_MORE}",
        answer.visitor,
    )
