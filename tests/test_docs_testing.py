"""docs/testing.md: its blocks are tests, and pytest runs them as they stand there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from adapters import PAGE, SECRET, Host, serve
from chromium import chromium
from django.http import HttpResponse, StreamingHttpResponse
from django.template import engines
from django.urls import path
from django_sites import home, tables

pytest_plugins = ["django_fixtures", "pytester"]

DOCUMENT = (Path(__file__).parent.parent / "docs" / "testing.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)

# What is first imported while pytester runs is forgotten after it, and not every package can be
# imported twice.
for module in (
    *("ensoras_middleware.asgi", "ensoras_middleware.sandbox.background"),
    *("fastapi.testclient", "flask_login", "starlette.middleware.sessions", "werkzeug.serving"),
):
    import_module(module)

FLASK_SHOP = """
from flask import Flask, render_template_string, request
from flask_ensoras import Ensoras
from flask_login import LoginManager, UserMixin, login_user

class User(UserMixin):
    id, email = "alice", "alice@example.com"

def create_app(**config):
    app = Flask("shop")
    app.config.update(config, SECRET_KEY="a-secret-key-of-the-tests-0123456789")
    LoginManager(app).user_loader(lambda id: User())
    Ensoras(app)

    @app.route("/log-in", methods=["GET", "POST"])
    def log_in():
        if request.method == "POST":
            login_user(User())
        return "<form method=post><button>Log in</button></form>"

    app.add_url_rule("/", "home", lambda: render_template_string("{{ ensoras_widget() }}"))
    return app
"""


def block(words: str) -> str:
    """Return the one block that holds these words."""
    (text,) = [text for text in BLOCKS if words in text]
    return str(text)


def test_every_block_is_tried_here() -> None:
    """A block added to the document needs a test."""
    assert len(BLOCKS) == 6


def test_switched_off() -> None:
    """The site's own bytes, without any secret."""
    names: dict[str, Any] = {}
    exec(block("ENABLED"), names)
    site = serve("wsgi", Host(), enabled=names["ENSORAS_ENABLED"])
    assert site.get().body == PAGE


def test_flask(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(shop=FLASK_SHOP, test_shop=block("test_client"))
    pytester.runpytest_inprocess().assert_outcomes(passed=2)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pytest load no other plugins, which takes most of its time."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture(scope="module", autouse=True)
def database() -> Iterator[None]:
    with tables():
        yield


async def stream(request: Any) -> StreamingHttpResponse:
    async def chunks() -> Any:
        yield PAGE

    return StreamingHttpResponse(chunks())


def test_django(pytester: pytest.Pytester, site: Callable[..., None]) -> None:
    site(path("", home), path("stream", stream), ENSORAS_WIDGET_SECRET=SECRET[::-1])
    pytester.makepyfile(test_shop=block("TestCase"))
    pytester.runpytest_inprocess().assert_outcomes(passed=3)


def test_fastapi(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_shop=block("TestClient"))
    pytester.mkpydir("shop")
    pytester.path.joinpath("shop/main.py").write_text(f"""
from ensoras_middleware.asgi import EnsorasMiddleware
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.middleware.sessions import SessionMiddleware

def create_app():
    app = FastAPI()

    @app.post("/log-in")
    def log_in(request: Request, user: str):
        request.session["email"] = user + "@example.com"

    @app.get("/", response_class=HTMLResponse)
    def home():
        return {PAGE.decode()!r}

    app.add_middleware(SessionMiddleware, secret_key="tests")
    app.add_middleware(EnsorasMiddleware, get_email=lambda one: one.session.get("email"))
    return app
""")
    pytester.runpytest_inprocess().assert_outcomes(passed=2)


@pytest.mark.browser
@pytest.mark.xdist_group("browser-testing")
def test_in_a_browser(pytester: pytest.Pytester) -> None:
    """A real Chromium loads a page of the site; the sandbox is told who is there."""
    with chromium() as browser, browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(10_000)

        class Plugin:
            @pytest.fixture
            def page(self) -> Any:
                return page

        pytester.makepyfile(shop=FLASK_SHOP, test_shop=block("expect_response"))
        pytester.runpytest_inprocess("-p", "ensoras", plugins=[Plugin()]).assert_outcomes(passed=1)


def test_django_in_a_browser(pytester: pytest.Pytester, site: Callable[..., None]) -> None:
    """The application reads the settings of its test, and follows a rotation."""
    text = "{% load ensoras %}{% ensoras_widget %}"

    def home(request: Any) -> HttpResponse:
        return HttpResponse(engines["django"].from_string(text).render({}, request))

    site(path("", home), ENSORAS_GET_EMAIL=lambda request: "alice@example.com")

    class Plugin:
        @pytest.fixture
        def settings(self) -> Iterator[Any]:
            from django.conf import settings
            from django.test import override_settings

            with override_settings():
                yield settings

    test = """
from ensoras_middleware.testing import assert_identified
from werkzeug.test import Client

def test_app(shop_app, ensoras_sandbox):
    for _ in range(2):
        page = Client(shop_app).get("/")
        assert_identified(page, "alice@example.com", secret=ensoras_sandbox.secret)
        assert ensoras_sandbox.origin in page.text
        ensoras_sandbox.rotate()
"""
    pytester.makepyfile(test_shop=block("get_wsgi_application") + test)
    pytester.runpytest_inprocess("-p", "ensoras", plugins=[Plugin()]).assert_outcomes(passed=1)
