"""The command `check` names what is wrong with a site, and nothing else, and shows no secret."""

from __future__ import annotations

import pytest
from adapters import ALICE, BOB, SECRET, SLUG
from check_command import Command, command, site
from check_sites import OF_ALICE, OF_BOB, SITES, customer_of, host, members_only, ours, served
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import Receive, Scope, Send

__all__ = ["command", "site"]

NO_PROBLEMS: list[tuple[str, str]] = []
CUSTOMER, ANONYMOUS = "customer", "anonymous"

SETTINGS = {"ENSORAS_WIDGET_SLUG": SLUG, "ENSORAS_WIDGET_SECRET": SECRET}


@pytest.mark.parametrize(
    "path",
    ["right", "compressed", "stream", "policy-inside", "policy-on-trial", "debug", "members"],
)
def test_nothing_is_wrong(site: str, command: Command, path: str) -> None:
    """With two customers, a secret and an expected e-mail, all is found to be fine."""
    report = command.json(
        f"{site}/{path}", "--email", ALICE, cookie=OF_ALICE, cookie_2=OF_BOB, **SETTINGS
    )
    assert report.problems == NO_PROBLEMS
    for page in ("customer", "second customer"):
        for title in ("identify script", "e-mail", "hash"):
            assert report.statuses(title, page) == ["ok"]
    assert report.statuses("customers") == ["ok"]
    assert report.statuses("secret") == ["ok"]


def test_what_is_looked_at(site: str, command: Command) -> None:
    """Every subject has its line."""
    report = command.json(f"{site}/right", cookie=OF_ALICE, **SETTINGS)
    assert [(one["page"], one["title"]) for one in report.findings] == [
        ("", "transport"),
        ("", "customers"),
        ("", "secret"),
        *((ANONYMOUS, title) for title in ("widget tag", "identify script", "Vary")),
        (ANONYMOUS, "Content-Security-Policy"),
        *((CUSTOMER, title) for title in ("widget tag", "identify script", "e-mail", "hash")),
        *((CUSTOMER, title) for title in ("Cache-Control", "shared cache", "Vary", "compression")),
        *((CUSTOMER, title) for title in ("Content-Security-Policy", "after log-in")),
    ]


MISTAKES = [
    ("compressed-inside", CUSTOMER, "identify script", "outside of this one"),
    ("compressed-and-told", CUSTOMER, "outcome", "outside of this one"),
    ("compressed-and-told", ANONYMOUS, "outcome", "`encoded`"),
    ("cached", "", "customers", "rotate the widget secret"),
    ("cached", ANONYMOUS, "identify script", "to everybody"),
    ("not-installed", CUSTOMER, "identify script", "not installed"),
    ("not-installed", ANONYMOUS, "Vary", "does not say `Vary: Cookie`"),
    ("other-slug", CUSTOMER, "identify script", "expects another slug"),
    ("nobody", CUSTOMER, "outcome", "`get_email` returned `None`"),
    ("by-hand", ANONYMOUS, "identify script", "a…@example.com to everybody"),
    ("beside", CUSTOMER, "identify call by hand", "Remove that call"),
    ("empty-hash", ANONYMOUS, "identify script", "Leave the call out"),
    ("wrong-secret", CUSTOMER, "hash", "Compare the secrets"),
    ("comment", CUSTOMER, "widget tag", "in a comment"),
    ("no-tag", ANONYMOUS, "widget tag", "ENSORAS_WIDGET_EMBED"),
    ("policy-outside", CUSTOMER, "Content-Security-Policy", "inside of the middleware"),
    ("policy-blocks-all", CUSTOMER, "Content-Security-Policy", "Add https://app.ensoras.com"),
    ("policy-in-meta", CUSTOMER, "Content-Security-Policy", "nonce"),
    ("stored", CUSTOMER, "shared cache", "age, x-cache"),
    ("rewritten", CUSTOMER, "Cache-Control", "page Caching"),
    ("rewritten", CUSTOMER, "Vary", "takes the field away"),
    ("not-modified", CUSTOMER, "after log-in", "304"),
    ("optimised", CUSTOMER, "identify script", "identifies nobody"),
    ("leaking", ANONYMOUS, "secret", "rotate it"),
]


@pytest.mark.parametrize(("path", "page", "title", "words"), MISTAKES)
def test_a_mistake_is_named(
    site: str, command: Command, path: str, page: str, title: str, words: str
) -> None:
    """As a problem, with what to do."""
    report = command.json(f"{site}/{path}", cookie=OF_ALICE, **SETTINGS)
    if title == "secret":
        page = "customer"  # the first who was shown it
    assert (title, page) in report.problems
    told = [
        f"{one['found']} {one['remedy']}"
        for one in report.findings
        if (one["title"], one["page"], one["status"]) == (title, page, "problem")
    ]
    assert any(words in one for one in told), told


ONE_PROBLEM = {
    "wrong-secret": ("hash", CUSTOMER),
    "policy-outside": ("Content-Security-Policy", CUSTOMER),
    "policy-in-meta": ("Content-Security-Policy", CUSTOMER),
    "stored": ("shared cache", CUSTOMER),
    "not-modified": ("after log-in", CUSTOMER),
    "leaking": ("secret", CUSTOMER),
}


@pytest.mark.parametrize("path", ONE_PROBLEM)
def test_nothing_else_is_blamed(site: str, command: Command, path: str) -> None:
    """One mistake is one problem."""
    report = command.json(f"{site}/{path}", cookie=OF_ALICE, **SETTINGS)
    assert report.problems == [ONE_PROBLEM[path]]


@pytest.mark.parametrize(
    ("cookies", "order"),
    [
        ({}, [None]),
        ({"cookie": OF_ALICE}, [ALICE, None, ALICE, None]),
        ({"cookie": OF_ALICE, "cookie_2": OF_BOB}, [ALICE, None, ALICE, BOB, ALICE, None]),
    ],
)
def test_who_asks_in_which_order(
    site: str,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    cookies: dict[str, str],
    order: list[str | None],
) -> None:
    """Each visitor behind each other, as caches would mix them up."""
    seen = []

    async def recorder(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(customer_of(HTTPConnection(scope)))
        await ours(host())(scope, receive, send)

    monkeypatch.setitem(SITES, "recorder", recorder)
    assert command.json(f"{site}/recorder", **cookies).problems == NO_PROBLEMS
    assert seen == order


def test_nobody_logged_in(site: str, command: Command) -> None:
    """Without credentials what can be seen is checked, and it says what was not."""
    report = command.json(f"{site}/right")
    assert report.problems == NO_PROBLEMS
    assert report.statuses("page", "customer") == ["skipped"]
    assert report.statuses("secret") == ["skipped"]
    report = command.json(f"{site}/right", cookie=OF_ALICE)
    assert report.problems == NO_PROBLEMS
    assert report.statuses("hash", "customer") == ["skipped"]


def test_another_customer_than_expected(site: str, command: Command) -> None:
    """`--email` is who must be on the page, in any case of letters."""
    report = command.json(f"{site}/right", "--email", "BOB@example.com", cookie=OF_ALICE)
    assert report.problems == [("e-mail", "customer")]
    report = command.json(f"{site}/right", "--email", ALICE.upper(), cookie=OF_ALICE)
    assert report.problems == NO_PROBLEMS


def test_pages_for_members_alone(site: str, command: Command) -> None:
    """Where there is no anonymous page, it says so and checks the customer's."""
    report = command.json(f"{site}/members", cookie=OF_ALICE, **SETTINGS)
    assert report.problems == NO_PROBLEMS
    assert report.statuses("page", "anonymous") == ["skipped"]
    assert "answers 401 to an anonymous visitor" in command.json(f"{site}/members").error
    wrong = command.json(f"{site}/members", cookie="session=expired-session")
    assert "answers 401 to the customer" in wrong.error


def test_log_in_page_on_another_origin(
    site: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is with a provider to which anonymous visitors are sent; it is not a page to check."""
    with served(SITES["log-in"]) as address:
        page = members_only(SITES["right"], RedirectResponse(f"{address}/?state=top-secret"))
        monkeypatch.setitem(SITES, "provider", page)
        error = command.json(f"{site}/provider").error
        assert f"to a log-in page on another origin, {address}/?…" in error
        report = command.json(f"{site}/provider", cookie=OF_ALICE, **SETTINGS)
    assert report.problems == NO_PROBLEMS
    assert report.statuses("page", "anonymous") == ["skipped"]


def test_customers_by_header_field(site: str, command: Command) -> None:
    """Any header field can be the credential."""
    report = command.json(f"{site}/right", header=f"Cookie: {OF_ALICE}", **SETTINGS)
    assert report.problems == NO_PROBLEMS
    assert report.statuses("hash", "customer") == ["ok"]


def test_redirects_are_told(site: str, command: Command) -> None:
    """With the address that was come to, but for its query."""
    report = command.json(f"{site}/to-right", cookie=OF_ALICE, **SETTINGS)
    assert report.problems == NO_PROBLEMS
    told = [one["found"] for one in report.findings if one["title"] == "redirects"]
    assert told == [f"Redirected to {site}/right?…"] * 2
