"""A site of one page in Flask and in Django: bare, with this project, and with a peer.

Whole sites are WSGI applications, to be sent requests; an insert tells what becomes of the host's
body, without the request around it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django
import flask
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import URLPattern, URLResolver, include, path
from flask_ensoras import Ensoras

from benchmarks.peers import Insert
from benchmarks.sites import HTML, REQUEST_FIELDS
from benchmarks.subject import EMAIL, SCRIPT, SECRET, SLUG

# Flask ----------------------------------------------------------------------------------------


def flask_do_nothing(app: flask.Flask) -> None:
    """Set the two hooks that this project's extension has, and do nothing in them."""
    app.before_request(lambda: None)
    app.after_request(lambda response: response)


def flask_ensoras(app: flask.Flask) -> None:
    """Set up this project's extension."""
    app.config.update(ENSORAS_WIDGET_SLUG=SLUG, ENSORAS_WIDGET_SECRET=SECRET)
    Ensoras(app).email_getter(lambda: EMAIL)


def flask_site(
    body: bytes, content_type: str, extend: Callable[[flask.Flask], None] = lambda app: None
) -> flask.Flask:
    """Return a site of one view, extended by what the function sets up."""
    app = flask.Flask("benchmarks")

    @app.get("/")
    def view() -> flask.Response:
        return flask.Response(body, content_type=content_type)

    extend(app)
    return app


def flask_ours() -> Insert:
    """Return what the extension makes of a page, without the request around it."""
    return _flask_insert(flask_site(b"", HTML, flask_ensoras))


def flask_debugtoolbar() -> Insert:
    """Return what Flask-DebugToolbar makes of a page, with a toolbar that costs nothing.

    Its own way to the last `</body>`, which may stand in a comment or a script: the page becomes
    text, is copied in lower case, and cut. Where lower case has another length, the place is wrong.
    """
    from flask_debugtoolbar import DebugToolbarExtension

    class Toolbar:
        panels = ()

        def render_toolbar(self) -> str:
            return SCRIPT.decode()

    app = flask.Flask("benchmarks")
    app.config.update(SECRET_KEY="benchmarks", DEBUG_TB_ENABLED=True, DEBUG_TB_PANELS=())
    extension = DebugToolbarExtension(app)

    def prepare() -> None:
        request = flask.request._get_current_object()  # type: ignore[attr-defined]
        extension.debug_toolbars_var.set({request: Toolbar()})  # type: ignore[dict-item]

    return _flask_insert(app, prepare)


def _flask_insert(app: flask.Flask, prepare: Callable[[], None] = lambda: None) -> Insert:
    context = app.test_request_context("/", headers=list(REQUEST_FIELDS.items()))

    def insert(body: bytes) -> bytes:
        with context:
            prepare()
            return app.process_response(flask.Response(body, content_type=HTML)).get_data()

    return insert


# Django ---------------------------------------------------------------------------------------

urlpatterns: list[URLPattern | URLResolver] = []

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DEBUG=True,  # without it django-browser-reload does nothing
        INSTALLED_APPS=["django_browser_reload", "django_ensoras"],
        ROOT_URLCONF="benchmarks.frameworks",
        SECRET_KEY="benchmarks",
        STATIC_URL="/static/",
        ENSORAS_WIDGET_SLUG=SLUG,
        ENSORAS_WIDGET_SECRET=SECRET,
        ENSORAS_GET_EMAIL=lambda request: EMAIL,
    )


DJANGO_ENSORAS = "django_ensoras.middleware.EnsorasMiddleware"
DJANGO_DO_NOTHING = "benchmarks.frameworks.DoNothing"


class DoNothing:
    """A Django middleware with the hook that this project's has, which does nothing."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, *arguments: Any) -> None:
        """Do nothing."""


def django_handler(body: bytes, content_type: str, *middleware: str) -> Any:
    """Return Django's own WSGI application for a site of one view, with this middleware."""
    _set_up_django()

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(body, content_type=content_type)

    urlpatterns.append(path(f"view-{len(urlpatterns)}", view))
    place = f"/{urlpatterns[-1].pattern}"
    with override_settings(MIDDLEWARE=list(middleware)):
        handler = WSGIHandler()
    return lambda environ, start: handler(environ | {"PATH_INFO": place}, start)


def django_ours() -> Insert:
    """Return what the middleware makes of a page, without the request around it."""
    from django_ensoras.middleware import EnsorasMiddleware

    return _django_insert(EnsorasMiddleware)


def django_browser_reload() -> Insert:
    """Return what django-browser-reload makes of a page.

    Its own way to the last `</body>`, which may stand in a comment or a script: the page becomes
    text, and one expression goes through all of it.
    """
    from django_browser_reload.middleware import BrowserReloadMiddleware

    return _django_insert(BrowserReloadMiddleware)


BROWSER_RELOAD_MARK = b'<script src="/static/django-browser-reload/reload-listener.js"'


def _django_insert(middleware: Any) -> Insert:
    _set_up_django()
    request = HttpRequest()
    request.method, request.path_info = "GET", "/"
    request.META.update({"HTTP_ACCEPT": "text/html", "HTTP_COOKIE": "session=1"})
    page: list[bytes] = [b""]
    answer = middleware(lambda request: HttpResponse(page[0]))

    def insert(body: bytes) -> bytes:
        page[0] = body
        request.META.pop("ensoras_middleware.layer", None)
        content: bytes = answer(request).content
        return content

    return insert


def _set_up_django() -> None:
    if not urlpatterns:
        django.setup()
        urlpatterns.append(path("__reload__/", include("django_browser_reload.urls")))
