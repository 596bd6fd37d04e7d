"""`embed` beside what the frameworks do: template tags, uploads, entity tags and 304s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flask
import pytest
from adapters import ALICE, SECRET, SLUG, TAG, Answer, identify_script, run_asgi, run_wsgi
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import override_settings
from django.urls import clear_script_prefix, include, re_path, set_script_prefix
from django.views.static import serve
from django_ensoras.conf import options
from flask_ensoras import Ensoras
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from ensoras_middleware.asgi import EnsorasMiddleware

PAGE = b"<!doctype html><body><p>Hello</p></body>"
EMBEDDED = PAGE.replace(b"</body>", TAG + b"</body>")
SETTINGS = {
    "ENSORAS_WIDGET_SLUG": SLUG,
    "ENSORAS_WIDGET_SECRET": SECRET,
    "ENSORAS_WIDGET_EMBED": True,
}


def test_flasks_template_function_beside_it() -> None:
    """A page with the tag gets no second one."""
    app = flask.Flask("site")
    app.config |= SETTINGS | {"ENSORAS_GET_EMAIL": lambda: ALICE}
    Ensoras(app)
    with_tag = "<body><p>{{ ensoras_widget() }}</body>"
    app.add_url_rule("/with", view_func=lambda: flask.render_template_string(with_tag))
    app.add_url_rule("/", endpoint="without", view_func=lambda: PAGE)
    script = identify_script(ALICE)
    assert run_wsgi(app, "GET", "/with", {}).body == b"<body><p>" + script + TAG + b"</body>"
    assert run_wsgi(app, "GET", "/", {}).body == EMBEDDED.replace(TAG, script + TAG)


# Django: uploads ------------------------------------------------------------------------------


class _Urls:
    urlpatterns: list[Any] = []  # noqa: RUF012


def django_get(path: str, folder: Path, **settings: Any) -> Answer:
    """Serve the files of a folder as uploads, and `PAGE` at every other path."""
    media = re_path(r"^media/(?P<path>.*)$", serve, {"document_root": folder})
    _Urls.urlpatterns = [
        re_path("", include([media])),
        re_path("", lambda request: HttpResponse(PAGE)),
    ]
    with override_settings(**(SETTINGS | {"ROOT_URLCONF": _Urls} | settings)):
        return run_wsgi(WSGIHandler(), "GET", path, {"cookie": "sessionid=1"})


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    (tmp_path / "mine.html").write_bytes(EMBEDDED)
    (tmp_path / "other.html").write_bytes(PAGE)
    return tmp_path


@pytest.mark.parametrize("embed", [False, True])
@pytest.mark.parametrize("name", ["mine.html", "other.html"])
def test_djangos_uploads_are_never_touched(uploads: Path, name: str, embed: bool) -> None:
    """A page that somebody has uploaded, with the widget tag or without, is nobody's chat."""
    asked: list[object] = []
    settings = {
        "MEDIA_URL": "/media/",
        "ENSORAS_WIDGET_EMBED": embed,
        "ENSORAS_GET_EMAIL": lambda request: asked.append(request) or ALICE,
    }
    answer = django_get(f"/media/{name}", uploads, **settings)
    assert answer.body == (uploads / name).read_bytes()
    assert answer["Vary"] is None
    assert answer["Last-Modified"] is not None
    assert asked == []


def test_other_pages_of_djangos_are(uploads: Path) -> None:
    """Excluded are the uploads alone."""
    assert django_get("/media-kit", uploads, MEDIA_URL="/media/").body == EMBEDDED
    assert django_get("/media/other.html", uploads, MEDIA_URL="").body == EMBEDDED


@pytest.mark.parametrize(
    ("media_url", "prefix", "excluded"),
    [
        ("/media/", "/", "/media/"),
        ("media/", "/", "/media/"),
        ("/files/media/", "/", "/files/media/"),
        ("/shop/media/", "/shop/", "/media/"),
        ("media/", "/shop/", "/media/"),
        ("/Xmas/", "/shop/", "/Xmas/"),  # `static` serves it below the prefix all the same
        ("", "/", None),
        ("", "/shop/", None),
        (None, "/", None),
        ("/", "/", None),
        ("https://files.example.com/media/", "/", None),
        ("//files.example.com/media/", "/", None),
    ],
)
def test_which_path_djangos_uploads_have(
    media_url: str | None, prefix: str, excluded: str | None
) -> None:
    """Without the script prefix, as `exclude` is; elsewhere there is nothing to exclude."""
    set_script_prefix(prefix)
    try:
        with override_settings(MEDIA_URL=media_url, ENSORAS_EXCLUDE=("/admin",)):
            assert options()["exclude"] == (["/admin", excluded] if excluded else ("/admin",))
        with override_settings(MEDIA_URL=media_url):
            assert options().get("exclude") == ([excluded] if excluded else None)
    finally:
        clear_script_prefix()


# Entity tags ----------------------------------------------------------------------------------


def static_site(folder: Path) -> Any:
    app = Starlette(routes=[Mount("/", StaticFiles(directory=folder, html=True))])
    return EnsorasMiddleware(app, slug=SLUG, secret=SECRET, embed=True)


def flask_site(folder: Path) -> Any:
    app = flask.Flask("site", static_folder=str(folder), static_url_path="")
    app.config |= SETTINGS | {"ENSORAS_GET_EMAIL": lambda: None}
    Ensoras(app)
    return app


def django_site(folder: Path) -> Any:
    def view(request: Any) -> HttpResponse:
        return HttpResponse(PAGE)

    _Urls.urlpatterns = [re_path("", view)]
    middleware = [
        "django_ensoras.middleware.EnsorasMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
    ]
    with override_settings(**SETTINGS, ROOT_URLCONF=_Urls, MIDDLEWARE=middleware):
        return WSGIHandler()


@pytest.mark.parametrize("site", [static_site, flask_site, django_site])
def test_the_weak_validator_is_understood(site: Any, tmp_path: Path) -> None:
    """A browser without cookies comes back with it, and the host answers 304."""
    (tmp_path / "page.html").write_bytes(PAGE)
    app = site(tmp_path)
    get = run_asgi if site is static_site else run_wsgi
    with override_settings(ROOT_URLCONF=_Urls):
        first = get(app, "GET", "/page.html", {})
        etag = first["ETag"]
        assert first.body == EMBEDDED
        assert etag is not None
        assert etag.startswith('W/"')
        assert first["Accept-Ranges"] is None
        again = get(app, "GET", "/page.html", {"if-none-match": etag})
        changed = get(app, "GET", "/page.html", {"if-none-match": 'W/"other"'})
    assert (again.status, again.body) == (304, b"")
    assert (changed.status, changed.body) == (200, EMBEDDED)
