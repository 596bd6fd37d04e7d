"""A site of one page as a plain ASGI and a plain WSGI application: bare, with this project, others.

A loop sends one request after the other; an insert tells what becomes of the host's body.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable
from typing import Any

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers import Insert
from benchmarks.subject import EMAIL, OPTIONS, SCRIPT, SECRET, SLUG, TAG
from benchmarks.timing import Loop
from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

HTML, JSON = "text/html; charset=utf-8", "application/json"

TINY = b"<!doctype html><title>Shop</title><body><p>Hello</p>" + TAG + b"</body>"

REQUEST_FIELDS = {
    "host": "shop.example.com",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "accept-language": "en",
    "accept-encoding": "gzip, br",
    "cookie": "session=0123456789",
    "sec-fetch-site": "same-origin",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
}

_LOOP = asyncio.new_event_loop()


# ASGI -----------------------------------------------------------------------------------------


class User:
    """Starlette's authenticated user, with an e-mail."""

    is_authenticated = True
    email = EMAIL


class DoNothing:
    """The cheapest thing that a middleware can put around `send`."""

    __slots__ = ("_send",)

    def __init__(self, send: Any) -> None:
        self._send = send

    def __call__(self, message: Any) -> Any:
        return self._send(message)


def asgi_site(body: bytes, content_type: str) -> Any:
    """Return the bare application."""
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    whole = {"type": "http.response.body", "body": body}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start)
        await send(whole)

    return app


def asgi_ours(app: Any) -> Any:
    """Return the application with this project's middleware."""
    return AsgiMiddleware(app, **OPTIONS)


def asgi_do_nothing(app: Any) -> Any:
    """Return the application with the cheapest wrapper of `send`."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, DoNothing(send))

    return wrapped


class Replacing(BaseHTTPMiddleware):
    """What many sites have: gather the page, replace the tag, answer anew."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Put the script before the first mention of the exact tag."""
        response: Any = await call_next(request)
        if not response.headers.get("content-type", "").startswith("text/html"):
            return response  # type: ignore[no-any-return]
        body = b"".join([chunk async for chunk in response.body_iterator])
        fields = dict(response.headers)
        fields.pop("content-length", None)
        return Response(body.replace(TAG, SCRIPT + TAG, 1), response.status_code, fields)


def asgi_replacing(app: Any) -> Any:
    """Return the application with a `BaseHTTPMiddleware` that replaces."""
    return Replacing(app)


def asgi_loop(app: Any) -> Loop:
    """Return the loop that calls an application."""
    scope = asgi_scope()

    async def send(message: Any) -> None:
        pass

    async def run(times: int) -> None:
        for _ in range(times):
            await app(scope.copy(), receive, send)

    return lambda times: _LOOP.run_until_complete(run(times))


def asgi_insert(wrap: Callable[[Any], Any]) -> Insert:
    """Return what a middleware makes of a page."""
    scope = asgi_scope()

    def insert(body: bytes) -> bytes:
        parts: list[bytes] = []

        async def send(message: Any) -> None:
            parts.append(message.get("body", b""))

        app = wrap(asgi_site(body, HTML))
        _LOOP.run_until_complete(app(scope.copy(), receive, send))
        return b"".join(parts)

    return insert


async def receive() -> Any:
    """Return a request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}


def asgi_scope() -> dict[str, Any]:
    """Return the scope of a page view by a customer who is logged in."""
    return {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "https", "path": "/",
        "root_path": "", "query_string": b"", "server": ("127.0.0.1", 80), "user": User(),
        "client": ("127.0.0.1", 50_000),
        "headers": [(name.encode(), value.encode()) for name, value in REQUEST_FIELDS.items()],
    }  # fmt: skip


# WSGI -----------------------------------------------------------------------------------------


def wsgi_site(body: bytes, content_type: str) -> Any:
    """Return the bare application."""
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", headers)
        return [body]

    return app


def wsgi_ours(app: Any) -> Any:
    """Return the application with this project's middleware."""
    return WsgiMiddleware(app, slug=SLUG, secret=SECRET, get_email=lambda request: EMAIL)


def wsgi_do_nothing(app: Any) -> Any:
    """Return the application with the cheapest wrapper of `start_response`."""

    class Start:
        __slots__ = ("_start",)

        def __init__(self, start: Any) -> None:
            self._start = start

        def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
            return self._start(status, headers)

    return lambda environ, start: app(environ, Start(start).start_response)


def wsgi_loop(app: Any) -> Loop:
    """Return the loop that calls an application as a server does."""
    environ = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.multithread": True,
        "wsgi.multiprocess": True, "wsgi.run_once": False,
        **{
            "HTTP_" + name.upper().replace("-", "_"): value
            for name, value in REQUEST_FIELDS.items()
        },
    }  # fmt: skip

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        pass

    def call() -> None:
        answer = app(environ.copy(), start_response)
        for _ in answer:
            pass
        if hasattr(answer, "close"):
            answer.close()

    def run(times: int) -> None:
        for _ in range(times):
            call()

    return run
