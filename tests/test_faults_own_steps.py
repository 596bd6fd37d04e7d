"""A fault in any step of ours leaves a whole response, nobody's identity lost or let out, one line.

Each scenario runs once to see which functions of ours it calls, and then once for each of them with
a fault there.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from adapters import ADAPTERS, ALICE, PAGE, SECRET, TAG, identify_script
from faults import steps_of, with_fault
from faulty_hosts import HTML, Script, answer_of, serve, site_of
from recording import WORDS, Record, Server, is_part

from ensoras_middleware import Outcome

POLICY = ("Content-Security-Policy", "default-src 'self' https://app.ensoras.com")
WITHOUT_TAG = PAGE.replace(TAG, b"")
STRANGER = PAGE.replace(TAG, identify_script("bob@example.com") + TAG)
CUT = (PAGE[:99], PAGE[99:])

CANCELLATIONS = [asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit]


# Where a cancellation leaves the preconditions of the request hidden from the layers outside, which
# get no answer either.
HIDDEN = {
    "flask": (".identify", "._forget_cached"),
    "django-wsgi": ("show_preconditions", "._forget_headers"),
}


def ignore(outcome: Outcome) -> None:
    """A site's `on_outcome`."""


SCENARIOS: dict[str, tuple[Script, dict[str, Any]]] = {
    "page": (Script(whole=True), {}),
    "stream": (Script((PAGE[:30], PAGE[30:])), {}),
    "policy": (Script(whole=True, headers=(*HTML, POLICY)), {}),
    "stream with policy": (Script(CUT, headers=(*HTML, POLICY)), {}),
    "stream of several brands": (Script(CUT), {"slug": ..., "secret": lambda slug: SECRET}),
    "embed": (Script((WITHOUT_TAG,), whole=True, headers=(*HTML, POLICY)), {"embed": True}),
    "embed in a stream": (Script((WITHOUT_TAG, b"<p>")), {"embed": True}),
    "stranger": (Script((STRANGER,), whole=True), {}),
    "style": (
        Script(whole=True, headers=(("Content-Type", "text/css"),)),
        {"on_outcome": ignore, "debug": True},
    ),
}

# What only translates. What it does itself, and what it calls, may stand on the way of the host's
# own calls, where a fault of ours cannot be told from one of the host's.
DRIVERS = ("wsgi.", "asgi.", "extension.", "middleware.", "environ.", "scope.")
DRIVERS += ("injection.Injection.stream",)  # for those that have no loop of their own


def carries(step: str, callers: set[str]) -> bool:
    """Tell whether a fault may come out: of a driver, or of what it, or anybody else, calls."""
    return step.startswith(DRIVERS) or any(not one or one.startswith(DRIVERS) for one in callers)


class Alice:
    """The framework's user."""

    is_authenticated = is_active = True
    email = ALICE


def who(adapter: str) -> dict[str, Any]:
    return {"get_email": lambda request: ALICE} if adapter == "wsgi" else {"user": Alice()}


def answers(adapter: str, name: str) -> list[Record]:
    """What may go out: the host's own, or what we make of it for alice, or for nobody."""
    script, options = SCENARIOS[name]
    return [
        serve(adapter, script, enabled=False),
        serve(adapter, script, **who(adapter), **options),
        serve(adapter, script, **options),
    ]


def start_of(answer: Record) -> list[object]:
    return [one for one in answer.seen if not isinstance(one, bytes)]


def body_of(answer: Record) -> list[object]:
    return [one for one in answer.seen if isinstance(one, bytes)]


def fail_in(adapter: str, name: str, step: str, error: BaseException) -> Record:
    script, options = SCENARIOS[name]
    server = Server()
    site = site_of(adapter, script, server.record, **who(adapter), **options)
    return with_fault(lambda: answer_of(adapter, site, server), step, error)


def steps_in(adapter: str, name: str) -> dict[str, set[str]]:
    script, options = SCENARIOS[name]
    server = Server()
    site = site_of(adapter, script, server.record, **who(adapter), **options)
    return steps_of(lambda: answer_of(adapter, site, server))


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_fault_in_each_step(adapter: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The response is one that it could be anyway, and one warning holds nothing of the visitor."""
    possible = bare, identified, _ = answers(adapter, name)
    steps = steps_in(adapter, name)
    assert len(steps) > 25
    contained = 0
    for step in steps:
        caplog.clear()
        error = LookupError(*WORDS)
        answer = fail_in(adapter, name, step, error)
        lines = [one.getMessage() for one in caplog.records if one.name == "ensoras_middleware"]
        assert len(lines) == len(set(lines)), step
        assert not any(word in line for word in WORDS for line in lines), step
        assert not answer.lets_out, step
        assert answer.request == bare.request or answer.error is error, step
        if answer.error is None:
            assert start_of(answer) in map(start_of, possible), step
            assert body_of(answer) in map(body_of, possible), step
            assert answer.closed == answer.opened, step
            assert answer.noises == [], step
            assert lines or identified.seen in (bare.seen, answer.seen), step
            contained += 1
        else:
            assert answer.error is error, step
            assert carries(step, steps[step]), step
    assert contained > 10


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_cancellation_in_each_step(adapter: str) -> None:
    """It comes out, behind nothing that could not have gone out without it."""
    tried: set[str] = set()
    for name in SCENARIOS:
        possible = answers(adapter, name)
        for step in steps_in(adapter, name).keys() - tried:
            tried.add(step)
            for kind in CANCELLATIONS:
                error = kind(*WORDS)
                answer = fail_in(adapter, name, step, error)
                # In a stream Django takes a cancellation for a client that has left, and Python a
                # `GeneratorExit` for one of its own.
                left = adapter == "django-asgi" and kind in CANCELLATIONS[:2] and answer.seen
                assert answer.raised(error, adapter) or left, (step, kind)
                assert any(is_part(answer.seen, one.seen) for one in possible), (step, kind)
                hidden = step.endswith(HIDDEN.get(adapter, ()))
                assert answer.request == possible[0].request or hidden, (step, kind)
                closing = step.endswith(".close") or adapter == "django-asgi"  # see above
                assert answer.closed == answer.opened or closing, (step, kind)
                assert not answer.lets_out
