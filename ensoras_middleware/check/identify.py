"""Whether a customer's page identifies them, and an anonymous page nobody."""

from __future__ import annotations

from ensoras_middleware import csp
from ensoras_middleware.check.answer import ANONYMOUS, Answer
from ensoras_middleware.check.finding import Finding, Findings, Status
from ensoras_middleware.eligibility import Request, refusal
from ensoras_middleware.explanations import EXPLANATIONS
from ensoras_middleware.injection import OUTCOME_FIELD
from ensoras_middleware.outcome import Outcome
from ensoras_middleware.page import IdentifyCall, masked

_TITLE = "identify script"
_BY_HAND = "identify call by hand"

_NOT_KNOWN = (
    "Is this customer logged in, on this page? If so: set ENSORAS_DEBUG = True (keyword `debug`) "
    "for a moment and check again; the header X-Ensoras-Outcome then tells the reason. If it is "
    "set and there is no such header, the middleware is not in use: it is missing or switched off, "
    "or a cache answers."
)
_OTHER_SETTINGS = (
    "Compare ENSORAS_WIDGET_SLUG and ENSORAS_WIDGET_ORIGIN of the site with this tag: one of them "
    "is another."
)
_NOT_SEEN = (
    "It does not say `Vary: Cookie` either, so the middleware has not worked on it: it is not "
    "installed or switched off, excludes this path, expects another slug or origin than the tag "
    "has (ENSORAS_WIDGET_SLUG, ENSORAS_WIDGET_ORIGIN), or something inside of it compresses the "
    "page."
)


def identified(answer: Answer, plain: Answer | None = None) -> Findings:
    """Tell whether the page of a customer identifies somebody, once and in the right place.

    `plain` is the same page as it is sent where compression is not asked for.
    """
    own = [call for call in answer.page.calls if call.own]
    by_hand = [call for call in answer.page.calls if not call.own]
    if own:
        yield _place(answer, own)
    elif not by_hand:
        yield _missing(answer, plain)
    for call in by_hand:
        yield _by_hand(answer, call, beside=bool(own))


def outcome(answer: Answer) -> Findings:
    """Tell what the middleware says of a page by itself, if it does: with ENSORAS_DEBUG."""
    told = told_outcome(answer)
    if told is None:
        return
    right = {Outcome.IDENTIFIED, Outcome.STREAMING}
    if answer.visitor == ANONYMOUS:
        right = {Outcome.ANONYMOUS}
    cause, remedy = EXPLANATIONS[told]
    if told is Outcome.NO_WIDGET and answer.page.tags:
        address = answer.page.tags[0].address
        cause, remedy = f"The site is not set to the widget of its tag, {address}.", _OTHER_SETTINGS
    found = f"`{told.value}`: {cause}"
    if told in right:
        yield Finding(Status.OK, "outcome", found, page=answer.visitor)
    else:
        yield Finding(Status.PROBLEM, "outcome", found, remedy, answer.visitor)


def anonymous(answer: Answer) -> Findings:
    """Tell whether the page of an anonymous visitor is free of identify calls."""
    title, page = "identify script", answer.visitor
    if not answer.page.calls:
        found = "It identifies nobody, as it must be."
        yield Finding(Status.OK, title, found, page=page)
    for call in answer.page.calls:
        identity = call.identity
        if identity is None:
            yield Finding(
                Status.NOTE,
                title,
                "A script of the page calls Ensoras('identify', …) with what cannot be read here.",
                "See that it does so for nobody but a logged-in customer.",
                page,
            )
        elif not identity.email or not identity.hash:
            yield Finding(
                Status.PROBLEM,
                title,
                "It calls Ensoras('identify', …) with an empty e-mail or hash.",
                "Leave the call out where nobody is logged in; the middleware does so by itself.",
                page,
            )
        else:
            yield Finding(
                Status.PROBLEM,
                title,
                f"It identifies {masked(identity.email)} to everybody.",
                "Take identify calls out of templates, and pages out of caches that hold them; "
                "then rotate the widget secret, for the hash stays valid until then.",
                page,
            )


def told_outcome(answer: Answer) -> Outcome | None:
    """Return the outcome that the middleware tells in a header field."""
    told = answer.value(OUTCOME_FIELD.lower())
    return Outcome(told) if told in list(Outcome) else None


def likely_outcome(answer: Answer) -> Outcome | None:
    """Return why a page is not identified, as far as the page shows it by itself."""
    request = Request("GET", "/", lambda name: None)
    refused = refusal(request, answer.status, answer.fields)
    if refused not in (None, Outcome.ENCODED):
        return refused
    if csp.withholds_origin(answer.fields):
        return Outcome.WITHHELD
    if csp.lets_no_script_run(answer.fields):
        return Outcome.CSP_BLOCKED
    page = answer.page
    if page.doubt is not None:
        return Outcome.AMBIGUOUS
    if any(tag.dangling for tag in page.tags):
        return Outcome.DANGLING
    if not page.tags:
        return Outcome.NO_TAG if page.mentions else Outcome.NO_WIDGET
    return None


def _place(answer: Answer, own: list[IdentifyCall]) -> Finding:
    page = answer.page
    if len(own) > 1:
        return Finding(
            Status.PROBLEM,
            _TITLE,
            f"It stands {len(own)} times in the page.",
            "Something doubles it: use one layer of this middleware, outside of every cache.",
            answer.visitor,
        )
    if own[0] in map(page.call_before, page.tags):
        found = "It stands once, directly before the widget tag."
        return Finding(Status.OK, _TITLE, found, page=answer.visitor)
    if page.tags and own[0].start < page.tags[0].start:
        return Finding(
            Status.NOTE,
            _TITLE,
            "It stands before the widget tag, but not directly.",
            "Something outside of the middleware changes the page: let it leave scripts alone.",
            answer.visitor,
        )
    return Finding(
        Status.PROBLEM,
        _TITLE,
        "It does not stand before the widget tag.",
        "Something outside of the middleware moves scripts: switch that off for this page.",
        answer.visitor,
    )


def _missing(answer: Answer, plain: Answer | None) -> Finding:
    found, remedy = "The customer's page identifies nobody.", _NOT_KNOWN
    told, likely = told_outcome(answer), likely_outcome(answer)
    if plain is not None and plain.identities:
        found = "The page is identified where it is not compressed, and not where it is."
        remedy = EXPLANATIONS[Outcome.ENCODED].remedy
    elif told is Outcome.IDENTIFIED:
        found += " The middleware has identified it: something behind it takes the script out."
        remedy = "Look at what changes or stores pages outside of the middleware."
    elif told is not None:
        remedy = f"See its outcome, `{told.value}`."
    elif likely is not None:
        found += f" {EXPLANATIONS[likely].cause}"
        remedy = EXPLANATIONS[likely].remedy
    elif "cookie" not in answer.value("vary").lower():
        found += f" {_NOT_SEEN}"
    return Finding(Status.PROBLEM, _TITLE, found, remedy, answer.visitor)


def _by_hand(answer: Answer, call: IdentifyCall, *, beside: bool) -> Finding:
    identity = call.identity
    status, found = Status.NOTE, "The page calls Ensoras('identify', …) by itself."
    remedy = "Leave it to the middleware, which also keeps caches from mixing customers."
    if identity is not None and not identity.hash:
        status, found = Status.PROBLEM, "The page calls Ensoras('identify', …) with an empty hash."
        remedy = "Remove that call: nobody is verified by it."
    elif beside:
        status = Status.PROBLEM
        found = "The page calls Ensoras('identify', …) by itself, beside the middleware."
        remedy = "Remove that call from your templates: whichever comes last counts."
    elif identity is None:
        found += " With what, cannot be read here."
    return Finding(status, _BY_HAND, found, remedy, answer.visitor)
