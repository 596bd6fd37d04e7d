"""A site for shared caches, through each adapter; `site_servers` runs it.

`/STYLE/KIND/NUMBER` is a page like any other, for everybody the same: STYLE says which header
fields the site sends with it, KIND whether it is whole or streamed.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

Fields = list[tuple[str, str]]

SLUG = "acme"
SECRET = "a-secret-of-the-tests-0123456789"
TAG = b'<script src="https://app.ensoras.com/cdn/v1/widget/acme.js" async defer></script>'
EMAILS = {"alice": "alice@example.com", "bob": "bob@example.com"}

CHANGED = "Tue, 01 Sep 2026 08:30:00 GMT"
TAGGED = ("ETag", '"1"')

# What sites say to caches, each of them in the field by which some cache is told.
STYLES: dict[str, Fields] = {
    "nothing": [],
    "public": [("Cache-Control", "public, max-age=60")],
    "public-etag": [("Cache-Control", "public, max-age=60"), TAGGED],
    "public-modified": [("Cache-Control", "public, max-age=60"), ("Last-Modified", CHANGED)],
    "shared": [("Cache-Control", "s-maxage=60")],
    "shared-both": [("Cache-Control", "s-maxage=60"), TAGGED, ("Last-Modified", CHANGED)],
    # Over at once, and good for more when it is: asked for again with its validator.
    "brief": [("Cache-Control", "max-age=1, stale-while-revalidate=60"), TAGGED],
    "no-cache": [("Cache-Control", "no-cache"), TAGGED],
    "accel": [("X-Accel-Expires", "60")],
    "accel-etag": [("X-Accel-Expires", "60"), ("Cache-Control", "no-cache"), TAGGED],
    "surrogate": [("Surrogate-Control", "max-age=60"), ("Cache-Control", "no-cache")],
    "surrogate-esi": [("Surrogate-Control", 'max-age=60, content="ESI/1.0"'), TAGGED],
    "cdn": [("CDN-Cache-Control", "max-age=60"), ("Cache-Control", "no-cache")],
    "expires": [("Expires", "Thu, 31 Dec 2099 23:59:59 GMT")],
    "expires-modified": [
        ("Expires", "Thu, 31 Dec 2099 23:59:59 GMT"),
        ("Last-Modified", CHANGED),
    ],
    "varies": [("Cache-Control", "public, max-age=60"), ("Vary", "Accept-Language")],
}
KINDS = ("whole", "stream")


def page(path: str, script: bytes = b"") -> bytes:
    """Return the page at this path, with a script before its widget tag."""
    start = b"<!doctype html><title>%s</title><p>Tea</p>" % path.encode()
    return start + script + TAG + b"<p>Bye</p>"


# --- The host --------------------------------------------------------------------------------

_sessions: dict[str, str | None] = {}  # of this process: session -> user


def answer(
    method: str, path: str, query: str, header: Mapping[str, str | None]
) -> tuple[int, Fields, bytes | list[bytes]]:
    """Return status, header fields, and a body or the chunks of a stream."""
    if method == "POST":
        return 204, [("Set-Cookie", _log_in_or_out(path, parse_qs(query), header["cookie"]))], b""
    _, style, kind, *_ = path.split("/")
    fields = STYLES[style]
    known = dict(fields)
    if (header["if-none-match"] and header["if-none-match"] == known.get("ETag")) or (
        header["if-modified-since"] and header["if-modified-since"] == known.get("Last-Modified")
    ):
        return 304, fields, b""
    fields = [("Content-Type", "text/html; charset=utf-8"), *fields]
    body = page(path)
    if kind == "stream":
        cut = body.index(TAG) + 20
        return 200, fields, [] if method == "HEAD" else [body[:cut], body[cut:]]
    length = ("Content-Length", str(len(body)))
    return 200, [*fields, length], b"" if method == "HEAD" else body


def _log_in_or_out(path: str, query: dict[str, list[str]], cookie: str | None) -> str:
    """Change who the session belongs to; with `keep` the cookie stays as it is.

    So it does where sessions are kept on the server, and the log-in does not renew them.
    """
    session = _session_of(cookie)
    if "keep" not in query:
        _sessions.pop(session or "", None)
        session = None
    if path == "/log-out" and session is None:
        return "session=; Max-Age=0; Path=/"
    session = session or secrets.token_hex(8)
    _sessions[session] = query["user"][0] if path == "/log-in" else None
    return f"session={session}; Path=/; HttpOnly"


def _session_of(cookie: str | None) -> str | None:
    pairs = (pair.strip().partition("=") for pair in (cookie or "").split(";"))
    return {name: value for name, _, value in pairs}.get("session")


def _email(header: Mapping[str, str | None]) -> str | None:
    authorization = header["authorization"] or ""
    if authorization.startswith("Basic "):
        return EMAILS.get(base64.b64decode(authorization[6:]).decode().partition(":")[0])
    return EMAILS.get(_sessions.get(_session_of(header["cookie"]) or "") or "")


class _Headers:
    def __init__(self, get: Any) -> None:
        self._get = get

    def __getitem__(self, name: str) -> Any:
        return self._get(name)


def email_of(request: Any) -> str | None:
    """Return who is logged in, of any framework's request."""
    return _email(_Headers(request.headers.get))  # type: ignore[arg-type]


def _answer_to(request: Any, path: str, query: str) -> Any:
    return answer(request.method, path, query, _Headers(request.headers.get))  # type: ignore[arg-type]


# --- The host, through each adapter ----------------------------------------------------------


def wsgi_site() -> Any:
    from werkzeug.wrappers import Request

    from ensoras_middleware.wsgi import EnsorasMiddleware

    def host(environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        status, fields, body = _answer_to(request, request.path, environ["QUERY_STRING"])
        start_response(f"{status} Whatever", fields)
        return [body] if isinstance(body, bytes) else iter(body)

    return EnsorasMiddleware(host, slug=SLUG, secret=SECRET, get_email=email_of)


def flask_site() -> Any:
    import flask
    from flask_ensoras import Ensoras

    app = flask.Flask(__name__)
    app.config.update(ENSORAS_WIDGET_SLUG=SLUG, ENSORAS_WIDGET_SECRET=SECRET)

    @app.route("/<path:rest>", methods=["GET", "POST"])
    def host(rest: str) -> flask.Response:
        request = flask.request
        status, fields, body = _answer_to(request, request.path, request.query_string.decode())
        return flask.Response(body if isinstance(body, bytes) else iter(body), status, fields)

    Ensoras(app).email_getter(lambda: email_of(flask.request))
    return app


def starlette_site() -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    from ensoras_middleware.asgi import EnsorasMiddleware

    def host(request: Request) -> Response:
        status, fields, body = _answer_to(request, request.url.path, request.url.query)
        if isinstance(body, bytes):
            return Response(body, status, dict(fields))
        return StreamingResponse(_asynchronous(body), status, dict(fields))

    options: Any = {"slug": SLUG, "secret": SECRET, "get_email": email_of}
    return Starlette(
        routes=[Route("/{rest:path}", host, methods=["GET", "POST"])],
        middleware=[Middleware(EnsorasMiddleware, **options)],
    )


async def _asynchronous(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


urlpatterns: list[Any] = []


def django_site(*, asynchronous: bool = False) -> Any:
    import django
    from django.conf import settings
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
    from django.urls import re_path

    settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["django_ensoras"],
        MIDDLEWARE=["django_ensoras.middleware.EnsorasMiddleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="tests",
        ENSORAS_WIDGET_SLUG=SLUG,
        ENSORAS_WIDGET_SECRET=SECRET,
        ENSORAS_GET_EMAIL=email_of,
    )
    django.setup(set_prefix=False)

    def host(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        query = request.META["QUERY_STRING"]
        status, fields, body = _answer_to(request, request.path, query)
        if isinstance(body, bytes):
            return HttpResponse(body, status=status, headers=dict(fields))
        chunks: Any = _asynchronous(body) if asynchronous else iter(body)
        return StreamingHttpResponse(chunks, status=status, headers=dict(fields))

    async def asynchronous_host(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        return host(request)

    urlpatterns.append(re_path("", asynchronous_host if asynchronous else host))
    return ASGIHandler() if asynchronous else WSGIHandler()
