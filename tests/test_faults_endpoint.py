"""A fault in what a site gives us to call makes its identity endpoint tell of nobody, no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from adapters import ALICE, Answer
from identity_sites import PATH, SITES, serve
from recording import WORDS, Record, listening
from test_faults_callbacks import CANCELLATIONS, EXCEPTIONS, VALUES, raising

# Each as an e-mail, and as an option.
FUNCTIONS: dict[str, Callable[[Any], tuple[Any, dict[str, Any]]]] = {
    "user": lambda it: (it, {}),
    "secret": lambda it: (lambda: ALICE, {"slug": "acme", "secret": lambda slug: it()}),
    "on_outcome": lambda it: (lambda: ALICE, {"on_outcome": lambda outcome: it()}),
}


def ask(name: str, function: str, fault: Any) -> Answer:
    email, options = FUNCTIONS[function](fault)
    record = Record()
    with listening(record):
        answer = serve(name, email, **options)("GET", PATH, {"x-ensoras-identity": "1"})
    assert record.noises == []
    assert "no-store" in (answer["Cache-Control"] or "")
    return answer


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", SITES)
def test_faults(name: str, function: str, caplog: pytest.LogCaptureFixture) -> None:
    """The answer is as for nobody, or as if a listener had not failed; one warning for each."""
    status = 200 if function == "on_outcome" else 204
    faults: list[Any] = [raising(kind(*WORDS)) for kind in EXCEPTIONS]
    if function != "on_outcome":
        # The users of these sites ask for their e-mail a second time, and drop that. A huge text is
        # a secret as good as any other.
        left_out = "a coroutine" if function == "user" else "a huge text"
        faults += [VALUES[value] for value in VALUES if value != left_out]
    for fault in faults:
        caplog.clear()
        assert ask(name, function, fault).status == status
        assert [one.levelname for one in caplog.records] == ["WARNING"]
        assert not any(word in caplog.text for word in WORDS)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", [one for one in SITES if "django" not in one])
def test_cancellations(name: str, function: str) -> None:
    """They come out."""
    for kind in CANCELLATIONS:
        error = kind(*WORDS)
        with pytest.raises(kind) as caught:
            ask(name, function, raising(error))
        assert caught.value is error
