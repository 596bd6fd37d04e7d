"""What a host raises reaches its server as without us: the same object, at the same point.

Each place in which a host can raise, times all that it can raise there, times the adapters; and the
same for the server that it calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from adapters import ADAPTERS, ALICE, PAGE, SECRET
from faulty_hosts import ASGI, HALF, HTML, TEXT, WSGI, Script, both
from recording import Cancellation, Record, Server

from ensoras_middleware import identity_hash

WORDS = (ALICE, SECRET, identity_hash(ALICE, SECRET))

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
    "close after what was written": lambda it: Script((), written=(PAGE,), close=it),
}
ONLY_WSGI = {"after a written chunk", "after what was written", "close after what was written"}
ONLY_RAW = {"start", *ONLY_WSGI}  # frameworks have no such place


def places_of(adapter: str) -> list[str]:
    left_out = {"wsgi": set(), "asgi": ONLY_WSGI}.get(adapter, ONLY_RAW)
    return [place for place in PLACES if place not in left_out]


def assert_same(ours: Record, bare: Record, planted: object, *, starts: bool = True) -> None:
    """What has gone out is not looked at."""
    assert (ours.error is planted) is (bare.error is planted)
    assert type(ours.error) is type(bare.error)
    assert str(ours.error) == str(bare.error)
    assert ours.closed <= ours.opened <= 1
    if starts:
        assert ours.closed == bare.closed
        assert ours.caught == bare.caught
    else:
        assert ours.closed == ours.opened
    assert ours.request == bare.request
    assert ours.noises == bare.noises


CELLS = [
    pytest.param(adapter, place, id=f"{adapter}, {place}")
    for adapter in ADAPTERS
    for place in places_of(adapter)
]


@pytest.mark.parametrize("headers", [HTML, TEXT], ids=["page", "text"])
@pytest.mark.parametrize("user", [ALICE, None])
@pytest.mark.parametrize(("adapter", "place"), CELLS)
def test_exceptions_of_the_host(
    adapter: str, place: str, user: str | None, headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Each comes behind all that the host had sent before it; nothing of it is ours to log."""
    for kind in EXCEPTIONS:
        error = kind(*WORDS)
        bare, ours = both(adapter, replace(PLACES[place](error), headers=headers), user)
        assert_same(ours, bare, error)
        assert ours.seen in (bare.seen, bare.identified)
    assert_silent(caplog)


@pytest.mark.parametrize("headers", [HTML, TEXT], ids=["page", "text"])
@pytest.mark.parametrize("user", [ALICE, None])
@pytest.mark.parametrize(("adapter", "place"), CELLS)
def test_cancellations_of_the_host(
    adapter: str, place: str, user: str | None, headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no `Exception` comes at once: nothing more is sent, neither held back nor written."""
    kinds = [kind(*WORDS) for kind in CANCELLATIONS]
    for error in [*kinds, Cancellation] if adapter in ASGI else kinds:
        bare, ours = both(adapter, replace(PLACES[place](error), headers=headers), user)
        assert_same(ours, bare, error)
        assert is_part(ours.seen, bare.seen) or is_part(ours.seen, bare.identified)
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


@pytest.mark.parametrize("user", [ALICE, None])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_faults_of_the_server(
    adapter: str, shape: str, user: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """What `receive`, `send`, `start_response` and `write` raise comes out, and into the host."""
    for kind in (ConnectionResetError, *CANCELLATIONS):
        for call in range(0 if adapter in ASGI else 1, 5):
            error = kind(*WORDS)
            server = partial(Server, fails_at=call, error=error)
            bare, ours = both(adapter, SHAPES[shape], user, server)
            # A page starts with its body: where it cannot start, a raw host has gone further.
            assert_same(ours, bare, error, starts=call != 1 or adapter not in ("wsgi", "asgi"))
            assert is_part(ours.seen, bare.identified) or ours.seen == bare.seen
            if bare.error is None:
                break
    assert_silent(caplog)


@pytest.mark.parametrize("user", [ALICE, None])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("adapter", WSGI)
def test_a_client_that_leaves(adapter: str, shape: str, user: str | None) -> None:
    """A WSGI server closes what it does not read on, once, whether it has begun or not."""
    for chunks in range(4):
        server = partial(Server, leaves_after=chunks)
        bare, ours = both(adapter, SHAPES[shape], user, server)
        assert_same(ours, bare, None)
        assert is_part(ours.seen, bare.identified) or is_part(ours.seen, bare.seen)


def is_part(seen: list[object], whole: list[object]) -> bool:
    """Tell whether the whole begins with what was seen."""
    if not seen:
        return True
    *before, last = seen
    if before != whole[: len(before)] or len(whole) < len(seen):
        return False
    match = whole[len(before)]
    return last == match or (
        isinstance(last, bytes) and isinstance(match, bytes) and match.startswith(last)
    )


def assert_silent(caplog: pytest.LogCaptureFixture) -> None:
    ours = [one for one in caplog.records if one.name == "ensoras_middleware"]
    # The hosts for nobody have a `get_email`, so nothing is to be said of them either.
    assert [one.getMessage() for one in ours] == []
