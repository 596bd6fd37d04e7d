"""Whether every visitor gets their own page, whoever asked before."""

from __future__ import annotations

from collections.abc import Sequence

from ensoras_middleware.check.answer import ANONYMOUS, CUSTOMER, SECOND_CUSTOMER, Answer
from ensoras_middleware.check.finding import Finding, Findings, Status
from ensoras_middleware.identity import Identity

_TITLE = "customers"
_MIXED = (
    "Stop it now: take the call out, if a template writes it; else take the cache that does this "
    "out of the way, or set ENSORAS_ENABLED = False. Then rotate the widget secret. What caches "
    "need: the documentation's page Caching."
)


def not_mixed(answers: Sequence[Answer]) -> Findings:
    """Tell whether the pages, in the order in which they were asked for, are their visitors'."""
    known: dict[str, list[Identity]] = {}
    for answer in answers:
        known.setdefault(answer.visitor, answer.identities)
    problems = list(dict.fromkeys(_problems(answers, known)))
    for problem in problems:
        yield Finding(Status.PROBLEM, _TITLE, problem, _MIXED)
    if not problems and known.get(CUSTOMER):
        who = "the customer" if len(known) == 2 else "each of two customers"
        found = f"Asking in turn, {who} and an anonymous visitor get their own pages."
        yield Finding(Status.OK, _TITLE, found)


def _problems(answers: Sequence[Answer], known: dict[str, list[Identity]]) -> list[str]:
    found = []
    first = known.get(CUSTOMER, [])
    second = known.get(SECOND_CUSTOMER, [])
    if _addresses(first) & _addresses(second):
        found.append(
            "The second customer gets the identity of the first: either both credentials are of "
            "one customer, or customers are mixed up."
        )
    for answer in answers:
        if answer.visitor == ANONYMOUS:
            if _addresses(answer.identities):
                found.append("An anonymous visitor gets the identity of a customer.")
        elif answer.identities != known[answer.visitor]:
            found.append(f"The {answer.visitor} does not get the same identity each time.")
    return found


def _addresses(identities: list[Identity]) -> set[str]:
    return {identity.email for identity in identities if identity.email}
