"""A fault in what a site gives us to call leaves its page as it is for somebody else.

Each function of the site, times what it may raise or hand back, times the adapters.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from adapters import ADAPTERS, ALICE, PAGE
from faulty_hosts import ASGI, HALF, Script, answer_of, serve, site_of
from recording import WORDS, Record, Server, perform
from test_faults_types import Raising, async_generator, coroutine, generator

EXCEPTIONS = [LookupError, TypeError, StopIteration, StopAsyncIteration, MemoryError, OSError]
CANCELLATIONS = [asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit]

SHAPES = {"whole": Script(whole=True), "stream": Script((PAGE[:HALF], PAGE[HALF:]))}

Options = dict[str, Any]
Fault = Callable[[], object]


def raising(error: BaseException) -> Fault:
    return lambda: perform(error)


def calling(adapter: str, function: Fault) -> Options:
    """`get_email` by this function."""
    takes = (lambda: function()) if adapter == "flask" else (lambda request: function())
    return {"get_email": takes}


def awaiting(adapter: str, function: Fault) -> Options:
    async def get_email(request: object) -> object:
        await asyncio.sleep(0)
        return function()

    return {"get_email": get_email}


def alice(adapter: str) -> Options:
    return calling(adapter, lambda: ALICE)


def user(**attributes: Any) -> Callable[[str, Fault], Options]:
    """The framework's own, with an attribute by this function; the others are as given."""

    def options(adapter: str, function: Fault) -> Options:
        given = {"is_authenticated": True, "is_active": True, "email": ALICE} | attributes
        properties = {
            name: property(lambda self, value=value: function() if value is ... else value)
            for name, value in given.items()
        }
        return {"user": type("User", (), properties)()}

    return options


# What reads the user, and so leaves them anonymous.
READERS: dict[str, Callable[[str, Fault], Options]] = {
    "get_email": calling,
    "awaited get_email": awaiting,
    "user's email": user(email=...),
    "user's is_authenticated": user(is_authenticated=...),
    "user's is_active": user(is_active=...),
    "user's email_verified": user(email_verified=...),
}
# Those that hand over an address.
GIVERS = {name: READERS[name] for name in ("get_email", "awaited get_email", "user's email")}
# What is asked for a secret.
SECRETS: dict[str, Callable[[str, Fault], Options]] = {
    "secret": lambda adapter, it: {"secret": lambda slug: it()} | alice(adapter),
    "secret of any slug": lambda adapter, it: (
        {"secret": lambda slug: it(), "slug": ...} | alice(adapter)
    ),
}
# What is only told.
LISTENERS: dict[str, Callable[[str, Fault], Options]] = {
    "on_outcome": lambda adapter, it: {"on_outcome": lambda outcome: it()} | alice(adapter),
}


def cells(*tables: dict[str, Any]) -> list[Any]:
    """Each adapter that has the callback, with each of its callbacks."""
    return [
        pytest.param(adapter, name, id=f"{adapter}, {name}")
        for adapter in ADAPTERS
        for table in tables
        for name in table
        if not (adapter not in ASGI and name == "awaited get_email")
        and not (adapter == "wsgi" and name.startswith("user's"))
        and not (adapter == "asgi" and name == "user's is_active")
    ]


CALLBACKS = READERS | SECRETS | LISTENERS


def nobody(adapter: str, shape: str) -> Record:
    return serve(adapter, SHAPES[shape], **calling(adapter, lambda: None))


def somebody(adapter: str, shape: str) -> Record:
    return serve(adapter, SHAPES[shape], **alice(adapter))


def assert_answers(answer: Record, expected: Record) -> None:
    assert answer.seen == expected.seen
    assert answer.error is None
    assert answer.closed == answer.opened
    assert answer.request == expected.request
    assert answer.noises == []
    assert not answer.lets_out


def assert_told_once(caplog: pytest.LogCaptureFixture) -> None:
    ours = [one.levelname for one in caplog.records if one.name == "ensoras_middleware"]
    assert ours == ["WARNING"], caplog.text
    for word in WORDS:
        assert word not in caplog.text


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("adapter", "name"), cells(READERS, SECRETS, LISTENERS))
def test_exceptions(adapter: str, name: str, shape: str, caplog: pytest.LogCaptureFixture) -> None:
    """The page is as for nobody, or as if a listener had not failed; one warning names no words."""
    expected = (somebody if name in LISTENERS else nobody)(adapter, shape)
    for kind in EXCEPTIONS:
        caplog.clear()
        error = kind(*WORDS)
        server, again = Server(), Server()
        options = CALLBACKS[name](adapter, raising(error))
        site = site_of(adapter, SHAPES[shape], server.record, **options)
        assert_answers(answer_of(adapter, site, server), expected)
        assert answer_of(adapter, site, again).seen == expected.seen
        assert_told_once(caplog)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("adapter", "name"), cells(READERS, SECRETS, LISTENERS))
def test_cancellations(
    adapter: str, name: str, shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They come out, and nothing of the page that could not have gone out without them."""
    expected = somebody(adapter, shape)
    # In a thread of Django's stream nobody is cancelled, and no generator closed: what a secret
    # raises there as such is told from neither.
    in_stream = (adapter, name, shape) == ("django-asgi", "secret of any slug", "stream")
    for kind in CANCELLATIONS[2:] if in_stream else CANCELLATIONS:
        error = kind(*WORDS)
        answer = serve(adapter, SHAPES[shape], **CALLBACKS[name](adapter, raising(error)))
        assert answer.raised(error, adapter)
        assert answer.closed == answer.opened or adapter == "django-asgi"  # it closes nothing then
        assert answer.request == expected.request
        assert not answer.lets_out
    assert [one for one in caplog.records if one.name == "ensoras_middleware"] == []


class Text(str):
    """An e-mail, or a secret, with methods that raise."""

    __slots__ = ()

    def _raise(self, *arguments: object) -> Any:
        raise LookupError(*WORDS)

    strip = lower = encode = __len__ = __eq__ = __contains__ = __iter__ = _raise
    __hash__ = str.__hash__


# What stands where an e-mail or a secret is expected.
VALUES: dict[str, Fault] = {
    "an empty text": str,
    "an int": lambda: 5,
    "a bool": lambda: True,
    "bytes": lambda: b"\xff",
    "a bytearray": lambda: bytearray(ALICE.encode()),
    "a list": lambda: [ALICE],
    "a dict": lambda: {"email": ALICE},
    "a coroutine": coroutine,
    "a coroutine function": lambda: coroutine,
    "an async generator": async_generator,
    "a generator": lambda: generator(ALICE),
    "an exception": lambda: LookupError(*WORDS),
    "an object that raises": Raising,
    "a text that raises": lambda: Text(ALICE),
    "a huge text": lambda: ALICE * 10_000,
    "half a character": lambda: "\udc80" * 20 + "\ud800",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("adapter", "name"), cells(GIVERS, SECRETS))
def test_values(adapter: str, name: str, shape: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is handed back in place of an e-mail or a secret identifies nobody."""
    expected = nobody(adapter, shape)
    for value in VALUES.keys() - ({"a huge text"} if name in SECRETS else set()):
        caplog.clear()
        answer = serve(adapter, SHAPES[shape], **CALLBACKS[name](adapter, VALUES[value]))
        assert_answers(answer, expected)
        assert_told_once(caplog)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_a_listener_hands_back(
    adapter: str, shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody looks at it, and nothing that it has begun is left open."""
    expected = somebody(adapter, shape)
    for value in VALUES:
        options = LISTENERS["on_outcome"](adapter, VALUES[value])
        assert_answers(serve(adapter, SHAPES[shape], **options), expected)
    assert caplog.text == ""


class Handler(logging.Handler):
    """One that calls this function for every line, or a filter that does."""

    def __init__(self, function: Fault) -> None:
        super().__init__()
        self.emit = lambda record: function()  # type: ignore[method-assign]


@contextmanager
def listening_to_the_log(listener: str, function: Fault) -> Iterator[None]:
    logger = logging.getLogger("ensoras_middleware")
    handler = Handler(function)
    logger.setLevel(logging.DEBUG)
    if listener == "handler":
        logger.addHandler(handler)
    else:
        logger.addFilter(handler.emit)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.removeFilter(handler.emit)
        logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize("email", [ALICE, 5])
@pytest.mark.parametrize("listener", ["handler", "filter"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_log_that_fails(adapter: str, shape: str, listener: str, email: object) -> None:
    """Whether it hears of an outcome or of a problem, the page is none the worse."""
    expected = (somebody if email == ALICE else nobody)(adapter, shape)
    for kind in EXCEPTIONS:
        error = kind(*WORDS)
        with listening_to_the_log(listener, raising(error)):
            answer = serve(adapter, SHAPES[shape], **calling(adapter, lambda: email))
        assert_answers(answer, expected)
    for kind in CANCELLATIONS:
        error = kind(*WORDS)
        with listening_to_the_log(listener, raising(error)):
            answer = serve(adapter, SHAPES[shape], **calling(adapter, lambda: email))
        assert answer.raised(error, adapter)
        assert not answer.lets_out
