"""Sites with caches in their own process, around our middleware; see `framework_caches`.

With `spoilt` something between the two puts the host's header fields back in place of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import spoilers
from adapters import PAGE, run_wsgi
from framework_caches import (
    ENSORAS,
    FETCH,
    HTML,
    OPTIONS,
    UPDATE,
    Site,
    asgi_host,
    django_cache_site,
    flask_site,
    hishel_site,
)
from spoilers import STORABLE
from werkzeug.http import parse_cache_control_header
from werkzeug.wrappers import Request, Response

from ensoras_middleware.asgi import EnsorasMiddleware as AsgiMiddleware
from ensoras_middleware.wsgi import EnsorasMiddleware as WsgiMiddleware

# --- What we answer is kept -------------------------------------------------


def wsgi_shared(spoilt: bool, folder: Path) -> Iterator[Site]:
    """A shared cache by the rules of HTTP: RFC 9111, sections 3, 3.5 and 4.1."""
    stored: dict[str, list[tuple[dict[str, str | None], Any]]] = {}
    calls: list[int] = []

    def host(environ: Any, start_response: Any) -> list[bytes]:
        calls.append(1)
        start_response("200 OK", [HTML, *STORABLE])
        return [PAGE]

    site: Any = WsgiMiddleware(host, **OPTIONS)
    site = spoilers.undoing_wsgi(site) if spoilt else site

    def cache(environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        for asked, response in stored.get(request.path, []):
            if all(request.headers.get(name) == value for name, value in asked.items()):
                return response(environ, start_response)
        response = Response.from_app(site, environ, buffered=True)
        said = parse_cache_control_header(response.headers.get("Cache-Control"), None)
        may_be = "private" not in said and "no-store" not in said and "max-age" in said
        if may_be and ("public" in said or "Authorization" not in request.headers):
            asked = {name: request.headers.get(name) for name in response.vary}
            stored.setdefault(request.path, []).append((asked, response))
        return response(environ, start_response)

    yield Site(lambda *request: run_wsgi(cache, *request), stored.clear, calls)


def _hishel_around(rfc: bool) -> Callable[[bool, Path], Iterator[Site]]:
    def build(spoilt: bool, folder: Path) -> Iterator[Site]:
        calls: list[int] = []
        app: Any = AsgiMiddleware(asgi_host(calls), **OPTIONS)
        app = spoilers.undoing_asgi(app) if spoilt else app
        yield from hishel_site(folder, rfc, app, lambda cache: cache, calls)

    return build


def _django_around(*middleware: str, is_async: bool = False) -> Any:
    def build(spoilt: bool, folder: Path) -> Iterator[Site]:
        layers = [one for one in middleware if spoilt or "spoilers" not in one]
        yield from django_cache_site(*layers, is_async=is_async)(folder)

    return build


AROUND: dict[str, Callable[[bool, Path], Iterator[Site]]] = {
    "wsgi": wsgi_shared,
    "hishel": _hishel_around(True),
    "django": _django_around(UPDATE, FETCH, "spoilers.UndoingDjango", ENSORAS),
    "django-asgi": _django_around(UPDATE, FETCH, "spoilers.UndoingDjango", ENSORAS, is_async=True),
}

# Kept above us and fetched below: what we answer comes back to us.
UPDATE_ABOVE = _django_around(UPDATE, "spoilers.UndoingDjango", ENSORAS, FETCH)
# Kept below us and fetched above: what we answer is not asked for.
FETCH_ABOVE = _django_around(FETCH, ENSORAS, UPDATE)


# --- Whatever it says -------------------------------------------


def flask_after_request(spoilt: bool, folder: Path) -> Iterator[Site]:
    pages: dict[str, bytes] = {}
    app = flask_site(lambda: pages.get("/") or PAGE)

    def keep(response: flask.Response) -> flask.Response:
        pages.setdefault("/", response.get_data())
        response.set_data(pages["/"])
        return response

    # In front, so that it runs after ours.
    app.after_request_funcs[None].insert(0, keep)
    yield Site(lambda *request: run_wsgi(app, *request), pages.clear)


DEAF = {"hishel-all": _hishel_around(False), "flask-after-request": flask_after_request}
