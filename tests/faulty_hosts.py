"""Hosts that fail, each served through every adapter, with us and bare.

A host is what its framework calls: an application, or a view. A `Script` is one for all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import flask
import flask_login
from adapters import PAGE, SECRET, SLUG, TAG
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import re_path
from flask_ensoras import Ensoras
from recording import Record, Server, catching, listening, perform, perform_async

from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.options import SETTINGS
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

HTML = (("Content-Type", "text/html; charset=utf-8"),)
TEXT = (("Content-Type", "text/plain"),)
HALF = PAGE.index(TAG) + 20  # inside the widget tag

ASGI = ("asgi", "django-asgi")
WSGI = ("wsgi", "flask", "django-wsgi")


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


# What the hosts do ----------------------------------------------------------------------------


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


def _wsgi_host(script: Script, record: Record) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        perform(script.call)
        write = start_response(f"{script.status} OK", list(script.headers))
        perform(script.started)
        for chunk in script.written:
            data = perform(chunk)
            with catching(record):
                write(data)
        return [perform(one) for one in script.chunks] if script.whole else Body(script, record)

    return app


def _asgi_host(script: Script, record: Record) -> Any:
    async def app(scope: Any, server_receive: Any, server_send: Any) -> None:
        async def receive() -> None:
            with catching(record):
                await server_receive()

        async def send(message: Any) -> None:
            with catching(record):
                await server_send(message)

        await perform_async(script.call)
        await receive()
        fields = [(name.lower().encode(), value.encode()) for name, value in script.headers]
        await send({"type": "http.response.start", "status": script.status, "headers": fields})
        await perform_async(script.started)
        if script.whole:
            (chunk,) = script.chunks
            await send({"type": "http.response.body", "body": await perform_async(chunk)})
            return
        async for chunk in chunks_async(script, record):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})

    return app


def _flask_host(script: Script, record: Record) -> Any:
    def view() -> Any:
        perform(script.call)
        chunks = [perform(one) for one in script.chunks] if script.whole else Body(script, record)
        return _with_headers(script, flask.Response(chunks))

    return view


def _django_host(script: Script, record: Record) -> Any:
    def view(request: Any) -> Any:
        perform(script.call)
        if script.whole:
            return _with_headers(script, HttpResponse([perform(one) for one in script.chunks]))
        return _with_headers(script, StreamingHttpResponse(Body(script, record)))

    return view


def _async_django_host(script: Script, record: Record) -> Any:
    async def view(request: Any) -> Any:
        await perform_async(script.call)
        if script.whole:
            return _with_headers(script, HttpResponse([perform(one) for one in script.chunks]))
        return _with_headers(script, StreamingHttpResponse(chunks_async(script, record)))

    return view


def _with_headers(script: Script, response: Any) -> Any:
    response.status_code = script.status
    for name, value in script.headers:
        response.headers[name] = value
    return response


def _asgi_user(host: Any, user: object) -> Any:
    def app(scope: Any, receive: Any, send: Any) -> Any:
        scope["user"] = user
        return host(scope, receive, send)

    return app


def _flask_user(host: Any, user: object) -> Any:
    def view() -> Any:
        flask.g._login_user = user  # as Flask-Login has it, once it has looked
        return host()

    return view


def _django_user(host: Any, user: object) -> Any:
    def view(request: Any) -> Any:
        request.user = user
        return host(request)

    return view


# The sites around them ------------------------------------------------------------------------


def _wsgi(host: Any, options: dict[str, Any]) -> Any:
    return WsgiMiddleware(host, **{"get_email": lambda request: None} | options)


def _asgi(host: Any, options: dict[str, Any]) -> Any:
    return AsgiMiddleware(host, **options)


def _flask(host: Any, options: dict[str, Any]) -> Any:
    app = flask.Flask("site")
    app.config |= _settings(options) | {"PROPAGATE_EXCEPTIONS": True}
    flask_login.LoginManager(app)
    app.after_request(lambda response: response)  # of unknown purpose, outside of ours
    Ensoras(app)
    app.add_url_rule("/", "view", host)
    return app


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    return {SETTINGS[keyword]: value for keyword, value in options.items()}


class _Django:
    """The view of the one Django site of this process."""

    view: Callable[[Any], Any]


def _view(request: Any) -> Any:
    return _Django.view(request)


async def _async_view(request: Any) -> Any:
    return await _Django.view(request)


class _Urls:
    urlpatterns = (re_path("", _view),)


class _AsyncUrls:
    urlpatterns = (re_path("", _async_view),)


def _django(handler: Any) -> Callable[..., Any]:
    def build(host: Any, options: dict[str, Any]) -> Any:
        _Django.view = host
        own = {"ENSORAS_WIDGET_SLUG": "", "ENSORAS_WIDGET_SECRET": ""} | _settings(options)
        with override_settings(**own):
            for keyword in {"slug", "secret"} - options.keys():
                delattr(settings, SETTINGS[keyword])
            return handler()

    return build


_HOSTS: dict[str, Callable[[Script, Record], Any]] = {
    "wsgi": _wsgi_host,
    "asgi": _asgi_host,
    "flask": _flask_host,
    "django-wsgi": _django_host,
    "django-asgi": _async_django_host,
}
_USERS: dict[str, Callable[[Any, object], Any]] = {
    "asgi": _asgi_user,
    "flask": _flask_user,
    "django-wsgi": _django_user,
    "django-asgi": _django_user,
}
_SITES: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "wsgi": _wsgi,
    "asgi": _asgi,
    "flask": _flask,
    "django-wsgi": _django(WSGIHandler),
    "django-asgi": _django(ASGIHandler),
}


def site_of(adapter: str, host: Any, record: Record, *, user: object = None, **options: Any) -> Any:
    """Build the site around a host; with `enabled=False` the host stands there alone.

    `user` is the framework's own. An option that is `...` is left out.
    """
    if options.get("enabled") is not False:
        options = {"slug": SLUG, "secret": SECRET} | options
    options = {name: value for name, value in options.items() if value is not ...}
    if isinstance(host, Script):
        host = _HOSTS[adapter](host, record)
    if user is not None:
        host = _USERS[adapter](host, user)
    return _SITES[adapter](host, options)


def answer_of(adapter: str, site: Any, server: Server) -> Record:
    """Answer one request of `server`."""
    run = server.run_asgi if adapter in ASGI else server.run_wsgi
    urls = _AsyncUrls if adapter in ASGI else _Urls
    django = override_settings(ROOT_URLCONF=urls, DEBUG_PROPAGATE_EXCEPTIONS=True)

    def answer() -> None:
        with listening(server.record), django:
            run(site)

    copy_context().run(answer)  # where an interrupt leaves what asgiref has set
    return server.record


def serve(adapter: str, host: Any, server: Server | None = None, **options: Any) -> Record:
    """Build a site, and answer one request."""
    server = server or Server()
    return answer_of(adapter, site_of(adapter, host, server.record, **options), server)


def bare(adapter: str, host: Any, server: Server | None = None) -> Record:
    """Answer as the host alone does."""
    return serve(adapter, host, server, enabled=False)


def ours(adapter: str, host: Any, user: object, server: Server | None = None) -> Record:
    """Answer as the host behind the middleware does, for the user with this e-mail."""
    get_email = (lambda: user) if adapter == "flask" else (lambda request: user)
    return serve(adapter, host, server, get_email=get_email)
