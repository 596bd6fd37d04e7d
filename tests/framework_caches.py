"""Sites with caches in their own process, below our middleware; those around it: `caches_around`.

Every builder yields a running `Site`. With `spoilt` something breaks our promise in it: here a
middleware in place of ours, that changes the host's own objects.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask
import spoilers
from adapters import ALICE, BOB, PAGE, SECRET, SLUG, TAG, run_asgi, run_wsgi
from cachelib import SimpleCache
from django.core.cache import cache as django_cache
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.template import engines
from django.test import override_settings
from django.urls import path
from django.utils.safestring import mark_safe
from django.views.decorators.cache import cache_page
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi_cache import FastAPICache
from fastapi_cache.backends.inmemory import InMemoryBackend
from fastapi_cache.decorator import cache as fastapi_cached
from flask_caching import Cache
from flask_ensoras import Ensoras
from hishel import AsyncSqliteStorage
from hishel.asgi import ASGICacheMiddleware
from spoilers import STORABLE
from starlette.responses import Response as StarletteResponse
from werkzeug.wrappers import Response as WerkzeugResponse

from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

EMAILS = {"alice": ALICE, "bob": BOB}
ENSORAS = "django_ensoras.middleware.EnsorasMiddleware"
HTML = ("Content-Type", "text/html; charset=utf-8")


@dataclass
class Site:
    """A site with a cache, and one browser that everybody uses in turn."""

    run: Callable[[str, str, dict[str, str]], Any]  # method, path, header fields -> Answer
    clear: Callable[[], object] = lambda: None
    calls: list[int] = field(default_factory=list)  # one for each page that the host has made
    kept: Callable[[], object] = lambda: None  # what the host gives again
    shown: tuple[str, bytes] | None = None  # the validator and the body that the browser has

    def ask(self, user: str | None, by: str = "cookie", *, again: bool = True) -> bytes:
        """Return the page that the browser shows: with `again` perhaps the one it has."""
        fields = {"accept": "text/html"}
        if user:
            fields[by] = f"user={user}" if by == "cookie" else user
        if self.shown and again:
            fields["if-none-match"] = self.shown[0]
        answer = self.run("GET", "/", fields)
        if answer.status == 304 and self.shown:
            return self.shown[1]
        assert answer.status == 200
        if answer["etag"] and again:
            self.shown = answer["etag"], answer.body
        return bytes(answer.body)


def email_of(request: Any) -> str | None:
    """Return who is logged in: by a cookie, or by a field of which caches know little."""
    cookies = request.COOKIES if hasattr(request, "COOKIES") else request.cookies
    return EMAILS.get(cookies.get("user") or request.headers.get("Authorization", ""))


OPTIONS: Any = {"slug": SLUG, "secret": SECRET, "get_email": email_of}


def flask_site(view: Callable[[], Any], *, spoilt: bool = False) -> flask.Flask:
    app = flask.Flask("site")
    app.config.update(ENSORAS_WIDGET_SLUG=SLUG, ENSORAS_WIDGET_SECRET=SECRET)
    app.add_url_rule("/", "home", view)
    if spoilt:
        spoilers.mutating_flask(app, lambda: email_of(flask.request))
    else:
        Ensoras(app).email_getter(lambda: email_of(flask.request))
    return app


@contextmanager
def django_site(
    view: Callable[[Any], Any], *middleware: str, is_async: bool = False
) -> Iterator[Callable[..., Any]]:
    class Urls:
        urlpatterns = [path("", view)]  # noqa: RUF012

    changes = {"ROOT_URLCONF": Urls, "MIDDLEWARE": middleware, "ENSORAS_GET_EMAIL": email_of}
    django_cache.clear()
    with override_settings(**changes):
        handler = ASGIHandler() if is_async else WSGIHandler()
        run = run_asgi if is_async else run_wsgi
        yield lambda *request: run(handler, *request)
    django_cache.clear()


# --- Below us: the host answers with the same objects again ----------------------------------


def wsgi_list(spoilt: bool, folder: Path) -> Iterator[Site]:
    body, fields = [PAGE], [HTML, *STORABLE]

    def host(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", fields)
        return body

    app: Any = (spoilers.mutating_wsgi if spoilt else WsgiMiddleware)(host, **OPTIONS)
    site = Site(lambda *request: run_wsgi(app, *request), lambda: body.__setitem__(0, PAGE))
    site.kept = lambda: (list(body), list(fields))
    yield site


def asgi_messages(spoilt: bool, folder: Path) -> Iterator[Site]:
    headers = [(name.lower().encode(), value.encode()) for name, value in (HTML, *STORABLE)]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    body = {"type": "http.response.body", "body": PAGE}

    async def host(scope: Any, receive: Any, send: Any) -> None:
        await send(start)
        await send(body)

    app: Any = (spoilers.mutating_asgi if spoilt else AsgiMiddleware)(host, **OPTIONS)
    site = Site(lambda *request: run_asgi(app, *request), lambda: body.update(body=PAGE))
    site.kept = lambda: (dict(body), dict(start), list(headers))
    yield site


def flask_response(spoilt: bool, folder: Path) -> Iterator[Site]:
    home = flask.Response(PAGE, headers=STORABLE, content_type=HTML[1])
    app = flask_site(lambda: home, spoilt=spoilt)
    site = Site(lambda *request: run_wsgi(app, *request), lambda: home.set_data(PAGE))
    site.kept = lambda: (home.get_data(), list(home.headers))
    yield site


def _django_response(is_async: bool) -> Callable[[bool, Path], Iterator[Site]]:
    def build(spoilt: bool, folder: Path) -> Iterator[Site]:
        home = HttpResponse(PAGE, headers=dict(STORABLE))
        layer = "spoilers.MutatingDjango" if spoilt else ENSORAS
        with django_site(lambda request: home, layer, is_async=is_async) as run:
            site = Site(run, lambda: setattr(home, "content", PAGE))
            site.kept = lambda: (home.content, dict(home.headers))
            yield site

    return build


OBJECTS = {
    "wsgi": wsgi_list,
    "asgi": asgi_messages,
    "flask": flask_response,
    "django-wsgi": _django_response(False),
    "django-asgi": _django_response(True),
}


# --- Below us: a cache keeps copies of pages -------------------------------------------------


def _flask_caching(decorate: Callable[[Cache, Any], Any], *, whole: bool = False) -> Any:
    def build(folder: Path) -> Iterator[Site]:
        site = Site(lambda *request: run_wsgi(app, *request))
        cache = Cache(config={"CACHE_TYPE": "SimpleCache"})

        def home() -> Any:
            site.calls.append(1)
            return flask.Response(PAGE, headers=STORABLE) if whole else PAGE.decode()

        app = flask_site(decorate(cache, home))
        cache.init_app(app)
        site.clear = lambda: _in_context(app, cache.clear)
        yield site

    return build


def _in_context(app: flask.Flask, function: Callable[[], object]) -> None:
    with app.app_context():
        function()


def _memoized(cache: Cache, view: Any) -> Any:
    page = cache.memoize()(view)
    return lambda: page()


def fastapi_cache2(folder: Path) -> Iterator[Site]:
    site = Site(lambda *request: run_asgi(app, *request))
    FastAPICache.init(InMemoryBackend(), expire=600)
    app = FastAPI()
    app.add_middleware(AsgiMiddleware, **OPTIONS)

    @app.get("/", response_class=HTMLResponse)
    @fastapi_cached()
    async def home() -> str:
        site.calls.append(1)
        return PAGE.decode()

    site.clear = InMemoryBackend._store.clear
    yield site
    FastAPICache.reset()


def asgi_host(calls: list[int]) -> Any:
    async def host(scope: Any, receive: Any, send: Any) -> None:
        calls.append(1)
        await StarletteResponse(PAGE, headers=dict([HTML, *STORABLE]))(scope, receive, send)

    return host


def starlette_response(folder: Path) -> Iterator[Site]:
    pages: dict[str, StarletteResponse] = {}
    calls: list[int] = []

    async def host(scope: Any, receive: Any, send: Any) -> None:
        if "/" not in pages:
            calls.append(1)
            pages["/"] = StarletteResponse(PAGE, headers=dict([HTML, *STORABLE]))
        await pages["/"](scope, receive, send)

    app = AsgiMiddleware(host, **OPTIONS)
    yield Site(lambda *request: run_asgi(app, *request), pages.clear, calls)


def hishel_site(
    folder: Path, rfc: bool, app: Any, around: Callable[[Any], Any], calls: list[int]
) -> Iterator[Site]:
    files = (folder / f"{number}.db" for number in itertools.count())
    cache = ASGICacheMiddleware(app, AsyncSqliteStorage(database_path=next(files)), rfc)
    site = around(cache)

    def clear() -> None:
        asyncio.run(cache.aclose())
        cache.storage = AsyncSqliteStorage(database_path=next(files))

    yield Site(lambda *request: run_asgi(site, *request), clear, calls)
    asyncio.run(cache.aclose())


def _hishel_below(rfc: bool) -> Callable[[Path], Iterator[Site]]:
    def build(folder: Path) -> Iterator[Site]:
        calls: list[int] = []
        yield from hishel_site(
            folder, rfc, asgi_host(calls), lambda cache: AsgiMiddleware(cache, **OPTIONS), calls
        )

    return build


def cachelib_pages(folder: Path) -> Iterator[Site]:
    pages, calls = SimpleCache(), []

    def host(environ: Any, start_response: Any) -> Any:
        response = pages.get(environ["PATH_INFO"])
        if response is None:
            calls.append(1)
            response = WerkzeugResponse(PAGE, headers=[HTML, *STORABLE])
            pages.set(environ["PATH_INFO"], response)
        return response(environ, start_response)

    app = WsgiMiddleware(host, **OPTIONS)
    yield Site(lambda *request: run_wsgi(app, *request), pages.clear, calls)


UPDATE = "django.middleware.cache.UpdateCacheMiddleware"
FETCH = "django.middleware.cache.FetchFromCacheMiddleware"


def django_cache_site(
    *middleware: str, decorate: Callable[[Any], Any] = lambda view: view, is_async: bool = False
) -> Callable[[Path], Iterator[Site]]:
    def build(folder: Path) -> Iterator[Site]:
        calls: list[int] = []

        def home(request: Any) -> HttpResponse:
            calls.append(1)
            return HttpResponse(PAGE, headers=dict(STORABLE))

        with django_site(decorate(home), *middleware, is_async=is_async) as run:
            yield Site(run, django_cache.clear, calls)

    return build


def django_fragment(folder: Path) -> Iterator[Site]:
    calls: list[int] = []

    def rendered(text: str) -> str:
        calls.append(1)
        return text

    def home(request: Any) -> HttpResponse:
        before, _, after = PAGE.decode().partition(TAG.decode())
        template = engines["django"].from_string(
            "{% load cache ensoras %}{% cache 600 page %}"
            "{{ before }}{% ensoras_widget %}{{ after }}{% endcache %}"
        )
        context = {"before": lambda: mark_safe(rendered(before)), "after": mark_safe(after)}
        return HttpResponse(template.render(context, request))

    with django_site(home, ENSORAS) as run:
        yield Site(run, django_cache.clear, calls)


BELOW: dict[str, Callable[[Path], Iterator[Site]]] = {
    "flask-caching": _flask_caching(lambda cache, view: cache.cached(600)(view)),
    "flask-caching-response": _flask_caching(
        lambda cache, view: cache.cached(600)(view), whole=True
    ),
    "flask-caching-query": _flask_caching(
        lambda cache, view: cache.cached(600, query_string=True, response_hit_indication=True)(view)
    ),
    "flask-caching-memoize": _flask_caching(_memoized, whole=True),
    "fastapi-cache2": fastapi_cache2,
    "starlette": starlette_response,
    "hishel": _hishel_below(True),
    "hishel-all": _hishel_below(False),
    "cachelib": cachelib_pages,
    "django-middleware": django_cache_site(ENSORAS, UPDATE, FETCH),
    "django-middleware-asgi": django_cache_site(ENSORAS, UPDATE, FETCH, is_async=True),
    "django-cache-page": django_cache_site(ENSORAS, decorate=cache_page(600)),
    "django-cache-page-asgi": django_cache_site(ENSORAS, decorate=cache_page(600), is_async=True),
    "django-fragment": django_fragment,
}
