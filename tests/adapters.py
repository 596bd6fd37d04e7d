"""One host site, served through each adapter, so that one table of scenarios fits all.

`serve(adapter, host, ...)` builds the real site of that framework around a `Host`: what its view
answers. Nothing is simulated but the server, which is a plain loop over WSGI or ASGI.
"""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from wsgiref.validate import validator

import django
import flask
import flask_login
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import re_path
from flask_ensoras import Ensoras

from ensoras_middleware import identity_hash
from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

SLUG = "acme"
SECRET = "a-secret-of-the-tests-0123456789"
ALICE = "alice@example.com"
BOB = "bob@example.com"

TAG = b'<script src="https://app.ensoras.com/cdn/v1/widget/acme.js" async defer></script>'
PAGE = b"<!doctype html><title>Shop</title><body><p>Hello</p>" + TAG + b"</body>"

ADAPTERS = ("wsgi", "asgi", "flask", "django-wsgi", "django-asgi")

Headers = list[tuple[str, str]]

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                # Only `django_sites.tables` makes one: a connection from before it would stay open.
                "NAME": "/nowhere/outside-of-tables.sqlite3",
                # A file, in which threads wait for each other; tables in memory refuse at once.
                "TEST": {"NAME": f"{tempfile.gettempdir()}/ensoras-{os.getpid()}.sqlite3"},
            }
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django_ensoras",
        ],
        MIDDLEWARE=["django_ensoras.middleware.EnsorasMiddleware"],
        ROOT_URLCONF="adapters",
        SECRET_KEY="tests",
        ENSORAS_WIDGET_SLUG=SLUG,
        ENSORAS_WIDGET_SECRET=SECRET,
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        USE_TZ=True,
    )
    django.setup()


@dataclass(frozen=True)
class Host:
    """What the view answers: a whole body, or the chunks of a stream."""

    body: bytes = PAGE
    chunks: tuple[bytes, ...] | None = None
    status: int = 200
    headers: Headers = field(default_factory=lambda: [("Content-Type", "text/html; charset=utf-8")])

    def with_headers(self, *headers: tuple[str, str]) -> Host:
        return replace(self, headers=[*self.headers, *headers])


@dataclass
class Answer:
    status: int
    headers: Headers
    chunks: list[bytes]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def __getitem__(self, name: str) -> str | None:
        values = [value for one, value in self.headers if one.lower() == name.lower()]
        assert len(values) <= 1, f"{name} stands there {len(values)} times"
        return values[0] if values else None


@dataclass(frozen=True)
class Site:
    """A running site: call it with a request."""

    send: Callable[[str, str, dict[str, str]], Answer]
    seen: list[dict[str, str]]  # the request headers, as each call of the view saw them

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> Answer:
        return self.send(method, path, {k.replace("_", "-").lower(): v for k, v in headers.items()})


def serve(
    adapter: str,
    host: Host | Callable[[], Host],
    user: Callable[[], object] | object = None,
    **options: Any,
) -> Site:
    """Serve `host` to the user whose e-mail is `user`, or what `user()` says at the time.

    An option that is `...` is left out.
    """
    current_host = host if callable(host) else lambda: host
    current_user = user if callable(user) else lambda: user
    options = {"slug": SLUG, "secret": SECRET} | options
    if options.get("enabled") is False:
        del options["slug"], options["secret"]
    options = {name: value for name, value in options.items() if value is not ...}
    return _BUILDERS[adapter](current_host, current_user, options)


def identify_script(email: str, secret: str = SECRET, nonce: str = "") -> bytes:
    """The identify script, word for word: what a browser gets is written out once, here."""
    attribute = f' nonce="{nonce}"' if nonce else ""
    return (
        f"<script{attribute}>"
        "/* Ensoras identity verification, for this visitor only */"
        "(function(w,i){try{"
        "var s=w.document.currentScript;if(s&&s.localName==='script')s.remove();"
        "var live=function(o,k){try{var f=o[k];return typeof f==='function'&&!f.nodeType}"
        "catch(e){return false}};"
        "if(!live(w.EnsorasQueue,'push'))w.EnsorasQueue=[];"
        "if(!live(w,'Ensoras'))w.Ensoras=function(){w.EnsorasQueue.push(arguments)};"
        "if(i){w.Ensoras('identify',i);"
        "w.addEventListener('pageshow',function(e){if(e.persisted)w.location.reload()})}"
        "}catch(e){}})(window,"
        f'{{"email":"{email}","hash":"{identity_hash(email, secret)}"}}'
        ");</script>"
    ).encode()


# The five sites -------------------------------------------------------------------------------


def _wsgi(host: Callable[[], Host], user: Callable[[], object], options: Any) -> Site:
    seen: list[dict[str, str]] = []

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        seen.append(_request_headers(environ))
        answer = host()
        headers = list(answer.headers)
        if answer.chunks is None and not _has(headers, "content-length"):
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(f"{answer.status} Whatever", headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        return [answer.body] if answer.chunks is None else _generator(answer.chunks)

    # It insists that these have no Content-Type, though servers and browsers do not mind.
    checked = validator if host().status not in (204, 304) else lambda app: app
    site = WsgiMiddleware(checked(app), **options, get_email=lambda request: user())
    return Site(lambda *request: run_wsgi(checked(site), *request), seen)


def _asgi(host: Callable[[], Host], user: Callable[[], object], options: Any) -> Site:
    seen: list[dict[str, str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append({k.decode(): v.decode() for k, v in scope["headers"]})
        scope["user"] = _User(user)
        answer = host()
        headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in answer.headers]
        if answer.chunks is None and not _has(answer.headers, "content-length"):
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if scope["method"] == "HEAD" or answer.chunks is None:
            body = b"" if scope["method"] == "HEAD" else answer.body
            await send({"type": "http.response.body", "body": body})
            return
        for chunk in answer.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})

    site = AsgiMiddleware(app, **options)
    return Site(lambda *request: run_asgi(site, *request), seen)


class _User:
    """An authenticated user, where there is an e-mail; reading it may raise."""

    is_active = True

    def __init__(self, email: Callable[[], object]) -> None:
        self._email = email

    @property
    def is_authenticated(self) -> bool:
        return self._email() is not None

    @property
    def email(self) -> object:
        return self._email()

    def get_email_field_name(self) -> str:
        return "email"


def _flask(host: Callable[[], Host], user: Callable[[], object], options: Any) -> Site:
    seen: list[dict[str, str]] = []
    app = flask.Flask("site")
    app.config |= _settings(options)
    login = flask_login.LoginManager(app)
    login.request_loader(lambda request: _User(user) if user() is not None else None)
    Ensoras(app)

    @app.route("/", defaults={"path": ""}, methods=["GET", "HEAD", "POST", "PUT"])
    @app.route("/<path:path>", methods=["GET", "HEAD", "POST", "PUT"])
    def view(path: str) -> flask.Response:
        seen.append(_request_headers(flask.request.environ))
        answer = host()
        body = answer.body if answer.chunks is None else _generator(answer.chunks)
        response = flask.Response(body, status=answer.status)
        del response.headers["Content-Type"]
        for name, value in answer.headers:
            response.headers.add(name, value)
        return response

    return Site(lambda *request: run_wsgi(app, *request), seen)


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    from ensoras_middleware.options import SETTINGS

    return {SETTINGS[keyword]: value for keyword, value in options.items()}


class _Django:
    """What the one Django site of this process answers now."""

    host: Callable[[], Host]
    user: Callable[[], object]
    seen: list[dict[str, str]]


def _django_view(request: Any, *, is_async: bool = False) -> Any:
    _Django.seen.append({k.lower(): v for k, v in request.headers.items()})
    request.user = _User(_Django.user)
    answer = _Django.host()
    if answer.chunks is None:
        response: Any = HttpResponse(answer.body, status=answer.status)
        response["Content-Length"] = str(len(answer.body))
    else:
        generator = _async_generator if is_async else _generator
        response = StreamingHttpResponse(generator(answer.chunks), status=answer.status)
    del response["Content-Type"]
    for name, value in answer.headers:
        response[name] = value
    return response


async def _django_async_view(request: Any) -> Any:
    return _django_view(request, is_async=True)


urlpatterns = [re_path("", _django_view)]
async_urlpatterns = [re_path("", _django_async_view)]


class _Urls:
    urlpatterns = async_urlpatterns


def _django(is_async: bool) -> Callable[..., Site]:
    def build(host: Callable[[], Host], user: Callable[[], object], options: Any) -> Site:
        from django.core.handlers.asgi import ASGIHandler
        from django.core.handlers.wsgi import WSGIHandler

        seen: list[dict[str, str]] = []
        urls = _Urls if is_async else __name__
        overridden = {"ENSORAS_WIDGET_SLUG": "", "ENSORAS_WIDGET_SECRET": ""}
        overridden |= _settings(options) | {"ROOT_URLCONF": urls}
        with override_settings(**overridden):
            if "slug" not in options:
                del settings.ENSORAS_WIDGET_SLUG
            if "secret" not in options:
                del settings.ENSORAS_WIDGET_SECRET
            handler = ASGIHandler() if is_async else WSGIHandler()

        def send(*request: Any) -> Answer:
            _Django.host, _Django.user, _Django.seen = host, user, seen
            with override_settings(ROOT_URLCONF=urls):
                return run_asgi(handler, *request) if is_async else run_wsgi(handler, *request)

        return Site(send, seen)

    return build


_BUILDERS: dict[str, Callable[..., Site]] = {
    "wsgi": _wsgi,
    "asgi": _asgi,
    "flask": _flask,
    "django-wsgi": _django(False),
    "django-asgi": _django(True),
}


# The plainest servers -------------------------------------------------------------------------


def run_wsgi(app: Any, method: str, path: str, headers: dict[str, str]) -> Answer:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.partition("?")[0],
        "QUERY_STRING": path.partition("?")[2],
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    started: list[Any] = []

    def start_response(status: str, fields: Headers, exc_info: Any = None) -> Any:
        started[:] = [status, fields]
        return lambda data: None

    iterable = app(environ, start_response)
    try:
        chunks = []
        for chunk in iterable:
            assert started, "a chunk before start_response"
            chunks.append(chunk)
    finally:
        if hasattr(iterable, "close"):
            iterable.close()
    return Answer(int(started[0][:3]), list(started[1]), [chunk for chunk in chunks if chunk])


def run_asgi(app: Any, method: str, path: str, headers: dict[str, str]) -> Answer:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path.partition("?")[0],
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "headers": [(b"host", b"testserver")]
        + [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }
    messages: list[Any] = []
    body_sent = False

    async def receive() -> Any:
        nonlocal body_sent
        if body_sent:
            await asyncio.sleep(3600)
        body_sent = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    asyncio.run(app(scope, receive, send))
    start, *bodies = messages
    assert start["type"] == "http.response.start"
    assert not bodies[-1].get("more_body", False)
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    chunks = [message.get("body", b"") for message in bodies]
    return Answer(start["status"], fields, [chunk for chunk in chunks if chunk])


def _request_headers(environ: dict[str, Any]) -> dict[str, str]:
    return {
        key[5:].lower().replace("_", "-"): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }


def _has(headers: Headers, name: str) -> bool:
    return any(one.lower() == name for one, _ in headers)


def _generator(chunks: Iterable[bytes]) -> Iterator[bytes]:
    yield from chunks


async def _async_generator(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
