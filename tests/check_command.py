"""The command `check`, run in this process, and what it has told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from adapters import ALICE, BOB, SECRET
from check_sites import SESSIONS, application, hash_of, served

from ensoras_middleware.cli import main


@dataclass
class Report:
    """What the command has told: an exit status, and its JSON or its text."""

    status: int
    output: str
    errors: str

    @property
    def findings(self) -> list[dict[str, str]]:
        findings: list[dict[str, str]] = json.loads(self.output)["findings"]
        return findings

    def statuses(self, title: str, page: str = "") -> list[str]:
        return [
            one["status"] for one in self.findings if (one["title"], one["page"]) == (title, page)
        ]

    @property
    def problems(self) -> list[tuple[str, str]]:
        found = [(one["title"], one["page"]) for one in self.findings if one["status"] == "problem"]
        assert self.status == int(bool(found))
        return found

    @property
    def error(self) -> str:
        """The one line that says why nothing could be checked."""
        assert self.status == 2, self.output
        told = json.loads(self.output)
        assert (told["findings"], self.errors) == ([], "")
        error: str = told["error"]
        assert "\n" not in error
        return error


class Command:
    """The command, run in this process with nothing but the environment that is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, **environment: str) -> Report:
        """Run it; a name `cookie` stands for `ENSORAS_CHECK_COOKIE`."""
        with self._monkeypatch.context() as patch:
            for name in os.environ:
                if name.startswith("ENSORAS_"):
                    patch.delenv(name)
            for name, value in environment.items():
                known = name.isupper()
                patch.setenv(name if known else f"ENSORAS_CHECK_{name.upper()}", value)
            try:
                status = main(["check", *arguments])
            except SystemExit as error:  # of argparse
                status = int(str(error.code))
        output, errors = self._capsys.readouterr()
        assert_safe(output + errors)
        return Report(status, output, errors)

    def json(self, *arguments: str, **environment: str) -> Report:
        return self(*arguments, "--json", **environment)


def assert_safe(text: str) -> None:
    """Nothing that is secret is shown, and nothing that a terminal would obey."""
    emails = [ALICE, BOB]
    for secret in [*SESSIONS, SECRET, *emails, *map(hash_of, emails), "top-secret", "tea-time"]:
        assert secret not in text, text
    assert all(char.isprintable() or char == "\n" for char in text), ascii(text)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address of all sites."""
    with served(application) as address:
        yield address
