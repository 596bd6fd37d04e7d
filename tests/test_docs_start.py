"""The blocks of docs/getting-started.md and docs/tag-managers.md run as they stand there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from adapters import ALICE, PAGE, SECRET, SLUG, TAG, Answer, identify_script, run_asgi, run_wsgi
from app_browser import opened, served, site_of
from chromium import chromium
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from django.urls import path as url
from flask import Flask
from identity_sites import DjangoAuthentication
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ensoras_middleware.sandbox import create_app
from ensoras_middleware.widget_tag import DEFAULT_ORIGIN, widget_tag

DOCS = Path(__file__).parent.parent / "docs"
FENCE = re.compile(r"^```(python|html)\n(.*?)^```", re.MULTILINE | re.DOTALL)
IDENTIFIED = PAGE.replace(TAG, identify_script(ALICE) + TAG)
WITHOUT = PAGE.replace(TAG, b"")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENSORAS_WIDGET_SLUG", SLUG)
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET", SECRET)


def blocks(page: str) -> list[tuple[str, str]]:
    return FENCE.findall((DOCS / page).read_text("utf-8"))


def block(page: str, words: str) -> str:
    """Return the one block of a page that holds these words."""
    (found,) = [text for _, text in blocks(page) if words in text]
    return found


def run(page: str, words: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(block(page, words), page, "exec"), names)
    return names


def test_every_block_is_tried_here() -> None:
    """A block added to these pages needs a test."""
    assert [language for language, _ in blocks("getting-started.md")].count("python") == 7
    assert [language for language, _ in blocks("tag-managers.md")].count("python") == 3
    assert [len(blocks(page)) for page in ("getting-started.md", "tag-managers.md")] == [8, 4]


class User:
    is_authenticated = is_active = True
    email = ALICE


class Authentication:
    """As Starlette's `AuthenticationMiddleware`: it names the user."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["user"] = User()
        await self.app(scope, receive, send)


def flask_page(app: Any, body: bytes) -> Answer:
    """Ask a Flask site with Flask-Login, whose user is Alice, for a page."""
    import flask_login

    flask_login.LoginManager(app).request_loader(lambda request: User())
    app.add_url_rule("/", "page", lambda: body)
    return run_wsgi(app, "GET", "/", {})


def fastapi_page(app: Any, body: bytes) -> Answer:
    app.user_middleware.append(Middleware(Authentication))  # innermost
    app.add_route("/", lambda request: HTMLResponse(body))
    return run_asgi(app, "GET", "/", {})


def django_page(names: dict[str, Any], body: bytes) -> Answer:
    """Ask a Django site with these settings, whose user is Alice, for a page."""
    from django.http import HttpResponse

    class Urls:
        urlpatterns = (url("", lambda request: HttpResponse(body)),)

    ours = "django_ensoras.middleware.EnsorasMiddleware"
    named = [one for one in names.get("MIDDLEWARE", [ours]) if one is not ...]
    given = {name: value for name, value in names.items() if name.startswith("ENSORAS_")}
    set_ups = {"MIDDLEWARE": [*named, "identity_sites.DjangoAuthentication"], "ROOT_URLCONF": Urls}
    with override_settings(**set_ups, **given):
        DjangoAuthentication.email = lambda: ALICE
        return run_wsgi(WSGIHandler(), "GET", "/", {})


# Getting started ----------------------------------------------------------------------------------

START = "getting-started.md"


def test_flask() -> None:
    assert (
        flask_page(run(START, "\napp = Flask(__name__)\nEnsoras(app)")["app"], PAGE).body
        == IDENTIFIED
    )


def test_django() -> None:
    names = run(START, "INSTALLED_APPS")
    assert names["INSTALLED_APPS"][-1] == "django_ensoras"
    assert django_page(names, PAGE).body == IDENTIFIED


def test_fastapi() -> None:
    app = run(START, "FastAPI()\napp.add_middleware(EnsorasMiddleware)\n")["app"]
    assert fastapi_page(app, PAGE).body == IDENTIFIED


def test_any_other() -> None:
    app = run(START, "demo_app")["app"]
    app.app = Flask("shop")
    app.app.add_url_rule("/", "page", lambda: PAGE)

    def as_alice(environ: Any, start_response: Any) -> Any:
        return app({**environ, "REMOTE_USER": ALICE}, start_response)

    assert run_wsgi(app, "GET", "/", {}).body == PAGE
    assert run_wsgi(as_alice, "GET", "/", {}).body == IDENTIFIED


def test_the_tag() -> None:
    """It is the one that the dashboard shows."""
    tag = widget_tag(DEFAULT_ORIGIN, "acme") + "\n"
    assert [text for language, text in blocks(START) if language == "html"] == [tag]
    for page in (DOCS / "index.md", DOCS.parent / "README.md"):
        assert tag in page.read_text("utf-8")


def test_the_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole site, with the sandbox's secret file: one click later Alice is verified there."""
    monkeypatch.delenv("ENSORAS_WIDGET_SLUG")
    monkeypatch.delenv("ENSORAS_WIDGET_SECRET")
    monkeypatch.chdir(tmp_path)
    sandbox = create_app("demo", "", secret_file=Path("secret.txt"))
    visitor = run(START, "render_template_string")["app"].test_client()
    page = visitor.get("/")
    assert page.headers["X-Ensoras-Outcome"] == "anonymous"
    assert 'src="http://127.0.0.1:8400/cdn/v1/widget/demo.js"' in page.text
    page = visitor.post("/", follow_redirects=True)
    assert page.headers["X-Ensoras-Outcome"] == "identified"
    email, hash = re.findall(r'"(?:email|hash)":"([^"]+)"', page.text)
    answer = asyncio.run(identify(sandbox, email, hash))
    assert (answer["tier"], answer["email"]) == ("verified", ALICE)


@pytest.mark.parametrize("site", ["django", "fastapi"])
def test_the_sandbox_for(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings are enough for the tag of the dashboard."""
    monkeypatch.delenv("ENSORAS_WIDGET_SLUG")
    monkeypatch.delenv("ENSORAS_WIDGET_SECRET")
    monkeypatch.chdir(tmp_path)
    sandbox = create_app("demo", "", secret_file=Path("secret.txt"))
    page = PAGE.replace(TAG, widget_tag("http://127.0.0.1:8400", "demo").encode())
    if site == "fastapi":
        answer = fastapi_page(run(START, "secret_from_file")["app"], page)
    else:
        with override_settings(ENSORAS_WIDGET_SECRET=""):
            del settings.ENSORAS_WIDGET_SECRET
            answer = django_page(run(START, '\nENSORAS_WIDGET_SECRET_FILE = "secret.txt"'), page)
    assert answer["X-Ensoras-Outcome"] == "identified"
    email, hash = re.findall(r'"(?:email|hash)":"([^"]+)"', answer.body.decode())
    assert asyncio.run(identify(sandbox, email, hash))["tier"] == "verified"


async def identify(sandbox: ASGIApp, email: str, hash: str) -> Any:
    """Ask as the widget does."""
    transport = httpx.ASGITransport(sandbox)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as widget:
        call = {"email": email, "hash": hash}
        return (await widget.post("/api/v1/widget/demo/identify", json=call)).json()


# Tag managers -------------------------------------------------------------------------------------

TAGS = "tag-managers.md"
EMBEDDED = identify_script(ALICE) + TAG
EMBED: dict[str, Callable[[bytes], Answer]] = {
    "flask": lambda body: flask_page(run(TAGS, "from flask import")["app"], body),
    "django": lambda body: django_page(run(TAGS, '\nENSORAS_EXCLUDE = ["/admin"]'), body),
    "fastapi": lambda body: fastapi_page(run(TAGS, "FastAPI")["app"], body),
}


@pytest.mark.parametrize("site", EMBED)
def test_embed(site: str) -> None:
    """The tag is written, with the identity before it; one that is there stays the only one."""
    assert EMBED[site](WITHOUT).body == WITHOUT.replace(b"</body>", EMBEDDED + b"</body>")
    assert EMBED[site](PAGE).body == IDENTIFIED
    assert EMBED[site](b"<p>a fragment</p>").body == b"<p>a fragment</p>"


@pytest.fixture
def page_of_a_tag_manager() -> Iterator[str]:
    """A page of a build, in which nothing but the tag manager's custom tag loads the widget."""
    client, _ = re.findall(
        r"```js\n(.*?)```", (DOCS / "single-page-apps.md").read_text("utf-8"), re.S
    )
    shell = f'<!doctype html><link rel="icon" href="data:,"><body>{block(TAGS, "import(")}</body>'

    def answer(request: Request) -> Response:
        if request.url.path == "/ensoras.js":
            return Response(client, media_type="text/javascript")
        return HTMLResponse(shell)

    def email(connection: Any) -> str | None:
        return connection.cookies.get("user")

    with served(site_of([Route("/{path:path}", answer)], email, [])) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.browser
def test_a_tag_manager_asks(page_of_a_tag_manager: str) -> None:
    """The widget is told who is there, before it is loaded."""
    with chromium() as browser, opened(browser, page_of_a_tag_manager) as visitor:
        for told in ([], [ALICE]):
            for user in told:
                cookie: Any = {"name": "user", "value": user, "url": page_of_a_tag_manager}
                visitor.context.add_cookies([cookie])
            visitor.page.goto("/")
            visitor.page.wait_for_function("window.widget")
            assert visitor.told() == told
        assert visitor.errors == []
