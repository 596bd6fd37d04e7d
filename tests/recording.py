"""A server that records what it gets, and what is left of a request behind it.

It takes whatever comes, as it comes: what a server may do with a wrong type is its own affair, so
it must only get the same as without us.
"""

from __future__ import annotations

import asyncio
import gc
import io
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import django
from adapters import ALICE, SECRET, TAG, identify_script

from ensoras_middleware import identity_hash

HASH = identity_hash(ALICE, SECRET).encode()

# What nothing may be told but the visitor.
WORDS = (ALICE, SECRET, HASH.decode())

REQUEST = (("Accept", "text/html"), ("Cookie", "a=b"), ("If-None-Match", '"1"'))

# What identified pages and those of equivalent bodies may say otherwise than the host.
_OUR_FIELDS = {"vary", "cache-control", "content-length", "x-ensoras-outcome"}

# What a `GeneratorExit` of a view becomes in Django's ASGI handler, without us too.
IGNORED_BY_DJANGO = "coroutine ignored GeneratorExit" if django.VERSION >= (6, 1) else None


@dataclass
class Record:
    """What a server has seen of one request, and what is left of it."""

    seen: list[object] = field(default_factory=list)
    started: tuple[object, object] | None = None  # the start of a WSGI answer, not sent yet
    error: BaseException | None = None
    opened: int = 0  # how often the host has made a stream
    closed: int = 0  # how often it has cleaned up behind one
    caught: list[type] = field(default_factory=list)  # what the server's functions raised inside it
    stored: bool = False  # by caches, as its header fields say
    request: object = None  # its header fields at the end, as layers outside see them
    noises: list[str] = field(default_factory=list)  # warnings, and what nobody could catch

    def take(self, chunk: object) -> None:
        """Take a part of the body; how bytes are cut does not matter."""
        if isinstance(chunk, bytes | bytearray | memoryview):
            chunk = re.sub(b" at 0x[0-9a-f]+", b"", bytes(chunk))  # of what Django took for text
        if isinstance(chunk, bytes) and self.seen and isinstance(self.seen[-1], bytes):
            self.seen[-1] += chunk
        elif chunk != b"":
            self.send_start()
            self.seen.append(chunk if isinstance(chunk, bytes) else _shown(chunk))

    def send_start(self) -> None:
        """Send what WSGI's `start_response` was given, now that there is a body, or none."""
        if self.started is not None:
            (status, headers), self.started = self.started, None
            self.start(status, headers)

    def start(self, status: object, headers: Any) -> None:
        self.stored = "no-store" not in str(headers)
        self.seen.append(("start", _shown(status), _fields(headers)))

    def raised(self, error: BaseException, adapter: str) -> bool:
        """Tell whether this came out, or what Django makes of it since 6.1."""
        is_replaced = adapter == "django-asgi" and str(self.error) == IGNORED_BY_DJANGO
        return self.error is error or (is_replaced and type(error) is GeneratorExit)

    @property
    def lets_out(self) -> bool:
        """Tell whether a cache may hand an identity to somebody else."""
        return self.stored and any(HASH in one for one in self.seen if isinstance(one, bytes))

    @property
    def identified(self) -> list[object]:
        """What would have been seen with the identify script."""
        seen = [*self.seen]
        for place, part in enumerate(seen):
            if isinstance(part, bytes) and TAG in part:
                seen[place] = part.replace(TAG, identify_script(ALICE) + TAG, 1)
                break
        return seen


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


@dataclass
class Server:
    """Calls an application; the call number `fails_at` of what it gave it raises `error`.

    Number 0 is every `receive`. After `leaves_after` chunks the client has left.
    """

    fails_at: int | None = None
    error: BaseException | None = None
    leaves_after: int | None = None
    record: Record = field(default_factory=Record)
    calls: int = 0

    def called(self) -> None:
        self.calls += 1
        if self.calls == self.fails_at:
            perform(self.error)

    def run_wsgi(self, app: Any) -> None:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
        }
        fields = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in REQUEST}
        environ |= fields

        def start_response(status: object, headers: object, exc_info: Any = None) -> Any:
            self.called()
            self.record.started = (status, headers)
            return write

        def write(data: object) -> None:
            self.called()
            self.record.take(data)

        try:
            self._read(app(environ, start_response))
            self.record.send_start()
        except BaseException as error:
            self.record.error = error
        self.record.request = {name: environ.get(name) for name in fields}

    def _read(self, iterable: Any) -> None:
        try:
            if self.leaves_after != 0:
                for count, chunk in enumerate(iterable, 1):
                    self.record.take(chunk)
                    if count == self.leaves_after:
                        break
        finally:
            if hasattr(iterable, "close"):
                iterable.close()

    def run_asgi(self, app: Any) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in REQUEST]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"testserver"), *headers],
        }
        requests = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if self.fails_at == 0:
                perform(self.error)
            if not requests:
                await asyncio.sleep(3600)
            return requests.pop()

        async def send(message: Any) -> None:
            self.called()
            kind = message.get("type") if isinstance(message, Mapping) else None
            if kind == "http.response.start":
                others = {key: message[key] for key in message if key not in ("status", "headers")}
                self.record.seen.append(_shown(others))
                self.record.start(message.get("status", "none"), message.get("headers", "none"))
            elif kind == "http.response.body":
                self.record.take(message.get("body", b""))
                if not message.get("more_body", False):
                    self.record.seen.append("the end")
            else:
                self.record.seen.append(_shown(message))

        async def main() -> None:
            try:
                await app(scope, receive, send)
            except BaseException as error:
                self.record.error = error

        try:
            asyncio.run(main())
        except BaseException as error:  # of a task of its own
            self.record.error = error
        self.record.request = scope["headers"]


def _shown(value: object) -> object:
    """Return a value as it can be compared between two runs, each of which made its own."""
    if isinstance(value, dict):
        return {key: _shown(one) for key, one in value.items()}
    return value if isinstance(value, str | int | bytes | None) else type(value)


def _fields(headers: Any) -> object:
    """Return header fields as a server reads them."""
    try:
        fields = [(name, value) for name, value in headers]
    except Exception:
        return _shown(headers)
    return [(_shown(name), _shown(value)) for name, value in fields if not _is_ours(name)]


def _is_ours(name: Any) -> bool:
    text = name.decode() if isinstance(name, bytes) else name
    return isinstance(text, str) and text.lower() in _OUR_FIELDS


class Cancellation:
    """Where this stands, the server cancels the request; for asynchronous hosts."""


def perform(part: object) -> Any:
    """Raise what is an exception, and return everything else."""
    if isinstance(part, FunctionType):
        part = part()
    if isinstance(part, BaseException):
        _raised.append(part)
        raise part
    return part


_raised: list[BaseException] = []


async def perform_async(part: object) -> Any:
    if part is Cancellation:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
    return perform(part)


@contextmanager
def catching(record: Record) -> Iterator[None]:
    """Note what is raised inside the host."""
    try:
        yield
    except BaseException as error:
        record.caught.append(type(error))
        raise


@contextmanager
def listening(record: Record) -> Iterator[None]:
    """Hear every warning, and whatever is raised where nobody can catch it."""

    def hear(unraisable: Any) -> None:
        record.noises.append(type(unraisable.exc_value).__name__)

    before, sys.unraisablehook = sys.unraisablehook, hear
    gc.disable()  # so that all that is left is young, and quickly looked through
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
            _forget(record.error, *_raised)
            gc.collect(0)
        record.noises += {re.sub("0x[0-9a-f]+", "", str(one.message)) for one in caught}
        record.noises.sort()
    finally:
        gc.enable()
        sys.unraisablehook = before


def _forget(*errors: BaseException | None) -> None:
    for error in errors:  # each holds all that its request had
        if error is not None:
            error.__traceback__ = error.__context__ = None
            if isinstance(error, AttributeError):
                error.obj = None
    _raised.clear()
