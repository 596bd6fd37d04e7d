"""docs/flask.md: its blocks run as they stand there, with the packages that they are for."""

from __future__ import annotations

import http.client
import re
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from adapters import ALICE, BOB, PAGE, SECRET, SLUG, TAG, identify_script
from flask import Flask, Response, redirect, render_template_string, request, session
from flask_ensoras import Ensoras, guard, order
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_csrf_token,
    set_access_cookies,
)
from flask_login import LoginManager, UserMixin, login_user
from oidc_provider import CLIENT_ID, oidc_provider
from werkzeug.serving import make_server

from ensoras_middleware import ConfigurationError
from ensoras_middleware.log import PROBLEMS

DOCUMENT = (Path(__file__).parent.parent / "docs" / "flask.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


class User(UserMixin):
    def __init__(self, name: str, email: str) -> None:
        self.id, self.email = name, email


USERS = {"alice": User("alice", ALICE), "bob": User("bob", BOB)}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENSORAS_WIDGET_SLUG", SLUG)
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET", SECRET)


def run(words: str, **names: Any) -> dict[str, Any]:
    """Run the one block that holds these words, where these names are known."""
    (block,) = [block for block in BLOCKS if words in block]
    names["__name__"] = __name__
    exec(compile(block, "docs/flask.md", "exec"), names)
    return names


def recipe(words: str, **config: Any) -> tuple[Flask, dict[str, Any]]:
    """Return a site that follows a recipe, and what the recipe defines."""
    app = Flask("shop")
    app.config |= {"SECRET_KEY": "a-secret-key-of-the-tests-0123456789"} | config
    names = run(words, app=app, ensoras=Ensoras(app))
    app.add_url_rule("/", "home", lambda: PAGE, methods=["GET", "POST"])
    return app, names


def identified(email: str = ALICE) -> bytes:
    return PAGE.replace(TAG, identify_script(email) + TAG)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "ensoras_middleware"]


def test_every_block_is_tried_here() -> None:
    """A block added to the document needs a test."""
    assert len(BLOCKS) == 9


def test_every_message_in_the_table_is_one() -> None:
    """The words of the first column stand in what is logged."""
    of_flask = [*vars(order).values(), *vars(guard).values()]
    messages = [*PROBLEMS.values(), *(one for one in of_flask if type(one) is str)]
    rows = DOCUMENT.partition("| message |")[2].splitlines()[2:]
    assert len(rows) == 9
    for row in rows:
        words = row.split("|")[1].strip()
        assert [one for one in messages if words in one], words


# Set-up ---------------------------------------------------------------------------------------


def test_install() -> None:
    """With Flask-Login, two lines are all."""
    app = run("= Flask(__name__)\nEnsoras(app)")["app"]
    LoginManager(app).request_loader(lambda request: USERS["alice"])
    app.add_url_rule("/", "home", lambda: render_template_string("{{ ensoras_widget() }}"))
    assert app.test_client().get("/").data == identify_script(ALICE) + TAG


def test_order(caplog: pytest.LogCaptureFixture) -> None:
    """Compressed, with the nonce of the policy, and nothing to tell."""
    app = run("Compress(app)\n")["app"]
    LoginManager(app).request_loader(lambda request: USERS["alice"])
    template = "{{ ensoras_widget(nonce=csp_nonce()) }}" + " " * 1000
    app.add_url_rule("/", "home", lambda: render_template_string(template))
    answer = app.test_client().get("/", base_url="https://localhost")
    nonce = answer.headers["Content-Security-Policy"].partition("'nonce-")[2].partition("'")[0]
    assert answer.data.startswith(identify_script(ALICE, nonce=nonce))
    fields = {"Accept-Encoding": "gzip"}
    compressed = app.test_client().get("/", base_url="https://localhost", headers=fields)
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert logged(caplog) == []


def test_application_factory() -> None:
    """Each app has its own settings, and a second `init_app` on one is an error."""
    names = run("def create_app")
    names["ensoras"].email_getter(lambda: ALICE)
    other = SECRET + "-of-another"
    for slug, secret in [("acme", SECRET), ("other", other)]:
        app = names["create_app"](slug, secret)
        tag = TAG.replace(b"acme", slug.encode())
        app.add_url_rule("/", "home", lambda tag=tag: tag)
        assert app.test_client().get("/").data == identify_script(ALICE, secret) + tag
    with pytest.raises(ConfigurationError, match="twice"):
        names["ensoras"].init_app(app)


def test_exempt() -> None:
    """The view is never touched; other pages are."""
    names = run("@ensoras.exempt")
    app = names["app"]
    names["ensoras"].email_getter(lambda: ALICE)
    app.config["TESTING"] = True
    app.add_url_rule("/", "home", lambda: PAGE)
    assert app.test_client().get("/").data == identified()
    answer = app.test_client().get("/embed")
    assert answer.text == "<!doctype html>…"
    assert "Vary" not in answer.headers


# Authlib --------------------------------------------------------------------------------------


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an app on a port of its own; yield its origin."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"email": ALICE, "email_verified": True}, identified()),
        ({"email": ALICE, "email_verified": False}, PAGE),
        ({"email": ALICE, "email_verified": "true"}, PAGE),
        ({"email": ALICE}, PAGE),
        ({"email_verified": True}, PAGE),
    ],
)
def test_authlib(
    claims: dict[str, object], expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logged in at the provider, whose word on the address counts; anonymous before."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    with oidc_provider() as provider:
        provider.claims = claims
        app, _ = recipe(
            "authlib",
            PROVIDER_CLIENT_ID=CLIENT_ID,
            PROVIDER_CLIENT_SECRET="secret",
            PROVIDER_SERVER_METADATA_URL=provider.client["server_metadata_url"],
        )
        browser = app.test_client()
        assert browser.get("/").data == PAGE
        back = httpx.get(browser.get("/login").headers["Location"]).headers["Location"]
        forged = back.replace("state=", "state=x")
        assert browser.get(forged).status_code == 500
        assert browser.get("/").data == PAGE
        assert browser.get(back).headers["Location"] == "/"
    assert browser.get("/").data == expected


# Flask-JWT-Extended ---------------------------------------------------------------------------


def test_flask_jwt_extended(caplog: pytest.LogCaptureFixture) -> None:
    """A valid access token alone; no page raises, and nothing is to be told."""
    app, _ = recipe("verify_jwt_in_request", JWT_TOKEN_LOCATION=["cookies"])
    manager = JWTManager(app)
    revoked: set[str] = set()
    users = dict(USERS)
    manager.user_lookup_loader(lambda header, claims: users.get(claims["sub"]))
    manager.token_in_blocklist_loader(lambda header, claims: claims["jti"] in revoked)

    @app.post("/login")
    def login() -> Response:
        response = redirect("/")
        set_access_cookies(response, create_access_token("alice"))
        return response

    browser = app.test_client()
    assert browser.get("/").data == PAGE
    browser.post("/login")
    assert browser.get("/").data == identified()
    assert browser.post("/").data == PAGE  # without the CSRF token
    token = browser.get_cookie("access_token_cookie")
    assert token is not None
    with app.app_context():
        fields = {"X-CSRF-TOKEN": get_csrf_token(token.value)}
        others = {
            "expired": create_access_token("alice", expires_delta=timedelta(seconds=-1)),
            "refresh": create_refresh_token("alice"),
            "forged": token.value[:-4] + "AAAA",
            "nonsense": "nonsense",
            "gone": create_access_token("carol"),
        }
    assert browser.post("/", headers=fields).data == identified()
    for name, other in others.items():
        browser.set_cookie("access_token_cookie", other)
        assert browser.get("/").data == PAGE, name
    browser.set_cookie("access_token_cookie", token.value)
    assert browser.get("/").data == identified()
    revoked.add(jti_of(token.value, app))
    assert browser.get("/").data == PAGE
    assert logged(caplog) == []


def jti_of(token: str, app: Flask) -> str:
    from flask_jwt_extended import decode_token

    with app.app_context():
        return str(decode_token(token)["jti"])


# Flask-HTTPAuth -------------------------------------------------------------------------------


def test_flask_httpauth() -> None:
    """Only where the password was looked at; a name alone is worth nothing."""
    app, names = recipe("flask_httpauth")
    auth = names["auth"]

    @auth.verify_password
    def verify_password(name: str, password: str) -> User | None:
        return USERS.get(name) if password == "right" else None

    app.add_url_rule("/account", "account", auth.login_required(lambda: PAGE))

    @app.route("/optional")
    @auth.login_required(optional=True)
    def optional() -> bytes:
        return PAGE

    def ask(path: str, name: str, password: str) -> tuple[int, bytes]:
        credentials = b64encode(f"{name}:{password}".encode()).decode()
        fields = {"Authorization": f"Basic {credentials}"} if name else {}
        answer = app.test_client().get(path, headers=fields)
        return answer.status_code, answer.data

    assert ask("/account", "alice", "right") == (200, identified())
    assert ask("/account", "bob", "right") == (200, identified(BOB))
    assert ask("/account", "alice", "wrong")[0] == 401
    assert ask("/optional", "alice", "right") == (200, identified())
    assert ask("/optional", "alice", "wrong") == (200, PAGE)
    assert ask("/optional", "", "") == (200, PAGE)
    assert ask("/", "alice", "right") == (200, PAGE)  # nobody looks at the password there
    assert ask("/", "alice", "wrong") == (200, PAGE)


# REMOTE_USER ----------------------------------------------------------------------------------


def test_remote_user() -> None:
    """The server's word counts."""
    app, _ = recipe("REMOTE_USER")
    answer = app.test_client().get("/", environ_overrides={"REMOTE_USER": ALICE})
    assert answer.data == identified()


@pytest.mark.parametrize(
    "name",
    [
        "Remote-User",
        "REMOTE_USER",
        "Remote_User",
        "X-Forwarded-User",
        "X-Remote-User",
        "Remote-user",
    ],
)
def test_a_clients_own_header_field_is_never_remote_user(name: str) -> None:
    """On a real server, which gives header fields names that begin with `HTTP_`."""
    app, _ = recipe("REMOTE_USER")
    seen: list[dict[str, Any]] = []

    @app.before_request
    def look() -> None:
        seen.append(request.environ)

    with served(app) as origin:
        connection = http.client.HTTPConnection(urlsplit(origin).netloc)
        connection.request("GET", "/", headers={name: ALICE})
        assert connection.getresponse().read() == PAGE
        connection.close()
    assert "REMOTE_USER" not in seen[0]


# Staff ----------------------------------------------------------------------------------------


def test_staff_who_act_as_a_customer() -> None:
    """They are not that customer; the customer is."""
    app, _ = recipe("staff_id")
    LoginManager(app).user_loader(USERS.get)

    @app.route("/login/<name>")
    def login(name: str) -> str:
        login_user(USERS[name])
        if "staff" in request.args:
            session["staff_id"] = request.args["staff"]
        return ""

    customer, staff = app.test_client(), app.test_client()
    assert customer.get("/").data == PAGE
    customer.get("/login/alice")
    staff.get("/login/alice?staff=7")
    assert customer.get("/").data == identified()
    assert staff.get("/").data == PAGE
