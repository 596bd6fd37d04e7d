"""What a host hands over that is of no type its server knows gets there as it is.

It is the server's to refuse, in its own words and at its own point: never ours, and never changed.
"""

from __future__ import annotations

import array
from collections import UserDict
from collections.abc import AsyncIterator, Callable, Iterator
from types import MappingProxyType
from typing import Any

import pytest
from adapters import ALICE, PAGE
from faulty_hosts import HALF, HTML, bare, ours
from recording import WORDS, Record


async def coroutine() -> bytes:
    """One that nobody awaits."""
    return PAGE


async def async_generator() -> AsyncIterator[bytes]:
    yield PAGE


def generator(*parts: object) -> Iterator[object]:
    yield from parts


class Raising:
    """Raises whatever is done with it."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return super().__getattribute__(name)
        raise LookupError(*WORDS)

    def _raise(self, *arguments: object) -> Any:
        raise LookupError(*WORDS)

    __len__ = __bool__ = __iter__ = __eq__ = __bytes__ = __str__ = __call__ = _raise
    __hash__ = object.__hash__


class Length(list[bytes]):
    """A list whose length is not to be had."""

    def __len__(self) -> int:
        raise LookupError(*WORDS)


# What stands where bytes are expected.
PARTS: dict[str, Callable[[], object]] = {
    "None": lambda: None,
    "text": lambda: "text",
    "an int": lambda: 5,
    "a huge int": lambda: 10**15,
    "a bool": lambda: True,
    "a bytearray": lambda: bytearray(PAGE),
    "a memoryview": lambda: memoryview(PAGE),
    "a memoryview of ints": lambda: memoryview(array.array("I", [1, 2])),
    "a list of ints": lambda: [60, 112, 62],
    "a list of bytes": lambda: [PAGE],
    "a coroutine": coroutine,
    "a coroutine function": lambda: coroutine,
    "an async generator": async_generator,
    "a generator": lambda: generator(PAGE),
    "an object": object,
    "an object that raises": Raising,
}

WHERE: dict[str, Callable[[object], list[object]]] = {
    "alone": lambda it: [it],
    "first": lambda it: [it, PAGE],
    "behind the page": lambda it: [PAGE, it],
    "behind what is held": lambda it: [PAGE[:HALF], it, b"<p>more</p>"],
    "behind nothing": lambda it: [b"", it],
}


def check(adapter: str, host: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    alone = bare(adapter, host)
    for user in (ALICE, None):
        caplog.clear()
        assert_same(ours(adapter, host, user), alone)
        lines = [one.getMessage() for one in caplog.records if one.name == "ensoras_middleware"]
        most = 2 if adapter == "flask" else 1  # for one place each: its guard looks at pages too
        assert len(lines) == len(set(lines)) <= most, lines
        for word in WORDS:
            assert word not in caplog.text


def assert_same(answer: Record, alone: Record) -> None:
    assert type(answer.error) is type(alone.error)
    assert str(answer.error) == str(alone.error)
    assert answer.seen in (alone.seen, alone.identified)
    assert answer.noises == alone.noises
    assert answer.request == alone.request
    assert not answer.lets_out


# ASGI -----------------------------------------------------------------------------------------

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/html; charset=utf-8")],
}
BODY = {"type": "http.response.body", "body": PAGE}
PAIR = (b"content-type", b"text/html")


def without(name: str, message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != name}


MESSAGES: dict[str, Callable[[], list[Any]]] = {
    "None": lambda: [None],
    "text": lambda: ["http.response.start"],
    "a list": lambda: [[*START.items()], BODY],
    "without keys": lambda: [{}, START, BODY],
    "of no type": lambda: [{**START, "type": None}, BODY],
    "of type bytes": lambda: [{**START, "type": b"http.response.start"}, BODY],
    "a mapping": lambda: [MappingProxyType(START), MappingProxyType(BODY)],
    "a UserDict": lambda: [UserDict(START), UserDict(BODY)],
    "no keys behind the start": lambda: [START, {}, BODY],
    "None behind the start": lambda: [START, None, BODY],
    "None in a stream": lambda: [START, {**BODY, "more_body": True}, None],
    "None behind what is held": lambda: [
        START,
        {**BODY, "body": PAGE[:HALF], "more_body": 1},
        None,
    ],
    "huge bytes": lambda: [START, {**BODY, "body": PAGE + bytes(10_000_000)}],
    "no status": lambda: [without("status", START), BODY],
    "no headers": lambda: [without("headers", START), BODY],
    "a status of text": lambda: [{**START, "status": "200"}, BODY],
    "a status of None": lambda: [{**START, "status": None}, BODY],
    "a huge status": lambda: [{**START, "status": 10**30}, BODY],
    "headers None": lambda: [{**START, "headers": None}, BODY],
    "headers an int": lambda: [{**START, "headers": 5}, BODY],
    "headers a tuple": lambda: [{**START, "headers": (PAIR,)}, BODY],
    "headers a generator": lambda: [{**START, "headers": generator(PAIR)}, BODY],
    "headers an async generator": lambda: [{**START, "headers": async_generator()}, BODY],
    "headers a coroutine": lambda: [{**START, "headers": coroutine()}, BODY],
    "headers bytes": lambda: [{**START, "headers": b"content-type: text/html"}, BODY],
    "headers a dict": lambda: [{**START, "headers": {"content-type": "text/html"}}, BODY],
    "pairs of text": lambda: [{**START, "headers": [("content-type", "text/html")]}, BODY],
    "a text behind": lambda: [{**START, "headers": [PAIR, ("x-one", "1")]}, BODY],
    "a pair of None": lambda: [{**START, "headers": [PAIR, (None, None)]}, BODY],
    "a pair of None before": lambda: [{**START, "headers": [(None, None), PAIR]}, BODY],
    "an int in a pair": lambda: [{**START, "headers": [PAIR, (b"content-length", 5)]}, BODY],
    "a bytearray in a pair": lambda: [{**START, "headers": [(PAIR[0], bytearray(PAIR[1]))]}, BODY],
    "a memoryview": lambda: [{**START, "headers": [(PAIR[0], memoryview(PAIR[1]))]}, BODY],
    "three of a pair": lambda: [{**START, "headers": [PAIR, (b"a", b"b", b"c")]}, BODY],
    "None for a pair": lambda: [{**START, "headers": [PAIR, None]}, BODY],
    "more_body None": lambda: [START, {**BODY, "more_body": None}],
    "more_body text": lambda: [START, {**BODY, "more_body": "no"}, BODY],
}
MESSAGES |= {
    f"{part} {where}": lambda make=make, place=place: [
        START,
        *({**BODY, "body": one, "more_body": True} for one in place(make())),
        {"type": "http.response.body"},
    ]
    for part, make in PARTS.items()
    for where, place in WHERE.items()
}
MESSAGES |= {
    f"{part} as a whole": lambda make=make: [START, {**BODY, "body": make()}]
    for part, make in PARTS.items()
}


@pytest.mark.parametrize("messages", MESSAGES)
def test_messages(messages: str, caplog: pytest.LogCaptureFixture) -> None:
    """ASGI: each message gets to the server, and what `send` makes of it comes back."""

    async def host(scope: Any, receive: Any, send: Any) -> None:
        for message in MESSAGES[messages]():
            await send(message)

    check("asgi", host, caplog)


# WSGI -----------------------------------------------------------------------------------------

TYPE = ("Content-Type", "text/html")

STARTS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "a status of None": lambda: (None, [TYPE]),
    "a status of bytes": lambda: (b"200 OK", [TYPE]),
    "an int": lambda: (200, [TYPE]),
    "an empty status": lambda: ("", [TYPE]),
    "digits of another script": lambda: ("٢٠٠ OK", [TYPE]),
    "a superscript": lambda: ("²00 OK", [TYPE]),
    "headers None": lambda: ("200 OK", None),
    "headers an int": lambda: ("200 OK", 5),
    "headers a tuple": lambda: ("200 OK", (TYPE,)),
    "headers a generator": lambda: ("200 OK", generator(TYPE)),
    "headers an async generator": lambda: ("200 OK", async_generator()),
    "headers a coroutine": lambda: ("200 OK", coroutine()),
    "headers bytes": lambda: ("200 OK", b"Content-Type: text/html"),
    "headers a dict": lambda: ("200 OK", dict([TYPE])),
    "pairs of bytes": lambda: ("200 OK", [(b"Content-Type", b"text/html")]),
    "bytes behind": lambda: ("200 OK", [TYPE, (b"X-One", b"1")]),
    "a pair of None": lambda: ("200 OK", [TYPE, (None, None)]),
    "a pair of None before": lambda: ("200 OK", [(None, None), TYPE]),
    "an int in a pair": lambda: ("200 OK", [TYPE, ("Content-Length", 5)]),
    "three of a pair": lambda: ("200 OK", [TYPE, ("a", "b", "c")]),
    "None for a pair": lambda: ("200 OK", [TYPE, None]),
    "an exc_info of text": lambda: ("200 OK", [TYPE], "text"),
}


@pytest.mark.parametrize("start", STARTS)
def test_starts(start: str, caplog: pytest.LogCaptureFixture) -> None:
    """WSGI: the server gets the very arguments of the host."""

    def host(environ: Any, start_response: Any) -> Any:
        start_response(*STARTS[start]())
        return [PAGE]

    check("wsgi", host, caplog)


ITERABLES = PARTS | {
    "bytes": lambda: PAGE,
    "huge bytes": lambda: [PAGE, bytes(10_000_000)],
    "a set": lambda: {PAGE},
    "a dict": lambda: {PAGE: 1},
    "a list without a length": lambda: Length([PAGE]),
    "a memoryview of it": lambda: memoryview(PAGE),
    "nothing to iterate": lambda: [[]],
    "a class": lambda: list,
}
ITERABLES |= {
    f"a {kind.__name__} of {part} {where}": lambda make=make, place=place, kind=kind: kind(
        place(make())
    )
    for part, make in PARTS.items()
    for where, place in WHERE.items()
    for kind in (list, iter)
}


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("iterable", ITERABLES)
def test_iterables(iterable: str, written: bool, caplog: pytest.LogCaptureFixture) -> None:
    """WSGI: the server iterates over the same values, whatever they are."""

    def host(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", list(HTML))
        if written:
            write(b"<p>one</p><scr")  # the end is held back
        return ITERABLES[iterable]()

    check("wsgi", host, caplog)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("part", PARTS)
def test_written(part: str, where: str, caplog: pytest.LogCaptureFixture) -> None:
    """WSGI: so does its `write`."""

    def host(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", list(HTML))
        for one in WHERE[where](PARTS[part]()):
            write(one)
        return []

    check("wsgi", host, caplog)
