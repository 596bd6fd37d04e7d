"""The site in each framework, with its own way to log in; `/login/USER` does.

Slug and secret come from the environment, as an installation has them. Where `SOAK_ENABLED` is
empty, the middleware is switched off.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from itsdangerous import BadSignature, Signer

from soak.figures import Blocking, measured_asgi, measured_wsgi, waiting
from soak.pages import LOGIN, RAISES, Page, email_of, page_at

KEY = "the key of the site's own cookies"
ENABLED = bool(os.environ.get("SOAK_ENABLED", "yes"))


class Customer:
    """A user who is logged in."""

    is_authenticated = is_active = True
    is_anonymous = False

    def __init__(self, user: int) -> None:
        self.user, self.email = user, email_of(user)

    def get_id(self) -> str:
        return str(self.user)


def _page(path: str) -> Page:
    if path == RAISES:
        raise LookupError("the host's")
    return page_at(path)


def _cookie_for(user: str) -> str:
    return f"visitor={Signer(KEY).sign(user).decode()}; Path=/"


def _customer_of(cookies: Any) -> Customer | None:
    try:
        return Customer(int(Signer(KEY).unsign(cookies.get("visitor", ""))))
    except BadSignature:
        return None


def plain_site() -> Any:
    """No framework, under WSGI."""
    from ensoras_middleware.wsgi import EnsorasMiddleware

    def host(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith(LOGIN):
            cookie = _cookie_for(path.removeprefix(LOGIN))
            start_response("200 OK", [("Set-Cookie", cookie), ("Content-Length", "0")])
            return []
        page = _page(path)
        start_response(f"{page.status} {HTTPStatus(page.status).phrase}", [*page.fields.items()])
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        return [page.body] if page.manner == "whole" else Blocking(page)

    def email(request: Any) -> str | None:
        customer = _customer_of(request.cookies)
        return customer and customer.email

    return measured_wsgi(EnsorasMiddleware(host, get_email=email, enabled=ENABLED))


def flask_site() -> Any:
    """Flask, with Flask-Login."""
    import flask
    import flask_login
    from flask_ensoras import Ensoras

    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY=KEY, ENSORAS_ENABLED=ENABLED)
    manager = flask_login.LoginManager(app)
    manager.user_loader(lambda user: Customer(int(user)))
    # It reads the session for every answer, so that each varies on Cookie without us too.
    app.after_request_funcs[None].remove(manager._update_remember_cookie)
    Ensoras(app)

    @app.get(f"{LOGIN}<user>")
    def login(user: str) -> str:
        flask_login.login_user(Customer(int(user)))
        return ""

    @app.get("/<path:path>")
    def host(path: str) -> flask.Response:
        page = _page(flask.request.path)
        body: Any = page.body if page.manner == "whole" else Blocking(page)
        return flask.Response(body, page.status, page.fields)

    return measured_wsgi(app)


def starlette_site() -> Any:
    """Starlette, with its `AuthenticationMiddleware`."""
    from starlette.applications import Starlette
    from starlette.authentication import AuthCredentials, AuthenticationBackend
    from starlette.middleware import Middleware
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    from ensoras_middleware.asgi import EnsorasMiddleware

    class ByCookie(AuthenticationBackend):
        async def authenticate(self, connection: HTTPConnection) -> Any:
            customer = _customer_of(connection.cookies)
            return customer and (AuthCredentials(["authenticated"]), customer)

    async def login(request: Request) -> Response:
        return Response(headers={"Set-Cookie": _cookie_for(request.path_params["user"])})

    async def host(request: Request) -> Response:
        page = _page(request.url.path)
        if page.manner == "whole":
            return Response(page.body, page.status, page.fields)
        return StreamingResponse(waiting(page), page.status, page.fields)

    return measured_asgi(
        Starlette(
            routes=[Route(f"{LOGIN}{{user}}", login), Route("/{path:path}", host)],
            middleware=[
                Middleware(EnsorasMiddleware, enabled=ENABLED),
                Middleware(AuthenticationMiddleware, backend=ByCookie()),
            ],
        )
    )


# --- Django ----------------------------------------------------------------------------------

urlpatterns: list[Any] = []


class Customers:
    """Knows the users of Django without a database."""

    def get_user(self, user: Any) -> Any:
        from django.contrib.auth.models import User

        return User(pk=int(user), username=f"visitor-{user}", email=email_of(int(user)))


def _django(host: Any) -> None:
    import django
    from django.conf import settings
    from django.contrib.auth import login
    from django.contrib.auth.signals import user_logged_in
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    settings.configure(
        ALLOWED_HOSTS=["*"],
        AUTHENTICATION_BACKENDS=[f"{__name__}.Customers"],
        ENSORAS_ENABLED=ENABLED,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_ensoras"],
        MIDDLEWARE=[
            "django_ensoras.middleware.EnsorasMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        ROOT_URLCONF=__name__,
        SECRET_KEY=KEY * 2,
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        USE_TZ=True,
    )
    django.setup(set_prefix=False)
    user_logged_in.disconnect(dispatch_uid="update_last_login")  # would ask a database

    def log_in(request: HttpRequest, user: int) -> HttpResponse:
        login(request, Customers().get_user(user))
        return HttpResponse()

    urlpatterns[:] = [path(f"{LOGIN[1:]}<int:user>", log_in), path("<path:path>", host)]


def django_site() -> Any:
    """Django under WSGI."""
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

    def host(request: HttpRequest, path: str) -> HttpResponse | StreamingHttpResponse:
        page = _page(request.path)
        if page.manner == "whole":
            return HttpResponse(page.body, status=page.status, headers=page.fields)
        return StreamingHttpResponse(Blocking(page), status=page.status, headers=page.fields)

    _django(host)
    return measured_wsgi(get_wsgi_application())


def django_async_site() -> Any:
    """Django under ASGI."""
    from django.core.asgi import get_asgi_application
    from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

    async def host(request: HttpRequest, path: str) -> HttpResponse | StreamingHttpResponse:
        page = _page(request.path)
        if page.manner == "whole":
            return HttpResponse(page.body, status=page.status, headers=page.fields)
        return StreamingHttpResponse(waiting(page), status=page.status, headers=page.fields)

    _django(host)
    return measured_asgi(get_asgi_application())
