"""What was found about one subject, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"  # nothing is wrong, but it may surprise
    PROBLEM = "problem"
    SKIPPED = "skipped"  # not looked at, for something was not given


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `page` tells on whose page, where it is about one."""

    status: Status
    title: str
    found: str
    remedy: str = ""
    page: str = ""


Findings = Iterator[Finding]


class CannotCheck(Exception):
    """The site could not be checked; the message says why, and shows nothing that is secret."""


class NeedsLogIn(CannotCheck):
    """Nobody sees the page without a log-in."""
