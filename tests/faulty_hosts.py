"""Hosts that fail, each served through every adapter, with us and bare, to a server that records.

A `Script` is what a host does in one request. The server takes whatever it gets, as it comes: what
it may do with a wrong type is its own affair, so it must only get the same as without us.
"""

from __future__ import annotations

import asyncio
import gc
import io
import re
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import flask
from adapters import ALICE, PAGE, SECRET, SLUG, TAG, identify_script
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import re_path
from flask_ensoras import Ensoras

from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.options import SETTINGS
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

HTML = (("Content-Type", "text/html; charset=utf-8"),)
TEXT = (("Content-Type", "text/plain"),)
HALF = PAGE.index(TAG) + 20  # inside the widget tag

REQUEST = (("Accept", "text/html"), ("Cookie", "a=b"), ("If-None-Match", '"1"'))

# What identified pages and those of equivalent bodies may say otherwise than the host.
_OUR_FIELDS = {"vary", "cache-control", "content-length"}


class Cancellation:
    """Where this stands, the server cancels the request; for asynchronous hosts."""


@dataclass(frozen=True)
class Script:
    """What a host does: where an exception stands it is raised, and what a function returns counts.

    `chunks` are a stream, or with `whole` a list; `written` ones go to WSGI's `write`.
    """

    chunks: Sequence[object] = (PAGE,)
    status: object = 200
    headers: object = HTML
    whole: bool = False
    written: Sequence[object] = ()
    call: object = None  # before it has answered anything
    started: object = None  # between the start and the body
    iter: object = None  # where the server asks for an iterator
    close: object = None


@dataclass
class Record:
    """What a server has seen of one request, and what is left of it."""

    seen: list[object] = field(default_factory=list)
    started: tuple[object, object] | None = None  # the start of a WSGI answer, not sent yet
    error: BaseException | None = None
    opened: int = 0  # how often the host has made a stream
    closed: int = 0  # how often it has cleaned up behind one
    caught: list[type] = field(default_factory=list)  # what the server's functions raised inside it
    request: object = None  # its header fields at the end, as layers outside see them
    noises: list[str] = field(default_factory=list)  # warnings, and what nobody could catch

    def take(self, chunk: object) -> None:
        """Take a part of the body; how bytes are cut does not matter."""
        if isinstance(chunk, bytearray | memoryview):
            chunk = bytes(chunk)
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

    def start(self, status: object, headers: object) -> None:
        self.seen.append(("start", _shown(status), _fields(headers)))

    @property
    def body(self) -> bytes:
        return b"".join(one for one in self.seen if isinstance(one, bytes))

    @property
    def identified(self) -> list[object]:
        """What would have been seen with the identify script."""
        script = identify_script(ALICE)
        return [
            one.replace(TAG, script + TAG) if isinstance(one, bytes) else one for one in self.seen
        ]


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
            while not requests:
                await asyncio.sleep(3600)
            return requests.pop()

        async def send(message: Any) -> None:
            self.called()
            if isinstance(message, dict) and message.get("type") == "http.response.start":
                others = {key: message[key] for key in message if key not in ("status", "headers")}
                self.record.seen.append(_shown(others))
                self.record.start(message.get("status", "none"), message.get("headers", "none"))
            elif isinstance(message, dict) and message.get("type") == "http.response.body":
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


# What the hosts do ----------------------------------------------------------------------------


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


class Body:
    """The iterable of a host."""

    def __init__(self, script: Script, record: Record) -> None:
        self._script, self._record = script, record
        record.opened += 1
        self._chunks = iter(script.chunks)

    def __iter__(self) -> Iterator[Any]:
        instead = perform(self._script.iter)
        return self if instead is None else instead

    def __next__(self) -> Any:
        return perform(next(self._chunks))

    def close(self) -> None:
        self._record.closed += 1
        perform(self._script.close)


async def chunks_async(script: Script, record: Record) -> AsyncIterator[Any]:
    record.opened += 1
    try:
        await perform_async(script.iter)
        for chunk in script.chunks:
            yield await perform_async(chunk)
    finally:
        record.closed += 1
        await perform_async(script.close)


def _wsgi(script: Script, record: Record, options: dict[str, Any]) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        perform(script.call)
        status = f"{script.status} OK" if isinstance(script.status, int) else script.status
        headers = perform(script.headers)
        if isinstance(headers, tuple):
            headers = list(headers)
        write = start_response(perform(status), headers)
        perform(script.started)
        for chunk in script.written:
            data = perform(chunk)
            with catching(record):
                write(data)
        if script.whole:
            return [perform(chunk) for chunk in script.chunks]
        return Body(script, record)

    return WsgiMiddleware(app, **options)


def _asgi(script: Script, record: Record, options: dict[str, Any]) -> Any:
    async def app(scope: Any, server_receive: Any, server_send: Any) -> None:
        async def receive() -> None:
            with catching(record):
                await server_receive()

        async def send(message: Any) -> None:
            with catching(record):
                await server_send(message)

        await perform_async(script.call)
        await receive()
        headers = perform(script.headers)
        if isinstance(headers, tuple):
            headers = [(name.lower().encode(), value.encode()) for name, value in headers]
        status = perform(script.status)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await perform_async(script.started)
        chunks = chunks_async(script, record)
        if script.whole:
            for chunk in script.chunks:
                await send({"type": "http.response.body", "body": await perform_async(chunk)})
            return
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})

    return AsgiMiddleware(app, **options)


def _flask(script: Script, record: Record, options: dict[str, Any]) -> Any:
    app = flask.Flask("site")
    app.config |= _settings(options) | {"PROPAGATE_EXCEPTIONS": True}
    Ensoras(app)

    @app.route("/")
    def view() -> Any:
        perform(script.call)
        chunks = [perform(one) for one in script.chunks] if script.whole else Body(script, record)
        response = flask.Response(chunks, status=perform(script.status))
        del response.headers["Content-Type"]
        for name, value in perform(script.headers):
            response.headers.add(name, value)
        return response

    return app


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    return {SETTINGS[keyword]: value for keyword, value in options.items()}


class _Django:
    """What the one Django site of this process does now."""

    script: Script
    record: Record


def _view(request: Any) -> Any:
    script = _Django.script
    perform(script.call)
    if script.whole:
        return _with_headers(script, HttpResponse([perform(one) for one in script.chunks]))
    return _with_headers(script, StreamingHttpResponse(Body(script, _Django.record)))


async def _async_view(request: Any) -> Any:
    script = _Django.script
    await perform_async(script.call)
    if script.whole:
        return _with_headers(script, HttpResponse([perform(one) for one in script.chunks]))
    return _with_headers(script, StreamingHttpResponse(chunks_async(script, _Django.record)))


def _with_headers(script: Script, response: Any) -> Any:
    response.status_code = perform(script.status)
    for name, value in perform(script.headers):
        response[name] = value
    return response


class _Urls:
    urlpatterns = (re_path("", _view),)


class _AsyncUrls:
    urlpatterns = (re_path("", _async_view),)


def _django(handler: Any, urls: Any) -> Callable[..., Any]:
    def build(script: Script, record: Record, options: dict[str, Any]) -> Any:
        _Django.script, _Django.record = script, record
        own = {"ENSORAS_WIDGET_SLUG": "", "ENSORAS_WIDGET_SECRET": ""} | _settings(options)
        with override_settings(**own):
            if "slug" not in options:
                del settings.ENSORAS_WIDGET_SLUG, settings.ENSORAS_WIDGET_SECRET
            site = handler()

        def app(*arguments: Any) -> Any:
            return site(*arguments)

        return app

    return build


_BUILDERS: dict[str, Callable[..., Any]] = {
    "wsgi": _wsgi,
    "asgi": _asgi,
    "flask": _flask,
    "django-wsgi": _django(WSGIHandler, _Urls),
    "django-asgi": _django(ASGIHandler, _AsyncUrls),
}
URLS = {"django-wsgi": _Urls, "django-asgi": _AsyncUrls}
ASGI = ("asgi", "django-asgi")
WSGI = ("wsgi", "flask", "django-wsgi")


def serve(adapter: str, script: Script, server: Server | None = None, **options: Any) -> Record:
    """Answer one request of `server`; with `enabled=False` it is the bare host."""
    server = server or Server()
    if options.get("enabled") is not False:
        options = {"slug": SLUG, "secret": SECRET} | options
    if adapter == "wsgi" and "get_email" not in options:
        options["get_email"] = lambda request: None
    app = _BUILDERS[adapter](script, server.record, options)
    run = server.run_asgi if adapter in ASGI else server.run_wsgi
    with override_settings(ROOT_URLCONF=URLS.get(adapter), DEBUG_PROPAGATE_EXCEPTIONS=True):
        with noises(server.record.noises):
            run(app)
            for error in (server.record.error, *_raised):  # they hold all that the request had
                if error is not None:
                    error.__traceback__ = error.__context__ = None
            _raised.clear()
    return server.record


@contextmanager
def noises(heard: list[str]) -> Iterator[None]:
    """Hear every warning, and whatever is raised where nobody can catch it."""

    def hear(unraisable: Any) -> None:
        heard.append(type(unraisable.exc_value).__name__)

    before, sys.unraisablehook = sys.unraisablehook, hear
    gc.disable()  # so that all that is left is young, and quickly looked through
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
            gc.collect(0)
        heard += sorted({re.sub("0x[0-9a-f]+", "", str(one.message)) for one in caught})
    finally:
        gc.enable()
        sys.unraisablehook = before
