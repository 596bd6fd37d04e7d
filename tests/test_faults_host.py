"""What a host raises reaches its server as without us: the same object, at the same point.

Each place in which a host can raise, times all that it can raise there, times the adapters; and the
same for the server that it calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from adapters import ADAPTERS, ALICE, PAGE
from faulty_hosts import ASGI, HALF, HTML, TEXT, WSGI, Script, bare, ours
from recording import WORDS, Cancellation, Record, Server, is_part

EXCEPTIONS = [LookupError, TypeError, ConnectionResetError, MemoryError, AssertionError]
CANCELLATIONS = [asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit]

# Where a host raises. All but the last two of a stream come before its end.
PLACES: dict[str, Callable[[Any], Script]] = {
    "call": lambda it: Script(call=it),
    "start": lambda it: Script(started=it),
    "iter": lambda it: Script(iter=it),
    "first chunk": lambda it: Script((it,)),
    "after nothing": lambda it: Script((b"", it)),
    "after a chunk": lambda it: Script((b"<p>one</p>", it)),
    "after what is held": lambda it: Script((PAGE[:HALF], it)),
    "after the page": lambda it: Script((PAGE[:HALF], PAGE[HALF:], it)),
    "close": lambda it: Script((PAGE[:HALF], PAGE[HALF:]), close=it),
    "close of a whole page": lambda it: Script(close=it),
    "after a written chunk": lambda it: Script((), written=(PAGE[:HALF], it)),
    "after what was written": lambda it: Script((it,), written=(PAGE[:HALF],)),
    "iter after what was written": lambda it: Script(iter=it, written=(PAGE[:HALF],)),
    "close after what was written": lambda it: Script((), written=(PAGE,), close=it),
}
ONLY_WSGI = {place for place in PLACES if "written" in place}
ONLY_RAW = {"start", *ONLY_WSGI}  # frameworks have no such place


def places_of(adapter: str) -> list[str]:
    left_out = {"wsgi": set(), "asgi": ONLY_WSGI}.get(adapter, ONLY_RAW)
    return [place for place in PLACES if place not in left_out]


def assert_same(answer: Record, alone: Record, planted: object, *, starts: bool = True) -> None:
    """What has gone out is not looked at."""
    assert (answer.error is planted) is (alone.error is planted)
    assert type(answer.error) is type(alone.error)
    assert str(answer.error) == str(alone.error)
    assert answer.closed <= answer.opened <= 1
    if starts:
        assert answer.closed == alone.closed
        assert answer.caught == alone.caught
    else:
        assert answer.closed == answer.opened
    assert answer.request == alone.request
    assert not answer.lets_out
    assert answer.noises == alone.noises


CELLS = [
    pytest.param(adapter, place, id=f"{adapter}, {place}")
    for adapter in ADAPTERS
    for place in places_of(adapter)
]


@pytest.mark.parametrize("headers", [HTML, TEXT], ids=["page", "text"])
@pytest.mark.parametrize(("adapter", "place"), CELLS)
def test_exceptions_of_the_host(
    adapter: str, place: str, headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Each comes behind all that the host had sent before it; nothing of it is ours to log."""
    for kind in EXCEPTIONS:
        error = kind(*WORDS)
        script = replace(PLACES[place](error), headers=headers)
        alone = bare(adapter, script)
        for user in (ALICE, None):
            answer = ours(adapter, script, user)
            assert_same(answer, alone, error)
            assert answer.seen in (alone.seen, alone.identified)
    assert_silent(caplog)


@pytest.mark.parametrize("headers", [HTML, TEXT], ids=["page", "text"])
@pytest.mark.parametrize(("adapter", "place"), CELLS)
def test_cancellations_of_the_host(
    adapter: str, place: str, headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no `Exception` comes at once: nothing more is sent, neither held back nor written."""
    kinds = [kind(*WORDS) for kind in CANCELLATIONS]
    for error in [*kinds, Cancellation] if adapter in ASGI else kinds:
        script = replace(PLACES[place](error), headers=headers)
        alone = bare(adapter, script)
        for user in (ALICE, None):
            answer = ours(adapter, script, user)
            if (adapter, place) == ("flask", "call"):
                # Nothing that costs little tells of it: layers outside miss the preconditions.
                answer.request = alone.request
            assert_same(answer, alone, error)
            assert is_part(answer.seen, alone.seen) or is_part(answer.seen, alone.identified)
    assert_silent(caplog)


SHAPES = {
    "whole page": Script(whole=True),
    "page of one chunk": Script(),
    "text": Script(headers=TEXT),
    "stream": Script((b"<p>one</p>", b"<p>two</p>", b"<p>three</p>")),
    "widget tag in two chunks": Script((PAGE[:HALF], PAGE[HALF:])),
    "written": Script((b"<p>three</p>",), written=(b"<p>one</p>", b"<p>two</p>")),
    "widget tag in two written chunks": Script((), written=(PAGE[:HALF], PAGE[HALF:])),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_faults_of_the_server(adapter: str, shape: str, caplog: pytest.LogCaptureFixture) -> None:
    """What `receive`, `send`, `start_response` and `write` raise comes out, and into the host."""
    for kind in (ConnectionResetError, *CANCELLATIONS):
        for call in range(0 if adapter in ASGI else 1, 5):
            error = kind(*WORDS)
            alone = bare(adapter, SHAPES[shape], Server(fails_at=call, error=error))
            for user in (ALICE, None):
                server = Server(fails_at=call, error=error)
                answer = ours(adapter, SHAPES[shape], user, server)
                # A page starts with its body: where it cannot start, a raw host has gone further.
                starts = call != 1 or adapter not in ("wsgi", "asgi")
                assert_same(answer, alone, error, starts=starts)
                assert is_part(answer.seen, alone.identified) or answer.seen == alone.seen
            if alone.error is None:
                break
    assert_silent(caplog)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("adapter", WSGI)
def test_a_client_that_leaves(adapter: str, shape: str) -> None:
    """A WSGI server closes what it does not read on, once, whether it has begun or not."""
    for chunks in range(4):
        alone = bare(adapter, SHAPES[shape], Server(leaves_after=chunks))
        for user in (ALICE, None):
            answer = ours(adapter, SHAPES[shape], user, Server(leaves_after=chunks))
            assert_same(answer, alone, None)
            assert is_part(answer.seen, alone.identified) or is_part(answer.seen, alone.seen)


def assert_silent(caplog: pytest.LogCaptureFixture) -> None:
    ours = [one for one in caplog.records if one.name == "ensoras_middleware"]
    # The hosts for nobody have a `get_email`, so nothing is to be said of them either.
    assert [one.getMessage() for one in ours] == []
