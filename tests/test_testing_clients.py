"""The assertions take the response of every test client, and leave it as it was."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest
import requests
from adapters import ALICE, PAGE, SECRET, SLUG, TAG
from app_browser import served
from asgiref.sync import async_to_sync
from django.http import StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from django_sites import home, identified
from flask import Flask
from flask_ensoras import Ensoras
from quart import Quart
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from webtest import TestApp

from ensoras_middleware.asgi import EnsorasMiddleware
from ensoras_middleware.testing import assert_anonymous, assert_identified

pytest_plugins = ["django_fixtures"]

HALF = PAGE.index(TAG) + 10
OPTIONS = {"slug": SLUG, "secret": SECRET, "debug": True}
SETTINGS = {"ENSORAS_WIDGET_SLUG": SLUG, "ENSORAS_WIDGET_SECRET": SECRET, "ENSORAS_DEBUG": True}


def chunks() -> Iterator[bytes]:
    yield PAGE[:HALF]
    yield PAGE[HALF:]


async def async_chunks() -> AsyncIterator[bytes]:
    for chunk in chunks():
        await asyncio.sleep(0)
        yield chunk


def assert_told(response: Any, email: str | None) -> None:
    """Assert what a page says by both assertions, twice: they take nothing away."""
    for _ in range(2):
        if email:
            assert_identified(response, ALICE, secret=SECRET, slug=SLUG)
            with pytest.raises(AssertionError, match=r"It identifies a…@example\.com"):
                assert_anonymous(response)
        else:
            assert_anonymous(response)
            with pytest.raises(AssertionError, match=r"It identifies nobody\. X-Ensoras-Outcome: "):
                assert_identified(response, ALICE)


EMAILS = pytest.mark.parametrize("email", [ALICE, None], ids=["identified", "anonymous"])


# Flask, WSGI ----------------------------------------------------------------------------------


def flask_site(email: str | None) -> Flask:
    app = Flask("shop")
    app.config |= SETTINGS
    Ensoras(app).email_getter(lambda: email)
    app.add_url_rule("/", "home", lambda: PAGE)
    app.add_url_rule("/stream", "stream", lambda: app.response_class(chunks()))
    return app


@EMAILS
@pytest.mark.parametrize("page", ["/", "/stream"])
@pytest.mark.parametrize("buffered", [True, False])
def test_flask(email: str | None, page: str, buffered: bool) -> None:
    response = flask_site(email).test_client().get(page, buffered=buffered)
    assert_told(response, email)
    assert b"".join(response.iter_encoded()) == (identified() if email else PAGE)


@EMAILS
@pytest.mark.parametrize("page", ["/", "/stream"])
def test_webtest(email: str | None, page: str) -> None:
    assert_told(TestApp(flask_site(email)).get(page), email)


# Starlette, httpx, requests -------------------------------------------------------------------


def asgi_site(email: str | None) -> Any:
    def home(request: Any) -> HTMLResponse:
        return HTMLResponse(PAGE)

    def stream(request: Any) -> StreamingResponse:
        return StreamingResponse(async_chunks(), media_type="text/html")

    app = Starlette(routes=[Route("/", home), Route("/stream", stream)])
    return EnsorasMiddleware(app, get_email=lambda connection: email, **OPTIONS)


@EMAILS
@pytest.mark.parametrize("page", ["/", "/stream"])
def test_starlette(email: str | None, page: str) -> None:
    assert_told(TestClient(asgi_site(email)).get(page), email)


@EMAILS
@pytest.mark.parametrize("package", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_httpx(email: str | None, package: Any) -> None:
    """In the event loop of an asynchronous test, too."""

    async def test() -> None:
        transport = package.ASGITransport(asgi_site(email))
        async with package.AsyncClient(transport=transport, base_url="http://shop") as client:
            assert_told(await client.get("/stream"), email)

    asyncio.run(test())


@EMAILS
def test_requests(email: str | None) -> None:
    """They decode what is compressed, though its header still says so."""
    from starlette.middleware.gzip import GZipMiddleware

    with served(GZipMiddleware(asgi_site(email), minimum_size=1)) as port:
        response = requests.get(f"http://127.0.0.1:{port}/")
    assert response.headers["Content-Encoding"] == "gzip"
    assert_told(response, email)


def test_decoded_page_without_the_tag() -> None:
    """It is not called compressed, for it can be read."""
    fields = {"Content-Encoding": "gzip", "Content-Type": "text/html"}
    response = httpx.Response(200, headers=fields, content=gzip.compress(b"<p>Hello</p>"))
    with pytest.raises(AssertionError, match="does not hold the address of this widget"):
        assert_anonymous(response)


# Django ---------------------------------------------------------------------------------------


def stream(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(chunks())


async def async_stream(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(async_chunks())


URLS = [path("", home), path("stream", stream), path("async", async_stream)]


@pytest.fixture
def django_site(site: Callable[..., None], email: str | None) -> None:
    site(*URLS, ENSORAS_GET_EMAIL=lambda request: email, ENSORAS_DEBUG=True)


@EMAILS
@pytest.mark.parametrize("page", ["/", "/stream", "/async"])
def test_django(django_site: None, email: str | None, page: str) -> None:
    """A stream is there for the test that goes on to look at it."""
    response = Client().get(page)
    assert_told(response, email)
    assert b"".join(response) == (identified() if email else PAGE)


@EMAILS
@pytest.mark.parametrize("page", ["/", "/stream", "/async"])
def test_django_async_client(django_site: None, email: str | None, page: str) -> None:
    """Outside of an event loop a test may look at an asynchronous stream."""
    response = async_to_sync(AsyncClient().get)(page)
    assert_told(response, email)
    assert b"".join(response) == (identified() if email else PAGE)


@EMAILS
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous")
def test_django_in_an_event_loop(django_site: None, email: str | None) -> None:
    """There only the test can read an asynchronous stream; it is told how."""

    async def test() -> None:
        assert_told(await AsyncClient().get("/"), email)
        response = await AsyncClient().get("/async")
        with pytest.raises(TypeError) as caught:
            assert_anonymous(response)
        _, _, remedy = str(caught.value).partition("Before it passes it: ")
        code = f"async def read(response):\n    {remedy}"
        names: dict[str, Any] = {}
        exec(compile(code, "remedy", "exec"), names)
        await names["read"](response)
        assert_told(response, email)

    asyncio.run(test())


def test_a_stream_that_was_read_before(site: Callable[..., None]) -> None:
    site(*URLS)
    response = Client().get("/stream")
    assert b"".join(response) == PAGE
    with pytest.raises(AssertionError, match="The response is empty; a stream that the test has"):
        assert_anonymous(response)


def test_an_error_of_the_sites_own_stream(site: Callable[..., None]) -> None:
    """It comes as it is, with its own traceback."""

    def broken() -> Iterator[bytes]:
        yield PAGE
        raise AssertionError("of the site")

    site(path("", lambda request: StreamingHttpResponse(broken())))
    with pytest.raises(AssertionError, match="of the site") as caught:
        assert_anonymous(Client().get("/"))
    assert caught.traceback[-1].name == "broken"


# None of these --------------------------------------------------------------------------------


def test_quart() -> None:
    """Its body can be had in its event loop alone; nothing is left over."""
    app = Quart("shop")
    app.add_url_rule("/", "home", lambda: PAGE)

    async def test() -> None:
        response = await app.test_client().get("/")
        with pytest.raises(TypeError, match="pass the response of a test client, or the page as"):
            assert_anonymous(response)
        assert_anonymous(await response.get_data())

    asyncio.run(test())


def test_unknown_outcome() -> None:
    """That of a newer version explains nothing, and hides nothing."""
    response = httpx.Response(200, html=PAGE.decode(), headers={"X-Ensoras-Outcome": "new"})
    with pytest.raises(AssertionError, match=r"It identifies nobody\. To be told why"):
        assert_identified(response, ALICE)
