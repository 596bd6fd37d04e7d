"""The report, as a table and as JSON. Whatever may not be shown is taken out here once more."""

from __future__ import annotations

import io
import itertools
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ensoras_middleware.check.answer import ANONYMOUS, CUSTOMER, SECOND_CUSTOMER, shown_address
from ensoras_middleware.check.finding import Finding, Status
from ensoras_middleware.page import masked

_STYLES = {
    Status.OK: "green",
    Status.NOTE: "yellow",
    Status.PROBLEM: "bold red",
    Status.SKIPPED: "dim",
}
_HEADINGS = {
    "": "the site",
    ANONYMOUS: "anonymous page",
    CUSTOMER: "customer's page",
    SECOND_CUSTOMER: "second customer",
}
_HASH = re.compile(r"(?<![0-9A-Fa-f])([0-9A-Fa-f]{8})[0-9A-Fa-f]{24,}")
_EMAIL = re.compile(r"[^\s@<>()\"'`/:;,=]+@[^\s@<>()\"'`/:;,=]+")
_LEAST = 6  # shorter strings are everywhere, and no secrets


class Redaction:
    """Makes text safe to show: without secrets, hashes, addresses and control characters."""

    def __init__(self, secrets: Iterable[str]) -> None:
        long = sorted({one for one in secrets if len(one) >= _LEAST}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, long)) or r"(?!)")

    def __call__(self, text: str) -> str:
        """Return the text as it may be shown."""
        text = self._secrets.sub(lambda found: _of_secret(found[0]), text)
        text = _HASH.sub(r"\1…", text)
        text = _EMAIL.sub(lambda found: _of_email(found[0]), text)
        return "".join(char if char.isprintable() else "�" for char in text)

    def finding(self, finding: Finding) -> Finding:
        """Return a finding as it may be shown."""
        return Finding(
            finding.status,
            finding.title,
            self(finding.found),
            self(finding.remedy),
            finding.page,
        )


def _of_email(email: str) -> str:
    return email if email == "local@domain" else masked(email)  # the form of one, in our own words


def _of_secret(secret: str) -> str:
    return masked(secret) if _EMAIL.fullmatch(secret) else "•••"


def exit_status(findings: Iterable[Finding]) -> int:
    """Return 1 where something is wrong, else 0."""
    return int(any(finding.status is Status.PROBLEM for finding in findings))


def print_table(url: str, findings: Sequence[Finding], redact: Redaction) -> None:
    """Print the findings for a person."""
    output = _output()
    console = Console(file=output, highlight=False, markup=False, emoji=False)
    if output.isatty():
        _print_table(console, url, findings, redact)
        return
    console.width = 1000  # for a log: nothing is broken into lines, so that it can be searched
    with console.capture() as report:
        _print_table(console, url, findings, redact)
    output.writelines(line.rstrip() + "\n" for line in report.get().splitlines())


def _print_table(
    console: Console, url: str, findings: Sequence[Finding], redact: Redaction
) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=len(Status.PROBLEM))
    table.add_column()
    table.add_column(overflow="fold")
    for page, group in itertools.groupby(findings, lambda finding: finding.page):
        table.add_row()
        table.add_row("", Text(_HEADINGS[page], style="bold"))
        for finding in map(redact.finding, group):
            _add(table, finding)
    table.add_row()
    console.print(Text(redact(shown_address(url))))
    console.print(table)
    problems = sum(finding.status is Status.PROBLEM for finding in findings)
    skipped = any(finding.status is Status.SKIPPED for finding in findings)
    fine = "Nothing is wrong in what was looked at." if skipped else "Nothing is wrong."
    summary = {0: fine, 1: "1 problem."}.get(problems, f"{problems} problems.")
    console.print(Text(summary, style="bold red" if problems else "green"))


def _add(table: Table, finding: Finding) -> None:
    style = _STYLES[finding.status]
    text = Text(finding.found)
    if finding.remedy:
        text.append(f"\n→ {finding.remedy}", style="bold" if style == "bold red" else "")
    table.add_row(Text(finding.status.value, style=style), Text(finding.title), text)


def print_json(
    url: str, findings: Sequence[Finding], redact: Redaction, error: str | None = None
) -> None:
    """Print the findings for a program; `error` tells why there are none."""
    report = {
        "url": redact(shown_address(url)),
        "exit_status": 2 if error else exit_status(findings),
        "error": error and redact(error),
        "findings": [asdict(redact.finding(finding)) for finding in findings],
    }
    _output().write(json.dumps(report, indent=2) + "\n")


def _output() -> TextIO:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows ASCII alone
    return sys.stdout
