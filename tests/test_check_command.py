"""The command `check` as a person or a program runs it: what it takes, what it prints."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from adapters import ALICE, SECRET, SLUG
from check_command import Command, assert_safe, command, site
from check_sites import OF_ALICE, OF_BOB, SESSIONS, hash_of
from test_cli import COMMAND, PASSED_ON, Terminal

from ensoras_middleware.check import command as module
from ensoras_middleware.check.credentials import Credentials
from ensoras_middleware.check.finding import Finding, Status
from ensoras_middleware.check.report import Redaction

__all__ = ["command", "site"]

SETTINGS = {"ENSORAS_WIDGET_SLUG": SLUG, "ENSORAS_WIDGET_SECRET": SECRET}
URL = "https://shop.example.com/"


def run(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, "check", *arguments],
        input=stdin,
        capture_output=True,
        env=PASSED_ON | environment,
        text=True,
        timeout=60,
    )
    assert_safe(done.stdout + done.stderr)
    return done


# What is printed -------------------------------------------------------------------------------


def test_as_a_process(site: str) -> None:
    """A table, in any locale, and unbroken lines for a log; the exit status for a script."""
    environment = {"ENSORAS_CHECK_COOKIE": OF_ALICE, "COLUMNS": "100", **SETTINGS}
    fine = run(f"{site}/right", PYTHONIOENCODING="ascii", **environment)
    assert (fine.stderr, fine.returncode) == ("", 0)
    assert fine.stdout.startswith(f"{site}/right\n")
    assert fine.stdout.endswith("Nothing is wrong.\n")
    lines = [line.split() for line in fine.stdout.splitlines()]
    assert ["ok", "hash", f"{hash_of(ALICE)[:8]}?", "is", "verified."] in lines
    assert any(line.endswith("get their own pages.") for line in fine.stdout.splitlines())
    assert [line for line in fine.stdout.splitlines() if line.endswith(" ")] == []


def test_table_of_problems(site: str, command: Command) -> None:
    """Below each problem stands what to do; problems are counted."""
    report = command(f"{site}/not-modified", cookie=OF_ALICE, **SETTINGS)
    assert report.status == 1
    assert "problem" in report.output
    assert "→ What answers so is outside of the middleware" in " ".join(report.output.split())
    assert report.output.endswith("\n1 problem.\n")
    report = command(f"{site}/rewritten", cookie=OF_ALICE, **SETTINGS)
    assert report.output.endswith("\n4 problems.\n")


def test_json(site: str, command: Command) -> None:
    """The form that docs/check.md tells, and nothing but ASCII."""
    report = command.json(f"{site}/right?token=top-secret", cookie=OF_ALICE, **SETTINGS)
    told = json.loads(report.output)
    assert list(told) == ["url", "exit_status", "error", "findings"]
    assert (told["url"], told["exit_status"]) == (f"{site}/right?…", report.status)
    assert told["error"] is None
    assert list(told["findings"][0]) == ["status", "title", "found", "remedy", "page"]
    assert report.output.isascii()
    failed = command.json(f"{site}/error")
    assert json.loads(failed.output)["exit_status"] == failed.status == 2


def test_output_of_another_program(site: str, command: Command) -> None:
    """`main` may be called where standard output is no file."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert command.json(f"{site}/right").status == 0
    assert json.loads(output.getvalue())["exit_status"] == 0


def test_what_is_skipped_is_not_called_fine(site: str, command: Command) -> None:
    report = command(f"{site}/right")
    assert report.status == 0
    assert report.output.endswith("\nNothing is wrong in what was looked at.\n")


def test_email_without_credentials(site: str, command: Command) -> None:
    """A job whose credentials have vanished does not stay green."""
    report = command(f"{site}/right", "--email", ALICE)
    assert report.status == 2
    assert "--email needs the credentials of that customer" in report.errors


def test_redaction() -> None:
    """Whatever reaches the report by whatever way is not shown there."""
    credentials = Credentials(
        fields=[("Cookie", f"{OF_ALICE}; theme=x"), ("Authorization", "Bearer abc.def-123")],
        login=(ALICE, "p@ss word"),
    )
    redact = Redaction(credentials.secrets())
    session = next(iter(SESSIONS))
    shown = {
        f"a {OF_ALICE} b": "a session=••• b",
        f"{session} and {session}": "••• and •••",
        "Bearer abc.def-123": "•••",
        "abc.def-123": "•••",
        "p@ss word": "•••",
        f"<{ALICE}>": "<a…@example.com>",
        "Bob.B@mail.example.com": "B…@mail.example.com",
        "x\x1b[31m\r\n\x9b\u202e": "x�[31m����",
        hash_of(ALICE): f"{hash_of(ALICE)[:8]}…",
        hash_of(ALICE).upper(): f"{hash_of(ALICE)[:8].upper()}…",
        "theme x, https://a.example.com/b?…": "theme x, https://a.example.com/b?…",
        "a…@example.com": "a…@example.com",
        "of the form `local@domain`": "of the form `local@domain`",
    }
    assert {text: redact(text) for text in shown} == shown
    finding = Finding(Status.OK, "t", f"x {ALICE}", f"y {ALICE}", "customer")
    assert ALICE not in str(redact.finding(finding))


def test_a_fault_of_the_check(site: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told by kind and place, never by its words, which may quote what was sent."""

    def fail(*arguments: object) -> None:
        raise ValueError(f"illegal value {OF_ALICE} of {ALICE}")

    monkeypatch.setattr(module, "visit", fail)
    report = command(f"{site}/right", cookie=OF_ALICE)
    assert (report.status, report.output) == (2, "")
    assert "The check itself failed: ValueError at " in report.errors
    assert "illegal" not in report.errors


# What is taken ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["", "shop.example.com", "ftp://a.example.com/", "https://", "https://a.example.com:x/"]
)
def test_no_address(command: Command, url: str) -> None:
    report = command(url)
    assert report.status == 2
    assert "URL is no address: write it like https://shop.example.com/." in report.errors


def test_credentials_in_the_address(command: Command) -> None:
    report = command("https://alice:tea-time@shop.example.com/")
    assert report.status == 2
    assert "ENSORAS_CHECK_HEADER" in report.errors


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"cookie": "tea-time"}, "ENSORAS_CHECK_COOKIE is no cookie"),
        ({"cookie": "a=b; tea-time"}, "ENSORAS_CHECK_COOKIE is no cookie"),
        ({"cookie": "=tea-time"}, "ENSORAS_CHECK_COOKIE is no cookie"),
        ({"cookie": "session=tea-time\x1b"}, "ENSORAS_CHECK_COOKIE is empty, or holds"),
        ({"cookie": "session=tea-time\u20ac"}, "ENSORAS_CHECK_COOKIE is empty, or holds"),
        ({"header": "tea-time"}, "ENSORAS_CHECK_HEADER is no header field"),
        ({"header": "tea time: tea-time"}, "ENSORAS_CHECK_HEADER is no header field"),
        ({"header": "Authorization:"}, "ENSORAS_CHECK_HEADER is empty, or holds"),
        ({"header": "Host: tea-time"}, "which is not to be given"),
        ({"cookie_2": "session=tea-time"}, "and none of a first"),
        ({"cookie": OF_ALICE, "cookie_2": OF_ALICE}, "are the same"),
    ],
)
def test_wrong_credentials(command: Command, environment: dict[str, str], words: str) -> None:
    """It is told which, and not what it holds."""
    report = command(URL, **environment)
    assert (report.status, report.output) == (2, "")
    assert words in report.errors


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "--login needs both ENSORAS_CHECK_USERNAME and ENSORAS_CHECK_PASSWORD"),
        ({"username": ALICE}, "--login needs both ENSORAS_CHECK_USERNAME"),
        ({"username": ALICE, "password": "tea-time", "password_2": "x"}, "_USERNAME_2 and"),
    ],
)
def test_incomplete_log_in(command: Command, environment: dict[str, str], words: str) -> None:
    report = command(URL, "--login", "/login", **environment)
    assert report.status == 2
    assert words in report.errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "URL"),
        ((URL, "--email", "alice"), "--email is not an address"),
        ((URL, "--timeout", "0"), "--timeout"),
        ((URL, "--timeout", "x"), "--timeout"),
        ((URL, "--login", "mailto:x"), "--login is no address"),
        ((URL, "--login", "//[x"), "--login is no address"),
    ],
)
def test_wrong_arguments(command: Command, arguments: tuple[str, ...], words: str) -> None:
    report = command(*arguments)
    assert report.status == 2
    assert words in report.errors


@pytest.mark.parametrize("option", ["--cookie", "--header", "--password", "--secret", "--user"])
def test_nothing_secret_is_an_argument(command: Command, option: str) -> None:
    """Every user of the machine could read it."""
    report = command(URL, option, "x")
    assert report.status == 2
    assert f"unrecognized arguments: {option} x" in report.errors


def test_wrong_secret(command: Command) -> None:
    """The secret is judged as the site judges it, before anything is asked for."""
    report = command(URL, ENSORAS_WIDGET_SECRET=f" {SECRET}")
    assert report.status == 2
    assert "white space around it" in report.errors
    both = command(URL, ENSORAS_WIDGET_SECRET=SECRET, ENSORAS_WIDGET_SECRET_FILE="/x")
    assert "are both set" in both.errors


def test_secret_file(site: str, command: Command, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    settings = {"cookie": OF_ALICE, "ENSORAS_WIDGET_SECRET_FILE": str(path)}
    assert command.json(f"{site}/right", **settings).statuses("hash", "customer") == ["ok"]


# Standard input --------------------------------------------------------------------------------


def with_input(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_standard_input(
    site: str, command: Command, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Header fields as browsers' tools copy them; an empty line begins the second customer."""
    lines = ["", f"Cookie: {OF_ALICE};", "X-Staging: yes", "", f"Cookie: {OF_BOB}", ""]
    with_input(monkeypatch, end.join(lines))
    report = command.json(f"{site}/right", "--stdin", **SETTINGS)
    assert report.problems == []
    for page in ("customer", "second customer"):
        assert report.statuses("hash", page) == ["ok"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must hold header fields of one customer"),
        (f"Cookie: {OF_ALICE}\n\nCookie: {OF_BOB}\n\nCookie: x=y", "of one customer, or of two"),
        (f"X-A: b\n{OF_ALICE}", "Line 2 of standard input is no header field"),
        (f"GET / HTTP/1.1\nCookie: {OF_ALICE}", "Line 1 of standard input is no header field"),
    ],
)
def test_wrong_standard_input(
    command: Command, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    with_input(monkeypatch, text)
    report = command(URL, "--stdin")
    assert report.status == 2
    assert words in report.errors


def test_two_sources(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with_input(monkeypatch, f"Cookie: {OF_ALICE}")
    report = command(URL, "--stdin", cookie=OF_BOB)
    assert report.status == 2
    assert "keep one of them" in report.errors


def test_no_standard_input(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some service managers start it."""
    monkeypatch.setattr(sys, "stdin", None)
    assert "There is no standard input" in command(URL, "--stdin").errors
    assert "--login needs both" in command(URL, "--login", "/").errors


# A terminal ------------------------------------------------------------------------------------


def test_prompts(site: str) -> None:
    """A person is asked for the log-in and for the secret, and nothing secret is shown."""
    terminal = Terminal("check", f"{site}/right", "--login", "/log-in")
    for prompt, keys in (
        (b"User name: $", "alice"),
        (b"Password: $", "tea-time"),
        (rb"do not verify the hash\): $", SECRET),
    ):
        terminal.read_until(prompt)
        terminal.type(keys.encode() + b"\n")
    assert terminal.end() == 0
    assert b"is verified." in terminal.screen
    assert b"tea-time" not in terminal.screen
    for secret in (SECRET, ALICE, hash_of(ALICE), *SESSIONS):
        assert secret.encode() not in terminal.screen


def test_no_secret_at_the_prompt(site: str) -> None:
    """Return leaves the hash unverified."""
    terminal = Terminal("check", f"{site}/right", "--login", "/log-in")
    for prompt, keys in (
        (b"User name: $", b"alice"),
        (b"Password: $", b"x"),
        (rb"hash\): $", b""),
    ):
        terminal.read_until(prompt)
        terminal.type(keys + b"\n")
    assert terminal.end() == 0
    assert b"was not verified" in terminal.screen


def test_second_thoughts(site: str) -> None:
    """Ctrl-C ends it without a traceback."""
    terminal = Terminal("check", f"{site}/right", "--login", "/log-in")
    terminal.read_until(b"User name: $")
    terminal.interrupt(b"\x03")
    assert terminal.end() == 130
    assert b"Traceback" not in terminal.screen
