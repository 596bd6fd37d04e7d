"""Who is logged in to an ASGI site: by default the authenticated user of its framework alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import falcon.asgi
import pytest
from adapters import ALICE, PAGE, SECRET, SLUG
from fastapi import FastAPI
from litestar import Litestar, MediaType, get
from litestar import Request as LitestarRequest
from litestar import Response as LitestarResponse
from litestar.config.compression import CompressionConfig
from litestar.exceptions import NotFoundException
from litestar.middleware import DefineMiddleware
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.response import Stream
from recipes import EMAILS, Visitor, assert_log_in_counts, chunks, log_in, whose
from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    SimpleUser,
    UnauthenticatedUser,
)
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette_login.backends import SessionAuthBackend
from starlette_login.login_manager import LoginManager
from starlette_login.middleware import AuthenticationMiddleware as LoginMiddleware
from starlette_login.mixins import UserMixin
from starlette_login.utils import login_user, logout_user

from ensoras_middleware.asgi import EnsorasMiddleware
from ensoras_middleware.log import NO_USER, PROBLEMS, UNKNOWN_USER
from ensoras_middleware.outcome import Outcome

OPTIONS: Any = {"slug": SLUG, "secret": SECRET}
ENSORAS = Middleware(EnsorasMiddleware, **OPTIONS)
SESSIONS = Middleware(SessionMiddleware, secret_key="tests")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [one for one in caplog.records if one.name == "ensoras_middleware"]
    assert all(one.levelno == logging.WARNING for one in ours)
    assert not any(email in one.getMessage() for one in ours for email in EMAILS.values())
    return [one.getMessage() for one in ours]


async def page(request: Request) -> Response:
    return HTMLResponse(PAGE)


async def stream(request: Request) -> Response:
    return StreamingResponse(chunks(), media_type="text/html")


PAGES = [Route("/", page), Route("/stream", stream)]


# Starlette's AuthenticationMiddleware -----------------------------------------------------------


class Always(AuthenticationBackend):
    def __init__(self, user: Any) -> None:
        self._user = user

    async def authenticate(self, conn: HTTPConnection) -> Any:
        return AuthCredentials(["authenticated"]), self._user


def user(**fields: Any) -> Any:
    return SimpleNamespace(**{"is_authenticated": True, "email": ALICE} | fields)


UNVERIFIED = PROBLEMS[Outcome.UNVERIFIED]
REFUSED = PROBLEMS[Outcome.EMAIL_REFUSED] % "an empty one"
USERS = {
    "own class": (user(), "alice", None),
    "nobody": (UnauthenticatedUser(), None, None),
    "SimpleUser": (SimpleUser("alice"), None, UNKNOWN_USER),
    "SimpleUser with an address for a name": (SimpleUser(ALICE), None, UNKNOWN_USER),
    "without is_authenticated": (SimpleNamespace(email=ALICE), None, UNKNOWN_USER),
    "is_authenticated false": (user(is_authenticated=False), None, None),
    "is_authenticated truthy": (user(is_authenticated=1), None, None),
    "is_authenticated a method": (user(is_authenticated=lambda: False), None, None),
    "no address": (user(email=None), None, None),
    "empty address": (user(email=""), None, REFUSED),
    "verified": (user(email_verified=True), "alice", None),
    "unverified": (user(email_verified=False), None, UNVERIFIED),
    "verified as a word": (user(email_verified="true"), None, UNVERIFIED),
    "verified unknown": (user(email_verified=None), None, UNVERIFIED),
}


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
@pytest.mark.parametrize(("of", "expected", "message"), USERS.values(), ids=USERS)
def test_authentication_middleware(
    of: Any,
    expected: str | None,
    message: str | None,
    framework: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An authenticated user with an address that is not known to be unverified; told once."""
    app = framework(
        routes=PAGES,
        middleware=[ENSORAS, Middleware(AuthenticationMiddleware, backend=Always(of))],
    )
    visitor = Visitor(app)
    for path in ("/", "/stream", "/"):
        assert visitor.seen(path) == expected
    assert told(caplog) == ([] if message is None else [message])


def test_trusted_addresses() -> None:
    """A site that verifies in another way may say so."""
    users = Middleware(AuthenticationMiddleware, backend=Always(user(email_verified=False)))
    ours = Middleware(EnsorasMiddleware, trust_emails=True, **OPTIONS)
    assert Visitor(Starlette(routes=PAGES, middleware=[ours, users])).seen() == "alice"


# starlette-login --------------------------------------------------------------------------------


class Customer(UserMixin):
    def __init__(self, name: str) -> None:
        self.name = name
        self.email = EMAILS[name]

    @property
    def identity(self) -> str:
        return self.name


class Nameless(Customer):
    def __init__(self, name: str) -> None:
        self.name = name


async def log_in_there(request: Request) -> Response:
    remember = "remember" in request.query_params
    await login_user(request, Customer(request.query_params["user"]), remember=remember)
    return HTMLResponse(PAGE)


async def log_out_there(request: Request) -> Response:
    await logout_user(request)
    return HTMLResponse(PAGE)


def starlette_login_site(
    framework: Any = Starlette, customer: Any = Customer, **options: Any
) -> Starlette:
    manager = LoginManager("/log-in", secret_key="tests")
    manager.set_user_loader(lambda request, name: customer(name))
    backend = SessionAuthBackend(manager)
    users = Middleware(LoginMiddleware, backend=backend, login_manager=manager, **options)
    log_ins = [Route("/log-in", log_in_there), Route("/log-out", log_out_there)]
    app: Starlette = framework(routes=PAGES + log_ins, middleware=[ENSORAS, SESSIONS, users])
    app.state.login_manager = manager
    return app


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
def test_starlette_login(framework: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Without any setting."""
    assert_log_in_counts(starlette_login_site(framework))
    assert told(caplog) == []


def test_starlette_login_in_the_same_answer() -> None:
    """The page that answers a log-in is the new customer's, and that of a log-out nobody's."""
    visitor = Visitor(starlette_login_site())
    assert [visitor.seen(f"/log-in?user={user}") for user in ("alice", "bob")] == ["alice", "bob"]
    assert visitor.seen("/log-out") is None


def test_starlette_login_remembered() -> None:
    """A signed cookie brings the customer back; one that somebody wrote does not."""
    app = starlette_login_site()
    visitor, forger = Visitor(app), Visitor(app)
    log_in(visitor, "alice&remember=1")
    visitor.get("/")
    visitor.cookies.delete("session")
    assert visitor.seen() == "alice"
    forger.cookies.set("remember_token", "alice|" + "0" * 128)
    assert forger.seen() is None


def test_starlette_login_without_an_address(caplog: pytest.LogCaptureFixture) -> None:
    visitor = Visitor(starlette_login_site(customer=Nameless))
    log_in(visitor, "alice")
    caplog.clear()
    assert visitor.seen() is None
    assert told(caplog) == [UNKNOWN_USER]


# Nobody tells -----------------------------------------------------------------------------------


def test_nobody_tells_who_is_logged_in(caplog: pytest.LogCaptureFixture) -> None:
    """It is told once, with the first page that has the widget."""

    async def other(request: Request) -> Response:
        return HTMLResponse("<p>Without the widget")

    app = Starlette(routes=[*PAGES, Route("/other", other)], middleware=[ENSORAS])
    visitor = Visitor(app)
    visitor.get("/other")
    assert told(caplog) == []
    for path in ("/", "/stream", "/"):
        assert visitor.seen(path) is None
        assert told(caplog) == [NO_USER]


def by_route() -> Any:
    users = Middleware(AuthenticationMiddleware, backend=Always(user()))
    mine = Route("/mine", page, middleware=[users])
    return Starlette(routes=[*PAGES, mine], middleware=[ENSORAS])


def by_mount() -> Any:
    users = Middleware(AuthenticationMiddleware, backend=Always(user()))
    mine = Mount("/mine", Starlette(routes=[Route("/", page)], middleware=[users]))
    return Starlette(routes=[*PAGES, mine], middleware=[ENSORAS])


def by_hand() -> Any:
    """Excluded by starlette-login, around a Starlette that knows nothing of it."""
    site = starlette_login_site(excluded_dirs=["/stream", "/"])
    site.user_middleware.pop(0)
    return EnsorasMiddleware(site, **OPTIONS)


class NobodyIsNone:
    """A site's own layer, with `None` for nobody."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["user"] = None
        await self._app(scope, receive, send)


QUIET: dict[str, Callable[[], Any]] = {
    "left out": lambda: starlette_login_site(excluded_dirs=["/"]),
    "by route": by_route,
    "by mount": by_mount,
    "by hand": by_hand,
    "get_email": lambda: EnsorasMiddleware(
        Starlette(routes=PAGES), get_email=lambda connection: None, **OPTIONS
    ),
    "a user that is none": lambda: Starlette(
        routes=PAGES, middleware=[ENSORAS, Middleware(NobodyIsNone)]
    ),
}


@pytest.mark.parametrize("build", QUIET.values(), ids=QUIET)
def test_somebody_tells(build: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    """Pages for everybody bring no warning where users are known elsewhere."""
    visitor = Visitor(build())
    assert (visitor.seen("/"), visitor.seen("/stream")) == (None, None)
    assert told(caplog) == []


FORGED = [
    "Remote-User", "X-Remote-User", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-For",
    "X-Auth-Request-Email", "Remote-Email", "User", "Email", "Authorization", "From",
]  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_no_header_counts(name: str) -> None:
    """What a client says of itself is never who is logged in."""
    alices = starlette_login_site()
    alice, anybody = Visitor(alices), Visitor(alices)
    log_in(alice, "alice")
    assert anybody.seen(**{name: EMAILS["bob"]}) is None
    assert alice.seen(**{name: EMAILS["bob"]}) == "alice"


# What the layers inside have written is there ---------------------------------------------------

Write = Callable[[Request], None]


def write_user(request: Request) -> None:
    request.scope["user"] = user()


def write_scope(request: Request) -> None:
    request.scope["shop.email"] = ALICE


def write_state(request: Request) -> None:
    request.state.email = ALICE


def write_session(request: Request) -> None:
    request.session["email"] = ALICE


WRITTEN: dict[str, tuple[Write, Any]] = {
    "user": (write_user, ...),
    "scope": (write_scope, lambda connection: connection.scope.get("shop.email")),
    "state": (write_state, lambda connection: connection.state.email),
    "session": (write_session, lambda connection: connection.session.get("email")),
}


def written_by_view(write: Write) -> Any:
    def view(answer: Any) -> Any:
        async def view(request: Request) -> Response:
            write(request)
            response: Response = await answer(request)
            return response

        return view

    routes = [Route("/", view(page)), Route("/stream", view(stream))]
    return Starlette(routes=routes, middleware=[SESSIONS])


def written_by_layer(write: Write) -> Any:
    async def dispatch(request: Request, call_next: Any) -> Response:
        write(request)
        response: Response = await call_next(request)
        return response

    layer = Middleware(BaseHTTPMiddleware, dispatch=dispatch)
    return Starlette(routes=PAGES, middleware=[SESSIONS, layer])


def written_in_mount(write: Write) -> Any:
    return FastAPI(routes=[Mount("/", written_by_view(write))])


@pytest.mark.parametrize("build", [written_by_view, written_by_layer, written_in_mount])
@pytest.mark.parametrize(("write", "get_email"), WRITTEN.values(), ids=WRITTEN)
def test_written_inside(write: Write, get_email: Any, build: Callable[[Write], Any]) -> None:
    """Before anything of the page is sent, streamed or not."""
    options = OPTIONS if get_email is ... else {**OPTIONS, "get_email": get_email}
    app = EnsorasMiddleware(build(write), **options)
    assert (Visitor(app).seen("/"), Visitor(app).seen("/stream")) == ("alice", "alice")


# Litestar and Falcon ----------------------------------------------------------------------------

LITESTAR_SESSIONS = CookieBackendConfig(secret=b"0123456789abcdef")


def litestar_site(**settings: Any) -> Litestar:
    """Ours in its own list, outside of its sessions."""
    ours = DefineMiddleware(
        EnsorasMiddleware,
        get_email=lambda connection: connection.scope["session"].get("email"),
        **OPTIONS,
    )

    @get("/", media_type=MediaType.HTML, sync_to_thread=False, cache="cached" in settings)
    def home() -> bytes:
        return PAGE

    @get("/stream", media_type=MediaType.HTML, sync_to_thread=False)
    def streamed() -> Stream:
        return Stream(chunks())

    @get("/log-in", sync_to_thread=False)
    def log_in(request: LitestarRequest[Any, Any, Any]) -> None:
        request.set_session({"email": EMAILS[request.query_params["user"]]})

    @get("/log-out", sync_to_thread=False)
    def log_out(request: LitestarRequest[Any, Any, Any]) -> None:
        request.set_session({})

    settings.pop("cached", None)
    handlers = [home, streamed, log_in, log_out]
    return Litestar(
        handlers,
        middleware=[ours, LITESTAR_SESSIONS.middleware],
        logging_config=None,  # its own would replace pytest's
        **settings,
    )


@pytest.mark.parametrize("settings", [{}, {"cached": True}], ids=["plain", "cached"])
def test_litestar(settings: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Its response cache stands inside of all layers, and keeps pages without identity."""
    assert_log_in_counts(litestar_site(**settings))
    assert told(caplog) == []


@pytest.mark.parametrize(("around", "missing"), [(True, "alice"), (False, None)])
def test_litestar_error_pages(around: bool, missing: str | None) -> None:
    """Its own list is that of its routes, so a path without one is answered outside of it."""
    options: Any = {**OPTIONS, "get_email": lambda connection: ALICE}
    ours = DefineMiddleware(EnsorasMiddleware, **options)

    def error_page(request: Any, error: Exception) -> LitestarResponse[bytes]:
        return LitestarResponse(PAGE, media_type=MediaType.HTML, status_code=404)

    @get("/gone", sync_to_thread=False)
    def gone() -> None:
        raise NotFoundException

    app: Any = Litestar(
        [gone],
        middleware=[] if around else [ours],
        exception_handlers={404: error_page},
        logging_config=None,
    )
    visitor = Visitor(EnsorasMiddleware(app, **options) if around else app)
    assert (visitor.seen("/gone"), visitor.seen("/missing")) == ("alice", missing)


def test_litestar_compression(caplog: pytest.LogCaptureFixture) -> None:
    """It compresses inside of all layers, and that is told with the first page."""
    app = litestar_site(compression_config=CompressionConfig("gzip", minimum_size=1))
    visitor = Visitor(app)
    log_in(visitor, "alice")
    caplog.clear()
    for _ in range(2):
        assert visitor.seen(**{"Accept-Encoding": "gzip"}) is None
        assert told(caplog) == [PROBLEMS[Outcome.ENCODED]]


def test_falcon() -> None:
    """Its middleware puts the address into the scope."""

    class Remember:
        async def process_response(self, req: Any, resp: Any, resource: Any, ok: bool) -> None:
            req.scope["shop.verified_email"] = EMAILS.get(req.cookies.get("user", ""))

    class Page:
        async def on_get(self, req: Any, resp: Any) -> None:
            resp.content_type, resp.data = "text/html", PAGE

        async def on_get_stream(self, req: Any, resp: Any) -> None:
            async def body() -> Any:
                for chunk in chunks():
                    yield chunk

            resp.content_type, resp.stream = "text/html", body()

    site = falcon.asgi.App(middleware=[Remember()])
    site.add_route("/", Page())
    site.add_route("/stream", Page(), suffix="stream")
    app = EnsorasMiddleware(
        site, get_email=lambda connection: connection.scope["shop.verified_email"], **OPTIONS
    )
    alice, nobody = Visitor(app), Visitor(app)
    alice.cookies.set("user", "alice")
    assert (alice.seen("/"), alice.seen("/stream")) == ("alice", "alice")
    assert (nobody.seen("/"), nobody.seen("/stream")) == (None, None)
    assert whose(alice.get("/").content) == "alice"
