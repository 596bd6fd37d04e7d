"""The Python blocks of `docs/starlette.md` and `docs/asgi.md` run as they stand there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from adapters import PAGE, SECRET, SLUG
from fastapi.responses import HTMLResponse, StreamingResponse
from litestar import MediaType, get
from litestar import Request as LitestarRequest
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.response import Stream
from litestar.security.session_auth import SessionAuth
from oidc_provider import CLIENT_ID, Provider, oidc_provider
from recipes import EMAILS, Recipes, Visitor, assert_log_in_counts, chunks
from starlette.applications import Starlette
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STARLETTE = Recipes("starlette.md")
ASGI = Recipes("asgi.md")


@pytest.fixture(autouse=True)
def widget(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The environment that the pages name; no recipe may bring a warning."""
    monkeypatch.setenv("ENSORAS_WIDGET_SLUG", SLUG)
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET", SECRET)
    yield
    assert [one for one in caplog.get_records("call") if one.name == "ensoras_middleware"] == []


async def home(request: Request) -> Response:
    return HTMLResponse(PAGE)


async def stream(request: Request) -> Response:
    return StreamingResponse(chunks(), media_type="text/html")


async def log_out(request: Request) -> Response:
    request.session.clear()
    return Response()


PAGES = [Route("/", home), Route("/stream", stream), Route("/log-out", log_out)]


def pages(key: str, value_of: Any) -> list[Any]:
    """The pages, and a log-in that puts something of the user into the session."""

    async def log_in(request: Request) -> Response:
        request.session[key] = value_of(request.query_params["user"])
        return Response()

    return [*PAGES, Route("/log-in", log_in)]


CUSTOMER = pages("customer", lambda user: {"name": user, "email": EMAILS[user]})
VERIFIED_EMAIL = pages("verified_email", EMAILS.get)


def session_backend() -> dict[str, Any]:
    return {"SessionBackend": STARLETTE.run("The user").SessionBackend}


def test_every_block_is_tried_here() -> None:
    """A block added to the pages needs a test."""
    assert STARLETTE.names == {
        ("Starlette and FastAPI", 0),
        ("Order", 0),
        ("Order", 1),
        ("The user", 0),
        ("Sessions of your own", 0),
        ("OpenID Connect, with Authlib", 0),
        ("fastapi-users", 0),
    }
    assert ASGI.names == {
        ("Litestar, Quart and every other ASGI application", 0),
        ("Order", 0),
        ("Litestar", 0),
        ("Quart", 0),
        ("Quart", 1),
        ("A proxy that logs in", 0),
    }


# Starlette and FastAPI --------------------------------------------------------------------------


def test_first_lines() -> None:
    """One line, and the user of whatever sets `scope["user"]`, as deep inside as may be."""
    app = STARLETTE.run("Starlette and FastAPI").app
    backend = session_backend()["SessionBackend"]()
    inner = AuthenticationMiddleware(Starlette(routes=CUSTOMER), backend=backend)
    app.mount("/", SessionMiddleware(inner, secret_key="tests"))
    assert_log_in_counts(app)


@pytest.mark.parametrize("number", [0, 1])
def test_order(number: int) -> None:
    """Starlette's list and FastAPI's `add_middleware` make the same stack."""
    modules = {"customers": session_backend(), "pages": {"routes": CUSTOMER}}
    app = STARLETTE.run("Order", number, **modules).app
    if number:
        app.router.routes.extend(CUSTOMER)
    assert_log_in_counts(app)
    names = [one.cls.__name__ for one in app.user_middleware]
    assert names == [
        "GZipMiddleware", "EnsorasMiddleware", "SessionMiddleware", "AuthenticationMiddleware",
    ]  # fmt: skip


def test_own_sessions() -> None:
    app = STARLETTE.run("Sessions of your own").app
    app.router.routes.extend(VERIFIED_EMAIL)
    assert_log_in_counts(app)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with oidc_provider() as running:
        yield running


def open_id_connect(monkeypatch: pytest.MonkeyPatch, provider: Provider) -> Any:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("ACCOUNTS_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("ACCOUNTS_CLIENT_SECRET", "tests")
    monkeypatch.setenv("ACCOUNTS_SERVER_METADATA_URL", provider.client["server_metadata_url"])
    names = STARLETTE.run("OpenID Connect, with Authlib")
    names.app.router.routes.extend(PAGES)
    return names.app


def log_in_there(visitor: Visitor, provider: Provider, **claims: object) -> None:
    """Follow the redirects as a browser does, from the site to the provider and back."""
    provider.claims = claims
    at_provider = visitor.get("/log-in").headers["location"]
    back = httpx.get(at_provider).headers["location"]
    assert visitor.get(back).headers["location"] == "/"


def test_open_id_connect(monkeypatch: pytest.MonkeyPatch, provider: Provider) -> None:
    app = open_id_connect(monkeypatch, provider)

    def log_in(visitor: Visitor, user: str) -> None:
        log_in_there(visitor, provider, email=EMAILS[user], email_verified=True)

    assert_log_in_counts(app, log_in)


@pytest.mark.parametrize(
    "verified",
    [{}, *({"email_verified": value} for value in (False, None, "true", "false", 1))],
    ids=str,
)
def test_open_id_connect_unverified(
    monkeypatch: pytest.MonkeyPatch, provider: Provider, verified: dict[str, object]
) -> None:
    """Only `true` is verified (OpenID Connect Core 1.0, section 5.1); missing is not."""
    visitor = Visitor(open_id_connect(monkeypatch, provider))
    # Logged in before: the new log-in replaces the old one in any case.
    log_in_there(visitor, provider, email=EMAILS["bob"], email_verified=True)
    assert visitor.seen() == "bob"
    log_in_there(visitor, provider, email=EMAILS["alice"], **verified)
    assert (visitor.seen("/"), visitor.seen("/stream")) == (None, None)


def fastapi_users_site(folder: Path) -> tuple[Any, Any]:
    from users_of_fastapi import User, Users

    users = Users(folder)
    modules = {"customers": {"User": User, "fastapi_users": users.fastapi_users}}
    app = STARLETTE.run("fastapi-users", **modules).app
    app.add_api_route("/", lambda: HTMLResponse(PAGE))
    app.add_api_route("/stream", lambda: StreamingResponse(chunks(), media_type="text/html"))
    app.include_router(users.log_in_router)
    return app, users


def test_fastapi_users(tmp_path: Path) -> None:
    """Its cookie transport, with a password; log-out too."""
    app, users = fastapi_users_site(tmp_path)
    users.add("alice", is_verified=True)
    users.add("bob", is_verified=True)
    alice, bob, nobody = Visitor(app), Visitor(app), Visitor(app)
    users.log_in(alice, "alice")
    users.log_in(bob, "bob")
    assert (alice.seen("/"), alice.seen("/stream")) == ("alice", "alice")
    assert (bob.seen("/"), bob.seen("/stream")) == ("bob", "bob")
    assert (nobody.seen("/"), nobody.seen("/stream")) == (None, None)
    assert alice.get("/log-out", "POST").status_code == 204
    assert (alice.seen("/"), alice.seen("/stream")) == (None, None)


def test_fastapi_users_unverified_or_inactive(tmp_path: Path) -> None:
    """Logged in, but the address is nobody's yet; or locked out since."""
    app, users = fastapi_users_site(tmp_path)
    users.add("alice", is_verified=False)
    users.add("bob", is_verified=True)
    alice, bob = Visitor(app), Visitor(app)
    users.log_in(alice, "alice")
    users.log_in(bob, "bob")
    assert (alice.seen(), bob.seen()) == (None, "bob")
    users.change("alice", is_verified=True)
    users.change("bob", is_active=False)
    assert (alice.seen(), bob.seen()) == ("alice", None)


# Litestar, Quart, and any other -----------------------------------------------------------------


def email_of(cookies: dict[str, str]) -> str | None:
    return EMAILS.get(cookies.get("user", ""))


async def log_in_by_cookie(request: Request) -> Response:
    response = Response()
    response.set_cookie("user", request.query_params["user"])
    return response


async def log_out_by_cookie(request: Request) -> Response:
    response = Response()
    response.delete_cookie("user")
    return response


BY_COOKIE = Starlette(
    routes=[
        *PAGES[:2],
        Route("/log-in", log_in_by_cookie),
        Route("/log-out", log_out_by_cookie),
    ]
)


@pytest.mark.parametrize("heading", ["Litestar, Quart and every other ASGI application", "Order"])
def test_any_application(heading: str) -> None:
    modules = {"site": {"app": BY_COOKIE}, "sessions": {"email_of": email_of}}
    assert_log_in_counts(ASGI.run(heading, **modules).app)


def test_litestar() -> None:
    """Its session authentication, with customers of the site's own class."""

    async def customer_of(session: dict[str, str], connection: Any) -> Any:
        return type("Customer", (), {"email": EMAILS[session["user"]]})() if session else None

    auth: Any = SessionAuth(
        retrieve_user_handler=customer_of,
        session_backend_config=CookieBackendConfig(secret=b"0123456789abcdef"),
        exclude_http_methods=[],
    )

    @get("/", media_type=MediaType.HTML, sync_to_thread=False)
    def home() -> bytes:
        return PAGE

    @get("/stream", media_type=MediaType.HTML, sync_to_thread=False)
    def stream() -> Stream:
        return Stream(chunks())

    @get("/log-in", exclude_from_auth=True)
    async def log_in(request: LitestarRequest[Any, Any, Any]) -> None:
        request.set_session({"user": request.query_params["user"]})

    @get("/log-out")
    async def log_out(request: LitestarRequest[Any, Any, Any]) -> None:
        request.clear_session()

    @get("/open", exclude_from_auth=True, media_type=MediaType.HTML, sync_to_thread=False)
    def opened() -> bytes:
        return PAGE

    modules = {
        "customers": {"session_auth": auth},
        "pages": {"route_handlers": [home, stream, log_in, log_out, opened]},
    }
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    app = ASGI.run("Litestar", **modules).app
    root.handlers[:], root.level = handlers, level  # Litestar's own have replaced pytest's
    alice, bob, nobody = Visitor(app), Visitor(app), Visitor(app)
    assert alice.get("/log-in?user=alice").is_success
    assert bob.get("/log-in?user=bob").is_success
    assert (alice.seen("/"), alice.seen("/stream")) == ("alice", "alice")
    assert (bob.seen("/"), bob.seen("/stream")) == ("bob", "bob")
    assert (alice.seen("/open"), nobody.seen("/open")) == (None, None)
    assert nobody.get("/").status_code == 401
    assert alice.get("/log-out").is_success
    assert alice.get("/").status_code == 401


@pytest.mark.parametrize("number", [0, 1], ids=["quart-auth", "sessions"])
def test_quart(number: int) -> None:
    import quart
    from quart_auth import AuthUser, login_user, logout_user

    app = ASGI.run("Quart", number, customers={"verified_email": EMAILS.get}).app

    @app.get("/")
    async def home() -> Any:
        return PAGE.decode()

    @app.get("/stream")
    async def stream() -> Any:
        return quart.Response(chunks(), mimetype="text/html")

    @app.get("/log-in")
    async def log_in() -> Any:
        user = quart.request.args["user"]
        if number:
            quart.session["verified_email"] = EMAILS[user]
        else:
            login_user(AuthUser(user))
        return ""

    @app.get("/log-out")
    async def log_out() -> Any:
        if number:
            quart.session.clear()
        else:
            logout_user()
        return ""

    assert_log_in_counts(app)


def test_proxy() -> None:
    """The header counts where the proxy sends it, and from nobody else."""
    app = ASGI.run("A proxy that logs in", site={"app": BY_COOKIE}).app
    by_proxy, directly = Visitor(app, address="10.0.0.2"), Visitor(app, address="10.0.0.3")
    header = {"X-Forwarded-Email": EMAILS["alice"]}
    assert (by_proxy.seen(**header), by_proxy.seen("/stream", **header)) == ("alice", "alice")
    assert by_proxy.seen() is None
    assert directly.seen(**header) is None
    assert directly.seen(**header, **{"X-Forwarded-For": "10.0.0.2"}) is None
