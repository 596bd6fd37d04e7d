"""Sites with the identity endpoint at `/ensoras/identity`, one for each way to set it up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from wsgiref.validate import validator

import flask
import flask_login
from adapters import SECRET, SLUG, Answer, run_asgi, run_wsgi
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import override_settings
from django.urls import include, path
from django.utils.deprecation import MiddlewareMixin
from fastapi import FastAPI
from flask_ensoras import Ensoras
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.asgi import identity_endpoint
from ensoras_middleware.options import SETTINGS
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

PATH = "/ensoras/identity"

Email = Callable[[], object]
Send = Callable[[str, str, dict[str, str]], Answer]


class User:
    """An authenticated user, where there is an e-mail."""

    is_active = True

    def __init__(self, email: Email) -> None:
        self._email = email

    @property
    def is_authenticated(self) -> bool:
        try:
            return self._email() is not None
        except Exception:  # somebody, whose address cannot be read
            return True

    @property
    def email(self) -> object:
        return self._email()


class Authentication:
    """As Starlette's `AuthenticationMiddleware`: below ours, it names the user."""

    def __init__(self, app: Any, email: Email) -> None:
        self.app = app
        self.email = email

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app({**scope, "user": User(self.email)}, receive, send)


class DjangoAuthentication(MiddlewareMixin):
    """As Django's own: below ours, it names the user."""

    email: Email

    def process_request(self, request: Any) -> None:
        request.user = User(DjangoAuthentication.email)


class Urls:
    urlpatterns = (
        path("ensoras/", include("django_ensoras.urls")),
        path("hello", lambda request: HttpResponse("the host's")),
    )


def hello(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the host's " + environ["PATH_INFO"].encode()]


def wsgi(email: Email, options: dict[str, Any]) -> Send:
    options = {"get_email": lambda request: email(), "identity_path": PATH} | options
    app = validator(WsgiMiddleware(validator(hello), **options))
    return lambda *request: run_wsgi(app, *request)


def asgi(email: Email, options: dict[str, Any]) -> Send:
    options = {"get_email": lambda connection: email(), "identity_path": PATH} | options
    app = AsgiMiddleware(PlainTextResponse("the host's"), **options)
    return lambda *request: run_asgi(app, *request)


def starlette(email: Email, options: dict[str, Any]) -> Send:
    app = Starlette(
        routes=[Mount("/ensoras", routes=[Route("/identity", identity_endpoint)])],
        middleware=[Middleware(AsgiMiddleware, **options), Middleware(Authentication, email=email)],
    )
    return lambda *request: run_asgi(app, *request)


def fastapi(email: Email, options: dict[str, Any]) -> Send:
    app = FastAPI()
    app.add_api_route(PATH, identity_endpoint)
    app.add_middleware(Authentication, email=email)
    app.add_middleware(AsgiMiddleware, **options)
    return lambda *request: run_asgi(app, *request)


def flask_site(email: Email, options: dict[str, Any]) -> Send:
    app = flask.Flask("site")
    app.config |= as_settings({"identity_path": PATH} | options)
    login = flask_login.LoginManager(app)
    login.request_loader(lambda request: User(email) if User(email).is_authenticated else None)
    Ensoras(app)
    return lambda *request: run_wsgi(validator(app), *request)


def django_site(is_async: bool) -> Callable[[Email, dict[str, Any]], Send]:
    def build(email: Email, options: dict[str, Any]) -> Send:
        set_ups = django_settings(options, middleware=["identity_sites.DjangoAuthentication"])
        with override_settings(**set_ups):
            drop_settings(set_ups)
            handler = ASGIHandler() if is_async else validator(WSGIHandler())

        def send(*request: Any) -> Answer:
            DjangoAuthentication.email = email
            with override_settings(**set_ups):
                drop_settings(set_ups)
                return run_asgi(handler, *request) if is_async else run_wsgi(handler, *request)

        return send

    return build


def django_settings(
    options: dict[str, Any], *, above: list[str] | None = None, middleware: list[str]
) -> dict[str, Any]:
    """Return the settings of a Django site; `above` and `middleware` go around and below ours."""
    ours = "django_ensoras.middleware.EnsorasMiddleware"
    required = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    return as_settings(options) | {
        "MIDDLEWARE": [*(above or []), ours, *middleware, required],
        "ROOT_URLCONF": Urls,
    }


def drop_settings(kept: dict[str, Any]) -> None:
    """Take away what the settings of these tests have besides."""
    for name in ("ENSORAS_WIDGET_SLUG", "ENSORAS_WIDGET_SECRET"):
        if name not in kept and hasattr(settings, name):
            delattr(settings, name)


def as_settings(options: dict[str, Any]) -> dict[str, Any]:
    return {SETTINGS[keyword]: value for keyword, value in options.items()}


SITES: dict[str, Callable[[Email, dict[str, Any]], Send]] = {
    "wsgi": wsgi,
    "asgi": asgi,
    "starlette": starlette,
    "fastapi": fastapi,
    "flask": flask_site,
    "django-wsgi": django_site(False),
    "django-asgi": django_site(True),
}


def serve(name: str, email: Email | object, **options: Any) -> Send:
    """Serve the endpoint to the user whose e-mail is `email`, or what `email()` says then."""
    read = email if callable(email) else lambda: email
    if "secret" not in options and options.get("enabled") is not False:
        options = {"slug": SLUG, "secret": SECRET} | options
    return SITES[name](read, options)
