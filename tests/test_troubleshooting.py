"""Every outcome is explained, in the documentation as in the code."""

from __future__ import annotations

from pathlib import Path

from ensoras_middleware import Outcome
from ensoras_middleware.explanations import EXPLANATIONS

PAGE = Path(__file__).parent.parent / "docs/troubleshooting.md"


def test_every_outcome_is_explained() -> None:
    assert list(EXPLANATIONS) == list(Outcome)


def test_table() -> None:
    """The page's rows are the texts that `check` and the test helpers show, in the same order."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows[: len(Outcome)] == [
        f"| `{outcome}` | {cause} | {remedy} |" for outcome, (cause, remedy) in EXPLANATIONS.items()
    ]
