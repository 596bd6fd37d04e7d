"""The Python blocks of docs/single-page-apps.md run as they stand there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from adapters import ALICE, SECRET, SLUG, run_asgi, run_wsgi
from identity_sites import PATH, DjangoAuthentication, django_settings
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from ensoras_middleware import identity_hash

DOCS = (Path(__file__).parent.parent / "docs" / "single-page-apps.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
OWN = {"x-ensoras-identity": "1", "sec-fetch-site": "same-origin"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENSORAS_WIDGET_SLUG", SLUG)
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET", SECRET)


def run(words: str) -> dict[str, Any]:
    """Run the one block that holds these words."""
    (block,) = [block for block in BLOCKS if words in block]
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(block, "single-page-apps.md", "exec"), names)
    return names


def identity(secret: str = SECRET) -> dict[str, str]:
    return {"email": ALICE, "hash": identity_hash(ALICE, secret)}


class User:
    is_authenticated = is_active = True
    email = ALICE


def test_every_block_is_tried() -> None:
    """A block added there needs a test; those of JavaScript are in test_browser_spa."""
    assert len(BLOCKS) == 5
    assert len(re.findall("```js\n", DOCS)) == 2


def test_flask() -> None:
    import flask_login

    app = run("from flask import Flask\n")["app"]
    flask_login.LoginManager(app).request_loader(lambda request: User())
    assert json.loads(run_wsgi(app, "GET", PATH, OWN).body) == identity()


def test_django() -> None:
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings

    class Urls:
        urlpatterns = tuple(run("urlpatterns")["urlpatterns"])

    middleware = ["identity_sites.DjangoAuthentication"]
    set_ups = django_settings({"slug": SLUG, "secret": SECRET}, middleware=middleware)
    with override_settings(**set_ups | {"ROOT_URLCONF": Urls}):
        DjangoAuthentication.email = lambda: ALICE
        assert json.loads(run_wsgi(WSGIHandler(), "GET", PATH, OWN).body) == identity()


class Authentication:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "user": User()}, receive, send)


def test_fastapi() -> None:
    app = run("FastAPI")["app"]
    app.user_middleware.append(Middleware(Authentication))  # innermost
    assert json.loads(run_asgi(app, "GET", PATH, OWN).body) == identity()


def answer_of(app: Any, path: str, host: str) -> Any:
    def proxied(environ: Any, start_response: Any) -> Any:
        return app({**environ, "REMOTE_USER": ALICE, "HTTP_HOST": host}, start_response)

    answer = run_wsgi(proxied, "GET", path, OWN)
    return json.loads(answer.body) if answer.status == 200 else answer.status


def test_wsgi() -> None:
    app = run('identity_path="/ensoras/identity")')["app"]
    assert answer_of(app, PATH, "acme.example") == identity()


@pytest.mark.parametrize(
    ("slug", "host", "expected"),
    [
        ("acme", "acme.example", identity("the secret of the acme widget")),
        ("other", "other.example", identity("the secret of the other widget")),
        ("other", "acme.example", 204),
        ("acme", "other.example", 204),
        ("acme", "unknown.example", 204),
    ],
)
def test_several_widgets(
    slug: str, host: str, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is signed for another brand's widget than that of the address."""
    monkeypatch.delenv("ENSORAS_WIDGET_SLUG")
    monkeypatch.delenv("ENSORAS_WIDGET_SECRET")
    assert answer_of(run("SLUGS")["app"], f"{PATH}?slug={slug}", host) == expected
