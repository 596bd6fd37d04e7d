"""The README's Python blocks run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from adapters import ALICE, PAGE, SECRET, SLUG, TAG, identify_script, run_asgi, run_wsgi

from ensoras_middleware.options import SETTINGS, Options

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENSORAS_WIDGET_SLUG", SLUG)
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET", SECRET)


def run(words: str) -> dict[str, Any]:
    """Run the one block that holds these words."""
    (block,) = [block for block in BLOCKS if words in block]
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(block, "README.md", "exec"), names)
    return names


def test_every_block_is_tried_here() -> None:
    """A block added to the README needs a test."""
    assert len(BLOCKS) == 5


def test_options() -> None:
    """Every option is named, in the order of the code."""
    rows = re.findall(r"^\| (?:`(\w+)`)? ?\| `(ENSORAS_\w+)` \| .", README, re.MULTILINE)
    keywords = {keyword: keyword in Options.__annotations__ for keyword in SETTINGS}
    assert rows == [(keyword * keywords[keyword], SETTINGS[keyword]) for keyword in SETTINGS]


def test_flask() -> None:
    """With Flask-Login, two lines are all."""
    import flask_login

    app = run("from flask import Flask\n")["app"]
    login = flask_login.LoginManager(app)
    login.request_loader(lambda request: _User())
    app.add_url_rule("/", view_func=lambda: PAGE)
    assert run_wsgi(app, "GET", "/", {}).body == PAGE.replace(TAG, identify_script(ALICE) + TAG)


def test_flask_email_getter() -> None:
    """Without Flask-Login, a function names the address."""
    app = run("email_getter")["app"]
    app.secret_key = "tests"

    @app.route("/")
    def page() -> bytes:
        import flask

        flask.session["verified_email"] = ALICE
        return PAGE

    assert run_wsgi(app, "GET", "/", {}).body == PAGE.replace(TAG, identify_script(ALICE) + TAG)


def test_django() -> None:
    """The two settings name what there is."""
    from django.apps import AppConfig
    from django.utils.module_loading import import_string

    names = run("INSTALLED_APPS")
    assert AppConfig.create(names["INSTALLED_APPS"][-1]).name == "django_ensoras"
    assert callable(import_string(names["MIDDLEWARE"][0]))


def test_fastapi() -> None:
    """With AuthenticationMiddleware inside, one line is all."""
    from fastapi.responses import HTMLResponse

    app = run("FastAPI")["app"]

    async def view(scope: Any, receive: Any, send: Any) -> None:
        scope["user"] = _User()
        await HTMLResponse(PAGE)(scope, receive, send)

    app.mount("/", view)
    assert run_asgi(app, "GET", "/", {}).body == PAGE.replace(TAG, identify_script(ALICE) + TAG)


def test_wsgi() -> None:
    """Any application, with one function."""
    app = run("demo_app")["app"]
    assert b"Hello world!" in run_wsgi(app, "GET", "/", {}).body


class _User:
    is_authenticated = is_active = True
    email = ALICE
