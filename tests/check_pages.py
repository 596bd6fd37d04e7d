"""Pages as visitors got them, without a site, and what the command `check` says of them."""

from __future__ import annotations

from adapters import ALICE, PAGE, SECRET, TAG, identify_script

from ensoras_middleware import identity_hash
from ensoras_middleware.check.answer import Answer
from ensoras_middleware.check.finding import Finding, Findings

KEY = SECRET.encode()
HASH = identity_hash(ALICE, SECRET)
OWN = identify_script(ALICE)
IDENTIFIED = PAGE.replace(TAG, OWN + TAG)


def answer(
    body: bytes = PAGE, *fields: tuple[str, str], visitor: str = "customer", **other: object
) -> Answer:
    url = str(other.get("url", "https://shop.example.com/"))
    kind = ("Content-Type", "text/html")
    return Answer(visitor, url, 200, [kind, ("Vary", "Cookie"), *fields], body)


def told(findings: Findings | list[Finding]) -> list[tuple[str, str]]:
    """The status of each finding, and all its words."""
    return [(one.status.value, f"{one.title}: {one.found} {one.remedy}") for one in findings]


def assert_told(findings: Findings | list[Finding], *expected: tuple[str, str]) -> None:
    """These findings and no others; of each some words."""
    found = told(findings)
    assert [status for status, _ in found] == [status for status, _ in expected], found
    for (_, text), (_, words) in zip(found, expected, strict=True):
        assert words in text
