"""Who looks at the page, and in which order.

The order is that in which somebody would be shown a page that is not theirs: a customer, nobody,
the customer, another customer, the first one, nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from ensoras_middleware.check.answer import (
    ANONYMOUS,
    CUSTOMER,
    SECOND_CUSTOMER,
    Answer,
    shown_address,
)
from ensoras_middleware.check.credentials import Credentials
from ensoras_middleware.check.finding import CannotCheck, NeedsLogIn
from ensoras_middleware.check.login import has_login_form, log_in
from ensoras_middleware.check.visitor import Network, Visitor, origin_of
from ensoras_middleware.eligibility import is_html

_VALIDATORS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}


@dataclass(frozen=True, slots=True)
class Visits:
    """All pages that came, in their order.

    `plain` is the customer's page as it is sent without compression, where that matters;
    `with_validators` the status with which a customer is answered who has the anonymous page.
    """

    answers: tuple[Answer, ...]
    plain: Answer | None = None
    with_validators: int | None = None

    def first(self, visitor: str) -> Answer | None:
        """Return the first page of a visitor, if there is one."""
        return next((one for one in self.answers if one.visitor == visitor), None)


@dataclass(frozen=True, slots=True)
class _Site:
    url: str
    login_url: str | None
    network: Network
    open: ExitStack

    def visitor(self, name: str, credentials: Credentials | None = None) -> Visitor:
        fields = credentials.fields if credentials else None
        origin = origin_of(self.url)
        visitor = Visitor(name, self.network, origin=origin, credentials=fields)
        self.open.enter_context(closing(visitor))
        if credentials and credentials.login and self.login_url:
            log_in(visitor, self.login_url, *credentials.login)
        return visitor

    def look(self, visitor: Visitor, **fields: str) -> Answer:
        return _page(visitor.get(self.url, fields), self.url)

    def look_anonymously(self) -> Answer:
        # A new one each time, for whom a shared cache is most likely to have a page.
        return self.look(self.visitor(ANONYMOUS))


def visit(
    url: str, login_url: str | None, customers: Sequence[Credentials], network: Network
) -> Visits:
    """Look at the page as each of the visitors.

    Raises `CannotCheck` where a page does not come.
    """
    with ExitStack() as stack:
        site = _Site(url, login_url, network, stack)
        if not customers:
            return Visits((site.look_anonymously(),))
        return _with_customers(site, customers)


def _with_customers(site: _Site, customers: Sequence[Credentials]) -> Visits:
    customer = site.visitor(CUSTOMER, customers[0])
    answers = [site.look(customer)]
    anonymous = None
    try:
        anonymous = site.look_anonymously()
        answers.append(anonymous)
    except NeedsLogIn:
        pass
    answers.append(site.look(customer))
    if len(customers) > 1:
        second = site.visitor(SECOND_CUSTOMER, customers[1])
        answers += [site.look(second), site.look(customer)]
    if anonymous is not None:
        answers.append(site.look_anonymously())
    plain = None
    if not answers[0].page.calls and answers[0].value("content-encoding"):
        plain = site.look(customer, **{"Accept-Encoding": "identity"})
    return Visits(tuple(answers), plain, _asked_with_validators(site, customer, anonymous))


def _asked_with_validators(site: _Site, customer: Visitor, anonymous: Answer | None) -> int | None:
    if anonymous is None or anonymous.hops:
        return None
    asked = {
        ask: anonymous.values(told)[0]
        for told, ask in _VALIDATORS.items()
        if anonymous.values(told)
    }
    return customer.get(site.url, asked).status if asked else None


def _page(answer: Answer, url: str) -> Answer:
    """Return what was answered for `url`, if it is a page that can be judged."""
    where, who = shown_address(answer.url), f"the {answer.visitor}"
    who = "an anonymous visitor" if answer.visitor == ANONYMOUS else who
    if answer.visitor != ANONYMOUS and answer.hops and has_login_form(answer):
        raise CannotCheck(
            f"The credentials are not accepted: the site sends {who} to its log-in page, {where}. "
            "They may have expired: take new ones."
        )
    if answer.status in (401, 403):
        remedy = "Give credentials that may see it." if answer.visitor != ANONYMOUS else (
            "Give credentials, or the address of a page that everybody may see."
        )  # fmt: skip
        raise NeedsLogIn(f"{where} answers {answer.status} to {who}. {remedy}")
    if answer.status >= 400 or answer.status < 200:
        raise CannotCheck(
            f"{where} answers {answer.status} to {who}: give the address of a page that works."
        )
    elsewhere = origin_of(answer.url) != origin_of(url)
    if answer.visitor == ANONYMOUS and elsewhere and has_login_form(answer):
        raise NeedsLogIn(
            f"The site sends {who} to a log-in page on another origin, {where}. Give credentials, "
            "or the address of a page that everybody may see."
        )
    kind = answer.value("content-type")
    if not is_html(kind):
        kind = kind.partition(";")[0].strip() or "nothing"
        raise CannotCheck(
            f"{where} is no HTML page: its Content-Type says {kind}. Only `text/html` can be "
            "identified."
        )
    if not answer.body.strip():
        raise CannotCheck(f"{where} answers {who} with an empty page (status {answer.status}).")
    return answer
