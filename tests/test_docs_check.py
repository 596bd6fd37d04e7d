"""The blocks of `docs/check.md` run as they stand there, at a site of the tests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from adapters import SECRET, SLUG
from check_command import Command, assert_safe, command, site
from check_sites import OF_ALICE, OF_BOB, SITES
from test_cli import PASSED_ON

__all__ = ["command", "site"]

PAGE = (Path(__file__).parent.parent / "docs/check.md").read_text("utf-8")
SHELL = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
JSON = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CHECKED = PAGE.partition("## What is checked")[2].partition("\n## ")[0]
TITLES = re.findall(r"^\| ([\w -]+) \|", CHECKED.partition("---")[2], re.MULTILINE)

Shell = Callable[..., subprocess.CompletedProcess[str]]

# The command, at the site of the tests in place of https://shop.example.com.
COMMAND = """#!/bin/sh
exec "{python}" -c '
import sys
from ensoras_middleware.cli import main
arguments = [one.replace("https://shop.example.com", "{site}") for one in sys.argv[1:]]
sys.exit(main(arguments))' "$@"
"""


@pytest.fixture
def shell(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Run a block in an empty folder, with a log-in in the environment."""
    monkeypatch.setitem(SITES, "", SITES["right"])
    program = tmp_path / "bin/ensoras-middleware"
    program.parent.mkdir()
    program.write_text(COMMAND.format(python=sys.executable, site=site))
    program.chmod(0o755)
    environment = PASSED_ON | {
        "PATH": f"{program.parent}:{PASSED_ON['PATH']}",
        "ENSORAS_WIDGET_SLUG": SLUG,
        "ENSORAS_WIDGET_SECRET": SECRET,
    }

    def run(block: str, stdin: str = "", **added: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-e", "-c", block],
            input=stdin,
            capture_output=True,
            env=environment | added,
            cwd=tmp_path,
            text=True,
            timeout=60,
        )
        assert_safe(done.stdout + done.stderr)
        return done

    return run


LOGIN = {"ENSORAS_CHECK_USERNAME": "alice", "ENSORAS_CHECK_PASSWORD": "tea-time"}


def test_every_block_is_tried_here() -> None:
    """A block added to the page needs a test."""
    assert (len(SHELL), len(JSON), PAGE.count("```")) == (5, 1, 12)


@pytest.mark.parametrize(
    ("number", "stdin", "environment", "words"),
    [
        (0, "", {}, "no credentials are given"),
        (1, OF_ALICE + "\n", {}, "is verified"),
        (2, "", LOGIN, "is verified"),
        (3, "", {}, "each of two customers"),
    ],
)
def test_shell(
    shell: Shell, tmp_path: Path, number: int, stdin: str, environment: dict[str, str], words: str
) -> None:
    """Nothing is wrong, and it is looked at with the eyes that the page says."""
    (tmp_path / "customers.txt").write_text(f"Cookie: {OF_ALICE}\n\nCookie: {OF_BOB}\n")
    done = shell(SHELL[number], stdin, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert words in " ".join(done.stdout.split())


def test_continuous_integration(shell: Shell, tmp_path: Path) -> None:
    """The report is kept, and the exit status is the job's."""
    assert shell(SHELL[4], **LOGIN).returncode == 0
    assert json.loads((tmp_path / "check.json").read_text())["exit_status"] == 0
    assert shell(SHELL[4], **LOGIN, ENSORAS_WIDGET_SLUG="other").returncode == 1


def test_json(site: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The findings that are shown are those of a site with another secret."""
    monkeypatch.setitem(SITES, "", SITES["wrong-secret"])
    report = command.json(f"{site}/", cookie=OF_ALICE, ENSORAS_WIDGET_SECRET=SECRET)
    told, shown = json.loads(report.output), json.loads(JSON[0])
    assert list(shown) == list(told)
    assert shown["exit_status"] == report.status
    assert [one for one in told["findings"] if one["title"] in ("e-mail", "hash")] == (
        shown["findings"]
    )


def test_every_finding_is_explained(site: str, command: Command) -> None:
    """Each title has its line, and each line a title."""
    found = set()
    for path in ("right", "debug", "beside", "to-right", "members"):
        found |= {one["title"] for one in command.json(f"{site}/{path}", cookie=OF_ALICE).findings}
    assert set(TITLES) == found
    assert len(TITLES) == len(set(TITLES))
