"""Two brands in one process: a Django and a Starlette site whose pages say which widget they have.

A page is told by its query: `tags`, the slugs of its widget tags, else that of the host name;
`stream`; and `policy`, its Content-Security-Policy.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import uvicorn
from adapters import ALICE, BOB, identify_script
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import re_path
from django.utils.decorators import sync_and_async_middleware
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from werkzeug.serving import make_server

from ensoras_middleware.asgi import EnsorasMiddleware
from ensoras_middleware.options import SETTINGS

SECRETS = {"acme": "the-secret-of-acme-0123456789", "globex": "the-secret-of-globex-0123456789"}
HOSTS = {"acme.example": "acme", "globex.example": "globex"}
EMAILS = {"alice": ALICE, "bob": BOB}
NONCE = "bm9uY2U="

POLICIES = {
    "hosts": "script-src https://app.ensoras.com",
    "nonce": f"script-src 'nonce-{NONCE}'",
    "inline": "script-src 'unsafe-inline' https://app.ensoras.com",
}


def tag(slug: str, nonce: str = "") -> bytes:
    attribute = f' nonce="{nonce}"' if nonce else ""
    address = f"https://app.ensoras.com/cdn/v1/widget/{slug}.js"
    return f'<script src="{address}" async defer{attribute}></script>'.encode()


def page(*slugs: str, user: str | None = None, identified: str = "", nonce: str = "") -> bytes:
    """Return a page with these widget tags; `user` is identified at that of one slug."""
    tags = [tag(slug, nonce) for slug in slugs]
    if user is not None:
        place = slugs.index(identified)
        tags[place] = identify_script(EMAILS[user], SECRETS[identified], nonce) + tags[place]
    return b"<!doctype html><title>Tea</title>" + b"<p>Hello</p>".join(tags) + b"<p>Bye</p>"


def _answer(host: str, query: str) -> tuple[dict[str, str], list[bytes]]:
    """Return the header fields and the chunks of a page; one, where it is whole."""
    asked = parse_qs(query)
    policy = asked.get("policy", [""])[0]
    fields = {"Content-Type": "text/html"}
    if policy:
        fields["Content-Security-Policy"] = POLICIES[policy]
    slugs = asked.get("tags") or [HOSTS[host]]
    body = page(*slugs, nonce=NONCE if policy == "nonce" else "")
    cut = body.index(b"<script") + 20  # inside of a widget tag
    return fields, [body[:cut], body[cut:]] if "stream" in asked else [body]


async def _async_chunks(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


# --- Starlette -------------------------------------------------------------------------------


class _Backend(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> Any:
        user = conn.cookies.get("user")
        return (AuthCredentials(), _Customer(user)) if user else None


class _Customer(SimpleUser):
    @property
    def email(self) -> str:
        return EMAILS[self.username]


def starlette_app(**options: Any) -> Starlette:
    async def view(request: Request) -> Response:
        fields, chunks = _answer(request.url.hostname or "", request.url.query)
        if len(chunks) == 1:
            return Response(chunks[0], headers=fields)
        return StreamingResponse(_async_chunks(chunks), headers=fields)

    return Starlette(
        routes=[Route("/", view)],
        middleware=[
            Middleware(EnsorasMiddleware, **options),
            Middleware(AuthenticationMiddleware, backend=_Backend()),
        ],
    )


# --- Django ----------------------------------------------------------------------------------


def _user_of(request: Any) -> Any:
    user = request.COOKIES.get("user")
    return User(username=user, email=EMAILS[user]) if user else AnonymousUser()


@sync_and_async_middleware
def known_by_cookie(get_response: Any) -> Any:
    """`AuthenticationMiddleware`, but without a database."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: Any) -> Any:
            request.user = _user_of(request)
            return await get_response(request)

        return answer_async

    def answer(request: Any) -> Any:
        request.user = _user_of(request)
        return get_response(request)

    return answer


def _view(request: Any) -> HttpResponse | StreamingHttpResponse:
    fields, chunks = _answer(request.get_host().partition(":")[0], request.META["QUERY_STRING"])
    if len(chunks) == 1:
        return HttpResponse(chunks[0], headers=fields)
    is_async = hasattr(request, "scope")
    return StreamingHttpResponse(
        _async_chunks(chunks) if is_async else iter(chunks), headers=fields
    )


urlpatterns = [re_path("", _view)]


@contextlib.contextmanager
def django_settings(**options: Any) -> Iterator[None]:
    """Settings of a Django site with several brands: no slug among them."""
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[
            "django_ensoras.middleware.EnsorasMiddleware",
            "brand_sites.known_by_cookie",
        ],
        ENSORAS_WIDGET_SLUG="",
        **{SETTINGS[keyword]: value for keyword, value in options.items()},
    ):
        del settings.ENSORAS_WIDGET_SLUG
        yield


# --- Asking ----------------------------------------------------------------------------------


@dataclass
class Site:
    """A site in this process, and asking it through the framework's whole request cycle."""

    transport: Callable[[], Any]

    async def ask_async(
        self, host: str, user: str | None = None, **query: str | list[str]
    ) -> httpx.Response:
        cookies = {"user": user} if user else {}
        transport = self.transport()
        if isinstance(transport, httpx.ASGITransport):
            async with httpx.AsyncClient(transport=transport, cookies=cookies) as client:
                return await client.get(f"http://{host}/?{urlencode(query, doseq=True)}")
        return await asyncio.to_thread(self._ask_wsgi, transport, host, cookies, query)

    def _ask_wsgi(
        self, transport: httpx.WSGITransport, host: str, cookies: Any, query: Any
    ) -> httpx.Response:
        with httpx.Client(transport=transport, cookies=cookies) as client:
            return client.get(f"http://{host}/?{urlencode(query, doseq=True)}")

    def ask(self, host: str, user: str | None = None, **query: str | list[str]) -> httpx.Response:
        return asyncio.run(self.ask_async(host, user, **query))


def _starlette(options: Any) -> Generator[Site]:
    app = starlette_app(**options)
    yield Site(lambda: httpx.ASGITransport(app))


def _django_wsgi(options: Any) -> Generator[Site]:
    with django_settings(**options):
        handler = WSGIHandler()
        yield Site(lambda: httpx.WSGITransport(handler))


def _django_asgi(options: Any) -> Generator[Site]:
    with django_settings(**options):
        handler = ASGIHandler()
        yield Site(lambda: httpx.ASGITransport(handler))


SITES: Mapping[str, Callable[[Any], Generator[Site]]] = {
    "starlette": _starlette,
    "django-wsgi": _django_wsgi,
    "django-asgi": _django_asgi,
}


# --- Real servers, in a thread of this process -----------------------------------------------


@contextlib.contextmanager
def served_starlette(**options: Any) -> Iterator[tuple[str, int]]:
    app = starlette_app(**options)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, lifespan="off", log_level="error", timeout_keep_alive=60)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def served_django(**options: Any) -> Iterator[tuple[str, int]]:
    with (
        django_settings(**options),
        make_server("127.0.0.1", 0, WSGIHandler(), threaded=True) as server,
    ):
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[:2]
        finally:
            server.shutdown()
            thread.join()
