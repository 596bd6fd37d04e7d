"""The command `ensoras-middleware check URL`: from what was given to the exit status."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from urllib.parse import urljoin

import httpx

from ensoras_middleware.check import (
    caching,
    customers,
    hashes,
    identify,
    policy,
    report,
    surroundings,
    tag,
)
from ensoras_middleware.check.answer import ANONYMOUS, CUSTOMER, SECOND_CUSTOMER
from ensoras_middleware.check.credentials import (
    COOKIE,
    HEADER,
    Credentials,
    is_terminal,
    read_credentials,
)
from ensoras_middleware.check.finding import CannotCheck, Finding, Findings, Status
from ensoras_middleware.check.visitor import Network, origin_of
from ensoras_middleware.check.visits import Visits, visit
from ensoras_middleware.errors import ConfigurationError
from ensoras_middleware.identity import canonical_email
from ensoras_middleware.log import kind_and_place
from ensoras_middleware.secret import checked_secret, secret_from_environment

_UNCHECKED = 2


def run(
    url: str, *, login: str | None, stdin: bool, email: str | None, seconds: float, as_json: bool
) -> int:
    """Check the site and print the report; return 0, 1 where something is wrong, 2 where unknown.

    Raises `ConfigurationError` for what cannot work.
    """
    url, login_url = _addresses(url, login)
    expected = _expected(email)
    who = read_credentials(stdin=stdin, login=login is not None)
    if expected is not None and not who:
        raise ConfigurationError(
            f"--email needs the credentials of that customer: set {COOKIE} or {HEADER}, or give "
            "--login or --stdin."
        )
    secret = _secret(ask=bool(who) and not stdin)
    redact = report.Redaction(_not_shown(who, secret))
    try:
        visits = visit(url, login_url, who, Network(seconds))
        slug = os.environ.get("ENSORAS_WIDGET_SLUG")
        findings = sorted(judged(url, visits, secret, expected, slug), key=_by_page)
    except Exception as error:
        # Other errors may quote what was sent, so not their words are told but their place.
        message = str(error) if isinstance(error, CannotCheck) else (
            f"The check itself failed: {kind_and_place(error)}. Please report this line."
        )  # fmt: skip
        if as_json:
            report.print_json(url, [], redact, message)
        else:
            sys.stderr.write(f"ensoras-middleware: {redact(message)}\n")
        return _UNCHECKED
    (report.print_json if as_json else report.print_table)(url, findings, redact)
    return report.exit_status(findings)


def judged(
    url: str, visits: Visits, secret: bytes | None, expected: str | None, slug: str | None
) -> Findings:
    """Yield all that is to be said of these visits."""
    yield from surroundings.transport(url, visits.answers)
    anonymous = visits.first(ANONYMOUS)
    if anonymous is not None:
        yield from tag.widget_tags(anonymous, slug)
        yield from identify.outcome(anonymous)
        yield from identify.anonymous(anonymous)
        yield from caching.caching(anonymous)
        yield from policy.policy(anonymous)
    else:
        found = "Nobody sees the page without a log-in, so there is no anonymous one."
        yield Finding(Status.SKIPPED, "page", found, page=ANONYMOUS)
    customer = visits.first(CUSTOMER)
    if customer is None:
        yield Finding(
            Status.SKIPPED,
            "page",
            "It was not looked at, for no credentials are given.",
            f"Set {COOKIE} or {HEADER}, or give --login.",
            CUSTOMER,
        )
    else:
        yield from tag.widget_tags(customer, slug)
        yield from identify.outcome(customer)
        yield from identify.identified(customer, visits.plain)
        yield from hashes.identities(customer, secret, expected)
        yield from caching.caching(customer)
        yield surroundings.compression(customer)
        yield from policy.policy(customer)
        if anonymous is not None and not anonymous.hops:
            yield caching.not_modified(visits.with_validators)
        second = visits.first(SECOND_CUSTOMER)
        if second is not None:
            yield from identify.outcome(second)
            yield from identify.identified(second)
            yield from hashes.identities(second, secret, None)
        yield from customers.not_mixed(visits.answers)
    yield surroundings.secret_unseen(secret, visits.answers)


def _by_page(finding: Finding) -> int:
    return ["", ANONYMOUS, CUSTOMER, SECOND_CUSTOMER].index(finding.page)


def _addresses(url: str, login: str | None) -> tuple[str, str | None]:
    address = _checked_address(url, "URL")
    if login is None:
        return address, None
    login_url = _checked_address(login if "//" in login else urljoin(address, login), "--login")
    if origin_of(login_url) != origin_of(address):
        raise ConfigurationError(
            f"--login is on another origin than URL, and cookies are never sent to another origin: "
            f"log in with a browser, and give its cookie in {COOKIE}."
        )
    return address, login_url


def _checked_address(text: str, what: str) -> str:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(f"{what} is no address: write it like https://shop.example.com/.")
    if url.userinfo:
        raise ConfigurationError(
            f"{what} holds a user name or a password, which every user of this machine could read: "
            f"give it as `Authorization: Basic …` in {HEADER}."
        )
    return str(url.copy_with(fragment=None))


def _expected(email: str | None) -> str | None:
    if email is None:
        return None
    expected = canonical_email(email)
    if expected is None:
        raise ConfigurationError(
            "--email is not an address that a page is signed for: give one like name@example.com."
        )
    return expected


def _secret(*, ask: bool) -> bytes | None:
    secret = secret_from_environment()
    if secret is None and ask and is_terminal():
        typed = getpass.getpass("Widget secret (Return: do not verify the hash): ")
        secret = checked_secret(typed) if typed else None
    return secret


def _not_shown(who: Sequence[Credentials], secret: bytes | None) -> list[str]:
    shown = [one for credentials in who for one in credentials.secrets()]
    return [*shown, secret.decode("latin-1")] if secret else shown
