"""The error pages and reports of frameworks show no secret, hash or address that is with us.

With the debugging on, as on a developer's machine, or as somebody left it.
"""

from __future__ import annotations

import faulthandler
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
import flask
import pytest
from adapters import PAGE, Host, serve
from django.core import mail
from django.http import HttpResponse
from django.template import Context, Template
from django.test import Client, override_settings
from django.urls import path
from django.utils.log import AdminEmailHandler
from flask_ensoras import Ensoras
from hygiene import EMAIL, SECRET, canaries_in
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.testclient import TestClient
from werkzeug.debug import DebuggedApplication
from werkzeug.test import Client as WerkzeugClient

from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

SECRETS: dict[str, Any] = {
    "text": SECRET,
    "bytes": SECRET.encode(),
    "mapping": {"acme": SECRET},
    "function": lambda slug: SECRET,
}


def failing(*arguments: object, **named: object) -> Any:
    raise LookupError("the host's own words")


# Django -----------------------------------------------------------------------------------------


def tag_of_template(request: Any) -> HttpResponse:
    return HttpResponse(Template("{% load ensoras %}{% ensoras_widget %}").render(Context()))


def identified_before(request: Any) -> HttpResponse:
    """Open an identified page in the same process, and then fail."""
    answer = Client().get("/page")
    assert canaries_in(answer.content) == ["hash", "e-mail"]
    return failing()  # type: ignore[no-any-return]


class Urls:
    """A site with a view for each fault."""

    urlpatterns = (
        path("", failing),
        path("template", tag_of_template),
        path("page", lambda request: HttpResponse(PAGE)),
        path("after", identified_before),
    )


@contextmanager
def django_site(**settings: Any) -> Iterator[Client]:
    changes = {
        "ENSORAS_WIDGET_SECRET": SECRET,
        "ENSORAS_GET_EMAIL": lambda request: EMAIL,
        "ROOT_URLCONF": Urls,
        "ALLOWED_HOSTS": ["*"],
    }
    with override_settings(**changes | settings):
        yield Client(raise_request_exception=False)


@pytest.mark.parametrize("url", ["/", "/after"])
@pytest.mark.parametrize("secret", SECRETS)
def test_djangos_debug_page(secret: str, url: str) -> None:
    """It lists the settings, the environment, and the variables of every frame."""
    with django_site(DEBUG=True, ENSORAS_WIDGET_SECRET=SECRETS[secret]) as client:
        environment = {"ENSORAS_WIDGET_SECRET": SECRET, "ENSORAS_WIDGET_SECRET_FILE": SECRET}
        answer = client.get(url, **environment)  # type: ignore[arg-type]
    assert answer.status_code == 500
    assert b"ENSORAS_WIDGET_SLUG" in answer.content
    assert "secret" not in canaries_in(answer.content)
    assert url != "/" or canaries_in(answer.content) == []


@pytest.mark.parametrize("settings", [{"ENSORAS_WIDGET_SLUG": "bad slug"}, {"ENSORAS_NO": 1}])
def test_djangos_debug_page_of_our_own_error(settings: dict[str, Any]) -> None:
    """Our frames are among those that it shows."""
    with django_site() as client:
        assert b"widget/acme.js" in client.get("/template").content  # which loads the middleware
        with override_settings(DEBUG=True, **settings):
            answer = client.get("/template")
    assert answer.status_code == 500
    assert b"django_ensoras" in answer.content
    assert canaries_in(answer.content) == []


_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
IN_MEMORY: dict[str, Any] = (
    {"MAILERS": {"default": {"BACKEND": _BACKEND}}}
    if django.VERSION >= (6, 1)
    else {"EMAIL_BACKEND": _BACKEND}
)


def test_djangos_error_mail() -> None:
    """In text and in HTML."""
    logger = logging.getLogger("django.request")
    mail.outbox = []
    admins: Any = ["a@b.example"] if django.VERSION >= (6, 0) else [("A", "a@b.example")]
    with django_site(ADMINS=admins, DEBUG=False, **IN_MEMORY) as client:
        handler = AdminEmailHandler(include_html=True)
        logger.addHandler(handler)
        try:
            client.get("/")
        finally:
            logger.removeHandler(handler)
    text = "\n".join(one.message().as_string() for one in mail.outbox)
    assert "text/html" in text
    assert "ENSORAS_WIDGET_SLUG" in text
    assert canaries_in(text) == []


# The others -------------------------------------------------------------------------------------

OPTIONS: Any = {"slug": "acme", "secret": SECRET, "get_email": lambda request: EMAIL}


def wsgi_page(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/html")])
    return stream()


def stream() -> Iterator[bytes]:
    yield PAGE[:100]
    failing()


def flask_site() -> flask.Flask:
    site = flask.Flask("site")
    site.config |= {
        "ENSORAS_WIDGET_SLUG": "acme",
        "ENSORAS_WIDGET_SECRET": SECRET,
        "ENSORAS_GET_EMAIL": lambda: EMAIL,
        "PROPAGATE_EXCEPTIONS": True,
    }
    Ensoras(site)
    site.add_url_rule("/", view_func=failing)
    return site


@pytest.mark.parametrize(
    "application",
    [WsgiMiddleware(failing, **OPTIONS), WsgiMiddleware(wsgi_page, **OPTIONS), flask_site()],
    ids=["wsgi", "stream", "flask"],
)
def test_werkzeugs_debugger(application: Any) -> None:
    """What it shows before anybody types into its console."""
    answer = WerkzeugClient(DebuggedApplication(application)).get("/")
    assert "LookupError" in answer.text
    assert canaries_in(answer.text) == []


def test_starlettes_debug_page() -> None:
    site = Starlette(
        debug=True,
        routes=[Route("/", failing)],
        middleware=[Middleware(AsgiMiddleware, **OPTIONS)],
    )
    client = TestClient(site, raise_server_exceptions=False)
    answer = client.get("/", headers={"accept": "text/html"})
    assert "LookupError" in answer.text
    assert canaries_in(answer.text) == []


def test_the_fault_handler(tmp_path: Path) -> None:
    """While the secret is asked for."""
    with (tmp_path / "dump").open("w+") as file:

        def secret(slug: str) -> str:
            faulthandler.dump_traceback(file)
            return SECRET

        serve("wsgi", Host(), EMAIL, secret=secret).get()
        file.seek(0)
        text = file.read()
    assert "ensoras_middleware" in text
    assert canaries_in(text) == []
